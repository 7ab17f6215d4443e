"""Resolve: plan the rest of the budget anew each round, and look closer wherever looking is worth its price.

Problem: CERO's (arXiv 2606.05606, eq. 1). Source: this project; re-solving with certainty equivalence is old in revenue
management, the price of looking is the index argument of Whittle (1988); see ``docs/resolve.md``.
Rule: every round

1. water-fill the remaining budget over the remaining rounds on the posterior means q-hat, counting the exposure that
   prompts have (``oracle.largest_gains``); its multiplier xi is what a unit is worth elsewhere;
2. a prompt is *open* while one more unit, with all that may be learned from it, is worth more than xi: an optimal
   stopping problem of the prompt's own (``oracle.solve_stopping``), solved once for all prompts on the pool's prior,
   since it depends on (units, successes) alone;
3. the even quota goes to the open prompts, those with the fewest units first, then to the largest deficits of the plan.

So optimism is not added by hand: an unlucky first streak keeps a prompt open as long as the prior says that it may
pay, and a prompt that the pool's record marks as hopeless is left after the number of groups that is worth its price.
The prior is learned from the pool (``prior="pool"``).
Under a token budget a unit costs the tokens w_i that it is expected to (``cerolab.tokens``): the plan takes the units
that gain the most a token, a prompt is open at the price xi w_i of its own units, and the even quota is one of tokens.
Guarantee: none proved; its regret is measured against ``oracle.learner_bound``, the least that any learner can have.
Worst case: rates that move against the record of the pool, so that closed prompts would be worth opening again; use
``forgetting`` < 1 there.

| symbol | here | meaning |
|---|---|---|
| q-hat | ``posterior.expected_variance`` | value of a rollout (6) |
| xi | ``_plan()[1]`` | multiplier of the budget that is left |
| w | ``_unit_tokens()`` | expected tokens of a unit, under a token budget |
| u, S | evidence of the posterior in units, and successes | state of the stopping problem |
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from scipy.special import betaincinv

from cerolab import oracle, tokens, utility
from cerolab.allocation import Allocation, BoolArray, FloatArray, IntArray
from cerolab.bayes import PosteriorAllocator, PosteriorOptions
from cerolab.checks import whole_number
from cerolab.feedback import CheckedFeedback
from cerolab.posterior import Prior, expected_variance
from cerolab.problem import AllocationProblem
from cerolab.projection import best_allocation
from cerolab.registry import register

_NODES = 128  # of the prior, at its quantiles
_PRICE_STEP = 0.05  # of the log price: the stopping problem is solved anew when the price has moved by about that
_COST_STEPS = 10  # of those: expected lengths are told apart in steps of half a unit of their logarithm
_MOST_STATES = 400  # responses that the stopping problem looks through


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveOptions(PosteriorOptions):
    """Hyper-parameters of Resolve.

    Attributes:
        prior: as for every method with a posterior, but learned from the pool by default.
        depth: units of a prompt that the stopping problem looks through; at most 400 responses are.
    """

    prior: Prior | Literal["pool"] = "pool"
    depth: int = 64

    def __post_init__(self) -> None:
        PosteriorOptions.__post_init__(self)  # super() has no place in a slotted dataclass
        object.__setattr__(self, "depth", whole_number("depth", self.depth, 1))


@register
class Resolve(PosteriorAllocator[ResolveOptions]):
    """State: the posterior, exposures int64 [M], tokens int64 [M] under a token budget. The rest follows from them."""

    name = "resolve"
    Options = ResolveOptions
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {**PosteriorAllocator.limits, "tokens": (0, math.inf)}

    def __init__(self, problem: AllocationProblem, seed: int, options: ResolveOptions):
        super().__init__(problem, seed, options)
        self.exposure_M: IntArray = np.zeros(problem.num_prompts, np.int64)
        self.tokens_M: IntArray = np.zeros(problem.num_prompts, np.int64)
        self.rate_M = self.posterior.expected_variance()
        self._planned: tuple[IntArray, float] | None = None
        self._dearer_M: FloatArray | None = None  # with the plan: price steps by which units are above the mean one

    def _select(self) -> Allocation:
        deficit_M, price = self._plan()
        score_M = deficit_M.astype(np.float64)
        open_M = self._open(price)
        # Above every deficit, and the fewer units the higher.
        score_M[open_M] = 2.0 * self.problem.horizon_exposure + 1.0 - self.exposure_M[open_M]
        if self.remaining_tokens is None:
            return best_allocation(score_M, self.ties, self.even_quota(), self.problem.max_units, floor=None)
        most, cost_M = min(self.even_quota(), self.affordable), self._unit_tokens()
        best = best_allocation(score_M, self.ties, most, self.problem.max_units, floor=None)
        rounds_left = self.problem.num_rounds - self.round_index
        planned = float(deficit_M @ cost_M / deficit_M.sum()) if deficit_M.any() else float(cost_M.mean())
        due = tokens.round_tokens(self.remaining_tokens, rounds_left, planned, self.problem)
        return tokens.first_within(best, cost_M, due)

    def _plan(self) -> tuple[IntArray, float]:
        """(units [M] that each prompt still gets of the budget left, the multiplier of that budget a mean unit)."""
        if self._planned is None:
            curvature_M, most = utility.curvature(self.rate_M, self.problem), self._most_further
            units_M, log_price = oracle.largest_gains(curvature_M, self.exposure_M, most, self.remaining)
            self._planned, self._dearer_M = (units_M, math.exp(log_price)), None
            if self.remaining_tokens is not None:
                cost_M, left = self._unit_tokens(), self.remaining_tokens
                if units_M @ cost_M > left:  # else the budget of units is the tighter one
                    units_M, log_price = oracle.largest_gains_per_token(
                        curvature_M, self.exposure_M, most, cost_M, left
                    )
                    mean = float(cost_M.mean())
                    self._planned = units_M, math.exp(log_price) * mean
                    self._dearer_M = np.rint(np.log(cost_M / mean) / (_COST_STEPS * _PRICE_STEP)) * _COST_STEPS
        return self._planned

    def _unit_tokens(self) -> FloatArray:
        return tokens.expected_unit_tokens(self.tokens_M, self.exposure_M, self.problem)

    @property
    def _most_further(self) -> int:
        """Units that a prompt can still get."""
        return (self.problem.num_rounds - self.round_index) * self.problem.max_units

    def _open(self, price: float) -> BoolArray:
        """[M] whether one more unit is worth more than its price, with what may be learned; ``price`` of a mean one."""
        g = self.problem.responses_per_unit
        step = 0 if price <= 0 else round(math.log(price) / _PRICE_STEP)
        depth = max(1, min(self.options.depth, _MOST_STATES // g))
        # A power of two, so that it changes seldom; a find must still have rounds left to pay.
        most = 2.0 ** math.floor(math.log2(self._most_further))
        problem = self._graded_problem()
        dearer_M = np.zeros(self.rate_M.size) if self._dearer_M is None else self._dearer_M
        units_M = np.rint(self.posterior.num_responses / g).astype(np.int64)
        successes_M = np.rint(self.posterior.reward_sum).astype(np.int64)
        found: BoolArray = np.zeros(units_M.size, np.bool_)
        for dearer in np.unique(dearer_M):
            table = _go_on(self.posterior.prior, step + int(dearer) if price > 0 else None, problem, depth, most)
            at = np.minimum(units_M, table.shape[0] - 1), np.minimum(successes_M, table.shape[1] - 1)
            found |= (dearer_M == dearer) & (units_M < table.shape[0]) & table[at]
        return found

    def _graded_problem(self) -> AllocationProblem:
        """The problem whose utility of p(1 - p) is that of graded rewards, which vary less: one factor for the pool."""
        if self.posterior.reward_sq_sum is None:
            return self.problem
        binary = expected_variance(self.posterior.alpha, self.posterior.beta).sum()
        ratio = max(float(self.rate_M.sum() / binary), 1e-3)
        factor = math.exp(round(math.log(ratio) / _PRICE_STEP) * _PRICE_STEP)
        return replace(self.problem, saturation=self.problem.saturation * factor)

    def _learn(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        self._planned = None
        self.exposure_M[allocation.prompts] += allocation.units
        if feedback.num_tokens is not None:
            self.tokens_M[allocation.prompts] += feedback.num_tokens.astype(np.int64)
        if self._update_posterior(allocation, feedback):
            self.rate_M = self.posterior.expected_variance()
        else:
            self.rate_M[allocation.prompts] = self.posterior.expected_variance(allocation.prompts)

    def predicted_value(self) -> FloatArray:
        """[M] posterior mean q-hat of the reward variance (6)."""
        return self.rate_M.copy()

    def metrics(self) -> dict[str, float]:
        """And the multiplier of the budget left over the largest slope, mean q-hat, the share of open prompts."""
        price = 0.0 if self.done else self._plan()[1]
        return {
            **super().metrics(),
            "price": min(1.0, price / self.problem.max_slope),
            "mean_predicted_value": float(self.rate_M.mean()),
            "open_share": 0.0 if self.done else float(self._open(price).mean()),
        }

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {**super()._arrays(), "exposure": self.exposure_M.copy()}
        return arrays if self.remaining_tokens is None else {**arrays, "tokens": self.tokens_M.copy()}

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        super()._load_arrays(arrays)
        self._planned = None
        self.exposure_M = np.array(arrays["exposure"], np.int64)
        self.tokens_M = np.array(arrays.get("tokens", np.zeros_like(self.exposure_M)), np.int64)
        self.rate_M = self.posterior.expected_variance()


@lru_cache(maxsize=256)
def _go_on(prior: Prior, price_step: int | None, problem: AllocationProblem, depth: int, most: float) -> BoolArray:
    """``StoppingPlan.go_on`` for a Beta prior and a price on a grid (None: units are free)."""
    a, b = (min(part, 1e4) for part in prior)
    nodes = betaincinv(a, b, (np.arange(_NODES) + 0.5) / _NODES)
    price = 0.0 if price_step is None else math.exp(price_step * _PRICE_STEP)
    weight = np.full(_NODES, 1.0 / _NODES)
    return oracle.solve_stopping(nodes, weight, price, problem, depth, most_units=most).go_on
