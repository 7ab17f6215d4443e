"""The static optimum by a general convex solver (cvxpy): slow, and independent of the closed forms it checks."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from cerolab import utility
from cerolab.oracle.static import Optimum, certified, checked_rates
from cerolab.problem import AllocationProblem


def solve_static_cvxpy(rate: npt.ArrayLike, problem: AllocationProblem) -> Optimum:
    """The continuous optimum by a general convex solver; slow, a check of ``solve_static_continuous``.

    Raises:
        InvalidValueError: bad rates.
        ImportError: cvxpy is missing.
    """
    cp: Any = importlib.import_module("cvxpy")  # imported late, and untyped

    c_M = utility.curvature(checked_rates(rate, problem), problem)
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
