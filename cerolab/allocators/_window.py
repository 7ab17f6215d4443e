"""Base of the allocators that lay out a batch by the mean reward of each prompt's last groups."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np

from cerolab.allocation import Allocation
from cerolab.allocator import BaseAllocator
from cerolab.estimators import recent
from cerolab.estimators.recent import RecentGroups
from cerolab.feedback import CheckedFeedback
from cerolab.limits import Limits
from cerolab.problem import AllocationProblem
from cerolab.selection import epochs
from cerolab.selection.batches import Batches, GroupSizes, check_group_options
from cerolab.selection.epochs import Epochs
from cerolab.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOptions:
    """Options of every method with a batch and a window.

    Attributes:
        group_units: units that a batch has on average for a prompt; None means half-way between the bounds.
        least_responses, most_responses: bounds of a group, rounded to units.
    """

    group_units: float | None = None
    least_responses: int = 2
    most_responses: int = 128

    def __post_init__(self) -> None:
        check_group_options(self)


OptionsT = TypeVar("OptionsT", bound=WindowOptions)


class WindowAllocator(BaseAllocator[OptionsT]):
    """Spends the even quota on a batch of the next prompts; a subclass divides it.

    State: the epoch's order int64 [M] and cursor; the last W groups of each prompt [M, W], 12 bytes a group.
    """

    limits: ClassVar[Limits] = {**epochs.LIMITS, **recent.LIMITS}

    def __init__(self, problem: AllocationProblem, seed: int, options: OptionsT):
        super().__init__(problem, seed, options)
        self.sizes = GroupSizes.of(problem, options.group_units, options.least_responses, options.most_responses)
        self.batches = Batches(Epochs(problem.num_prompts, f"{self.name} epoch", self.seed), self.sizes)
        self.recent = RecentGroups.none(problem.num_prompts, self._window())

    @abstractmethod
    def _window(self) -> int:
        """W, groups of a prompt that are kept."""

    @abstractmethod
    def _estimate(self, at: IntArray | slice) -> tuple[FloatArray, BoolArray]:
        """(p-hat [A], whether there is enough evidence for it); 1/2 where there is none."""

    @abstractmethod
    def _divide(self, prompts: IntArray, quota: int) -> IntArray:
        """Units [A] of the batch's prompts, each >= 1."""

    def _select(self) -> Allocation:
        quota = self.even_quota()
        if quota == 0:
            return Allocation.empty()
        prompts = self.batches.draw(quota)
        return Allocation(prompts, self._divide(prompts, quota))

    def _learn(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        if allocation.num_groups:
            self.batches.epochs.advance(allocation.num_groups)
        self.recent.push(allocation.prompts, feedback.num_responses, feedback.reward_sum)

    def predicted_success(self) -> FloatArray:
        """[M] p-hat, 1/2 where there is no reward yet."""
        return self._estimate(slice(None))[0]

    def predicted_value(self) -> FloatArray:
        """[M] p-hat (1 - p-hat)."""
        success = self.predicted_success()
        return success * (1.0 - success)

    def metrics(self) -> dict[str, float]:
        """Remaining units, mean of p-hat (1 - p-hat), share of prompts with enough evidence."""
        success, known = self._estimate(slice(None))
        value = float((success * (1.0 - success)).mean())
        return {**super().metrics(), "mean_predicted_value": value, "share_known": float(known.mean())}

    def _joined(self, own: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {**super()._joined(own, start), **self.batches.epochs.joined(own)}

    def _arrays(self) -> dict[str, np.ndarray]:
        return {**self.batches.epochs.arrays(), **self.recent.arrays()}

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        groups = RecentGroups.from_state(arrays)
        self.batches.epochs, self.recent = self.batches.epochs.restored(arrays), groups


def mean_reward(num_responses: IntArray, reward_sum: FloatArray) -> FloatArray:
    """p-hat [A] in [0, 1], 1/2 where there are no responses."""
    mean = np.divide(reward_sum, num_responses, out=np.full(reward_sum.size, 0.5), where=num_responses > 0)
    return np.minimum(mean, 1.0)
