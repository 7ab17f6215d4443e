"""Exact full-information optima of problem (1) for fixed rates, each with a certificate.

Source: CERO (arXiv 2606.05606), app. C.2. With fixed rates the value depends on terminal exposures alone, so the
optimum is water-filling (21) and over integers the B largest marginal gains (22).
Rates that move along a given path need the time-expanded programme in ``cerolab.optimum.dynamic``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cerolab import utility
from cerolab.errors import InvalidValueError
from cerolab.problem import AllocationProblem
from cerolab.rounding import comparable
from cerolab.text import brief_fields
from cerolab.types import FloatArray, IntArray

_MOST_CANDIDATES = 1 << 18  # units that the repair step may sort
LEAST_CURVATURE = 1e-250  # prompts below are treated as worthless; no sum over a pool could tell


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Optimum:
    """An optimal exposure and the proof that nothing is better.

    Attributes:
        exposure: [M] units of each prompt over the horizon; int64 from integer solvers.
        value: sum_i U(q_i, exposure_i).
        multiplier: xi >= 0, value of one more unit of budget (0 where the budget does not bind).
        upper_bound: Lagrangian dual value at ``multiplier``; no feasible exposure has more than this.
    """

    exposure: npt.NDArray[Any]
    value: float
    multiplier: float
    upper_bound: float

    def __repr__(self) -> str:
        return brief_fields(self)

    @property
    def gap(self) -> float:
        """Duality gap, upper_bound - value; rounding aside never negative, and a proof of optimality to this much."""
        return self.upper_bound - self.value


def checked_rates(rate: npt.ArrayLike, problem: AllocationProblem) -> FloatArray:
    """Reward variances q as float64 [M].

    Raises:
        InvalidValueError: wrong shape, not finite, or outside [0, 1/4].
    """
    try:
        rate_M = np.asarray(rate, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidValueError("rate", rate, "is not made of numbers", "give q = p(1-p)") from error
    if rate_M.shape != (problem.num_prompts,):
        raise InvalidValueError(
            "rate", list(rate_M.shape), "has the wrong shape", f"give one rate a prompt, [{problem.num_prompts}]"
        )
    bad = ~((rate_M >= 0) & (rate_M <= 0.25))
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise InvalidValueError(f"rate[{at}]", float(rate_M[at]), "is outside [0, 1/4]", "give q = p(1-p)")
    return rate_M


def solve_static(rate: npt.ArrayLike, problem: AllocationProblem) -> Optimum:
    """The exact integer optimum for fixed rates q [M]: the B largest marginal gains (22).

    Cost O(M) a step of the threshold search, about ten steps, instead of B heap operations.

    Raises:
        InvalidValueError: bad rates, see ``checked_rates``.
    """
    c_M = utility.curvature(checked_rates(rate, problem), problem)
    start_M = np.zeros(problem.num_prompts, np.int64)
    exposure_M, log_threshold = largest_gains(c_M, start_M, problem.horizon_exposure, problem.budget)
    return certified(c_M, exposure_M, float(np.exp(log_threshold)), problem)


def largest_gains(c_M: FloatArray, start_M: IntArray, most: int | IntArray, budget: int) -> tuple[IntArray, float]:
    """How many units each prompt has among the ``budget`` largest marginal gains.

    The l-th further unit of a prompt with exposure s gains (1 - e^-c) e^(-c (s + l - 1)) (22). A threshold on the log
    gain is bracketed until few candidates are left between its ends; those are sorted out exactly. Of gains that are
    equal but for rounding those of earlier prompts are taken.

    Args:
        c_M: curvatures [M]; prompts with c = 0, or next to it, get nothing.
        start_M: units that each prompt already has.
        most: further units that a prompt may get, one number or [M].
        budget: units to lay out.

    Returns:
        (units int64 [M], log of the threshold gain; -inf where the budget does not bind).
    """
    units_M, more_M, log_threshold = _largest_gains(c_M, start_M, most, budget, None)
    return units_M + more_M, log_threshold


def largest_gains_by_kind(
    c_C: FloatArray, start_C: IntArray, most: int | IntArray, budget: int, count_C: IntArray | None
) -> tuple[FloatArray, float]:
    """``largest_gains`` where prompts come in kinds: ``count_C`` of them alike, or each its own where it is None.

    Returns:
        (mean units [C] of the prompts of a kind, log of the threshold gain). Only where the budget ends within a kind
        is the mean not a whole number.
    """
    units_C, more_C, log_threshold = _largest_gains(c_C, start_C, most, budget, count_C)
    mean_C: FloatArray = units_C + more_C / (np.ones(1) if count_C is None else np.maximum(count_C, 1))
    return mean_C, log_threshold


def optimum_by_kind(c_C: FloatArray, count_C: IntArray, most: int, budget: int) -> float:
    """OPT, the value of the ``budget`` largest gains (22), where ``count_C`` prompts have the curvature c [C]."""
    units_C, more_C, _ = _largest_gains(c_C, np.zeros(c_C.size, np.int64), most, budget, count_C)
    further_C = utility.value(c_C, units_C + 1) - utility.value(c_C, units_C)
    return float(count_C @ utility.value(c_C, units_C) + more_C @ further_C)


def _largest_gains(
    c_M: FloatArray, start_M: IntArray, most: int | IntArray, budget: int, count_M: IntArray | None
) -> tuple[IntArray, IntArray, float]:
    """(units, prompts of each kind that get one more, log threshold); without counts every kind is one prompt."""
    units_M, more_M = np.zeros((2, c_M.size), np.int64)
    live = np.flatnonzero(c_M > LEAST_CURVATURE if count_M is None else (c_M > LEAST_CURVATURE) & (count_M > 0))
    if live.size == 0:
        return units_M, more_M, -np.inf
    if budget == 0:
        return units_M, more_M, np.inf
    c, count = c_M[live], 1.0 if count_M is None else count_M[live].astype(np.float64)
    cap = np.broadcast_to(np.asarray(most, np.float64), c_M.shape)[live]
    first = np.log(-np.expm1(-c)) - c * start_M[live]  # log gain of the next unit
    if (cap * count).sum() <= budget:
        units_M[live] = cap.astype(np.int64)
        return units_M, more_M, -np.inf
    low = float((first - c * np.maximum(cap - 1.0, 0.0)).min()) - 1.0  # every unit gains more than this
    high = float(first.max()) + 1.0  # no unit does
    at_low, at_high = cap, np.zeros(c.size)
    # Rounded up by a half on average, the counts are a water level: look first where it meets the budget.
    _, probe, slope = water_level(first + 0.5 * c, count / c, cap * count, float(budget))
    step = (1.0 + (c.size if count_M is None else float(budget)) ** 0.5) / slope if slope > 0 else np.inf
    few = min(_MOST_CANDIDATES, 2 * c.size + 1024)
    while at_low.sum() - at_high.sum() > few:
        if not low < probe < high:
            probe = 0.5 * (low + high)
            if not low < probe < high:
                break  # the gains left over are equal to the last bit
        levels = np.clip(np.floor((first - probe) / c) + 1.0, 0.0, cap)
        if (levels * count).sum() >= budget:
            low, at_low, probe = probe, levels, probe + step
        else:
            high, at_high, probe = probe, levels, probe - step
        step *= 4.0
    kept, spare = at_high.astype(np.int64), (at_low - at_high).astype(np.int64)
    number = np.ones(c.size, np.int64) if count_M is None else count_M[live]
    missing = budget - int((kept * number).sum())
    owner = np.flatnonzero(spare)
    if spare.sum() <= few:
        owner = np.repeat(owner, spare[owner])
        each = spare[np.flatnonzero(spare)]
        level = kept[owner] + np.arange(owner.size) - np.repeat(np.cumsum(each) - each, each)
        gain = first[owner] - c[owner] * level
        if count_M is None:
            best = _largest(comparable(gain), missing)
        else:
            best = np.argsort(-comparable(gain), kind="stable")
            best = best[: np.searchsorted(np.cumsum(number[owner[best]]), missing) + 1]
        owner, spare = owner[best], np.ones(c.size, np.int64)
        low = float(gain[best].min())
    share = spare[owner] * number[owner]
    taken = np.clip(missing - (np.cumsum(share) - share), 0, share)
    kept += np.bincount(owner, taken // number[owner], minlength=c.size).astype(np.int64)
    units_M[live] = kept
    more_M[live] = np.bincount(owner, taken % number[owner], minlength=c.size).astype(np.int64)
    return units_M, more_M, low


def _largest(value: FloatArray, count: int) -> IntArray:
    """Places of the ``count`` >= 1 largest values, in any order; of equal ones the earlier are taken."""
    threshold = np.partition(value, value.size - count)[value.size - count]
    above, tied = (value > threshold).nonzero()[0], (value == threshold).nonzero()[0]
    return np.concatenate([above, tied[: count - above.size]])


def solve_static_continuous(rate: npt.ArrayLike, problem: AllocationProblem) -> Optimum:
    """Water-filling, the optimum over real exposures: z_i = clip(log(c_i/xi)/c_i, 0, Z) (21).

    The logarithm of xi by Newton's method, which is exact on the last linear piece.

    Raises:
        InvalidValueError: bad rates, see ``checked_rates``.
    """
    c_M = utility.curvature(checked_rates(rate, problem), problem)
    most_M = np.full(problem.num_prompts, float(problem.horizon_exposure))
    return certified(c_M, *water_filling(c_M, most_M, float(problem.budget)), problem)


def water_filling(c_M: FloatArray, most_M: FloatArray, budget: float) -> tuple[FloatArray, float]:
    """z_i = clip(log(c_i/xi)/c_i, 0, most_i) with sum z = budget (21), and xi; all of ``most`` and 0 where it fits."""
    live = c_M > LEAST_CURVATURE
    exposure_M = np.where(live, most_M, 0.0)
    if exposure_M.sum() <= budget:
        return exposure_M, 0.0
    c, most = c_M[live], most_M[live]
    top = np.log(c / c.max())  # relative to the best, so that levels near it are resolved finely
    low, high, _ = water_level(top, 1.0 / c, most, budget)
    exposure, above = (np.clip((top - level) / c, 0.0, most) for level in (high, low))
    if low < high:  # neighbouring levels: what lies between gains the same to the last bit
        exposure += (above - exposure) * ((budget - exposure.sum()) / (above - exposure).sum())
    exposure_M[live] = exposure * min(1.0, budget / exposure.sum())
    return exposure_M, float(c.max() * np.exp(high))


def water_level(top: FloatArray, width: FloatArray, cap: FloatArray, budget: float) -> tuple[float, float, float]:
    """The level t at which sum_i clip((top_i - t) * width_i, 0, cap_i) meets the budget.

    The sum is piecewise linear and falls with t. Newton's method ends on the exact piece; where rounding keeps it
    from meeting the budget, bisection ends on two neighbouring numbers.

    Returns:
        (low, high, slope): the sum is >= budget at low and <= budget at high, slope is the sum's fall a unit of t.
    """
    low, high = float(np.nextafter((top - cap / width).min(), -np.inf)), float(top.max())
    level, slope = 0.5 * (low + high), 0.0
    for step in range(1000):
        filled = np.minimum(np.maximum((top - level) * width, 0.0), cap)
        slope = float(width @ ((filled > 0.0) & (filled < cap)))
        excess = float(filled.sum()) - budget
        if abs(excess) <= 1e-13 * budget:
            return level, level, slope
        low, high = (level, high) if excess > 0 else (low, level)
        level = level + excess / slope if slope > 0 and step < 40 else low
        if not low < level < high:
            level = 0.5 * (low + high)
            if not low < level < high:
                break
    return low, high, slope


def best_whole_units(c_M: FloatArray, price: float, most: float) -> FloatArray:
    """The whole z in 0..most with the largest U - price z, price > 0: every unit that gains at least its price."""
    live = c_M > LEAST_CURVATURE
    c = c_M[live]
    best_M = np.zeros(c_M.size)
    best_M[live] = np.clip(np.floor((np.log(-np.expm1(-c)) - np.log(price)) / c) + 1.0, 0.0, most)
    return best_M


def certified(c_M: FloatArray, exposure_M: npt.NDArray[Any], multiplier: float, problem: AllocationProblem) -> Optimum:
    """Attach the dual value at ``multiplier``: xi*B + sum_i max over 0 <= z <= Z of U_i(z) - xi*z."""
    value = float(utility.value(c_M, exposure_M).sum())
    most = problem.horizon_exposure
    if exposure_M.dtype.kind == "i" and multiplier > 0:
        best_M = best_whole_units(c_M, multiplier, most)
    else:
        best_M = utility.supporting_exposure(multiplier, c_M, most)
    bound = multiplier * problem.budget + float((utility.value(c_M, best_M) - multiplier * best_M).sum())
    if abs(bound - value) <= 1e-12 * value:
        bound = value  # closed but for rounding
    return Optimum(exposure_M, value, multiplier, bound)
