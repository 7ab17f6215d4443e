"""The static optimum by a general convex solver (cvxpy): slow, and independent of the closed forms it checks."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from cerolab import utility
from cerolab.errors import SolverError
from cerolab.optimum.static import Optimum, certified, checked_rates
from cerolab.problem import AllocationProblem
from cerolab.types import FloatArray

# CLARABEL, cvxpy's own choice, gives up on half of the pools drawn from Beta(1, 1), and calls optimal what is 1 % off
# on pools of five prompts; SCS finds the closed form's value to 1e-9.
CONTINUOUS = "SCS"
LINEAR = "HIGHS"
_TOLERANCE = 1e-9
_MOST_STEPS = 100_000
_LEAST_WORTH = 1e-9  # prompts whose equal share is worth less are left out: no solver tells them from nothing


@dataclass(frozen=True, eq=False, slots=True)
class SolvedOptimum(Optimum):
    """An optimum that a general solver found.

    Attributes:
        solver: its name in cvxpy.
        status: its last word, always "optimal".
    """

    solver: str
    status: str


def solve_static_cvxpy(rate: npt.ArrayLike, problem: AllocationProblem, integer: bool = False) -> SolvedOptimum:
    """The static optimum by a general solver; a check of the closed forms, and what they are timed against.

    Args:
        rate: reward variances q [M].
        problem: sizes.
        integer: solve (22) over whole units, as a linear programme with one variable for each of the M * Z marginal
            gains (they fall, so its solution takes them in order); else the continuous problem (21).

    Raises:
        InvalidValueError: bad rates.
        SolverError: the solver failed or stopped before it was sure; no other is tried in its place.
        ImportError: cvxpy is missing.
    """
    c_M = utility.curvature(checked_rates(rate, problem), problem)
    found = _linear(c_M, problem) if integer else _exponential(c_M, problem)
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    return SolvedOptimum(**values, solver=LINEAR if integer else CONTINUOUS, status="optimal")


def run_solver(programme: Any, solver: str, **options: Any) -> None:
    """Solve a cvxpy programme.

    Raises:
        SolverError: it ended otherwise than with an optimum, "optimal_inaccurate" included.
    """
    cp: Any = importlib.import_module("cvxpy")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a solution may be inaccurate is said by the status
            programme.solve(solver=solver, **options)
    except cp.SolverError as error:
        raise SolverError(solver, f"failed ({str(error).splitlines()[0]})") from error
    if programme.status != cp.OPTIMAL:
        raise SolverError(solver, str(programme.status))


def _exponential(c_M: FloatArray, problem: AllocationProblem) -> Optimum:
    cp: Any = importlib.import_module("cvxpy")  # imported late, and untyped
    scale = problem.exposure_scale  # solve in multiples of the equal share: well conditioned
    live = np.flatnonzero(c_M * scale > _LEAST_WORTH)
    exposure_M, price = np.zeros(c_M.size), 0.0
    if live.size:
        share = cp.Variable(live.size, nonneg=True)
        budget_row = cp.sum(share) <= problem.num_prompts
        lost = cp.sum(cp.exp(-cp.multiply(c_M[live] * scale, share)))
        programme = cp.Problem(cp.Minimize(lost), [share <= problem.horizon_exposure / scale, budget_row])
        run_solver(programme, CONTINUOUS, eps=_TOLERANCE, max_iters=_MOST_STEPS)
        exposure_M[live] = np.clip(np.asarray(share.value) * scale, 0.0, problem.horizon_exposure)
        exposure_M *= min(1.0, problem.budget / max(exposure_M.sum(), 1e-300))
        price = max(float(budget_row.dual_value), 0.0) / scale
    return certified(c_M, exposure_M, price, problem)


def _linear(c_M: FloatArray, problem: AllocationProblem) -> Optimum:
    cp: Any = importlib.import_module("cvxpy")
    levels = np.arange(problem.horizon_exposure)
    gain_MZ = -np.expm1(-c_M)[:, None] * np.exp(-c_M[:, None] * levels)
    taken = cp.Variable(gain_MZ.size, bounds=[0, 1])
    budget_row = cp.sum(taken) <= problem.budget
    run_solver(cp.Problem(cp.Maximize(gain_MZ.ravel() @ taken), [budget_row]), LINEAR)
    exposure_M = np.rint(np.asarray(taken.value).reshape(gain_MZ.shape).sum(axis=1)).astype(np.int64)
    return certified(c_M, exposure_M, max(float(budget_row.dual_value), 0.0), problem)
