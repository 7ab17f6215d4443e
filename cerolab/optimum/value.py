"""What exposures are worth: at fixed rates, and along a path of rates (CERO, arXiv 2606.05606, sec. 2 and 5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cerolab import utility
from cerolab.problem import AllocationProblem


def static_value(rate: npt.ArrayLike, exposure: npt.ArrayLike, problem: AllocationProblem) -> float:
    """sum_i U(q_i, z_i) for rates [M] and exposures [M] in units."""
    return float(utility.value(utility.curvature(rate, problem), exposure).sum())


def path_value(rate_KM: npt.ArrayLike, units_KM: npt.ArrayLike, problem: AllocationProblem) -> float:
    """Value of a plan [K, M] along a path of rates [K, M]: sum of U(q_ik, z_ik) - U(q_ik, z_i,k-1)."""
    curvature_KM = utility.curvature(rate_KM, problem)
    units_KM = np.asarray(units_KM, np.float64)
    exposure_KM = np.cumsum(units_KM, axis=0)
    before_KM = exposure_KM - units_KM
    return float((utility.value(curvature_KM, exposure_KM) - utility.value(curvature_KM, before_KM)).sum())


def path_variation(rate_KM: npt.ArrayLike) -> float:
    """V_K = sum_k max_i |q_i,k+1 - q_ik| of a path of rates [K, M]."""
    return float(np.abs(np.diff(np.asarray(rate_KM, np.float64), axis=0)).max(axis=1, initial=0.0).sum())
