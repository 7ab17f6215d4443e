"""Regret against the offline optimum, and the bounds that theory puts on it.

Source: CERO (arXiv 2606.05606), sec. 5. The bounds hold path by path, for any realised feedback.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cerolab import optimum, utility
from cerolab.optimum.value import path_value, path_variation, static_value
from cerolab.problem import AllocationProblem
from cerolab.types import FloatArray

__all__ = [
    "RegretBound",
    "dynamic_bound",
    "fenchel_upper_bound",
    "path_value",
    "path_variation",
    "same_path_regret",
    "static_bound",
    "static_regret",
    "static_value",
]


def static_regret(rate: npt.ArrayLike, exposure: npt.ArrayLike, problem: AllocationProblem) -> float:
    """OPT - sum_i U(q_i, z_i,K) for fixed rates q [M] and terminal exposures [M]; OPT over integers, exact."""
    best = optimum.solve_static(rate, problem)
    return best.value - static_value(rate, exposure, problem)


def same_path_regret(rate_KM: npt.ArrayLike, units_KM: npt.ArrayLike, problem: AllocationProblem) -> float:
    """OPT_dyn minus the value of a plan [K, M] along a path of rates [K, M]; exact, so small instances only."""
    return optimum.solve_dynamic(rate_KM, problem).value - path_value(rate_KM, units_KM, problem)


@dataclass(frozen=True, slots=True)
class RegretBound:
    """A bound on regret per prompt, term by term.

    Attributes:
        optimisation: lambda (N_max + G_B/M) / Nbar / sqrt(K), the price of learning the duals online.
        estimation: 8 lambda (N_max/Nbar) e, the price of not knowing the rates.
        variation: 4 lambda (1 + N_max/Nbar) V_K, the price of rates that move; 0 for fixed rates.
        ceiling: what regret per prompt can never exceed; the bound is vacuous where the terms sum to more.
    """

    optimisation: float
    estimation: float
    variation: float
    ceiling: float

    @property
    def total(self) -> float:
        """The bound: the sum of the terms, or the ceiling."""
        return min(self.ceiling, self.optimisation + self.estimation + self.variation)

    @property
    def vacuous(self) -> bool:
        """Whether the terms say no more than the ceiling."""
        return self.optimisation + self.estimation + self.variation >= self.ceiling


def static_bound(problem: AllocationProblem, estimation_error: float) -> RegretBound:
    """Theorem 1 (11). ``estimation_error`` is e_stat, the mean over i and k of |qhat_i,k+1 - q_i|."""
    return _bound(problem, estimation_error, 0.0, 1.0)


def dynamic_bound(problem: AllocationProblem, estimation_error: float, variation: float) -> RegretBound:
    """Theorem 2 (12). e_dyn is the mean of |qhat_i,k+1 - q_ik|, ``variation`` is V_K."""
    return _bound(problem, estimation_error, variation, problem.saturation)


def _bound(problem: AllocationProblem, error: float, variation: float, ceiling: float) -> RegretBound:
    lam, ratio = problem.saturation, problem.max_units / problem.mean_units
    width = problem.max_units + problem.price_scale / problem.num_prompts
    return RegretBound(
        optimisation=lam * width / problem.mean_units / math.sqrt(problem.num_rounds),
        estimation=8.0 * lam * ratio * error,
        variation=4.0 * lam * (1.0 + ratio) * variation,
        ceiling=ceiling,
    )


def fenchel_upper_bound(rate: npt.ArrayLike, slope: npt.ArrayLike, price: float, problem: AllocationProblem) -> float:
    """K * L(theta, mu) >= OPT for any slopes theta [M] in [0, cbar] and price mu >= 0 (weak duality, sec. 2.3).

    L = Bbar*mu + max over n in P_C of sum (theta_i - mu) n_i - (1/K) sum U*_i(theta_i).
    """
    slope_M: FloatArray = np.asarray(slope, np.float64)
    margin = np.sort(np.maximum(slope_M - price, 0.0))[::-1]
    full, rest = divmod(problem.capacity, problem.max_units)
    best = problem.max_units * margin[:full].sum() + rest * margin[full : full + 1].sum()
    conjugates = utility.conjugate(slope_M, utility.curvature(rate, problem), problem.horizon_exposure).sum()
    return float(problem.num_rounds * (problem.mean_spend * price + best) - conjugates)
