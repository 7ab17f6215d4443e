"""What rollouts are worth to a learner: optimal stopping of one prompt at a price, and the bound that follows.

A learner does not know a prompt's success rate p, only that it was drawn from a prior. At a price xi a unit it goes
on while a further unit, with all that may be learned from it, is worth more than xi. By weak duality the best that
*any* policy can do with the budget, however it moves rollouts between prompts, is at most V(xi) + xi R a prompt, for
every xi: V is the value of the stopping problem, R = B/M. The distance to E[OPT_M]/M, the full-information optimum of
a pool of M prompts, is regret that no allocator can avoid, the cost of not knowing the rates.

Utility is CERO's (arXiv 2606.05606, eq. 3); the argument is the Lagrangian relaxation of a weakly coupled decision
process (Whittle 1988). It holds on average over pools whose prompts are drawn from the prior one by one, and ignores
the caps of a single round, so it is a bound for them too.

E[OPT_M] has no closed form: the dual at a price, whose mean is known, is above it by some 1/M. Where the nodes of the
prior make few pools all of them are solved; else pools are drawn, and what the dual of each is above its optimum is
taken off the mean dual (a control variate), with a standard error.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from cerolab import seeding, utility
from cerolab.checks import whole_number
from cerolab.errors import InvalidValueError
from cerolab.optimum.static import best_whole_units, optimum_by_kind
from cerolab.problem import AllocationProblem
from cerolab.types import BoolArray, FloatArray, IntArray

MARGIN = 3.0  # standard errors that ``LearnerBound.regret`` keeps off; it is a bound with 99 % at least
_POOLS = 1000  # that are drawn, or at most worked out one by one


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
        optimum: E[OPT_M]/M, the expected utility a prompt at the optimum with known rates; exact, or an estimate.
        error: standard error of ``optimum`` over the pools drawn; 0 where all pools were worked out.
        value: an upper bound on the expected utility a prompt of every policy that has to learn the rates; exact.
        price: the price at which that bound is tightest, per unit.
    """

    optimum: float
    error: float
    value: float
    price: float

    @property
    def regret(self) -> float:
        """A lower bound on every policy's expected regret per prompt.

        Certain where ``error`` is 0. Else ``optimum`` is taken three standard errors lower, which makes it a bound
        with 99 % at least: a normal mean would be below in 0.13 % of all draws, one as skewed as this in under 0.5 %.
        """
        return max(0.0, self.optimum - MARGIN * self.error - self.value)


@dataclass(frozen=True, eq=False, slots=True)
class StoppingProblem:
    """What a prompt may show, which does not depend on the price: after u units, by their successes S = 0..g u.

    Attributes:
        stop_U: for u < depth, expected utility of u units [g u + 1].
        chance_U: for u < depth, probability of 0..g successes in the next unit [g u + 1, g + 1].
        end_SN: posterior of the nodes after ``depth`` units.
        curvature_N: of the nodes.
        most: a prompt's largest exposure.
    """

    stop_U: list[FloatArray]
    chance_U: list[FloatArray]
    end_SN: FloatArray
    curvature_N: FloatArray
    most: float

    def plan(self, price: float) -> StoppingPlan:
        """Backward induction at a price xi >= 0, in utility a unit.

        Raises:
            InvalidValueError: a negative price.
        """
        if not price >= 0:
            raise InvalidValueError("price", price, "is negative or nan", "give the utility that a unit must bring")
        depth = len(self.stop_U)
        g = self.chance_U[0].shape[1] - 1
        best_N = utility.supporting_exposure(price, self.curvature_N, self.most)  # with a known rate
        end_N = np.maximum(best_N, depth)
        value_S = self.end_SN @ (utility.value(self.curvature_N, end_N) - price * end_N)
        go_on = np.zeros((depth, g * (depth - 1) + 1), np.bool_)
        for u in range(depth - 1, -1, -1):
            reached_So = np.lib.stride_tricks.sliding_window_view(value_S, g + 1)
            on_S, stop_S = (self.chance_U[u] * reached_So).sum(axis=1), self.stop_U[u] - price * u
            go_on[u, : g * u + 1] = on_S > stop_S
            value_S = np.maximum(stop_S, on_S)
        return StoppingPlan(float(value_S[0]), go_on)


def stopping_problem(
    success: npt.ArrayLike,
    weight: npt.ArrayLike,
    problem: AllocationProblem,
    depth: int = 64,
    most_units: float | None = None,
) -> StoppingProblem:
    """The outcomes of a prompt's first ``depth`` units, to be solved at many prices; see ``solve_stopping``."""
    p_N, weight_N = _checked_prior(success, weight)
    whole_number("depth", depth, 1)
    most = problem.horizon_exposure if most_units is None else float(most_units)
    g = problem.responses_per_unit
    depth = max(1, min(depth, int(most)))
    curvature_N = utility.curvature(p_N * (1.0 - p_N), problem)
    outcome_No = np.asarray(stats.binom.pmf(np.arange(g + 1), g, p_N[:, None]))
    stop_U, chance_U = [], []
    for u in range(depth):
        posterior_SN = _posterior(g * u, p_N, weight_N)
        stop_U.append(posterior_SN @ utility.value(curvature_N, u))
        chance_U.append(posterior_SN @ outcome_No)
    return StoppingProblem(stop_U, chance_U, _posterior(g * depth, p_N, weight_N), curvature_N, most)


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
    return stopping_problem(success, weight, problem, depth, most_units).plan(price)


def learner_bound(
    success: npt.ArrayLike, weight: npt.ArrayLike, problem: AllocationProblem, depth: int = 128
) -> LearnerBound:
    """The least regret that learning costs, see the module.

    Args:
        success, weight: nodes [N] of the prior of p, and their probabilities; quantiles of a smooth one.
        problem: the pool size M, the budget, g and the utility.
        depth: units that are looked through; more is tighter and slower.

    Raises:
        InvalidValueError: see ``solve_stopping``.
    """
    p_N, weight_N = _checked_prior(success, weight)
    curvature_N = utility.curvature(p_N * (1.0 - p_N), problem)
    share, most = problem.exposure_scale, problem.horizon_exposure
    stopping = stopping_problem(p_N, weight_N, problem, depth)

    def known(log_price: float) -> float:
        price = float(np.exp(log_price))
        best_N = utility.supporting_exposure(price, curvature_N, most)
        return float(weight_N @ (utility.value(curvature_N, best_N) - price * best_N)) + price * share

    def learned(log_price: float) -> float:
        price = float(np.exp(log_price))
        return stopping.plan(price).value + price * share

    ends = (math.log(1e-6 * problem.max_slope), math.log(problem.max_slope))
    dual = optimize.minimize_scalar(known, bounds=ends, method="bounded", options={"xatol": 1e-4})
    near = (max(ends[0], float(dual.x) - 0.5), min(ends[1], float(dual.x) + 0.5))
    best = optimize.minimize_scalar(learned, bounds=near, method="bounded", options={"xatol": 1e-3})
    optimum, error = _mean_optimum(curvature_N, weight_N, float(np.exp(dual.x)), problem)
    return LearnerBound(optimum, error, min(float(best.fun), float(dual.fun)), float(np.exp(best.x)))


def _mean_optimum(
    curvature_N: FloatArray, weight_N: FloatArray, price: float, problem: AllocationProblem
) -> tuple[float, float]:
    """(E[OPT_M]/M over pools drawn from the nodes, its standard error); ``price`` is where the dual is low."""
    num_prompts, share, most = problem.num_prompts, problem.exposure_scale, problem.horizon_exposure
    best_N = best_whole_units(curvature_N, price, most)
    worth_N = utility.value(curvature_N, best_N) - price * best_N

    def above_optimum(count_N: IntArray) -> float:
        """How far the dual at ``price`` is above the optimum of a pool with so many prompts of each node."""
        optimum = optimum_by_kind(curvature_N, count_N, most, problem.budget)
        return price * share + float(count_N @ worth_N - optimum) / num_prompts

    mean_dual = price * share + float(weight_N @ worth_N)
    if math.comb(num_prompts + weight_N.size - 1, weight_N.size - 1) <= _POOLS:
        pools = _all_pools(num_prompts, weight_N.size)
        chance = np.asarray(stats.multinomial.pmf(pools, num_prompts, weight_N))
        return mean_dual - float(chance @ [above_optimum(pool) for pool in pools]) / float(chance.sum()), 0.0
    draws = seeding.generator("pools of a prior", num_prompts).multinomial(num_prompts, weight_N, size=_POOLS)
    above = np.array([above_optimum(pool) for pool in draws])
    return mean_dual - float(above.mean()), float(above.std(ddof=1)) / math.sqrt(_POOLS)


def _all_pools(num_prompts: int, num_nodes: int) -> IntArray:
    """Every way to spread M prompts over N nodes, [ways, N]: where N - 1 bars may stand among M + N - 1 places."""
    places = num_prompts + num_nodes - 1
    edges = [(-1, *bars, places) for bars in itertools.combinations(range(places), num_nodes - 1)]
    return np.diff(edges, axis=1) - 1


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


def _checked_prior(success: npt.ArrayLike, weight: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    p_N, weight_N = np.asarray(success, np.float64), np.asarray(weight, np.float64)
    if p_N.ndim != 1 or p_N.shape != weight_N.shape or not p_N.size:
        raise InvalidValueError("success", p_N.shape, "does not match weight", "give nodes [N] and weights [N]")
    if not ((p_N >= 0) & (p_N <= 1)).all():
        raise InvalidValueError("success", p_N.tolist()[:5], "leaves [0, 1]", "give success rates")
    if not (weight_N >= 0).all() or not 0 < weight_N.sum() < np.inf:
        raise InvalidValueError("weight", weight_N.tolist()[:5], "is no distribution", "give probabilities")
    return p_N, weight_N / weight_N.sum()
