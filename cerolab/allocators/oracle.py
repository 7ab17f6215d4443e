"""Oracle: knows every prompt's true success rate, or in training a measured one; the headroom above every method.

Source: CERO (arXiv 2606.05606), app. C.2: the largest marginal gains (22), laid out over the rounds by (23).
Rule: each round, give what is left of the budget to the largest marginal gains under the current true rates, counting
the exposure that prompts already have, and execute the first round of the even plan for it. With fixed rates this
reaches the exact optimum. With moving rates it is the best plan that does not foresee them, not OPT_dyn.
With ``recovery`` it believes instead that what a prompt can teach comes back after a visit: each round's even quota
goes to the largest q_i (1 - exp(-t_i / recovery)), t_i rounds after the last visit. In training that is the stronger
headroom, because rates move with the policy.
Worst case: rates that move fast, where what is best now is not what is best over the horizon.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cerolab import limits, optimum, seeding, utility
from cerolab.allocation import Allocation
from cerolab.allocator import BaseAllocator
from cerolab.checks import real_number
from cerolab.errors import InvalidValueError, StateError
from cerolab.feedback import CheckedFeedback
from cerolab.limits import Limits, check_visited
from cerolab.problem import AllocationProblem
from cerolab.registry import register
from cerolab.selection.top_k import TieOrder, best_allocation
from cerolab.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleOptions:
    """What the oracle knows.

    Attributes:
        rate: true reward variances q [M] in [0, 1/4], or a function that returns the present ones.
        recovery: rounds after a visit in which a share 1 - 1/e of a prompt's value comes back; None counts exposure
            over the whole horizon.
    """

    rate: Any = None  # an array, or a function without arguments; None is refused
    recovery: float | None = None

    def __post_init__(self) -> None:
        if self.recovery is not None:
            real_number("recovery", self.recovery, 0.0, math.inf, "use 8 rounds, say", low_open=True)


@register
class Oracle(BaseAllocator[OracleOptions]):
    """State: exposures int64 [M]; the plan int64 [M] for the budget left, and the rates [M] that it was made for.

    With ``recovery``: the round of each prompt's last visit int64 [M], -1 for none.
    """

    name = "oracle"
    Options = OracleOptions
    limits: ClassVar[Limits] = {
        "exposure": (0, limits.prompt_units),
        "plan": (0, limits.prompt_units),
        "planned_for": (-1.0, 0.25),  # -1 for no plan
        "visited": (-1, limits.last_round),
    }

    def __init__(self, problem: AllocationProblem, seed: int, options: OracleOptions):
        super().__init__(problem, seed, options)
        if options.rate is None:
            raise InvalidValueError(
                "rate", None, "is missing", "give the true reward variances q [M]; only a simulator knows them"
            )
        if not callable(options.rate):
            optimum.checked_rates(options.rate, problem)
        self.exposure_M: IntArray = np.zeros(problem.num_prompts, np.int64)
        self._planned_for_M: FloatArray = np.full(problem.num_prompts, -1.0)  # no plan yet
        self._plan_M: IntArray = self.exposure_M.copy()
        self._used = self._plan_M, self._planned_for_M
        self._visited_M: IntArray = np.full(problem.num_prompts, -1)
        self._ties = TieOrder(seeding.generator("tie order", seed).permutation(problem.num_prompts))

    def _rate(self) -> FloatArray:
        rate = self.options.rate
        return optimum.checked_rates(rate() if callable(rate) else rate, self.problem)

    def _select(self) -> Allocation:
        if self.options.recovery is not None:
            away_M = np.where(self._visited_M < 0, np.inf, self.round_index - self._visited_M)
            worth_M = self._rate() * -np.expm1(-away_M / self.options.recovery)
            return best_allocation(worth_M, self._ties, self.even_quota(), self.problem.max_units)
        rounds_left = self.problem.num_rounds - self.round_index
        rate_M = self._rate().copy()
        self._used = self._plan(rate_M), rate_M  # what this decision rests on, should rates move before observe()
        units_M = optimum.first_round_of_plan(self._used[0], rounds_left)
        prompts = np.flatnonzero(units_M)
        return Allocation(prompts, units_M[prompts])

    def _plan(self, rate_M: FloatArray) -> IntArray:
        """Units [M] that each prompt gets of the budget left: the plan there is, or a new one where rates moved.

        A new one too where tokens cut a wave off, so that the rounds left cannot execute what it left over.
        """
        rounds_left = self.problem.num_rounds - self.round_index
        if np.array_equal(rate_M, self._planned_for_M) and self._fits(self._plan_M, rounds_left, self.remaining):
            return self._plan_M
        # Budget kept for prompts that joined late may be more than the rounds left can execute.
        budget = min(self.remaining, rounds_left * self.problem.capacity)
        most = rounds_left * self.problem.max_units
        return optimum.largest_gains(utility.curvature(rate_M, self.problem), self.exposure_M, most, budget)[0]

    def _fits(self, plan_M: IntArray, rounds_left: int, remaining: int) -> bool:
        """Whether so many rounds can execute the plan."""
        problem = self.problem
        total = min(remaining, rounds_left * problem.capacity)
        return int(plan_M.sum()) <= total and int(plan_M.max()) <= rounds_left * problem.max_units

    def _learn(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        self._visited_M[allocation.prompts] = self.round_index
        self.exposure_M[allocation.prompts] += allocation.units
        if self.options.recovery is not None:
            return
        plan_M, self._planned_for_M = self._used
        self._plan_M = plan_M.copy()
        self._plan_M[allocation.prompts] -= allocation.units
        self._used = self._plan_M, self._planned_for_M

    def extend(self, num_new: int) -> None:
        """As the base class; refused where ``rate`` is an array, which lacks the new prompts."""
        if not callable(self.options.rate):
            raise InvalidValueError(
                "num_new", num_new, "cannot join: rate is an array of the present pool", "give rate as a function"
            )
        super().extend(num_new)

    def predicted_value(self) -> FloatArray:
        """[M] the true rates."""
        return self._rate().copy()

    def options_dict(self) -> dict[str, Any]:
        """Without the rates, which are the scenario's."""
        return {} if self.options.recovery is None else {"recovery": self.options.recovery}

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            "exposure": self.exposure_M.copy(),
            "plan": self._plan_M.copy(),
            "planned_for": self._planned_for_M.copy(),
            "visited": self._visited_M.copy(),
        }

    def _check_state(
        self, arrays: Mapping[str, np.ndarray], round_index: int, remaining: int, spent_tokens: int
    ) -> None:
        super()._check_state(arrays, round_index, remaining, spent_tokens)
        check_visited(self.name, arrays["visited"], round_index)
        rounds_left = self.problem.num_rounds - round_index
        if self.problem.token_budget is None and not self._fits(arrays["plan"], rounds_left, remaining):
            raise StateError(f"{self.name}: the state's plan is more than the {rounds_left} rounds left can execute")
        exposed_M, visited_M = arrays["exposure"] > 0, arrays["visited"] >= 0
        if (exposed_M != visited_M).any():
            raise StateError(f"{self.name}: the state's visited and exposure name other prompts")

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.exposure_M = np.array(arrays["exposure"], np.int64)
        self._plan_M = np.array(arrays["plan"], np.int64)
        self._planned_for_M = np.array(arrays["planned_for"], np.float64)
        self._used = self._plan_M, self._planned_for_M
        self._visited_M = np.array(arrays["visited"], np.int64)
