"""DAPO's dynamic sampling: groups are generated until a batch of those with mixed rewards is full.

Problem: groups whose rewards are all the same teach nothing, so a batch with them has a smaller and noisier gradient.
Source: Yu et al., "DAPO: An Open-Source LLM Reinforcement Learning System at Scale", arXiv 2503.14476, sec. 3.2; verl,
docs/algo/dapo.md. Rule: sample groups for the prompts of shuffled epochs, keep those with mixed rewards, sample again
until the batch is full, at most 10 times. Every response counts against the budget, also those of dropped groups.

| DAPO and verl | here | meaning |
|---|---|---|
| train_batch_size | ``batch_share`` | share of the quota that a full batch has, in groups of N_max units |
| gen_batch_size | | groups of a wave: as many as a full batch has |
| max_num_gen_batches | ``max_batches`` | waves after which it gives up |

Worst case: a pool of hopeless and solved prompts: all of the quota is generated and nothing is trained on. It has no
memory, so it pays for the same hopeless prompts in every epoch.
Deviations: a round ends when its quota is used, full batch or not, and that too counts as giving up; published, it is
an error after 10 waves, which would end a long run in a poor pool: ``on_give_up="error"``. What a full batch leaves of
the quota goes to later rounds; where their capacity could not take it, sampling goes on beyond the full batch. Groups
with mixed rewards beyond a full batch are trained on; published, they are cut off. The quota's last group may be
smaller. A prompt is sampled at most once a round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from cerolab.allocation import Allocation, BoolArray, Wave
from cerolab.checks import real_number, whole_number
from cerolab.errors import CerolabError, InvalidValueError
from cerolab.feedback import CheckedFeedback
from cerolab.groups import contrast, mixed_prompts
from cerolab.projection import fill_in_order
from cerolab.registry import register
from cerolab.waves import RoundAllocator


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


@register
class Dapo(DynamicSampling[DapoOptions]):
    """State: as the base class says."""

    name = "dapo"
    Options = DapoOptions
