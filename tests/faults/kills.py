"""Kill a process, start the same thing again, until it is done; then compare.

Two kinds of moments: after a random time, sent from outside (imports, computing, resuming); and just before a file
operation, by the process itself (what happens in microseconds, and would hardly be hit by time), a random one or each.
A command with workers is killed with them and alone, by SIGKILL and by SIGTERM, by turns; alone, its workers have to
end by themselves.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

ROOT = Path(__file__).resolve().parents[2]
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")
_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_ALONE = (signal.SIGKILL, None, signal.SIGTERM)  # by turns, what the parent alone is sent; None: it and its workers
_STOPPED = (-signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM)
_WORKERS_END = 10.0  # seconds that workers have to end after the process that started them


class End(NamedTuple):
    """How an attempt ended: its exit code, and how many of its workers lived on and had to be killed."""

    code: int
    outlived: int = 0


class Target(Protocol):
    """What is killed."""

    name: str

    def run(self, out: Path) -> None:
        """Do it, or go on with it, in this process."""

    def command(self, out: Path) -> list[str]:
        """The same from a shell."""

    def state(self, out: Path) -> str:
        """What a kill left, in words."""

    def mismatches(self, out: Path, whole: Path, done: bool) -> list[str]:
        """Differences between what counts as a result in ``out`` and the uninterrupted run; ``done``: it has ended."""


@dataclass
class Tally:
    """What happened.

    Attributes:
        kills: by kind of moment.
        states: what the kills left.
        runs: times that the target was brought to its end.
        mismatches: of all comparisons; must stay empty.
    """

    kills: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    comparisons: int = 0
    mismatches: list[str] = field(default_factory=list)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.kills + other.kills,
            self.states + other.states,
            self.runs + other.runs,
            self.comparisons + other.comparisons,
            self.mismatches + other.mismatches,
        )

    def compare(self, target: Target, out: Path, whole: Path, done: bool) -> None:
        """Add the differences of ``out`` from the uninterrupted run."""
        self.comparisons += 1
        found = target.mismatches(out, whole, done)
        self.mismatches += [f"run {self.runs}, kill {self.kills.total()}: {one}" for one in found]


def count_operations(reached: Callable[[int], None]) -> None:
    """Call ``reached`` with 1, 2, ... before each operation of this process that changes files."""
    number = 0

    def hook(event: str, given: tuple[Any, ...]) -> None:
        nonlocal number
        if event in _CHANGES or (event == "open" and isinstance(given[2], int) and given[2] & _WRITE):
            number += 1
            reached(number)

    sys.addaudithook(hook)


def fork(work: Callable[[], object], log: Path) -> int:
    """Start ``work`` in a child with everything imported; returns its process id."""
    child = os.fork()
    if child:
        with suppress(OSError):  # here too, so that its group is there before anything is sent to it
            os.setpgid(child, child)
        return child
    code = 1
    try:
        os.setpgid(0, 0)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def kill_until_done(
    target: Target,
    scratch: Path,
    kills: int,
    seed: int,
    cold: bool = False,
    told: Callable[[Tally], object] | None = None,
) -> Tally:
    """Kill ``target`` at least so often, from its start and at each resume, and compare it with an uninterrupted run.

    Args:
        target: what to kill.
        scratch: an empty folder.
        kills: that many at least.
        seed: of the moments.
        cold: start a command of its own each time, in a fresh interpreter, and kill it by turns alone and with its
            workers, see ``_ALONE``; else a child of this process.
        told: called after every kill.

    Raises:
        RuntimeError: the target failed without having been killed; holds the end of its output.
    """
    rng, tally = random.Random(f"{target.name} {seed} {cold}"), Tally()
    whole, counted = scratch / "whole", scratch / "operations"
    seconds = _uninterrupted(target, whole, scratch / "log", counted, cold)
    operations = 0 if cold else int(counted.read_text())
    while tally.kills.total() < kills:
        out, within = scratch / f"run-{tally.runs}", seconds
        while True:
            by_time = cold or rng.random() < 0.5
            moment = rng.uniform(0, within) if by_time else rng.randint(1, operations)
            alone = _ALONE[tally.kills.total() % len(_ALONE)] if cold else None
            end = _attempt(target, out, scratch / "log", moment, cold, alone)
            done = _ended(target, end, scratch / "log")
            tally.compare(target, out, whole, done)
            if end.outlived:
                tally.mismatches.append(f"run {tally.runs}: {end.outlived} workers lived on")
            if done:
                break
            kind = "cold start, by time" if cold else "by time" if by_time else "at a file operation"
            tally.kills[f"{kind}, {alone.name} to the parent alone" if alone else kind] += 1
            tally.states[target.state(out)] += 1
            within *= 1.1  # a machine that has become slower must not keep it from ever ending
            if told is not None:
                told(tally)
        tally.runs += 1
    return tally


def kill_at_every_operation(
    target: Target, scratch: Path, every: int = 1, told: Callable[[Tally], object] | None = None
) -> Tally:
    """Kill ``target`` once before each of its file operations, or each ``every``-th; each time it then ends in peace.

    Args:
        target: what to kill.
        scratch: an empty folder; what a kill led to is removed once compared.
        every: 1 for all of them.
        told: called after every kill.

    Raises:
        RuntimeError: the target failed without having been killed; holds the end of its output.
    """
    tally, whole, log, counted = Tally(), scratch / "whole", scratch / "log", scratch / "operations"
    _uninterrupted(target, whole, log, counted, cold=False)
    for operation in range(1, int(counted.read_text()) + 1, every):
        out = scratch / f"run-{tally.runs}"
        if not _ended(target, _attempt(target, out, log, operation, cold=False), log):
            tally.kills["at a file operation"] += 1
            tally.states[target.state(out)] += 1
            tally.compare(target, out, whole, done=False)
            if not _ended(target, _attempt(target, out, log, None, cold=False), log):
                raise RuntimeError(f"{target.name} was killed by another process")
        tally.compare(target, out, whole, done=True)
        tally.runs += 1
        shutil.rmtree(out)
        if told is not None:
            told(tally)
    return tally


def _ended(target: Target, end: End, log: Path) -> bool:
    """Whether an attempt came to its end; False where it was killed."""
    if end.code not in (0, *_STOPPED):
        raise RuntimeError(f"{target.name} failed ({end.code}):\n{log.read_text()[-3000:]}")
    return end.code == 0


def _uninterrupted(target: Target, out: Path, log: Path, counted: Path, cold: bool) -> float:
    """Seconds of the target without a kill; writes the number of its file operations to ``counted``."""
    if cold:
        began = time.perf_counter()
        _attempt(target, out, log, None, cold)
        return time.perf_counter() - began
    numbers = [0]

    def count() -> None:
        count_operations(lambda number: numbers.__setitem__(0, number))
        target.run(out)
        counted.write_text(str(numbers[0]))

    began = time.perf_counter()
    code = os.waitstatus_to_exitcode(os.waitpid(fork(count, log), 0)[1])
    if code:
        raise RuntimeError(f"{target.name} failed without a kill:\n{log.read_text()[-3000:]}")
    return time.perf_counter() - began


def _attempt(
    target: Target, out: Path, log: Path, moment: float | int | None, cold: bool, alone: signal.Signals | None = None
) -> End:
    """One start of the target, killed at ``moment`` (seconds, or whole: a file operation).

    ``alone``: what it is sent without its workers; None kills it with them.
    """
    if cold:
        command = target.command(out)
        child = fork(lambda: (os.chdir(ROOT), os.execv(command[0], command)), log)
    elif isinstance(moment, int):
        child = fork(lambda: _die_at(moment, lambda: target.run(out)), log)
    else:
        child = fork(lambda: target.run(out), log)
    if isinstance(moment, float):
        deadline = time.monotonic() + moment
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return End(os.waitstatus_to_exitcode(status))
            time.sleep(0.001)
        if alone:
            os.kill(child, alone)
        else:
            os.killpg(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return End(code, _kill_what_lives_on(child) if alone else 0)


def _kill_what_lives_on(group: int) -> int:
    """How many processes of a group are there still, after the time they have to end."""
    deadline = time.monotonic() + _WORKERS_END
    while (left := len(alive(group))) and time.monotonic() < deadline:
        time.sleep(0.01)
    if left:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    return left


def alive(group: int) -> list[int]:
    """Process ids of a group that have not ended; one that is only waited for has."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has ended meanwhile
            continue
        if int(its_group) == group and state not in "ZX":
            found.append(int(stat.parent.name))
    return found


def _die_at(operation: int, work: Callable[[], object]) -> None:
    def reached(number: int) -> None:
        if number == operation:
            os.kill(os.getpid(), signal.SIGKILL)

    count_operations(reached)
    work()
