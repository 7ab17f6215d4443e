"""Exact full-information optima of problem (1) for fixed rates, each with a certificate.

Source: CERO (arXiv 2606.05606), app. C.2. With fixed rates the value depends on terminal exposures alone, so the
optimum is water-filling (21) and over integers the B largest marginal gains (22).
Rates that move along a given path need the time-expanded programme in ``cerolab.oracle.dynamic``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cerolab import utility
from cerolab.allocation import FloatArray, IntArray
from cerolab.errors import InvalidValueError
from cerolab.problem import AllocationProblem

_MOST_CANDIDATES = 1 << 18  # units that the repair step may sort


@dataclass(frozen=True, eq=False, slots=True)
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

    @property
    def gap(self) -> float:
        """Duality gap, upper_bound - value; rounding aside never negative, and a proof of optimality to this much."""
        return self.upper_bound - self.value


def checked_rates(rate: npt.ArrayLike, problem: AllocationProblem) -> FloatArray:
    """Reward variances q as float64 [M].

    Raises:
        InvalidValueError: wrong shape, not finite, or outside [0, 1/4].
    """
    rate_M = np.asarray(rate, dtype=np.float64)
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

    Cost O(M) a bisection step, about 30 steps, instead of B heap operations.

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
    gain is bisected until few candidates are left between its ends; those are sorted out exactly.

    Args:
        c_M: curvatures [M]; prompts with c = 0 get nothing.
        start_M: units that each prompt already has.
        most: further units that a prompt may get, one number or [M].
        budget: units to lay out.

    Returns:
        (units int64 [M], log of the threshold gain; -inf where the budget does not bind).
    """
    units_M = np.zeros(c_M.size, np.int64)
    live = np.flatnonzero(c_M > 0)
    if live.size == 0:
        return units_M, -np.inf
    c = c_M[live]
    cap = np.broadcast_to(np.asarray(most, np.float64), c_M.shape)[live]
    first = np.log(-np.expm1(-c)) - c * start_M[live]  # log gain of the next unit
    if cap.sum() <= budget:
        units_M[live] = cap.astype(np.int64)
        return units_M, -np.inf

    def count(log_threshold: float) -> FloatArray:
        steps = first - log_threshold
        steps /= c
        np.floor(steps, out=steps)
        steps += 1.0
        return np.clip(steps, 0.0, cap, out=steps)

    low = float((first - c * np.maximum(cap - 1, 0)).min()) - 1.0  # every unit gains more than this
    high = float(first.max()) + 1.0  # no unit does
    at_low, at_high = cap, np.zeros(c.size)
    while at_low.sum() - at_high.sum() > _MOST_CANDIDATES:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break  # the gains left over are equal to the last bit
        counts = count(middle)
        if counts.sum() >= budget:
            low, at_low = middle, counts
        else:
            high, at_high = middle, counts
    kept, spare = at_high.astype(np.int64), (at_low - at_high).astype(np.int64)
    missing = budget - int(kept.sum())
    owner = np.flatnonzero(spare)
    if spare.sum() <= _MOST_CANDIDATES:
        unit_owner = np.repeat(owner, spare[owner])
        level = kept[unit_owner] + np.arange(unit_owner.size) - np.repeat(np.cumsum(spare[owner]), spare[owner])
        level += spare[unit_owner]
        gain = first[unit_owner] - c[unit_owner] * level
        best = np.argpartition(-gain, missing - 1)[:missing]
        kept += np.bincount(unit_owner[best], minlength=c.size)
        low = float(gain[best].min())
    else:
        before = np.cumsum(spare[owner]) - spare[owner]
        kept[owner] += np.clip(missing - before, 0, spare[owner])
    units_M[live] = kept
    return units_M, low


def solve_static_continuous(rate: npt.ArrayLike, problem: AllocationProblem) -> Optimum:
    """Water-filling, the optimum over real exposures: z_i = clip(log(c_i/xi)/c_i, 0, Z) (21).

    xi by bisection on its logarithm, then exactly from the prompts strictly between 0 and Z.

    Raises:
        InvalidValueError: bad rates, see ``checked_rates``.
    """
    c_M = utility.curvature(checked_rates(rate, problem), problem)
    most, budget = float(problem.horizon_exposure), float(problem.budget)
    live = c_M > 0
    exposure_M = np.where(live, most, 0.0)
    if exposure_M.sum() <= budget:
        return certified(c_M, exposure_M, 0.0, problem)
    c = c_M[live]
    log_c = np.log(c)
    low, high = float((log_c - c * most).min()) - 1.0, float(log_c.max())
    while low < (middle := 0.5 * (low + high)) < high:
        filled = np.clip((log_c - middle) / c, 0.0, most).sum()
        low, high = (middle, high) if filled >= budget else (low, middle)
    exposure = np.clip((log_c - high) / c, 0.0, most)
    between = (exposure > 0) & (exposure < most)
    if between.any():  # the sum is linear in log xi here: one Newton step is exact
        high -= (budget - exposure.sum()) / (1.0 / c[between]).sum()
        exposure = np.clip((log_c - high) / c, 0.0, most)
    exposure *= min(1.0, budget / exposure.sum())
    exposure_M[live] = exposure
    return certified(c_M, exposure_M, float(np.exp(high)), problem)


def certified(c_M: FloatArray, exposure_M: npt.NDArray[Any], multiplier: float, problem: AllocationProblem) -> Optimum:
    """Attach the dual value at ``multiplier``: xi*B + sum_i max over 0 <= z <= Z of U_i(z) - xi*z."""
    value = float(utility.value(c_M, exposure_M).sum())
    most = problem.horizon_exposure
    if exposure_M.dtype.kind == "i" and multiplier > 0:
        # Integer z: take every unit that gains at least xi.
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = np.floor((np.log(-np.expm1(-c_M)) - np.log(multiplier)) / c_M) + 1.0
        best_M = np.where(c_M > 0, np.clip(np.nan_to_num(steps), 0.0, most), 0.0)
    else:
        best_M = utility.supporting_exposure(multiplier, c_M, most)
    bound = multiplier * problem.budget + float((utility.value(c_M, best_M) - multiplier * best_M).sum())
    return Optimum(exposure_M, value, multiplier, max(bound, value))
