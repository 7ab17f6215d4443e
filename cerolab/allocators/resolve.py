"""Resolve: plan the rest of the budget anew each round, and look closer wherever looking is worth its price.

Problem: CERO's (arXiv 2606.05606, eq. 1). Source: this project; re-solving with certainty equivalence is old in revenue
management, the price of looking is the index argument of Whittle (1988); see ``docs/resolve.md``.
Rule: every round

1. water-fill the remaining budget over the remaining rounds on the posterior means q-hat, counting the exposure that
   prompts have (``optimum.largest_gains``); its multiplier xi is what a unit is worth elsewhere;
2. a prompt is *open* while one more unit, with all that may be learned from it, is worth more than xi: an optimal
   stopping problem of the prompt's own (``optimum.solve_stopping``), solved once for all prompts on the pool's prior,
   since it depends on (units, successes) alone;
3. the even quota goes to the open prompts, those with the fewest units first, then to the largest deficits of the plan.

A plan depends on a prompt's exposure, responses and successes alone, so it is made once for all prompts that are alike
(``cerolab.selection.prompt_types``).
So optimism is not added by hand: an unlucky first streak keeps a prompt open as long as the prior says that it may
pay, and a prompt that the pool's record marks as hopeless is left after the number of groups that is worth its price.
The prior is learned from the pool (``prior="pool"``).
Under a token budget a unit costs the tokens w_i that it is expected to (``cerolab.estimators.token_cost``): the plan
takes the units that gain the most a token, a prompt is open at the price xi w_i of its own units, and the even quota is
one of tokens.
Guarantee: none proved; its regret is measured against ``optimum.learner_bound``, the least that any learner can have.
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
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from cerolab import limits, optimum, utility
from cerolab.allocation import Allocation
from cerolab.allocators._posterior import PosteriorAllocator, PosteriorOptions
from cerolab.checks import whole_number
from cerolab.estimators import token_cost
from cerolab.estimators.posterior import Prior, expected_variance
from cerolab.feedback import CheckedFeedback
from cerolab.limits import Limits
from cerolab.problem import AllocationProblem
from cerolab.registry import register
from cerolab.rounding import SLACK
from cerolab.selection import stopping_index
from cerolab.selection.prompt_types import Kinds
from cerolab.selection.top_k import best_allocation
from cerolab.types import BoolArray, FloatArray, IntArray

_COST_STEPS = 10  # of the price: expected lengths are told apart in steps of half a unit of their logarithm


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
    limits: ClassVar[Limits] = {**PosteriorAllocator.limits, "tokens": (0, limits.tokens)}

    def __init__(self, problem: AllocationProblem, seed: int, options: ResolveOptions):
        super().__init__(problem, seed, options)
        self.exposure_M: IntArray = np.zeros(problem.num_prompts, np.int64)
        self.tokens_M: IntArray = np.zeros(problem.num_prompts, np.int64)
        self._kinds: Kinds | None = self._grouped()
        self._planned: tuple[FloatArray, float] | None = None
        self._dearer_C: FloatArray | None = None  # with the plan: price steps by which units are above the mean one

    # --- prompts by kind: _C is a kind of prompts that are alike, or a prompt where each is one of its kind ----------

    def _grouped(self) -> Kinds | None:
        """The pool by exposure, responses and successes; None where evidence fades, is graded, or tokens count."""
        if not self.posterior.whole or self.remaining_tokens is not None:
            return None
        return Kinds(self.exposure_M, *self.posterior.counts())

    def _exposure(self) -> IntArray:
        """Units [C] so far."""
        return self.exposure_M if self._kinds is None else self._kinds.rows[:, 0]

    def _seen(self) -> tuple[IntArray, IntArray]:
        """(responses, successes) [C]."""
        return self.posterior.counts() if self._kinds is None else (self._kinds.rows[:, 1], self._kinds.rows[:, 2])

    def _rate(self) -> FloatArray:
        """q-hat [C]."""
        if self._kinds is None:
            return self.posterior.expected_variance()
        (a0, b0), (responses_C, successes_C) = self.posterior.prior, self._seen()
        return expected_variance(a0 + successes_C, b0 + (responses_C - successes_C))

    def _of_pool(self, value_C: FloatArray) -> FloatArray:
        """[M] what a prompt's kind has."""
        return value_C if self._kinds is None else value_C[self._kinds.kind_M]

    def _pool_mean(self, value_C: npt.NDArray[Any]) -> float:
        if self._kinds is None:
            return float(value_C.mean())
        # Summed exactly: kinds stand in another order after a reload.
        return math.fsum((value_C * self._kinds.count).tolist()) / float(self._kinds.count.sum())

    # --- the rule ----------------------------------------------------------------------------------------------------

    def _select(self) -> Allocation:
        deficit_C, price = self._plan()
        score_C, open_C = deficit_C.astype(np.float64), self._open(price)
        # Above every deficit, and the fewer units the higher.
        score_C[open_C] = 2.0 * self.problem.horizon_exposure + 1.0 - self._exposure()[open_C]
        score_M = self._of_pool(score_C)
        if self.remaining_tokens is None:
            return best_allocation(score_M, self.ties, self.even_quota(), self.problem.max_units, floor=None)
        most, cost_M = min(self.even_quota(), self.affordable), self._unit_tokens()
        best = best_allocation(score_M, self.ties, most, self.problem.max_units, floor=None)
        rounds_left = self.problem.num_rounds - self.round_index
        planned = float(deficit_C @ cost_M / deficit_C.sum()) if deficit_C.any() else float(cost_M.mean())
        due = token_cost.round_tokens(self.remaining_tokens, rounds_left, planned, self.problem)
        return token_cost.first_within(best, cost_M, due)

    def _plan(self) -> tuple[FloatArray, float]:
        """(mean units [C] that prompts still get of the budget left, the multiplier of that budget a mean unit)."""
        if self._planned is None:
            curvature_C, most = utility.curvature(self._rate(), self.problem), self._further
            exposure_C, count_C = self._exposure(), None if self._kinds is None else self._kinds.count
            units_C, log_price = optimum.largest_gains_by_kind(curvature_C, exposure_C, most, self.remaining, count_C)
            self._planned, self._dearer_C = (units_C, math.exp(log_price)), None
            if self.remaining_tokens is not None:
                cost_M, left = self._unit_tokens(), self.remaining_tokens
                if units_C @ cost_M > left * (1.0 + SLACK):  # else the budget of units is the tighter one
                    units_M, log_price = optimum.largest_gains_per_token(curvature_C, exposure_C, most, cost_M, left)
                    mean = float(cost_M.mean())
                    self._planned = units_M.astype(np.float64), math.exp(log_price) * mean
                    self._dearer_C = (
                        np.rint(np.log(cost_M / mean) / (_COST_STEPS * stopping_index.PRICE_STEP)) * _COST_STEPS
                    )
        return self._planned

    def _unit_tokens(self) -> FloatArray:
        return token_cost.expected_unit_tokens(self.tokens_M, self.exposure_M, self.problem)

    @property
    def _further(self) -> int:
        """Units that a prompt can still get."""
        return (self.problem.num_rounds - self.round_index) * self.problem.max_units

    def _open(self, price: float) -> BoolArray:
        """[C] whether one more unit is worth more than its price, with what may be learned; ``price`` of a mean one."""
        responses_C, successes_C = self._seen()
        return stopping_index.open_prompts(
            responses_C,
            successes_C,
            self._dearer_C,
            self.posterior.prior,
            price,
            self.problem,
            self.options.depth,
            self._further,
            self.posterior.variance_ratio(),
        )

    def _learn(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        prompts = allocation.prompts
        self._planned = None
        self.exposure_M[prompts] += allocation.units
        if feedback.num_tokens is not None:
            self.tokens_M[prompts] += feedback.num_tokens.astype(np.int64)
        self._update_posterior(allocation, feedback)
        if not self.posterior.whole:
            self._kinds = None
        if self._kinds is not None:
            self._kinds.move(prompts, self.exposure_M[prompts], *self.posterior.counts(prompts))

    def metrics(self) -> dict[str, float]:
        """And the multiplier of the budget left over the largest slope, mean q-hat, the share of open prompts."""
        price = 0.0 if self.done else self._plan()[1]
        return {
            **super().metrics(),
            "price": min(1.0, price / self.problem.max_slope),
            "mean_predicted_value": self._pool_mean(self._rate()),
            "open_share": 0.0 if self.done else self._pool_mean(self._open(price)),
        }

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {**super()._arrays(), "exposure": self.exposure_M.copy()}
        return arrays if self.remaining_tokens is None else {**arrays, "tokens": self.tokens_M.copy()}

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        super()._load_arrays(arrays)
        self.exposure_M = np.array(arrays["exposure"], np.int64)
        self.tokens_M = np.array(arrays.get("tokens", np.zeros_like(self.exposure_M)), np.int64)
        self._kinds, self._planned = self._grouped(), None
