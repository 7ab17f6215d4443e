"""A pool that grows: some prompts are there from the start, the others arrive in batches; success rates are static.

Text form ``growing(start, batches)``: a share ``start`` of the final pool is there in the first round, the rest comes
in ``batches`` equal batches, batch j of b at the beginning of round floor(j K / (b+1)). Ids rise with arrival, and
every allocator meets the same prompts at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cerolab.allocation import Wave
from cerolab.checks import real_number, whole_number
from cerolab.errors import InvalidValueError
from cerolab.groups import whole_groups
from cerolab.problem import AllocationProblem
from cerolab.types import FloatArray, IntArray
from sim.worlds.success_path import Path


@dataclass(frozen=True, slots=True)
class Growth:
    """How a pool grows.

    Attributes:
        start: share of the final pool that is there from the start, in (0, 1).
        batches: batches in which the rest arrives, >= 1.
    """

    start: float
    batches: int

    @classmethod
    def of(cls, start: float, batches: float) -> Growth:
        """From the numbers of the text form.

        Raises:
            InvalidValueError: no share, or no whole number of batches.
        """
        real_number("start", start, 0.0, 1.0, "give the first number of growing(...) as 0.5, say", low_open=True)
        if start == 1.0:
            raise InvalidValueError("start", start, "leaves nobody to arrive", "use static dynamics")
        if batches != int(batches):
            raise InvalidValueError("batches", batches, "is no whole number", "write growing(0.5, 4), say")
        return cls(start, whole_number("batches", int(batches), least=1))

    def arrivals(self, problem: AllocationProblem) -> IntArray:
        """Round [M] in which each prompt arrives, rising; ``problem`` is that of the final pool.

        Raises:
            InvalidValueError: too few prompts or rounds for so many batches, or too few prompts at the start to take a
                round's capacity.
        """
        text, size = f"growing({self.start:g}, {self.batches})", problem.num_prompts
        first = round(self.start * size)
        if first < 1 or size - first < self.batches or problem.num_rounds <= self.batches:
            raise InvalidValueError(
                "dynamics",
                text,
                f"cannot be had with {size} prompts and {problem.num_rounds} rounds",
                "a prompt at the start, one in each batch and a round between them are the least",
            )
        if problem.capacity > first * problem.max_units:
            raise InvalidValueError(
                "dynamics",
                text,
                f"starts with {first} prompts, which cannot take capacity={problem.capacity} units a round",
                "start with more, or raise max_units",
            )
        batch = np.arange(self.batches + 1)
        edges = first + (size - first) * batch // self.batches
        rounds = batch * problem.num_rounds // (self.batches + 1)
        return np.repeat(rounds, np.diff(edges, prepend=0))


class GrowingPath(Path):
    """Static success rates of the prompts that are there by now.

    Args:
        success_M: success rates of the final pool.
        arrival_M: round in which each prompt arrives, rising.
    """

    def __init__(self, success_M: FloatArray, arrival_M: IntArray):
        self._final_M, self._arrival_M = success_M, arrival_M
        self._move(whole_groups([]))

    @property
    def arrival_M(self) -> IntArray:
        """As given."""
        return self._arrival_M

    @property
    def num_prompts(self) -> int:
        """Those still to come included."""
        return self._final_M.size

    def _move(self, trained: Wave) -> None:
        """Take in the prompts that arrive in this round."""
        self.success_M = self._final_M[: np.searchsorted(self._arrival_M, self.round_index, side="right")]
