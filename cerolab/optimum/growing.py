"""The exact optimum for fixed rates in a pool that grows: a prompt can have units only once it is there.

A terminal exposure z can be executed if and only if for the beginning a of the horizon, and of every round in which
prompts arrive, what must be done from then on fits the rounds that are left (Hall's condition, max-flow min-cut):

    F_a(z) = sum_i max(0, z_i - N_max max(0, a - a_i)) <= C (K - a),   z_i <= N_max (K - a_i),   sum z <= B,

a_i the round of arrival. Prompts that were there before a count with what they could not have had by then, so the sums
of late prompts alone are not enough. Such exposures form a polymatroid, on which taking the largest marginal gain that
still fits is optimal for concave utilities (Federgruen and Groenevelt 1986). With everybody there from the start it is
``solve_static``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cerolab import utility
from cerolab.errors import InvalidValueError
from cerolab.optimum.static import LEAST_CURVATURE, Optimum, checked_rates, largest_gains
from cerolab.problem import AllocationProblem
from cerolab.types import FloatArray, IntArray


def solve_growing(rate: npt.ArrayLike, arrival: npt.ArrayLike, problem: AllocationProblem) -> Optimum:
    """The exact integer optimum for fixed rates q [M], with R = B/M of the final pool.

    Greedy in strides: as many of the largest gains as fit are taken at once; what then is full is closed. Cost about
    20 times that of ``solve_static`` for each round of arrivals.

    Args:
        rate: q [M].
        arrival: the round at whose beginning each prompt is there [M], from 0.
        problem: of the final pool.

    Raises:
        InvalidValueError: bad rates, or arrivals that are no rounds of the horizon.
    """
    c_M = utility.curvature(checked_rates(rate, problem), problem)
    arrival_M = checked_arrivals(arrival, problem)
    starts = np.unique(np.append(arrival_M, 0))
    free_AM = problem.max_units * np.maximum(0, starts[:, None] - arrival_M)  # units before a: F_a leaves them out
    most_A = problem.capacity * (problem.num_rounds - starts)

    def left_A(exposure_M: IntArray) -> IntArray:
        """C (K - a) - F_a(z): below 0 it does not fit, at 0 it is full."""
        return most_A - np.maximum(0, exposure_M - free_AM).sum(axis=1)

    cap_M = problem.max_units * (problem.num_rounds - arrival_M)
    exposure_M, room_M = np.zeros_like(cap_M), cap_M
    price_of: dict[int, float] = {}  # gain of the last unit before an F_a was full
    budget, price = problem.budget, np.inf
    while budget:
        units_M, log_gain = np.zeros_like(cap_M), np.inf
        low, high = 0, budget + 1  # the largest count whose gains fit together; all of them are tried first
        while high - low > 1:
            count = budget if high > budget else (low + high) // 2
            further_M, log_low = largest_gains(c_M, exposure_M, room_M - exposure_M, count)
            if (left_A(exposure_M + further_M) >= 0).all():
                low, units_M, log_gain = count, further_M, log_low
            else:
                high = count
        exposure_M, budget, price = exposure_M + units_M, budget - low, min(price, float(np.exp(log_gain)))
        if units_M.sum() < low:  # nobody has room
            price = 0.0
            break
        for a in np.flatnonzero(left_A(exposure_M) == 0):
            price_of.setdefault(int(a), price)
            room_M = np.minimum(room_M, np.maximum(exposure_M, free_AM[a]))
    closed = sorted(price_of)
    edges_SM = np.vstack([np.zeros_like(cap_M), free_AM[closed], cap_M])  # a prompt's units, by what they cost
    price_S = np.maximum.accumulate([price, *(price_of[a] for a in closed)])
    limits = price * problem.budget + float(np.diff(price_S) @ most_A[closed])
    value = float(utility.value(c_M, exposure_M).sum())
    bound = limits + _priced_optimum(c_M, edges_SM, price_S)
    return Optimum(exposure_M, value, price, value if abs(bound - value) <= 1e-12 * value else bound)


def _priced_optimum(c_M: FloatArray, edges_SM: IntArray, price_S: FloatArray) -> float:
    """sum_i max over z of U_i(z) minus the price of its units, ``price_S[s]`` each between two edges; prices rise."""
    live = c_M > LEAST_CURVATURE
    c, edges_SM = c_M[live], edges_SM[:, live]
    units, paid = np.zeros(c.size), 0.0
    for low, high, price in zip(edges_SM[:-1], edges_SM[1:], price_S, strict=True):
        with np.errstate(divide="ignore"):  # of a price of 0
            worth = np.floor((np.log(-np.expm1(-c)) - np.log(price)) / c) + 1.0  # units that gain at least the price
        bought = np.clip(worth, low, high) - low
        units += bought
        paid += price * float(bought.sum())
    return float(utility.value(c, units).sum()) - paid


def checked_arrivals(arrival: npt.ArrayLike, problem: AllocationProblem) -> IntArray:
    """Rounds of arrival as int64 [M].

    Raises:
        InvalidValueError: wrong shape, no whole numbers, or outside 0..K-1.
    """
    arrival_M = np.asarray(arrival)
    if arrival_M.shape != (problem.num_prompts,) or arrival_M.dtype.kind not in "iu":
        found = f"{arrival_M.dtype}{list(arrival_M.shape)}"
        raise InvalidValueError("arrival", found, "is no round a prompt", f"give int64 [{problem.num_prompts}]")
    if arrival_M.min() < 0 or arrival_M.max() >= problem.num_rounds:
        raise InvalidValueError(
            "arrival",
            [int(arrival_M.min()), int(arrival_M.max())],
            f"leaves the horizon of {problem.num_rounds} rounds",
            f"give rounds in 0..{problem.num_rounds - 1}",
        )
    return arrival_M.astype(np.int64)
