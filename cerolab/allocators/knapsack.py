"""KnapsackRL: a batch of the next prompts, over which the round's units are laid out to be worth the most.

Problem: in a batch with equal groups, easy and hard prompts end without a mixed group; hard ones need more responses.
Source: Li, Chen, Yang, Ding, Sun, Zhang, Huang, Luo, "Knapsack RL: Unlocking Exploration of LLMs via Optimizing Budget
Allocation", arXiv 2509.25849; published code liziniu/KnapsackRL, verl/trainer/ppo/exploration_utils.py.
Rule: maximise sum_i v(n_i, p_i), v(n, p) = p (1-p)^2 [1 - p^n - (1-p)^n]: what a prompt is worth times the chance that
its group is mixed. v is concave in n, so the largest increments are the exact solution. Prompts with too few rewards
get the usual group, those with p-hat 0 or 1 the least; what the others cannot use goes evenly to p-hat = 0.

| paper and code | here | meaning |
|---|---|---|
| N | ``group_units`` | usual group, in units; the batch has even quota / N prompts, so N on average |
| min_n, max_n | ``least_responses``, ``most_responses`` | bounds of a group |
| p-hat | ``recent`` | mean reward of the last group, or of the last 16 rewards where the group is smaller |
| min_buffer_length | ``min_observations`` | rewards from which on p-hat is used |

Worst case: prompts that can be learned but showed 0 of 16: they count as hopeless until the next epoch, and get more
only where there is a surplus, next to those that are hopeless. The first epoch is uniform. With N_max = 1, or where
``least_responses`` is N_max units, there is nothing to distribute: all prompts of the batch get the same.
Deviations: the published code credits the group that a prompt has anyway once more with every choice, v(k + min_n);
this is the paper's objective, and a selection in place of its dynamic programme. The code leaves an effective prompt at
most what it is expected to need for a mixed group; here it "cannot use" only what is above the cap. Only sums of a
group's rewards are known, so the window is the last groups that make up at least 16 rewards. n is a multiple of g
(``cerolab.selection.batches``). A surplus without a p-hat = 0 to take it goes to the other prompts that are not
effective.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cerolab.allocation import cut_off
from cerolab.allocators._window import WindowAllocator, WindowOptions, mean_reward
from cerolab.checks import whole_number
from cerolab.errors import InvalidValueError
from cerolab.registry import register
from cerolab.selection.batches import GroupSizes, spread_evenly
from cerolab.selection.top_k import largest_increments
from cerolab.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class KnapsackOptions(WindowOptions):
    """Hyper-parameters of KnapsackRL.

    Attributes:
        window: rewards that p-hat is the mean of.
        min_observations: rewards below which p-hat is not used; at most ``window``.
    """

    window: int = 16
    min_observations: int = 8

    def __post_init__(self) -> None:
        WindowOptions.__post_init__(self)  # super() has no place in a slotted dataclass
        for field in ("window", "min_observations"):
            object.__setattr__(self, field, whole_number(field, getattr(self, field), least=1))
        if self.min_observations > self.window:
            raise InvalidValueError(
                "min_observations", self.min_observations, f"is above window={self.window}", "widen the window"
            )


def value(success: FloatArray, num_responses: IntArray) -> FloatArray:
    """v(n, p) = p (1-p)^2 [1 - p^n - (1-p)^n]."""
    failure = 1.0 - success
    return success * failure**2 * (1.0 - success**num_responses - failure**num_responses)


def divide(success_A: FloatArray, known_A: BoolArray, quota: int, sizes: GroupSizes, unit: int) -> IntArray:
    """Units [A] of a batch.

    Args:
        success_A: p-hat.
        known_A: whether p-hat may be used.
        quota: units to lay out.
        sizes: units that a group may have.
        unit: g, responses in a unit.
    """
    units_A = cut_off(np.where(known_A, sizes.least, sizes.usual), quota)
    hopeless_A, solved_A = known_A & (success_A == 0.0), known_A & (success_A == 1.0)
    effective_A = known_A & ~hopeless_A & ~solved_A
    num_responses = unit * np.arange(sizes.least, sizes.most + 1)
    gain = np.diff(value(success_A[effective_A, None], num_responses), axis=1)
    units_A[effective_A] += largest_increments(gain, quota - int(units_A.sum()))
    for chosen_A in (hopeless_A, ~hopeless_A & ~effective_A):
        units_A[chosen_A] += spread_evenly(sizes.most - units_A[chosen_A], quota - int(units_A.sum()))
    return units_A


@register
class Knapsack(WindowAllocator[KnapsackOptions]):
    """State: as the base class says, W = ceil(window / g)."""

    name = "knapsack"
    Options = KnapsackOptions

    def _window(self) -> int:
        return -(-self.options.window // self.problem.responses_per_unit)

    def _estimate(self, at: IntArray | slice) -> tuple[FloatArray, BoolArray]:
        num_responses, reward_sum = self.recent.totals(at, enough=self.options.window)
        return mean_reward(num_responses, reward_sum), num_responses >= self.options.min_observations

    def _divide(self, prompts: IntArray, quota: int) -> IntArray:
        return divide(*self._estimate(prompts), quota, self.sizes, self.problem.responses_per_unit)
