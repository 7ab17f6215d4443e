"""Who solves the offline benchmark of a cell: closed forms, cvxpy, or both, one beside the other."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from pydantic import Field

from cerolab import AllocationProblem
from cerolab import optimum as oracle
from cerolab.errors import SolverError
from cerolab.tools.settings import Settings
from cerolab.types import FloatArray

OptimumBy = Literal["closed", "cvxpy", "both"]
# Of the time-expanded network of a same-path optimum: an integer programme of 24,000 arcs took up to 80 s.
_MOST_ARCS = 5_000

# Annotations are objects here, not text: a command line reads them in classes that inherit these fields.
_OPTIMUM = Parameter(
    help="What regret is measured against. closed: exact closed forms. cvxpy: a general solver, continuous exposures "
    "where rates are static, whole units along a moving path where the cell is small enough; a solver that fails ends "
    "the run. both: closed forms, and cvxpy beside them in the first --cvxpy-seeds seeds of each such cell; records "
    "keep both."
)
_SEEDS = Parameter(help="Seeds of a cell that --optimum both also solves by cvxpy; 0 for none.")


@dataclass(frozen=True, slots=True)
class Answer:
    """What cvxpy says of a cell.

    Attributes:
        kind: what it solved.
        solver, status: which solver, and its last word; "optimal", or how it failed.
        value: the optimum; None where the solver failed.
        gap: distance to its own upper bound, >= 0 but for rounding.
        closed: what the closed form has for the same problem: the continuous optimum, or the same-path upper bound.
    """

    kind: str
    solver: str
    status: str
    value: float | None
    gap: float | None
    closed: float

    def to_dict(self) -> dict[str, Any]:
        """As it stands among the results of a run."""
        return {
            "cvxpy_optimum": self.value,
            "cvxpy_closed_form": self.closed,
            "cvxpy_kind": self.kind,
            "cvxpy_solver": self.solver,
            "cvxpy_status": self.status,
            "cvxpy_gap": self.gap,
        }


@dataclass(frozen=True, kw_only=True)
class OfflineSettings(Settings):
    """Who solves the offline benchmark; the part of an experiment's settings that its commands share."""

    optimum: Annotated[OptimumBy, _OPTIMUM] = "both"
    cvxpy_seeds: Annotated[int, Field(ge=0, le=100_000), _SEEDS] = 1

    def optimum_by(self, seed: int) -> OptimumBy:
        """Who solves the cells of a seed: of "both" only the first ``cvxpy_seeds`` have both."""
        return "closed" if self.optimum == "both" and seed >= self.cvxpy_seeds else self.optimum

    def offline_fixed(self) -> dict[str, Any]:
        """What of it all runs of an experiment must share: regret to cvxpy's optimum is not mixed with other regret."""
        return {"optimum": "cvxpy"} if self.optimum == "cvxpy" else {}


def solve_static_by_cvxpy(rate_M: FloatArray, problem: AllocationProblem) -> Answer:
    """The continuous optimum of fixed rates, beside water-filling."""
    kind, closed = "static continuous", oracle.solve_static_continuous(rate_M, problem).value
    try:
        found = oracle.solve_static_cvxpy(rate_M, problem)
    except SolverError as error:
        return Answer(kind, error.solver, error.status, None, None, closed)
    return Answer(kind, found.solver, found.status, found.value, found.gap, closed)


def solve_path_by_cvxpy(rate_KM: FloatArray, problem: AllocationProblem, upper_bound: float) -> Answer | None:
    """The optimum along a path of rates, in whole units, beside its upper bound; None where the cell is too large."""
    if oracle.num_arcs(problem) > _MOST_ARCS:
        return None
    kind = "same-path exact"
    try:
        found = oracle.solve_dynamic(rate_KM, problem)
    except SolverError as error:
        return Answer(kind, error.solver, error.status, None, None, upper_bound)
    return Answer(kind, found.solver, found.status, found.value, found.gap, upper_bound)
