"""Whether the answer that a response gives means the same as the right one, asked from any thread.

math-verify limits its time by signals, which reach a main thread only. Other threads are served by one helper process,
this module run as a program, in whose main thread the limits hold.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from functools import lru_cache

from cerolab.errors import CerolabError, InvalidValueError
from llm.grading.answers import are_same, is_readable, is_understood
from llm.grading.final_answer import final_answers


def is_mathematical(answer: str) -> bool:
    """Whether a response can be compared with this answer."""
    return bool(_ask("answer", answer))


def means(text: str, answer: str) -> bool:
    """Whether the answer that a response gives means the same as the right answer.

    Raises:
        InvalidValueError: the right answer is not understood as a whole.
    """
    found = _ask("response", answer, text)
    if found is None:
        raise InvalidValueError("answer", answer, "has no mathematical meaning", "drop the question")
    return found


def _ask(kind: str, answer: str, text: str = "") -> bool | None:
    """One question to math-verify, here in a main thread and by the helper elsewhere."""
    if threading.current_thread() is threading.main_thread():
        return _reply(kind, answer, text)
    return _helper(os.getpid()).ask(kind, answer, text)


def _reply(kind: str, answer: str, text: str) -> bool | None:
    """For "answer": can it be read? For "response": is it right? None when the answer cannot be read."""
    readable = _is_readable(answer)
    if kind == "answer":
        return readable
    if not readable:
        return None
    for given in final_answers(text):
        if are_same(answer, given):
            return True
        if is_understood(given):
            return False  # it is the answer, and a wrong one
    return False


@lru_cache(maxsize=65536)
def _is_readable(answer: str) -> bool:
    return is_readable(answer)


class _Helper:
    """A process that answers one question after another: a line of JSON in, a line of JSON out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "llm.grading.math_equivalence"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="ascii",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        atexit.register(self._close)

    def ask(self, kind: str, answer: str, text: str) -> bool | None:
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            try:
                self._process.stdin.write(json.dumps([kind, answer, text]) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
            except BrokenPipeError:
                line = ""
            if not line:
                raise CerolabError(f"the process that grades mathematics died with code {self._process.wait()}")
        found: bool | None = json.loads(line)
        return found

    def _close(self) -> None:
        """End the process by closing its input."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what a dead process was not told
                    pipe.close()
        self._process.wait()


@lru_cache(maxsize=1)
def _helper(process: int) -> _Helper:
    """The helper of this process; a forked child starts its own."""
    return _Helper()


def _serve() -> None:
    for line in sys.stdin:
        kind, answer, text = json.loads(line)
        print(json.dumps(_reply(kind, answer, text)), flush=True)


if __name__ == "__main__":
    _serve()
