"""Something plain to measure a benchmark against: the ratio carries over between machines, seconds do not."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any


class Yardstick:
    """A plain operation, timed in turn with the benchmark so that a busy moment of the machine hits both.

    Args:
        name: what it is, as it ends the name of the ratio.
        work: the operation.

    Attributes:
        last: what the operation gave the last time.
    """

    def __init__(self, name: str, work: Callable[[], Any]):
        self.name, self._work = name, work
        self._seconds: list[float] = []
        self.last: Any = None

    def time(self) -> None:
        """Do it once; as the ``setup`` of a benchmark, before each of its rounds."""
        began = time.perf_counter()
        self.last = self._work()
        self._seconds.append(time.perf_counter() - began)

    @property
    def seconds(self) -> float:
        """Median of the times."""
        return median(self._seconds)

    def note(self, benchmark: Any, what: str) -> None:
        """Record the seconds, and the ratio of the benchmark's median to them; lower is better."""
        benchmark.extra_info["yardstick_seconds"] = self.seconds
        note_ratio(benchmark, f"{what} / {self.name}", benchmark.stats.stats.median / self.seconds)


def note_ratio(benchmark: Any, name: str, value: float) -> None:
    """Record a number that another machine would give too, and of which less is better."""
    benchmark.extra_info.setdefault("ratios", {})[name] = value
