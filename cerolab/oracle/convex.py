"""The static optimum by a general convex solver (cvxpy): slow, and independent of the closed forms it checks."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from cerolab import utility
from cerolab.allocation import FloatArray
from cerolab.oracle.static import Optimum, certified, checked_rates
from cerolab.problem import AllocationProblem


def solve_static_cvxpy(rate: npt.ArrayLike, problem: AllocationProblem, integer: bool = False) -> Optimum:
    """The static optimum by a general solver; a check of the closed forms, and what they are timed against.

    Args:
        rate: reward variances q [M].
        problem: sizes.
        integer: solve (22) over whole units, as a linear programme with one variable for each of the M * Z marginal
            gains (they fall, so its solution takes them in order); else the continuous problem (21).

    Raises:
        InvalidValueError: bad rates.
        ImportError: cvxpy is missing.
    """
    c_M = utility.curvature(checked_rates(rate, problem), problem)
    return _linear(c_M, problem) if integer else _exponential(c_M, problem)


def _exponential(c_M: FloatArray, problem: AllocationProblem) -> Optimum:
    cp: Any = importlib.import_module("cvxpy")  # imported late, and untyped
    scale = problem.exposure_scale  # solve in multiples of the equal share: well conditioned
    share = cp.Variable(problem.num_prompts, nonneg=True)
    budget_row = cp.sum(share) <= problem.num_prompts
    programme = cp.Problem(
        cp.Maximize(cp.sum(1 - cp.exp(-cp.multiply(c_M * scale, share)))),
        [share <= problem.horizon_exposure / scale, budget_row],
    )
    programme.solve(solver=cp.CLARABEL)
    exposure_M = np.clip(np.asarray(share.value) * scale, 0.0, problem.horizon_exposure)
    exposure_M *= min(1.0, problem.budget / max(exposure_M.sum(), 1e-300))
    return certified(c_M, exposure_M, max(float(budget_row.dual_value), 0.0) / scale, problem)


def _linear(c_M: FloatArray, problem: AllocationProblem) -> Optimum:
    cp: Any = importlib.import_module("cvxpy")
    levels = np.arange(problem.horizon_exposure)
    gain_MZ = -np.expm1(-c_M)[:, None] * np.exp(-c_M[:, None] * levels)
    taken = cp.Variable(gain_MZ.size, bounds=[0, 1])
    budget_row = cp.sum(taken) <= problem.budget
    cp.Problem(cp.Maximize(gain_MZ.ravel() @ taken), [budget_row]).solve(solver=cp.HIGHS)
    exposure_M = np.rint(np.asarray(taken.value).reshape(gain_MZ.shape).sum(axis=1)).astype(np.int64)
    return certified(c_M, exposure_M, max(float(budget_row.dual_value), 0.0), problem)
