"""One cell of an experiment: several allocators on the same prompts, the same luck and the same budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from cerolab import Allocation, AllocationProblem, BaseAllocator, BudgetLedger, make
from cerolab import optimum as oracle
from cerolab.checks import whole_number
from cerolab.errors import InvalidValueError, SolverError
from cerolab.groups import whole_groups
from cerolab.records import RunSettings
from cerolab.records.rounds import RoundView
from cerolab.tools.method import Method
from cerolab.tools.spec import parse_call
from cerolab.types import FloatArray
from sim.experiment.loop import simulate
from sim.experiment.memory import check_memory
from sim.experiment.offline import Answer, OptimumBy, solve_path_by_cvxpy, solve_static_by_cvxpy
from sim.worlds.dynamics import make_path
from sim.worlds.lengths import Lengths, make_lengths
from sim.worlds.oracle_rates import TrueRates
from sim.worlds.populations import parse_population
from sim.worlds.rewards import Rewards
from sim.worlds.success_path import Path as RatePath

# OPT_dyn is bounded where a step of the dual costs at most this many M * K^2.
_MOST_DYNAMIC_WORK = 20_000_000
_MOST_RUNS = 1_000_000  # of a command: a week at half a second each


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The world that allocators meet, in the text forms of ``sim.worlds.populations``, ``.dynamics``, ``.rewards``.

    ``lengths``: of responses, see ``sim.worlds.lengths``.
    ``oracle_every``: rounds between two looks of the oracle at the true rates; in training they are measured so.
    """

    population: str = "beta(1, 1)"
    dynamics: str = "static"
    rewards: str = "binary"
    study: str = "single"
    oracle_every: int = 1
    lengths: str = "none"

    def __post_init__(self) -> None:
        whole_number("oracle_every", self.oracle_every, least=1)
        # Canonical texts: the same world has the same run ids however it was written.
        object.__setattr__(self, "population", parse_population(self.population).text)
        object.__setattr__(self, "dynamics", str(parse_call("dynamics", self.dynamics)))
        object.__setattr__(self, "rewards", str(parse_call("rewards", self.rewards)))
        object.__setattr__(self, "lengths", str(parse_call("lengths", self.lengths)))

    def to_dict(self) -> dict[str, Any]:
        """As it stands in run.json; defaults that came later are left out, so that run ids stay what they were."""
        fields = asdict(self)
        if self.lengths == "none":
            del fields["lengths"]
        if self.oracle_every == 1:
            del fields["oracle_every"]
        return fields


@dataclass(frozen=True)
class Cell:
    """A scenario, a problem and a seed; everything here is shared by the cell's methods.

    ``problem`` is that of the final pool, also where prompts arrive later.
    ``with_least_regret``: whether results also hold the least regret that any learner can have, where rates are static
    and rewards binary; see ``sim.experiment.least_regret``.
    ``optimum_by``: who solves the offline benchmark, see ``sim.experiment.offline``; what allocators meet does not
    depend on it.
    """

    scenario: Scenario
    problem: AllocationProblem
    seed: int
    with_least_regret: bool = False
    optimum_by: OptimumBy = "closed"

    def any_seed(self) -> Cell:
        """What the cells of all seeds share, as the cell of the first."""
        return replace(self, seed=0, optimum_by="closed")

    @cached_property
    def success_M(self) -> FloatArray:
        """Success rates at the start [M]."""
        return self._drawn[: self.problem.num_prompts]

    @cached_property
    def _drawn(self) -> FloatArray:
        check_memory(self.problem.num_prompts)
        heldout = max(1, self.problem.num_prompts // 4) if self.scenario.dynamics.startswith("learning") else 0
        return parse_population(self.scenario.population).draw(self.problem.num_prompts + heldout, self.seed)

    def path(self) -> RatePath:
        """A fresh path of success rates."""
        heldout = self._drawn[self.problem.num_prompts :]
        return make_path(self.scenario.dynamics, self.success_M, heldout, self.problem, self.seed)

    @cached_property
    def _first(self) -> RatePath:
        """A path to look at, which never leaves the first round."""
        return self.path()

    def rewards(self) -> Rewards:
        """Fresh coins."""
        return Rewards(self.scenario.rewards, self.problem, self.seed)

    def lengths(self) -> Lengths | None:
        """Fresh lengths; None where no tokens are counted."""
        return make_lengths(self.scenario.lengths, self.success_M, self.problem, self.seed)

    @cached_property
    def start_problem(self) -> AllocationProblem:
        """The problem as ledger and allocators meet it: over the prompts that are there from the start."""
        return replace(self.problem, num_prompts=self._first.success_M.size)

    @cached_property
    def static_optimum(self) -> oracle.Optimum | None:
        """The exact optimum where rates and pool are fixed, of a budget of units alone."""
        if not self._first.fixed or self.problem.token_budget is not None:
            return None
        return oracle.solve_static(self.rewards().variance(self.success_M), self.problem)

    @cached_property
    def growing_optimum(self) -> oracle.Optimum | None:
        """The exact optimum where rates are fixed and prompts arrive later; it knows of them from the start."""
        arrival_M = self._first.arrival_M
        if arrival_M is None or self.problem.token_budget is not None:
            return None
        return oracle.solve_growing(self.rewards().variance(self.success_M), arrival_M, self.problem)

    @cached_property
    def rate_path_KM(self) -> FloatArray | None:
        """Reward variances [K, M] where they move along a path that no allocator changes."""
        success_KM = self._first.known_success_KM
        return None if success_KM is None else self.rewards().variance(success_KM)

    @cached_property
    def by_cvxpy(self) -> Answer | None:
        """What cvxpy says of the benchmark; None where it was not to be asked, or the cell is not one that it takes."""
        if self.optimum_by == "closed":
            return None
        if self.static_optimum is not None:
            return solve_static_by_cvxpy(self.rewards().variance(self.success_M), self.problem)
        value, _ = self._closed_optimum
        if self.rate_path_KM is None or value is None:
            return None
        return solve_path_by_cvxpy(self.rate_path_KM, self.problem, value)

    @property
    def optimum(self) -> tuple[float | None, str | None]:
        """(benchmark value, what it is); (None, None) where there is no benchmark.

        Raises:
            SolverError: regret was to be measured against cvxpy's optimum, and its solver failed.
        """
        answer = self.by_cvxpy if self.optimum_by == "cvxpy" else None
        if answer is None:
            return self._closed_optimum
        if answer.value is None:
            raise SolverError(answer.solver, answer.status)
        return answer.value, f"{answer.kind} by cvxpy"

    @cached_property
    def _closed_optimum(self) -> tuple[float | None, str | None]:
        if self.static_optimum is not None:
            return self.static_optimum.value, "static exact"
        if self.problem.token_budget is not None:
            return self._token_optimum()
        if self.growing_optimum is not None:
            return self.growing_optimum.value, "growing exact"
        if self.rate_path_KM is None or self.problem.num_prompts * self.problem.num_rounds**2 > _MOST_DYNAMIC_WORK:
            return None, None
        return oracle.dynamic_upper_bound(self.rate_path_KM, self.problem), "same-path upper bound"

    def _token_optimum(self) -> tuple[float | None, str | None]:
        """A bound on the expected value where rates are fixed: by tokens at their expected lengths, or by units."""
        lengths = self.lengths()
        if lengths is None or not self.path().fixed:
            return None, None
        rate_M, cost_M = self.rewards().variance(self.success_M), lengths.expected() * self.problem.responses_per_unit
        by_tokens = oracle.solve_static_tokens(rate_M, cost_M, self.problem).upper_bound
        by_units = oracle.solve_static(rate_M, self.problem).value
        return min(by_tokens, by_units), "static upper bound at expected tokens"

    def allocator(self, method: Method, path: RatePath, rewards: Rewards) -> BaseAllocator[Any]:
        """A fresh allocator for one run along ``path``."""
        options = dict(method.options)
        if method.name == "random_matched" and path.arrival_M is not None:
            raise InvalidValueError("allocator", method.name, "needs a fixed pool", "leave it out where prompts arrive")
        if method.name == "oracle":
            options["rate"] = TrueRates(path, rewards, self.scenario.oracle_every)
        if method.name == "random_matched" and "schedule" not in options:
            options["schedule"] = self.schedule(Method.parse(options.pop("matches", "cero")))
        return make(method.name, self.start_problem, self.seed, **options)

    def schedule(self, method: Method) -> list[Allocation]:
        """What a method allocates here, round by round; waves merged."""
        rounds: list[Allocation] = []

        def keep(view: RoundView) -> None:
            rounds.append(whole_groups(view.waves).allocation)

        path, rewards = self.path(), self.rewards()
        allocator, ledger = self.allocator(method, path, rewards), BudgetLedger(self.start_problem)
        simulate(allocator, path, rewards, ledger, keep, self.lengths())
        return rounds

    def settings(self, experiment: str, method: Method, detail: tuple[str, ...]) -> RunSettings:
        """What identifies the run of a method in this cell; with it, what regret is measured against if not usual."""
        by = {"optimum": "cvxpy"} if self.optimum_by == "cvxpy" else {}
        return RunSettings(
            source="sim",
            experiment=experiment,
            method=method.name,
            options=dict(method.options),
            problem=self.problem.to_dict(),
            seed=self.seed,
            scenario={**self.scenario.to_dict(), **by},
            detail=detail,
            plugin=method.plugin,
        )


def check_runs(cells: Iterable[tuple[Cell, Sequence[Method]]], seeds: int) -> None:
    """Refuse a command of more runs than it could list, let alone do; ``cells`` are those of one seed.

    Raises:
        InvalidValueError: says how many runs it would be.
    """
    runs = seeds * sum(len(methods) for _, methods in cells)
    if runs > _MOST_RUNS:
        raise InvalidValueError("seeds", seeds, f"makes {runs:,} runs", f"at most {_MOST_RUNS:,} can be asked for")
