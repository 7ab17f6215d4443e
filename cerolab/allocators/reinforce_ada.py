"""Reinforce-Ada: sample the prompts of a batch in rounds, and drop each as soon as it has shown enough.

Problem: a group of mixed rewards is often a matter of sampling on; equal groups spend that on prompts that have one.
Source: Xiong, Ye, Liao, Dong, Xu, Monz, Bian, Jiang, Zhang, "Reinforce-Ada: An Adaptive Sampling Framework under
Non-linear RL Objectives", arXiv 2510.04996, the sequential variants; published code RLHFlow/Reinforce-Ada.
Rule: up to 4 sampling rounds of 8 responses for the prompts of a batch that are still active. A prompt leaves

    "balanced"  with n/2 right and n/2 wrong responses,   n = 4;
    "pos"       with 1 right response.

Train on n responses of each, half of them right; prompts that never left use what they have.

| paper | here | meaning |
|---|---|---|
| N | ``max_waves`` | sampling rounds of a prompt, each a wave here |
| M | ``wave_units`` | responses of a wave, in units |
| n | ``train_responses`` | responses of the training group, for the balanced exit |
| D | ``group_units`` | the batch has quota / group_units prompts |

Worst case: hopeless prompts (and solved ones, for "balanced"): they stay active to the end and take the most.
Deviations: training takes or leaves whole groups, so the balanced sub-sample of n responses is not drawn: all of a
prompt's responses are trained on, which are more for the harder prompts. That is the weighting that the sub-sample
removes and the paper's later version puts back by 1 / p-hat. Only sums of rewards are known: with graded rewards the
sum of rewards counts as right responses, the rest as wrong. Where the quota is used up, later prompts of a wave get
fewer units or none. What is left over because many prompts left early goes to later rounds; where their capacity could
not take it, further prompts join, until the fourth wave. The variant "est", which probes nothing, is
``reinforce_ada_est``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cerolab.allocation import Allocation, cut_off
from cerolab.allocators._waves import RoundAllocator, probe_units
from cerolab.checks import whole_number
from cerolab.errors import InvalidValueError
from cerolab.problem import AllocationProblem
from cerolab.registry import register
from cerolab.selection.batches import Batches, GroupSizes, check_group_units
from cerolab.types import BoolArray, IntArray

_WAVE_RESPONSES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinforceAdaOptions:
    """Hyper-parameters of Reinforce-Ada.

    Attributes:
        variant: "balanced" or "pos", when a prompt leaves.
        wave_units: units of a prompt in a wave; None means 8 responses, rounded up, below N_max where that leaves any.
        max_waves: waves of a prompt at most, and waves in which prompts may join.
        train_responses: n of the balanced exit.
        group_units: units that a batch has on average for a prompt; None means half-way between one wave and all.
    """

    variant: Literal["balanced", "pos"] = "balanced"
    wave_units: int | None = None
    max_waves: int = 4
    train_responses: int = 4
    group_units: float | None = None

    def __post_init__(self) -> None:
        if self.variant not in ("balanced", "pos"):
            raise InvalidValueError("variant", self.variant, "is not known", "give one of balanced, pos")
        for field, least in (("max_waves", 1), ("train_responses", 2)):
            object.__setattr__(self, field, whole_number(field, getattr(self, field), least=least))
        if self.wave_units is not None:
            object.__setattr__(self, "wave_units", whole_number("wave_units", self.wave_units, least=1))
        check_group_units(self)


@register
class ReinforceAda(RoundAllocator[ReinforceAdaOptions]):
    """State: as the base class says."""

    name = "reinforce_ada"
    Options = ReinforceAdaOptions

    def __init__(self, problem: AllocationProblem, seed: int, options: ReinforceAdaOptions):
        super().__init__(problem, seed, options)
        unit = problem.responses_per_unit
        wave = probe_units("wave_units", options.wave_units, _WAVE_RESPONSES, problem.max_units, unit)
        self.sizes = GroupSizes.of(problem, options.group_units, wave * unit, wave * options.max_waves * unit)

    def _next_wave(self) -> Allocation:
        prompts = self._active()
        had = self.units_M[prompts]
        units = cut_off(np.minimum(self.sizes.least, self.sizes.most - had), self.left)
        at_most = bool((had + units == self.sizes.most).all())  # nobody can go on after this wave
        last = int(units.sum()) == self.left or (at_most and not self._may_join(self.wave + 1, int(units.sum())))
        return Allocation(prompts[units > 0], units[units > 0], last_wave=last)

    def _active(self) -> IntArray:
        """The prompts to sample, in order."""
        if self.wave == 0:
            return Batches(self.epochs, self.sizes).draw(self.left)
        prompts = self.round_prompts
        active = prompts[~self._resolved(prompts) & (self.units_M[prompts] < self.sizes.most)]
        wanted = int(np.minimum(self.sizes.least, self.sizes.most - self.units_M[active]).sum())
        return np.append(active, self._fresh(-(-self._may_join(self.wave, wanted) // self.sizes.most)))

    def _may_join(self, wave: int, wanted: int) -> int:
        """Units that further prompts must take in a wave, once ``wanted`` are used: else they would be lost."""
        if wave >= self.options.max_waves or self.drawn == self.problem.num_prompts:
            return 0
        return max(0, min(self.left, self.must_spend) - wanted)

    def _resolved(self, prompts: IntArray) -> BoolArray:
        """Whether these prompts [A] have shown enough in the round."""
        right = self.reward_sum_M[prompts]
        if self.options.variant == "pos":
            return right >= 1.0
        half = self.options.train_responses // 2
        wrong = self.responses_M[prompts] - right
        return (right >= half) & (wrong >= self.options.train_responses - half)
