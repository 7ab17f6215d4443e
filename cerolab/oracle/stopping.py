"""What rollouts are worth to a learner: optimal stopping of one prompt at a price, and the bound that follows.

A learner does not know a prompt's success rate p, only that it was drawn from a prior. At a price xi a unit it goes
on while a further unit, with all that may be learned from it, is worth more than xi. By weak duality the best that
*any* policy can do with the budget, however it moves rollouts between prompts, is at most V(xi) + xi R a prompt, for
every xi: V is the value of the stopping problem, R = B/M. The distance to the full-information optimum is regret that
no allocator can avoid, the cost of not knowing the rates.

Utility is CERO's (arXiv 2606.05606, eq. 3); the argument is the Lagrangian relaxation of a weakly coupled decision
process (Whittle 1988). It holds on average over pools drawn from the prior, and ignores the caps of a single round,
so it is a bound for them too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from cerolab import utility
from cerolab.allocation import BoolArray, FloatArray
from cerolab.checks import whole_number
from cerolab.errors import InvalidValueError
from cerolab.problem import AllocationProblem


@dataclass(frozen=True, slots=True)
class StoppingPlan:
    """The optimal stopping of one prompt at a price.

    Attributes:
        value: expected utility minus the price of all units, before the first one.
        go_on: bool [depth, g * (depth - 1) + 1]: whether a further unit is worth its price after u units, S of whose
            g u responses succeeded; False where S > g u.
    """

    value: float
    go_on: BoolArray


@dataclass(frozen=True, slots=True)
class LearnerBound:
    """What not knowing the rates costs at least, on average over pools drawn from a prior.

    Attributes:
        optimum: the largest expected utility a prompt with known rates.
        value: an upper bound on it for every policy that has to learn them.
        price: the price at which that bound is tightest, per unit.
    """

    optimum: float
    value: float
    price: float

    @property
    def regret(self) -> float:
        """A lower bound on every policy's expected regret per prompt."""
        return max(0.0, self.optimum - self.value)


def solve_stopping(
    success: npt.ArrayLike,
    weight: npt.ArrayLike,
    price: float,
    problem: AllocationProblem,
    depth: int = 64,
    most_units: float | None = None,
) -> StoppingPlan:
    """Backward induction over the outcomes of the first ``depth`` units.

    After ``depth`` units the rate counts as known, which can only raise the value: the bound stays one.

    Args:
        success, weight: nodes [N] of the prior of p, and their probabilities.
        price: xi >= 0, utility a unit.
        problem: for g, the utility and its largest exposure.
        depth: units >= 1 that are looked through.
        most_units: a prompt's largest exposure; None is the problem's Z.

    Raises:
        InvalidValueError: nodes or weights that are no distribution on [0, 1], a negative price, a depth below 1.
    """
    p_N, weight_N = _checked_prior(success, weight, problem)
    if not price >= 0:
        raise InvalidValueError("price", price, "is negative or nan", "give the utility that a unit must bring")
    whole_number("depth", depth, 1)
    g = problem.responses_per_unit
    most = problem.horizon_exposure if most_units is None else float(most_units)
    depth = max(1, min(depth, int(most)))
    curvature_N = utility.curvature(p_N * (1.0 - p_N), problem)
    best_N = utility.supporting_exposure(price, curvature_N, most)  # with a known rate
    outcome_SN = np.asarray(stats.binom.pmf(np.arange(g + 1)[:, None], g, p_N))
    end_N = np.maximum(best_N, depth)
    value_S = _posterior(g * depth, p_N, weight_N) @ (utility.value(curvature_N, end_N) - price * end_N)
    go_on = np.zeros((depth, g * (depth - 1) + 1), np.bool_)
    for u in range(depth - 1, -1, -1):
        posterior_SN = _posterior(g * u, p_N, weight_N)
        stop_S = posterior_SN @ utility.value(curvature_N, u) - price * u
        chance_So = posterior_SN @ outcome_SN.T
        reached = np.arange(g * u + 1)[:, None] + np.arange(g + 1)
        on_S = (chance_So * value_S[reached]).sum(axis=1)
        go_on[u, : g * u + 1] = on_S > stop_S
        value_S = np.maximum(stop_S, on_S)
    return StoppingPlan(float(value_S[0]), go_on)


def learner_bound(
    success: npt.ArrayLike, weight: npt.ArrayLike, problem: AllocationProblem, depth: int = 64
) -> LearnerBound:
    """The least regret that learning costs, see the module.

    Args:
        success, weight: nodes [N] of the prior of p, and their probabilities; quantiles of a smooth one.
        problem: its M enters by R = B/M only.
        depth: units that are looked through; more is tighter and slower.

    Raises:
        InvalidValueError: see ``solve_stopping``.
    """
    p_N, weight_N = _checked_prior(success, weight, problem)
    curvature_N = utility.curvature(p_N * (1.0 - p_N), problem)
    share, most = problem.exposure_scale, problem.horizon_exposure

    def known(log_price: float) -> float:
        price = float(np.exp(log_price))
        best_N = utility.supporting_exposure(price, curvature_N, most)
        return float(weight_N @ (utility.value(curvature_N, best_N) - price * best_N)) + price * share

    def learned(log_price: float) -> float:
        price = float(np.exp(log_price))
        return solve_stopping(p_N, weight_N, price, problem, depth).value + price * share

    ends = (math.log(1e-6 * problem.max_slope), math.log(problem.max_slope))
    optimum = optimize.minimize_scalar(known, bounds=ends, method="bounded", options={"xatol": 1e-4})
    near = (max(ends[0], float(optimum.x) - 0.5), min(ends[1], float(optimum.x) + 0.5))
    best = optimize.minimize_scalar(learned, bounds=near, method="bounded", options={"xatol": 1e-3})
    return LearnerBound(float(optimum.fun), min(float(best.fun), float(optimum.fun)), float(np.exp(best.x)))


def _posterior(num_responses: int, p_N: FloatArray, weight_N: FloatArray) -> FloatArray:
    """Probabilities of the nodes after S = 0..n successes of n responses [n + 1, N]."""
    successes = np.arange(num_responses + 1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_p, log_1p, log_weight = np.log(p_N), np.log1p(-p_N), np.log(weight_N)
        # 0 * log 0 is 0: no success seen says nothing against p = 0.
        evidence = np.where(successes > 0, successes * log_p, 0.0)
        evidence = evidence + np.where(num_responses > successes, (num_responses - successes) * log_1p, 0.0)
    evidence = evidence + log_weight
    top = evidence.max(axis=1, keepdims=True)
    found: FloatArray = np.exp(evidence - np.where(np.isfinite(top), top, 0.0))
    total = found.sum(axis=1, keepdims=True)
    # Outcomes that the prior rules out are never reached; any distribution will do.
    return np.where(total > 0, found / np.where(total > 0, total, 1.0), weight_N)


def _checked_prior(
    success: npt.ArrayLike, weight: npt.ArrayLike, problem: AllocationProblem
) -> tuple[FloatArray, FloatArray]:
    p_N, weight_N = np.asarray(success, np.float64), np.asarray(weight, np.float64)
    if p_N.ndim != 1 or p_N.shape != weight_N.shape or not p_N.size:
        raise InvalidValueError("success", p_N.shape, "does not match weight", "give nodes [N] and weights [N]")
    if not ((p_N >= 0) & (p_N <= 1)).all():
        raise InvalidValueError("success", p_N.tolist()[:5], "leaves [0, 1]", "give success rates")
    if not (weight_N >= 0).all() or not 0 < weight_N.sum() < np.inf:
        raise InvalidValueError("weight", weight_N.tolist()[:5], "is no distribution", "give probabilities")
    return p_N, weight_N / weight_N.sum()
