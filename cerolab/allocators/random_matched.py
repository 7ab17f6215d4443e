"""Random-matched: another run's group sizes and timing on randomly permuted prompts.

Source: CERO (arXiv 2606.05606), sec. 6, "Random-matched CERO". It spends the same units in the same rounds on the
same number of prompts with the same terminal exposures; only *which* prompts is random, so the difference to the
recorded run is what selection is worth.
Rule: one seeded permutation of the pool; round k admits the images of the prompts that the recorded run admitted.
Worst case: as uniform's.
Deviations: the paper does not say whether prompts are permuted once or each round; once keeps terminal exposures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cerolab import seeding
from cerolab.allocation import Allocation
from cerolab.allocator import BaseAllocator
from cerolab.errors import InvalidValueError
from cerolab.feedback import CheckedFeedback
from cerolab.problem import AllocationProblem
from cerolab.registry import register

Schedule = Sequence[Allocation]


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomMatchedOptions:
    """What to replay.

    Attributes:
        schedule: the recorded allocations, one a round (merge the waves of a round), or the path of a run directory
            with a groups table.
    """

    schedule: Schedule | str | Path | None = None


@register
class RandomMatched(BaseAllocator[RandomMatchedOptions]):
    """No state but the round; schedule and permutation are fixed."""

    name = "random_matched"
    Options = RandomMatchedOptions

    def __init__(self, problem: AllocationProblem, seed: int, options: RandomMatchedOptions):
        super().__init__(problem, seed, options)
        self._schedule = _loaded(options.schedule, problem)
        self._image_M = seeding.generator("random matched", seed).permutation(problem.num_prompts)

    def _select(self) -> Allocation:
        if self.round_index >= len(self._schedule):
            return Allocation.empty()
        recorded = self._schedule[self.round_index]
        return Allocation(self._image_M[recorded.prompts], recorded.units)

    def _learn(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        """Nothing to learn."""

    def extend(self, num_new: int) -> None:
        """Refused: the schedule and its prompts are fixed."""
        raise InvalidValueError(
            "num_new", num_new, f"cannot join: {self.name!r} replays a schedule on a fixed pool", "take another method"
        )

    def options_dict(self) -> dict[str, Any]:
        """A digest of the schedule, whatever it was read from."""
        digest = hashlib.sha256()
        for allocation in self._schedule:
            digest.update(np.int64(allocation.num_groups).tobytes())
            digest.update(allocation.prompts.tobytes())
            digest.update(allocation.units.tobytes())
        return {"schedule": digest.hexdigest()[:16]}

    def _arrays(self) -> dict[str, np.ndarray]:
        return {}

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Nothing but what the base class keeps."""


def _loaded(schedule: Schedule | str | Path | None, problem: AllocationProblem) -> list[Allocation]:
    if schedule is None:
        raise InvalidValueError(
            "schedule", None, "is missing", "give the run to match: a run directory or a list of allocations"
        )
    if isinstance(schedule, (str, Path)):
        from cerolab.records import read_schedule

        schedule = read_schedule(Path(schedule))
    if not isinstance(schedule, Iterable):
        raise InvalidValueError("schedule", schedule, "is no list", "give a run directory or a list of allocations")
    allocations = list(schedule)
    for round_index, allocation in enumerate(allocations):
        if not isinstance(allocation, Allocation):
            raise InvalidValueError(
                f"schedule[{round_index}]", type(allocation).__name__, "is no Allocation", "give one a round"
            )
        if np.unique(allocation.prompts).size != allocation.num_groups:
            raise InvalidValueError(
                f"schedule[{round_index}]", "prompts", "name a prompt twice", "merge the waves of a round"
            )
    if len(allocations) > problem.num_rounds:
        raise InvalidValueError(
            "schedule", len(allocations), "has more rounds than the problem", f"give at most {problem.num_rounds}"
        )
    total = sum(allocation.num_units for allocation in allocations)
    if total > problem.budget:
        raise InvalidValueError("schedule", total, "spends more units than the budget", f"at most {problem.budget}")
    for round_index, allocation in enumerate(allocations):
        if allocation.num_units > problem.capacity or (allocation.units > problem.max_units).any():
            raise InvalidValueError(
                f"schedule[{round_index}]",
                allocation.num_units,
                "breaks capacity or max_units of this problem",
                "replay a run of the same problem",
            )
        if allocation.prompts.size and int(allocation.prompts.max()) >= problem.num_prompts:
            raise InvalidValueError(
                f"schedule[{round_index}]",
                int(allocation.prompts.max()),
                "is a prompt outside the pool",
                f"ids must be below {problem.num_prompts}",
            )
    return allocations
