"""The same-path dynamic optimum: the best plan in hindsight when rates move along a known path.

The value of round k is U(q_ik, z_ik) - U(q_ik, z_i,k-1) (CERO, arXiv 2606.05606, sec. 5, theorem 2). Telescoped, a
prompt's value contains exp(-c' z) - exp(-c z) for successive curvatures c, c', which is *not* concave in z where the
rate rises (c' > c). So the programme is not convex in the exposures; it is linear in the time-expanded network whose
nodes are (round, exposure) and whose arcs are "n units in this round". Its relaxation bounds the optimum from above,
its integral solutions are the optimum.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cerolab import utility
from cerolab.errors import InvalidValueError
from cerolab.optimum.convex import LINEAR, run_solver
from cerolab.optimum.static import solve_static
from cerolab.problem import AllocationProblem
from cerolab.text import brief_fields
from cerolab.types import FloatArray, IntArray

_MOST_ARCS = 2_000_000
_ROUNDED = 1e-12  # utility that rounding errors may be worth


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class DynamicOptimum:
    """The best plan along a path of rates.

    Attributes:
        units: int64 [K, M], units of each prompt in each round.
        value: what the plan is worth along the path.
        upper_bound: value of the linear relaxation; no plan has more.
        solver, status: which solver of cvxpy found it, and its last word, always "optimal".
    """

    units: IntArray
    value: float
    upper_bound: float
    solver: str = LINEAR
    status: str = "optimal"

    def __repr__(self) -> str:
        return brief_fields(self)

    @property
    def gap(self) -> float:
        """upper_bound - value, >= 0 up to rounding: the price of integrality and of the solver's tolerance."""
        return self.upper_bound - self.value


def checked_path(rate_KM: npt.ArrayLike, problem: AllocationProblem) -> FloatArray:
    """A path of reward variances as float64 [K, M].

    Raises:
        InvalidValueError: wrong shape, not finite, or outside [0, 1/4].
    """
    path = np.asarray(rate_KM, np.float64)
    shape = (problem.num_rounds, problem.num_prompts)
    if path.shape != shape:
        raise InvalidValueError("q_path", list(path.shape), "has the wrong shape", f"give [K, M] = {list(shape)}")
    if not ((path >= 0) & (path <= 0.25)).all():
        raise InvalidValueError("q_path", "array", "has entries outside [0, 1/4]", "give q = p(1-p), finite")
    return path


def num_arcs(problem: AllocationProblem) -> int:
    """Arcs of the time-expanded network, what ``solve_dynamic`` costs: from each exposure, each number of units."""
    nodes = sum(k * problem.max_units + 1 for k in range(problem.num_rounds))
    return problem.num_prompts * nodes * (problem.max_units + 1)


def solve_dynamic(q_path: npt.ArrayLike, problem: AllocationProblem) -> DynamicOptimum:
    """OPT_dyn by cvxpy on small instances: an integer programme over the time-expanded network.

    Optimal to the tolerance of the solver (HiGHS, about 1e-7), without a gap left for branching.

    Args:
        q_path: reward variances [K, M], one row a round.
        problem: sizes; about M * K^2 * N_max^2 arcs, at most two million.

    Raises:
        InvalidValueError: a bad path, or an instance that is too large (use ``dynamic_upper_bound``).
        SolverError: the solver failed or stopped before it was sure.
        ImportError: cvxpy is missing.
    """
    from scipy import sparse

    cp: Any = importlib.import_module("cvxpy")  # imported late, and untyped

    path_KM = checked_path(q_path, problem)
    if num_arcs(problem) > _MOST_ARCS:
        raise InvalidValueError(
            "q_path",
            list(path_KM.shape),
            f"needs {num_arcs(problem)} arcs, above {_MOST_ARCS}",
            "use a smaller instance, or dynamic_upper_bound for a bound",
        )
    num_rounds, num_prompts, most = problem.num_rounds, problem.num_prompts, problem.max_units
    # Arcs of one prompt: in round k, from exposure z by n units. Legend: _E arcs of one prompt.
    k_E, z_E, n_E = (
        np.concatenate(parts)
        for parts in zip(
            *(
                (np.full((k * most + 1) * (most + 1), k), *np.divmod(np.arange((k * most + 1) * (most + 1)), most + 1))
                for k in range(num_rounds)
            ),
            strict=True,
        )
    )
    arcs = np.arange(k_E.size)
    curvature_ME = utility.curvature(path_KM.T[:, k_E], problem)
    gain_ME = utility.value(curvature_ME, z_E + n_E) - utility.value(curvature_ME, z_E)
    # Flow conservation: one unit of flow from (0, 0); what enters (k, z) leaves it; the last layer is free.
    first_node_K = np.cumsum([0] + [k * most + 1 for k in range(num_rounds)])
    tail = first_node_K[k_E] + z_E
    inner = k_E + 1 < num_rounds
    head = first_node_K[k_E[inner] + 1] + z_E[inner] + n_E[inner]
    num_nodes = int(first_node_K[-1])
    leaves = sparse.csr_matrix((np.ones(arcs.size), (tail, arcs)), shape=(num_nodes, arcs.size))
    enters = sparse.csr_matrix((np.ones(inner.sum()), (head, arcs[inner])), shape=(num_nodes, arcs.size))
    conserve = sparse.kron(sparse.eye(num_prompts), leaves - enters, format="csr")
    source = np.zeros(num_nodes)
    source[0] = 1.0
    per_round = sparse.csr_matrix((n_E.astype(float), (k_E, arcs)), shape=(num_rounds, arcs.size))
    per_round = sparse.hstack([per_round] * num_prompts, format="csr")

    def programme(flow: Any) -> Any:
        return cp.Problem(
            cp.Maximize(gain_ME.ravel() @ flow),
            [
                conserve @ flow == np.tile(source, num_prompts),
                per_round @ flow <= problem.capacity,
                cp.sum(per_round @ flow) <= problem.budget,
            ],
        )

    relaxed = cp.Variable(arcs.size * num_prompts, bounds=[0, 1])
    linear = programme(relaxed)
    run_solver(linear, LINEAR)
    flow = np.asarray(relaxed.value)
    if np.abs(flow - np.rint(flow)).max() > 1e-6:
        whole = cp.Variable(arcs.size * num_prompts, boolean=True)
        run_solver(programme(whole), LINEAR, mip_rel_gap=0.0)
        flow = np.asarray(whole.value)
    taken_ME = np.rint(flow).reshape(num_prompts, arcs.size) > 0.5
    units_KM = np.zeros((num_rounds, num_prompts), np.int64)
    prompt, arc = np.nonzero(taken_ME)
    units_KM[k_E[arc], prompt] = n_E[arc]
    return DynamicOptimum(units_KM, float(gain_ME[taken_ME].sum()), float(linear.value))


def dynamic_upper_bound(q_path: npt.ArrayLike, problem: AllocationProblem, num_steps: int = 40) -> float:
    """An upper bound on OPT_dyn for instances too large for ``solve_dynamic``, by Lagrangian duality.

    Prices nu for the budget and lambda_k for each round's capacity separate the prompts; each is then solved exactly
    by dynamic programming over (round, exposure). Every price gives a valid bound, subgradient steps towards a level
    below the best bound improve it, and the best of ``num_steps`` is returned. By Shapley-Folkman the bound is tight
    but for about K+1 prompts' worth of integrality. Cost M * K^2 * N_max^2 a step, vectorised over both.

    Args:
        q_path: reward variances [K, M].
    """
    path_KM = checked_path(q_path, problem)
    budget_price, round_price_K = solve_static(path_KM.mean(axis=0), problem).multiplier, np.zeros(problem.num_rounds)
    best, best_prices, level, stale = np.inf, (budget_price, round_price_K), np.inf, 0
    for _ in range(num_steps):
        inner, spend_K = _priced_optimum(path_KM, budget_price + round_price_K, problem)
        bound = inner + budget_price * problem.budget + problem.capacity * round_price_K.sum()
        level = min(level, 0.01 * bound)  # how far below the best bound the steps aim
        stale = 0 if bound < best - 0.1 * level else stale + 1
        if bound < best:
            best, best_prices = bound, (budget_price, round_price_K)
        if stale >= 5:
            level, stale = level / 2.0, 0
            budget_price, round_price_K = best_prices
        slack_budget, slack_K = problem.budget - spend_K.sum(), problem.capacity - spend_K
        norm = slack_budget**2 / problem.num_rounds + float(slack_K @ slack_K)
        if norm == 0.0:
            break  # the priced plan is feasible and spends all: the bound is the optimum
        step = (bound - best + level) / norm
        budget_price = max(0.0, budget_price - step * slack_budget / problem.num_rounds)
        round_price_K = np.maximum(0.0, round_price_K - step * slack_K)
    return float(best)


def _priced_optimum(path_KM: FloatArray, price_K: FloatArray, problem: AllocationProblem) -> tuple[float, FloatArray]:
    """(sum over prompts of the best priced value, units [K] that these plans spend in each round)."""
    num_rounds, num_prompts = path_KM.shape
    most = problem.max_units
    curvature_KM = utility.curvature(path_KM, problem)
    exposures = np.arange(problem.horizon_exposure + 1, dtype=np.float64)
    choice_KMZ = np.zeros((num_rounds, num_prompts, problem.horizon_exposure + 1), np.min_scalar_type(most))
    ahead = np.zeros((num_prompts, problem.horizon_exposure + 1))  # best value from here on, by exposure
    for k in range(num_rounds - 1, -1, -1):
        reach = (k + 1) * most + 1  # exposures possible after round k (0-based)
        decay = np.exp(-curvature_KM[k][:, None] * exposures[:reach])
        # Arriving at z is worth this much, up to terms of the departure: -exp(-c z) - price * z + ahead.
        arrive = ahead[:, :reach] - decay - price_K[k] * exposures[:reach]
        here = reach - most
        best, choice = arrive[:, :here].copy(), choice_KMZ[k]
        for units in range(1, most + 1):
            option = arrive[:, units : units + here]
            better = option > best + _ROUNDED
            choice[:, :here][better] = units
            np.maximum(best, option, out=best)
        ahead = np.empty_like(ahead)
        ahead[:, :here] = best + decay[:, :here] + price_K[k] * exposures[:here]
    spend_K, exposure_M = np.zeros(num_rounds), np.zeros(num_prompts, np.int64)
    rows = np.arange(num_prompts)
    for k in range(num_rounds):
        units_M = choice_KMZ[k, rows, exposure_M]
        spend_K[k] = units_M.sum()
        exposure_M += units_M
    return float(ahead[:, 0].sum()), spend_K
