"""Optima under a token budget: units cost different prompts different numbers of tokens.

In tokens x = w z, w the expected tokens of a unit, the utility of a prompt is 1 - exp(-(c/w) x): the problem is that of
fixed rates (CERO, arXiv 2606.05606, app. C.2, eq. 21) with curvatures c/w and caps w Z, and water-filling solves it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cerolab import utility
from cerolab.errors import InvalidValueError
from cerolab.optimum.static import LEAST_CURVATURE, Optimum, checked_rates, water_filling, water_level
from cerolab.problem import AllocationProblem
from cerolab.types import FloatArray, IntArray


def solve_static_tokens(rate: npt.ArrayLike, unit_tokens: npt.ArrayLike, problem: AllocationProblem) -> Optimum:
    """The optimum over real exposures under the token budget alone, where a unit costs what it costs on average.

    Leaving out B, C and whole units can only raise it. Lengths are random, but a learner cannot choose them: whatever
    it does, a unit of prompt i costs w_i on average, so no allocator's *expected* value is above ``upper_bound``. One
    run with short responses can be.

    Args:
        rate: reward variances q [M].
        unit_tokens: w > 0 [M], expected tokens of a unit of each prompt.
        problem: with a token budget.

    Returns:
        exposures in units; the multiplier is utility a token.

    Raises:
        InvalidValueError: bad rates or costs, or no token budget.
    """
    cost_M = np.asarray(unit_tokens, np.float64)
    if problem.token_budget is None:
        raise InvalidValueError("token_budget", None, "is missing", "use solve_static for a budget of units")
    if cost_M.shape != (problem.num_prompts,) or not ((cost_M > 0) & (cost_M < np.inf)).all():
        raise InvalidValueError(
            "unit_tokens", list(cost_M.shape), "is no positive number of each prompt", f"give [{problem.num_prompts}]"
        )
    c_M = utility.curvature(checked_rates(rate, problem), problem)
    most, budget = float(problem.horizon_exposure), float(problem.token_budget)
    tokens_M, price = water_filling(c_M / cost_M, most * cost_M, budget)
    exposure_M = np.minimum(tokens_M / cost_M, most)
    value = float(utility.value(c_M, exposure_M).sum())
    best_M = utility.supporting_exposure(price * cost_M, c_M, most)
    bound = price * budget + float((utility.value(c_M, best_M) - price * cost_M * best_M).sum())
    return Optimum(exposure_M, value, price, value if abs(bound - value) <= 1e-12 * value else bound)


def largest_gains_per_token(
    c_M: FloatArray, start_M: IntArray, most: int, cost_M: FloatArray, tokens: float
) -> tuple[IntArray, float]:
    """How many units each prompt has among those that gain the most a token, about ``tokens`` in all.

    The l-th further unit of a prompt with exposure s gains (1 - e^-c) e^(-c (s + l - 1)) / w a token. The threshold is
    that of the continuous problem, half a unit higher up, so that the units meet the budget but for rounding.

    Args:
        c_M: curvatures [M].
        start_M: units that each prompt already has.
        most: further units that a prompt may get.
        cost_M: w > 0 [M], tokens of a unit.
        tokens: to lay out.

    Returns:
        (units int64 [M], log of the threshold gain a token; -inf where the budget does not bind).
    """
    units_M: IntArray = np.zeros(c_M.size, np.int64)
    live = np.flatnonzero(c_M > LEAST_CURVATURE)
    if live.size == 0 or tokens <= 0:
        return units_M, -np.inf if live.size == 0 else np.inf
    c, cost = c_M[live], cost_M[live]
    if most * float(cost.sum()) <= tokens:
        units_M[live] = most
        return units_M, -np.inf
    first = np.log(-np.expm1(-c)) - c * start_M[live] - np.log(cost)  # log gain a token of the next unit
    low, high, _ = water_level(first + 0.5 * c, cost / c, most * cost, tokens)
    level = 0.5 * (low + high)
    units_M[live] = np.clip(np.floor((first - level) / c) + 1.0, 0.0, most).astype(np.int64)
    return units_M, level
