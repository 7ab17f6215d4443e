r"""Whether a response means the same as an answer, by math-verify: ``\boxed{0.5}`` is right for ``\frac12``.

math-verify limits its time by signals, which reach a main thread only. Other threads are served by one helper process,
this module run as a program, in whose main thread the limits hold.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import subprocess
import sys
import threading
import warnings
from contextlib import suppress
from functools import lru_cache
from typing import Any

from cerolab.errors import CerolabError, InvalidValueError

_SECONDS = 3  # limit on one parse and on one comparison; a tower of powers would take forever
_TAIL = 4000  # characters of a response without a box that are searched for its last expression

_INTEGER = re.compile(r"-?[0-9]{1,15}")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?:\{|(\w+))")
_WORDS = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s*\{([^{}]*)\}")


def is_mathematical(answer: str) -> bool:
    """Whether a response can be compared with this answer."""
    return bool(_ask("answer", answer))


def means(text: str, answer: str) -> bool:
    """Whether the last boxed answer of a response, or else its last expression, means the same as the answer.

    Raises:
        InvalidValueError: the answer is not mathematical.
    """
    found = _ask("response", answer, text)
    if found is None:
        raise InvalidValueError("answer", answer, "has no mathematical meaning", "drop the question")
    return found


def last_box(text: str) -> str | None:
    r"""What stands in the last ``\boxed{...}``; None when there is none or its braces never close."""
    matches = list(_BOX.finditer(text))
    if not matches:
        return None
    if matches[-1].group(1) is not None:  # "\boxed 5"
        return matches[-1].group(1)
    start = position = matches[-1].end()
    depth = 1
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1  # an escaped brace is no brace
        elif character in "{}":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return text[start:position].strip()
        position += 1
    return None


def _ask(kind: str, answer: str, text: str = "") -> bool | None:
    """One question to math-verify, here in a main thread and by the helper elsewhere."""
    if threading.current_thread() is threading.main_thread():
        return _reply(kind, answer, text)
    return _helper(os.getpid()).ask(kind, answer, text)


def _reply(kind: str, answer: str, text: str) -> bool | None:
    """For "answer": can it be read? For "response": is it right? None when the answer cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sympy's, on odd input; as errors they would look like bad parses
        answers = _parsed_answer(answer)
        if kind == "answer":
            return bool(answers)
        if not answers:
            return None
        box = last_box(text)
        if box is not None and _same_text(box, answer):
            return True
        given = _parse(text[-_TAIL:]) if box is None else _parsed(box)
        if not all(map(_is_finite, given)) and all(map(_is_finite, answers)):
            return False  # compared numerically, nan is now and then equal, by the order of sympy's hashes
        return bool(given) and _math_verify().verify(list(answers), list(given), timeout_seconds=_SECONDS)


def _same_text(first: str, second: str) -> bool:
    """Equal but for spaces, case and the dress of words."""
    plain = [re.sub(r"[\s$]", "", _WORDS.sub(r"\1", text)).rstrip(".").casefold() for text in (first, second)]
    return bool(plain[0]) and plain[0] == plain[1]


@lru_cache(maxsize=65536)
def _parsed_answer(answer: str) -> tuple[Any, ...]:
    return _parsed(answer)


def _parsed(expression: str) -> tuple[Any, ...]:
    """What an expression alone means; empty when nothing."""
    line = " ".join(expression.split())
    if not line:
        return ()
    if _INTEGER.fullmatch(line):
        return _parse(line)  # much faster than as LaTeX
    return _parse(f"${line}$") or _parse(rf"\boxed{{{line}}}")


def _parse(text: str) -> tuple[Any, ...]:
    return tuple(_math_verify().parse(text, fallback_mode="no_fallback", parsing_timeout=_SECONDS))


def _is_finite(expression: Any) -> bool:
    """Whether no infinity and no nan stands in an expression, bounds of intervals, sums, integrals and limits aside."""
    import sympy

    if not isinstance(expression, sympy.Basic):  # the text that was parsed
        return True
    walk = sympy.preorder_traversal(expression)
    for part in walk:
        if isinstance(part, (sympy.Interval, sympy.Integral, sympy.Sum, sympy.Product, sympy.Limit)):
            walk.skip()
        elif part in (sympy.oo, -sympy.oo, sympy.zoo, sympy.nan):
            return False
    return True


@lru_cache(maxsize=1)
def _math_verify() -> Any:
    """math-verify, imported when first needed, without the copies of whole responses that it logs."""
    import math_verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    return math_verify


class _Helper:
    """A process that answers one question after another: a line of JSON in, a line of JSON out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "llm.tasks.meaning"],
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
