"""HORA: a few probes for every prompt of a batch, then rollouts where one more is the most likely to hit.

Problem: equal groups sample prompts on whose answers one more success adds little, and others too little to find one.
Source: Wang, Li, Sun, Ding, Dobriban, "Where to Spend Rollouts: Hit-Utility Optimal Rollout Allocation for Group-Based
RLVR", arXiv 2605.07114. Rule: phase A gives every prompt of the batch G0 responses. Phase B lays out the rest by the
largest increments of the hit utility, the posterior probability that at least one further response is right:

    E[p (1-p)^l] = a/(a+b) * prod_{j<l} (b+j)/(a+b+j+1),  a = 1 + S, b = 1 + F,

for the (l+1)-th further response, S and F the right and wrong ones of this step only. It falls with l, so the largest
increments are the exact optimum. At most 32 responses a prompt.

| paper | here | meaning |
|---|---|---|
| G0 | ``probe_units`` | responses of phase A, in units |
| cap | ``most_responses`` | responses of a prompt, rounded down to units |
| G | ``group_units`` | units of a prompt on average: the batch has quota / G prompts |

Worst case: solved prompts. A hit counts however many there have been, so a prompt with S = n is the first to get more,
and after it those near it, while hopeless ones keep a share: after F misses the first increment is still 1/(F+2). It
forgets all it saw, so every epoch starts anew.
Deviations: n is a multiple of g; an increment is that of a whole unit, the sum over its responses. G0 is 4 here. With
graded rewards S is the sum of rewards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cerolab.allocation import Allocation, cut_off
from cerolab.allocators._waves import RoundAllocator, probe_units
from cerolab.checks import whole_number
from cerolab.problem import AllocationProblem
from cerolab.registry import register
from cerolab.selection.batches import Batches, GroupSizes, check_group_units
from cerolab.selection.top_k import largest_increments
from cerolab.types import FloatArray, IntArray

_PROBE_RESPONSES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class HoraOptions:
    """Hyper-parameters of HORA.

    Attributes:
        probe_units: G0 / g; None means 4 responses, rounded up to units, below N_max where that leaves any.
        most_responses: of a prompt, rounded down to units, at least the probe.
        group_units: units that a batch has on average for a prompt; None means half-way between probe and most.
    """

    probe_units: int | None = None
    most_responses: int = 32
    group_units: float | None = None

    def __post_init__(self) -> None:
        if self.probe_units is not None:
            object.__setattr__(self, "probe_units", whole_number("probe_units", self.probe_units, least=1))
        object.__setattr__(self, "most_responses", whole_number("most_responses", self.most_responses, least=1))
        check_group_units(self)


def hit_utility(successes_A: FloatArray, failures_A: FloatArray, num_units: int, unit: int) -> FloatArray:
    """[A, num_units]: how much each further unit of g responses adds to the probability of a hit."""
    a, b = 1.0 + successes_A[:, None], 1.0 + failures_A[:, None]
    j = np.arange(num_units * unit - 1)
    gain = np.cumprod(np.hstack([a / (a + b), (b + j) / (a + b + j + 1.0)]), axis=1)
    increments: FloatArray = gain.reshape(-1, num_units, unit).sum(axis=2)
    return increments


@register
class Hora(RoundAllocator[HoraOptions]):
    """State: as the base class says."""

    name = "hora"
    Options = HoraOptions

    def __init__(self, problem: AllocationProblem, seed: int, options: HoraOptions):
        super().__init__(problem, seed, options)
        unit = problem.responses_per_unit
        probe = probe_units("probe_units", options.probe_units, _PROBE_RESPONSES, problem.max_units, unit)
        self.sizes = GroupSizes.of(problem, options.group_units, probe * unit, options.most_responses)

    def _next_wave(self) -> Allocation:
        if self.wave == 0:
            prompts = Batches(self.epochs, self.sizes).draw(self.left)
            probes = cut_off(np.full(prompts.size, self.sizes.least), self.left)
            last = int(probes.sum()) == self.left or self.sizes.least == self.sizes.most
            return Allocation(prompts, probes, last_wave=last)
        prompts = self.round_prompts
        units = self._committed(prompts)
        return Allocation(prompts[units > 0], units[units > 0])

    def _committed(self, prompts: IntArray) -> IntArray:
        """Units of phase B [A]."""
        successes = self.reward_sum_M[prompts]
        failures = np.maximum(self.responses_M[prompts] - successes, 0.0)
        room = self.sizes.most - self.sizes.least
        return largest_increments(hit_utility(successes, failures, room, self.problem.responses_per_unit), self.left)
