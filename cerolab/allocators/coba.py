"""CoBA-RL: a batch of the next prompts, laid out by a value that moves from easy to hard with the model's ability.

Problem: which success rates teach the most depends on how able the model is by now.
Source: Yao, Zhang, Chen, Sun, Xu, Yang, Hu, Gu, Su, Cai, "CoBA-RL: Capability-Oriented Budget Allocation for
Reinforcement Learning in LLMs", arXiv 2602.03048; published code Within-yao/CoBA-RL,
recipe/coba_rl/budget_allocators.py.
Rule: every prompt has the least group. Of the spare units 60-80 % (more, the more prompts are in the middle) go to
p-hat in [0.05, 0.99] by the largest increments of V(n, p) = (1 - exp(-n p (1-p) / tau)) BetaPDF(p; 1+5f, 6-5f), the
rest evenly to p-hat < 0.05; what is still left goes to the middle again, then to p-hat > 0.99.

| paper | here | meaning |
|---|---|---|
| f | ``failure_rate`` | mean over the last 3 rounds of the mean failure rate of a round's groups |
| p-hat | ``recent`` | mean reward of the prompt's last 3 groups, 1/2 for a prompt without any |
| tau | ``tau`` | 3 + 9 clip(Var(p) / 0.1667, 0, 1), over the middle prompts of the batch |
| N_low, N_up | ``least_responses``, ``most_responses`` | bounds of a group |

Worst case: a pool of hopeless prompts next to a few that can be learned: at least a fifth of the spare units goes to
p-hat < 0.05 in every round. A batch of which nothing is known, so all of the first epoch, is laid out evenly.
Deviations: the published code bends f below 1/2 by a sigmoid, and gives the rest in proportion to 1 - p; here f enters
as it is, the rest is even among the hard, and what the middle gets of it follows V. n is a multiple of g
(``cerolab.selection.batches``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import betaln

from cerolab.allocation import Allocation, cut_off
from cerolab.allocators._window import WindowAllocator, WindowOptions, mean_reward
from cerolab.checks import whole_number
from cerolab.errors import StateError
from cerolab.feedback import CheckedFeedback
from cerolab.limits import Limits
from cerolab.problem import AllocationProblem
from cerolab.registry import register
from cerolab.selection.batches import GroupSizes, spread_evenly
from cerolab.selection.top_k import largest_increments
from cerolab.types import BoolArray, FloatArray, IntArray

_HARD, _EASY = 0.05, 0.99  # p-hat below, above
_LEAST_TAU, _RANGE_OF_TAU, _MOST_VARIANCE = 3.0, 9.0, 0.1667


@dataclass(frozen=True, slots=True, kw_only=True)
class CobaOptions(WindowOptions):
    """Hyper-parameters of CoBA-RL.

    Attributes:
        window: rounds that f, and groups that p-hat is the mean of.
    """

    most_responses: int = 32
    window: int = 3

    def __post_init__(self) -> None:
        WindowOptions.__post_init__(self)  # super() has no place in a slotted dataclass
        object.__setattr__(self, "window", whole_number("window", self.window, least=1))


def tau(success_A: FloatArray) -> float:
    """How slowly V saturates: 3 for equal p, up to 12 where they differ the most."""
    return _LEAST_TAU + _RANGE_OF_TAU * min(1.0, float(np.var(success_A)) / _MOST_VARIANCE)


def value(success: FloatArray, num_responses: IntArray, tau: float, failure_rate: float) -> FloatArray:
    """V(n, p) = (1 - exp(-n p (1-p) / tau)) * BetaPDF(p; 1 + 5f, 6 - 5f)."""
    a, b = 1.0 + 5.0 * failure_rate, 6.0 - 5.0 * failure_rate
    density = np.exp((a - 1.0) * np.log(success) + (b - 1.0) * np.log1p(-success) - betaln(a, b))
    return -np.expm1(-num_responses * (success * (1.0 - success)) / tau) * density


def divide(success_A: FloatArray, quota: int, sizes: GroupSizes, unit: int, failure_rate: float) -> IntArray:
    """Units [A] of a batch.

    Args:
        success_A: p-hat.
        quota: units to lay out.
        sizes: units that a group may have.
        unit: g, responses in a unit.
        failure_rate: f.
    """
    units_A = cut_off(np.full(success_A.size, sizes.least), quota)
    spare = quota - int(units_A.sum())
    hard_A, easy_A = success_A < _HARD, success_A > _EASY
    middle_A = ~hard_A & ~easy_A
    num_middle, num_prompts = int(np.count_nonzero(middle_A)), success_A.size
    if 2 * num_middle > num_prompts:
        for_middle = 4 * spare // 5
    else:  # 0.6 + 0.4 * share of the middle
        for_middle = spare * (3 * num_prompts + 2 * num_middle) // (5 * num_prompts)
    success = success_A[middle_A]
    num_responses = unit * np.arange(sizes.least, sizes.most + 1)
    gain = np.diff(value(success[:, None], num_responses, tau(success) if num_middle else 1.0, failure_rate), axis=1)
    middle = largest_increments(gain, for_middle)
    left = spare - int(middle.sum())
    units_A[hard_A] += spread_evenly(sizes.most - units_A[hard_A], left)
    units_A[middle_A] += largest_increments(gain, quota - int(units_A.sum()))  # for_middle first, then what is left
    units_A[easy_A] += spread_evenly(sizes.most - units_A[easy_A], quota - int(units_A.sum()))
    return units_A


@register
class Coba(WindowAllocator[CobaOptions]):
    """State: as the base class says; mean failure rates [window] of the last rounds, newest first, -1 for none."""

    name = "coba"
    Options = CobaOptions
    limits: ClassVar[Limits] = {**WindowAllocator.limits, "failure_rates": (-1.0, 1.0)}

    def __init__(self, problem: AllocationProblem, seed: int, options: CobaOptions):
        super().__init__(problem, seed, options)
        self._failure_rates = np.full(options.window, -1.0)

    @property
    def failure_rate(self) -> float:
        """f, 1/2 before there is any."""
        seen = self._failure_rates[self._failure_rates >= 0.0]
        return float(seen.mean()) if seen.size else 0.5

    def _window(self) -> int:
        return self.options.window

    def _estimate(self, at: IntArray | slice) -> tuple[FloatArray, BoolArray]:
        num_responses, reward_sum = self.recent.totals(at)
        return mean_reward(num_responses, reward_sum), num_responses > 0

    def _divide(self, prompts: IntArray, quota: int) -> IntArray:
        success, known = self._estimate(prompts)
        if not known.any():
            return spread_evenly(np.full(prompts.size, self.sizes.most), quota)
        return divide(success, quota, self.sizes, self.problem.responses_per_unit, self.failure_rate)

    def _learn(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        super()._learn(allocation, feedback)
        seen = feedback.num_responses > 0
        if seen.any():
            failure = 1.0 - float((feedback.reward_sum[seen] / feedback.num_responses[seen]).mean())
            self._failure_rates = np.append(max(0.0, failure), self._failure_rates[:-1])

    def metrics(self) -> dict[str, float]:
        """As the base class; f."""
        return {**super().metrics(), "failure_rate": self.failure_rate}

    def _arrays(self) -> dict[str, np.ndarray]:
        return {**super()._arrays(), "failure_rates": self._failure_rates.copy()}

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        rates = arrays["failure_rates"]
        if ((rates < 0.0) & (rates != -1.0)).any():
            raise StateError("the state's failure_rates are no rates, nor -1 for none")
        super()._load_arrays(arrays)
        self._failure_rates = np.array(arrays["failure_rates"], np.float64)
