"""Utility of cumulative exposure and its restricted concave conjugate.

Source: CERO (arXiv 2606.05606), sec. 2.2-2.3 and app. C.1. With the curvature c = 4*lambda*q/R of a prompt,
U(q, z) = 1 - exp(-c*z). Everything is element-wise, broadcasts, and stays finite for any 0 <= c, z, theta.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import xlogy

from cerolab.problem import AllocationProblem
from cerolab.types import FloatArray


def curvature(rate: npt.ArrayLike, problem: AllocationProblem) -> FloatArray:
    """c = 4*lambda*q/R for reward variances q in [0, 1/4]; 0 <= c <= cbar (3)."""
    return np.asarray(rate, dtype=np.float64) * (4.0 * problem.max_slope)


def value(curvature: npt.ArrayLike, exposure: npt.ArrayLike) -> FloatArray:
    """U = 1 - exp(-c*z) in [0, 1] (3); exposure z in units."""
    return -np.expm1(-np.asarray(curvature, dtype=np.float64) * np.asarray(exposure, dtype=np.float64))


def marginal(curvature: npt.ArrayLike, exposure: npt.ArrayLike) -> FloatArray:
    """dU/dz = c*exp(-c*z), per unit (3)."""
    curvature = np.asarray(curvature, dtype=np.float64)
    return curvature * np.exp(-curvature * np.asarray(exposure, dtype=np.float64))


def supporting_exposure(slope: npt.ArrayLike, curvature: npt.ArrayLike, horizon_exposure: float) -> FloatArray:
    """z*(theta; c), the exposure in [0, Z] at which the utility has slope theta (9).

    0 where c = 0 or theta >= c; Z where theta <= c*exp(-c*Z); log(c/theta)/c between. The three cases are one
    clipped expression, because log(c/theta)/c >= Z is the same as theta <= c*exp(-c*Z).
    """
    slope, curvature = np.broadcast_arrays(np.asarray(slope, np.float64), np.asarray(curvature, np.float64))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        exposure = (np.log(curvature) - np.log(slope)) / curvature  # inf where slope = 0 < c, nan where c = 0
    exposure = np.clip(exposure, 0.0, float(horizon_exposure))
    return np.where(slope < curvature, exposure, 0.0)  # takes c = 0 with it


def conjugate(slope: npt.ArrayLike, curvature: npt.ArrayLike, horizon_exposure: float) -> FloatArray:
    """U*(theta) = min over 0 <= s <= Z of theta*s - U(s), always <= 0 (14)."""
    slope, curvature = np.broadcast_arrays(np.asarray(slope, np.float64), np.asarray(curvature, np.float64))
    inner = slope < curvature
    # The tail theta*Z - 1 + exp(-c*Z); it is also the limit of the middle case, so its use near the border is exact.
    tail = slope * horizon_exposure + np.expm1(-curvature * horizon_exposure)
    in_tail = slope <= curvature * np.exp(-curvature * horizon_exposure)
    ratio = np.divide(slope, curvature, out=np.ones(slope.shape), where=inner)
    middle = ratio - 1.0 - xlogy(ratio, ratio)  # (theta/c) log(c/theta) + theta/c - 1
    return np.where(inner, np.where(in_tail, tail, np.minimum(middle, 0.0)), 0.0)
