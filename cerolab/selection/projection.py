"""Euclidean projections onto the dual box and the round polytope: what the fast steps are checked against."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cerolab.errors import InvalidValueError
from cerolab.types import FloatArray


def project_box(x: npt.ArrayLike, low: float = 0.0, high: float = 1.0) -> FloatArray:
    """Euclidean projection onto [low, high]^M; the dual step (10) projects so, fused into its pass.

    Raises:
        InvalidValueError: low > high.
    """
    if low > high:
        raise InvalidValueError("low", low, f"is above high={high!r}", "swap them")
    return np.clip(np.asarray(x, dtype=np.float64), low, high)


def project_capped_simplex(x: npt.ArrayLike, capacity: float, max_units: float) -> FloatArray:
    """Euclidean projection of x [M] onto P_C = {n in [0, max_units]^M : sum n <= capacity}.

    Exact: with sum clip(x) > capacity the projection is clip(x - tau, 0, max_units), and the sum is piecewise linear
    in tau, so tau follows from the sorted break points. O(M log M).

    Raises:
        InvalidValueError: a negative capacity or max_units, or x not finite.
    """
    x = np.asarray(x, dtype=np.float64)
    for field, bound in (("capacity", capacity), ("max_units", max_units)):
        if not bound >= 0:
            raise InvalidValueError(field, bound, "is negative or nan", "give a number >= 0")
    if not np.isfinite(x).all():
        raise InvalidValueError("x", x[~np.isfinite(x)][0], "is not finite", "project finite vectors only")
    max_units = min(max_units, capacity)  # no entry can be above it
    clipped = np.clip(x, 0.0, max_units)
    if clipped.sum() <= capacity:
        return clipped
    # sum_i clip(x_i - tau, 0, u) loses slope -1 for each i with x_i - u < tau < x_i.
    breaks = np.concatenate([x - max_units, x])
    order = np.argsort(breaks, kind="stable")
    breaks = breaks[order]
    active = np.cumsum(np.where(order < x.size, 1.0, -1.0))  # prompts strictly between 0 and the cap after a break
    drops = np.concatenate([[0.0], np.cumsum(active[:-1] * np.diff(breaks))])
    sums = max_units * x.size - drops  # the sum at each break point, decreasing
    at = int(np.searchsorted(-sums, -capacity, side="right")) - 1  # the last break whose sum is >= capacity
    slope = active[at]
    tau = breaks[at] + ((sums[at] - capacity) / slope if slope > 0 else 0.0)
    return np.clip(x - tau, 0.0, max_units)
