"""Base of the allocators that generate groups until a batch of mixed ones is full; its source is ``dapo``'s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from cerolab.allocation import Allocation, Wave
from cerolab.allocators._waves import RoundAllocator
from cerolab.checks import real_number, whole_number
from cerolab.errors import CerolabError, InvalidValueError
from cerolab.feedback import CheckedFeedback
from cerolab.groups import contrast, mixed_prompts
from cerolab.selection.top_k import fill_in_order
from cerolab.types import BoolArray


@dataclass(frozen=True, slots=True, kw_only=True)
class DapoOptions:
    """Hyper-parameters of DAPO's dynamic sampling.

    Attributes:
        batch_share: share of a round's quota that a full batch has in groups with mixed rewards, in (0, 1].
        max_batches: waves of a round at most.
        on_give_up: where a batch is not full at the end of a round, "train" on what there is, or raise an "error".
    """

    batch_share: float = 1.0 / 3.0
    max_batches: int = 10
    on_give_up: Literal["train", "error"] = "train"

    def __post_init__(self) -> None:
        share = real_number("batch_share", self.batch_share, 0.0, 1.0, "give a share of the quota", low_open=True)
        object.__setattr__(self, "batch_share", share)
        object.__setattr__(self, "max_batches", whole_number("max_batches", self.max_batches, least=1))
        if self.on_give_up not in ("train", "error"):
            raise InvalidValueError("on_give_up", self.on_give_up, "is not known", 'give "train" or "error"')


OptionsT = TypeVar("OptionsT", bound=DapoOptions)


class DynamicSampling(RoundAllocator[OptionsT]):
    """Waves of groups of N_max units until a batch of mixed ones is full; a subclass says how many a wave has."""

    @property
    def full_batch(self) -> int:
        """Groups with mixed rewards that a full batch has."""
        return max(1, int(self.options.batch_share * self.quota / self.problem.max_units))

    def _wave_groups(self, missing: int) -> int:
        """Groups of the next wave, where ``missing`` are missing of a full batch."""
        return self.full_batch

    def _next_wave(self) -> Allocation:
        size = self.problem.max_units
        missing = self.full_batch - int(np.count_nonzero(self._contrast(self.round_prompts)))
        if missing <= 0 and not self.must_spend:
            return Allocation.empty()
        wanted = min(self._wave_groups(missing), -(-self.left // size))
        prompts = self._fresh(wanted)
        units = fill_in_order(prompts, size, self.left)
        in_round = int(np.count_nonzero(self.units_M[self.round_prompts])) + prompts.size
        last = self.wave + 1 == self.options.max_batches or int(units.sum()) == self.left
        last = last or in_round == self.problem.num_prompts  # the whole pool
        return Allocation(prompts, units, last_wave=last)

    def _learn(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        if allocation.last_wave and self.options.on_give_up == "error":
            self._check_full(allocation, feedback)
        super()._learn(allocation, feedback)

    def _check_full(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        mixed = int(np.count_nonzero(self._contrast(self.round_prompts)))
        mixed += int(np.count_nonzero(contrast(feedback.num_responses, feedback.reward_sum, feedback.reward_sq_sum)))
        if self.quota and mixed < self.full_batch:
            groups = int(np.count_nonzero(self.units_M)) + allocation.num_groups
            raise CerolabError(
                f"{self.name}: round {self.round_index} gives up after {self.wave + 1} batches: {mixed} of {groups} "
                f"groups have mixed rewards, a full batch has {self.full_batch}; raise the budget, lower batch_share="
                f'{self.options.batch_share:g}, or set on_give_up="train"'
            )

    def training_mask(self, round_feedback: Sequence[Wave]) -> BoolArray:
        """Train on groups with mixed rewards only."""
        return mixed_prompts(round_feedback)
