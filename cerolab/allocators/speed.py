"""SPEED: screen prompts with a few responses, and finish the groups of those that showed both outcomes.

Problem: most of a group's responses are wasted where the first few already say that a prompt is too easy or too hard.
Source: Zhang, Arora, Mei, Zanette, "SPEED-RL: Faster Training of Reasoning Models via Online Curriculum Learning",
arXiv 2506.09016. Rule: screen every prompt of shuffled epochs with n1 responses, continue only those with mixed rewards
with n2 (published: 4 + 20 or 8 + 16), and train on the n1 + n2 together. Screening responses count. As published, a
wave continues the prompts accepted before and screens further ones in one go.

| paper | here | meaning |
|---|---|---|
| N_init | ``screen_units`` | n1, in units |
| N_init + N_cont | ``total_responses`` | n1 + n2, rounded to units, within N_max |

Worst case: success rates near 0 or 1 that a longer group would have resolved: at p = 1/50 four responses are mixed in
8 % of the screenings, and the rest is dropped. With n1 = 1 response nothing is ever mixed; with N_max = 1 there is
nothing to continue, and it is dynamic sampling.
Deviations: it screens until the round's quota is used, not until a batch of a given size is full: each wave screens as
many as could all be continued, so fewer than n1 + n2 units are left over, and go to the next round; at most
``max_waves`` waves. The last units that no later round can take screen one more prompt;
a pool that is screened in one round leaves over what its dropped prompts would have had. Groups are multiples of g.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cerolab.allocation import Allocation, Wave, cut_off
from cerolab.allocators._waves import RoundAllocator, probe_units
from cerolab.checks import whole_number
from cerolab.groups import mixed_prompts
from cerolab.problem import AllocationProblem
from cerolab.registry import register
from cerolab.types import BoolArray, IntArray

_SCREEN_RESPONSES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedOptions:
    """Hyper-parameters of SPEED.

    Attributes:
        screen_units: n1 / g; None means 4 responses, rounded up to units, below n1 + n2 where that leaves any.
        total_responses: n1 + n2.
        max_waves: waves of a round at most; the last of them only continues.
    """

    screen_units: int | None = None
    total_responses: int = 24
    max_waves: int = 10

    def __post_init__(self) -> None:
        if self.screen_units is not None:
            object.__setattr__(self, "screen_units", whole_number("screen_units", self.screen_units, least=1))
        object.__setattr__(self, "total_responses", whole_number("total_responses", self.total_responses, least=1))
        object.__setattr__(self, "max_waves", whole_number("max_waves", self.max_waves, least=2))


@register
class Speed(RoundAllocator[SpeedOptions]):
    """State: as the base class says."""

    name = "speed"
    Options = SpeedOptions

    def __init__(self, problem: AllocationProblem, seed: int, options: SpeedOptions):
        super().__init__(problem, seed, options)
        unit = problem.responses_per_unit
        most = min(problem.max_units, problem.capacity)
        self.total = max(1, min(options.total_responses // unit, most))
        self.screen = probe_units("screen_units", options.screen_units, _SCREEN_RESPONSES, self.total, unit)

    def _accepted(self) -> IntArray:
        """Prompts screened with mixed rewards and not continued yet."""
        prompts = self.round_prompts
        return prompts[self._contrast(prompts) & (self.units_M[prompts] == self.screen) & (self.screen < self.total)]

    def _num_screened(self, left: int, drawn: int) -> int:
        """Prompts that ``left`` units can screen and continue, all of them."""
        count = left // self.total
        if count == 0 and min(left, self.must_spend) > 0:
            count = 1
        return min(count, self.problem.num_prompts - drawn)

    def _next_wave(self) -> Allocation:
        accepted = self._accepted()
        further = cut_off(np.full(accepted.size, self.total - self.screen), self.left)
        left = self.left - int(further.sum())
        last = self.wave + 1 >= self.options.max_waves
        fresh = self._fresh(0 if last else self._num_screened(left, self.drawn))
        screened = cut_off(np.full(fresh.size, self.screen), left)
        left -= int(screened.sum())
        if left == 0 or fresh.size == 0:
            last = True
        elif self.screen == self.total:  # nothing to continue: over unless there is more to screen
            last = self._num_screened(left, self.drawn + fresh.size) == 0
        return Allocation(np.append(accepted, fresh), np.append(further, screened), last_wave=last)

    def training_mask(self, round_feedback: Sequence[Wave]) -> BoolArray:
        """Train on the prompts whose screening was mixed, with all their responses."""
        return mixed_prompts(round_feedback)
