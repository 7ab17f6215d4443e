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
(seed, round) and the posterior. In a pool of 100,000 prompts or more, of which a round takes an eighth at most, the
nearest are found by kind (``cerolab.selection.nearest_draw``): other draws of the same law, in a tenth of the time.
Where evidence fades, rewards are graded, or kinds have fewer than 100 prompts each, there stays one Beta draw a prompt;
a million take 0.2 s a round: set ``candidate_ratio``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cerolab import seeding
from cerolab.allocation import Allocation
from cerolab.allocators._posterior import PosteriorAllocator, PosteriorOptions
from cerolab.checks import real_number, whole_number
from cerolab.errors import InvalidValueError
from cerolab.feedback import CheckedFeedback
from cerolab.problem import AllocationProblem
from cerolab.registry import register
from cerolab.selection.nearest_draw import nearest_by_kind
from cerolab.selection.prompt_types import Kinds
from cerolab.selection.top_k import best_allocation, fill_in_order
from cerolab.types import FloatArray, IntArray

_LARGE = 100_000  # prompts of a pool in which looking by kind pays
_FEW = 8  # of the pool's prompts to one that a round takes, at least, for it to pay
_ALIKE = 100  # and of its prompts to one kind


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
    """State: the posterior, from which the kinds of its prompts follow."""

    name = "mopps"
    Options = MoppsOptions

    def __init__(self, problem: AllocationProblem, seed: int, options: MoppsOptions):
        super().__init__(problem, seed, options)
        self._kinds = self._grouped()

    def _grouped(self) -> Kinds | None:
        """The pool by responses and successes; None where draws are made one by one."""
        by_kind = self.problem.num_prompts >= _LARGE and self.options.candidate_ratio is None and self.posterior.whole
        return Kinds(*self.posterior.counts()) if by_kind else None

    def _select(self) -> Allocation:
        quota, size = self.even_quota(), self.problem.max_units
        if quota == 0:
            return Allocation.empty()
        num_groups = -(-quota // size)
        best = self._nearest_by_kind(num_groups)
        if best is not None:
            return Allocation(best, fill_in_order(best, size, quota))
        rng = self._generator()
        candidates = self._candidates(rng, num_groups)
        if candidates is None:
            return best_allocation(self._nearness(rng, slice(None)), self.ties, quota, size, floor=None)
        score = self._nearness(rng, candidates)
        best = candidates[np.lexsort((self.ties.rank_M[candidates], -score))]
        units = fill_in_order(best, size, quota)
        return Allocation(best[: units.size], units)

    def _generator(self) -> np.random.Generator:
        return seeding.generator("mopps draw", self.seed, self.round_index)

    def _nearest_by_kind(self, num_groups: int) -> IntArray | None:
        """So many prompts whose draws are the nearest, nearest first; None where draws are made one by one."""
        num_prompts = self.problem.num_prompts
        if self._kinds is None or _FEW * num_groups > num_prompts:
            return None
        if _ALIKE * np.count_nonzero(self._kinds.count) > num_prompts:
            return None
        target = self.options.target
        interval = (target, target) if isinstance(target, float) else target
        found = nearest_by_kind(self._kinds, self.posterior.prior, interval, num_groups, self._generator)
        if found is None:
            return None
        prompts, distance = found
        return prompts[np.lexsort((self.ties.rank_M[prompts], distance))[:num_groups]]

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
        sums = self.posterior.num_responses[at], self.posterior.reward_sum[at]
        num_responses, reward_sum = (total.astype(np.float64, copy=False) for total in sums)
        return rng.beta(a0 + reward_sum, b0 + np.maximum(num_responses - reward_sum, 0.0))

    def _learn(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        super()._learn(allocation, feedback)
        if not self.posterior.whole:
            self._kinds = None
        if self._kinds is not None:
            self._kinds.move(allocation.prompts, *self.posterior.counts(allocation.prompts))

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        super()._load_arrays(arrays)
        self._kinds = self._grouped()
