"""MoPPS: Thompson sampling for prompts of middling difficulty; one draw a prompt, those nearest 0.5 are trained on.

Problem: which prompts have success rates near 1/2 now, without spending rollouts to find out.
Source: Qu, Wang, Mao, Hu, Ommer, Ji, "Can Prompt Difficulty be Online Predicted for Accelerating RL Finetuning of
Reasoning Models?", arXiv 2507.04632; published code thu-rllab/MoPPS, recipe/ours/mopps.py.
Rule: each round draw p_i ~ Beta(a_i, b_i) for every candidate and take those nearest the target, N_max units each,
the even quota in total. With an interval as target, draws inside it come first, in random order.

| paper | here | meaning |
|---|---|---|
| alpha, beta | ``posterior`` | Beta state, a <- lambda a + (1 - lambda) a0 + S, b alike: (5) with rho = lambda |
| lambda | ``forgetting`` | evidence kept a round |
| gamma* | ``target`` | success rate looked for, 0.5, or an interval such as (0.3, 0.7) |
| candidate batch | ``candidate_ratio`` | candidates for each group of the round; None makes the whole pool candidates |

Worst case: rates that do not move. The few prompts at 1/2 are found, and then served in every round, long after their
utility is saturated: the best effective-group rate goes with high regret. In a pool without such prompts the
draws of prompts never visited are the nearest, so it becomes uniform.
Deviations: (5) fades the evidence of all prompts each round, not of the visited ones only. Draws are a pure function of
(seed, round) and the posterior. A million candidates take 0.2 s a round: set ``candidate_ratio`` in a large pool.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cerolab import seeding
from cerolab.allocation import Allocation, FloatArray, IntArray
from cerolab.bayes import PosteriorAllocator, PosteriorOptions
from cerolab.checks import real_number, whole_number
from cerolab.errors import InvalidValueError
from cerolab.projection import best_allocation, fill_in_order
from cerolab.registry import register


@dataclass(frozen=True, slots=True, kw_only=True)
class MoppsOptions(PosteriorOptions):
    """Hyper-parameters of MoPPS.

    Attributes:
        target: success rate in [0, 1] to be near to, or an interval (low, high) to be in.
        candidate_ratio: candidates drawn at random for each group that the round will have; None takes all prompts.
    """

    target: float | tuple[float, float] = 0.5
    candidate_ratio: int | None = None

    def __post_init__(self) -> None:
        PosteriorOptions.__post_init__(self)  # super() has no place in a slotted dataclass
        remedy = "give a success rate, or an interval (low, high) of them"
        if isinstance(self.target, tuple | list | np.ndarray) and np.ndim(self.target):
            ends = list(self.target)
            if len(ends) != 2:
                raise InvalidValueError("target", self.target, "is no pair (low, high)", remedy)
            low, high = (real_number("target", end, 0.0, 1.0, remedy) for end in ends)
            if low > high:
                raise InvalidValueError("target", self.target, "has its low end above its high end", "swap them")
            object.__setattr__(self, "target", (low, high))
        else:
            object.__setattr__(self, "target", real_number("target", self.target, 0.0, 1.0, remedy))
        if self.candidate_ratio is not None:
            ratio = whole_number("candidate_ratio", self.candidate_ratio, least=1)
            object.__setattr__(self, "candidate_ratio", ratio)


@register
class Mopps(PosteriorAllocator[MoppsOptions]):
    """State: the posterior."""

    name = "mopps"
    Options = MoppsOptions

    def _select(self) -> Allocation:
        quota, size = self.even_quota(), self.problem.max_units
        if quota == 0:
            return Allocation.empty()
        rng = seeding.generator("mopps draw", self.seed, self.round_index)
        candidates = self._candidates(rng, -(-quota // size))
        if candidates is None:
            return best_allocation(self._nearness(rng, slice(None)), self.ties, quota, size, floor=None)
        score = self._nearness(rng, candidates)
        best = candidates[np.lexsort((self.ties.rank_M[candidates], -score))]
        units = fill_in_order(best, size, quota)
        return Allocation(best[: units.size], units)

    def _candidates(self, rng: np.random.Generator, num_groups: int) -> IntArray | None:
        """The candidates of a round of so many groups, in any order; None for the whole pool."""
        ratio, num_prompts = self.options.candidate_ratio, self.problem.num_prompts
        if ratio is None or ratio * num_groups >= num_prompts:
            return None
        return rng.choice(num_prompts, ratio * num_groups, replace=False, shuffle=False)

    def _nearness(self, rng: np.random.Generator, at: IntArray | slice) -> FloatArray:
        success = self._drawn(rng, at)
        if isinstance(self.options.target, float):
            return -np.abs(success - self.options.target)
        low, high = self.options.target
        outside = np.maximum(low - success, success - high)
        return np.where(outside > 0.0, -outside, rng.random(success.size))

    def _drawn(self, rng: np.random.Generator, at: IntArray | slice) -> FloatArray:
        """One success rate of each candidate's Beta(a, b)."""
        a0, b0 = self.posterior.prior
        reward_sum = self.posterior.reward_sum[at]
        return rng.beta(a0 + reward_sum, b0 + np.maximum(self.posterior.num_responses[at] - reward_sum, 0.0))
