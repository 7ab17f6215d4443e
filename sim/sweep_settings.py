"""Settings of the regret sweep and the cells that follow from them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cerolab import AllocationProblem
from cerolab.errors import InvalidValueError
from cerolab.tools.method import Method
from cerolab.tools.settings import (
    CommandLineOnly,
    FolderName,
    Horizon,
    NoRepeats,
    PoolSize,
    Positive,
    Seeds,
    Units,
    one_of,
)
from sim.experiment.cell import Cell, Scenario, check_runs
from sim.experiment.offline import OfflineSettings

DETAIL = ("rounds", "groups", "pool", "evals")
ALLOCATORS = ("cero", "uniform")
ABLATIONS = ("cero_fixed", "cero_preset", "cero_greedy", "cero(catch_up=true)")
QUICK = {
    "name": "quick",
    "horizons": [50, 100, 200, 500],
    "num_prompts": 300,
    "seeds": 3,
    "pool_sizes": [100, 300, 1000],
    "pool_horizon": 100,
    "drifts": [0.0, 0.1, 1.0, 10.0],
    "drift_prompts": 100,
    "drift_horizon": 50,
    "dynamics": ["learning(0.2)"],
    "dynamics_prompts": 500,
    "dynamics_horizon": 100,
}


@dataclass(frozen=True, kw_only=True)
class SweepSettings(OfflineSettings):
    """Everything that a sweep can be told.

    Parameters
    ----------
    name
        Name of the experiment; runs go to OUT/sim/NAME. A sweep of the same name goes on where it was.
    out
        Folder of all results.
    allocators
        Allocators run in every cell, options in brackets: "cero(forgetting=0.9, price=0.3)"; by default cero and
        uniform, and the ablations.
    ablations
        Allocators run up to --ablation-max-horizon rounds only; by default cero_fixed, cero_preset, cero_greedy and
        "cero(catch_up=true)" where --allocators is left out, and none where it is given.
    ablation_max_horizon
        Longest horizon of the ablations.
    seeds
        Number of seeds; every allocator meets the same prompts and the same luck under a seed.
    populations
        How success rates are spread: beta(a, b), point(p), records(RUN), or a mixture such as
        "0.5*beta(1, 1) + 0.5*point(0)".
    num_prompts
        Pool size M of the horizon study.
    horizons
        Rounds K of the horizon study (static success rates).
    pool_sizes
        Pool sizes M of the pool study (static success rates); give no value to skip it.
    pool_horizon
        Rounds K of the pool study.
    drifts
        Total variations V_K of the drift study (random walks in the logit, success rates kept within
        0.0025 and 0.9975); give no value to skip it.
    drift_prompts
        Pool size M of the drift study; its optimum costs M * K^2.
    drift_horizon
        Rounds K of the drift study.
    small_drifts
        Total variations of the drift study on pools so small that cvxpy finds the best plan along the path itself, and
        not only a bound on it; give no value, there or for --drifts, to skip it.
    small_prompts
        Pool size M of that study; cvxpy's cost grows with M * K^2, and above some 5,000 arcs it is not asked.
    small_horizon
        Rounds K of that study.
    dynamics
        Further dynamics, e.g. "learning(0.2)", "shift(0.3)" or "growing(0.5, 4)"; give no value to skip the study.
    dynamics_prompts
        Pool size M of that study.
    dynamics_horizon
        Rounds K of that study.
    moving_population
        Population of the drift and dynamics studies.
    rewards
        binary, or graded(h): the share of h checks that a response passes.
    mean_units
        Budget as units a prompt and round, B = mean_units * K * M.
    capacity_ratio
        Capacity of a round as a multiple of the even pace, C = capacity_ratio * B / K.
    max_units
        Units that a prompt can get in a round, N_max.
    responses_per_unit
        Responses in a unit, g.
    saturation
        Lambda of the utility.
    detail
        Tables to keep of every run besides its results: rounds, groups, pool, evals (held-out accuracy).
    plugins
        Modules to import first; they register allocators of your own.
    """

    name: FolderName = "regret_sweep"
    out: Path = Path("results")
    allocators: Annotated[tuple[str, ...], NoRepeats, Field(min_length=1)] | None = None
    ablations: Annotated[tuple[str, ...], NoRepeats] | None = None
    ablation_max_horizon: Annotated[int, Field(ge=0)] = 1000
    seeds: Seeds = 10
    populations: tuple[str, ...] = (
        "beta(1, 1)",
        "beta(0.5, 0.5)",
        "beta(0.3, 1)",
        "0.4*beta(1, 1) + 0.3*point(0) + 0.3*point(1)",
    )
    num_prompts: PoolSize = 1000
    horizons: tuple[Horizon, ...] = (50, 100, 200, 500, 1000, 2000, 5000, 10000)
    pool_sizes: tuple[PoolSize, ...] = (100, 300, 1000, 3000, 10000)
    pool_horizon: Horizon = 100
    drifts: tuple[Annotated[float, Field(ge=0)], ...] = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    drift_prompts: PoolSize = 100
    drift_horizon: Horizon = 100
    small_drifts: tuple[Annotated[float, Field(ge=0)], ...] = (0.0, 0.1, 1.0)
    small_prompts: PoolSize = 10
    small_horizon: Horizon = 10
    dynamics: tuple[str, ...] = ("learning(0.2)",)
    dynamics_prompts: PoolSize = 2000
    dynamics_horizon: Horizon = 200
    moving_population: str = "beta(0.5, 0.5)"
    rewards: str = "binary"
    mean_units: Positive = 0.5
    capacity_ratio: Annotated[float, Field(ge=1, le=1_000_000)] = 33 / 32  # a round must fit B/K units
    max_units: Units = 2
    responses_per_unit: Units = 4
    saturation: Positive = 1.0
    detail: Annotated[tuple[Annotated[str, one_of("table of --detail", DETAIL)], ...], NoRepeats] = ()
    plugins: Annotated[tuple[str, ...], NoRepeats, CommandLineOnly()] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mean_units > self.max_units:
            raise InvalidValueError(
                "mean_units", self.mean_units, f"is above max_units={self.max_units}", "lower it, or raise max_units"
            )

    @property
    def directory(self) -> Path:
        """Where the runs go."""
        return self.out / "sim" / self.name

    def fixed(self) -> dict[str, Any]:
        """The settings that all runs of the experiment share; the others are what it runs over, and may grow."""
        names = ("rewards", "mean_units", "capacity_ratio", "max_units", "responses_per_unit", "saturation")
        sizes = (
            "num_prompts",
            "pool_horizon",
            "drift_prompts",
            "drift_horizon",
            "dynamics_prompts",
            "dynamics_horizon",
        )
        fixed = {name: getattr(self, name) for name in (*names, *sizes, "moving_population")}
        return {**fixed, "detail": list(self.detail), **self.offline_fixed()}

    def problem(self, num_prompts: int, num_rounds: int) -> AllocationProblem:
        """The allocation problem of these sizes."""
        budget = max(1, round(self.mean_units * num_rounds * num_prompts))
        capacity = math.ceil(self.capacity_ratio * budget / num_rounds - 1e-9)
        return AllocationProblem(
            num_prompts=num_prompts,
            num_rounds=num_rounds,
            budget=budget,
            capacity=min(capacity, num_prompts * self.max_units),
            max_units=self.max_units,
            responses_per_unit=self.responses_per_unit,
            saturation=self.saturation,
        )

    def check(self) -> None:
        """Refuse what cannot run before anything is written.

        Raises:
            UnknownNameError: an unknown allocator, population, dynamics or kind of rewards; lists the known ones.
            InvalidValueError: sizes or arguments that cannot be used.
        """
        check_runs(self.cells(seeds=1), self.seeds)
        for cell, methods in self.cells(seeds=1):
            path, rewards = cell.path(), cell.rewards()
            for method in methods:
                if method.name != "random_matched" or path.arrival_M is not None:  # needs a run of its model first
                    cell.allocator(method, path, rewards)

    def cells(self, seeds: int | None = None) -> Iterator[tuple[Cell, list[Method]]]:
        """Every cell of the sweep, with the methods to run in it; of the first ``seeds`` seeds only, if given."""
        ablations = self.ablations if self.ablations is not None else () if self.allocators else ABLATIONS
        for study, population, dynamics, num_prompts, num_rounds in self._grid():
            texts = list(self.allocators or ALLOCATORS)
            if num_rounds <= self.ablation_max_horizon:
                texts += [text for text in ablations if text not in texts]
            methods = [Method.parse(text) for text in texts]
            problem = self.problem(num_prompts, num_rounds)
            scenario = Scenario(population=population, dynamics=dynamics, rewards=self.rewards, study=study)
            for seed in range(seeds or self.seeds):
                yield Cell(scenario, problem, seed, optimum_by=self.optimum_by(seed)), methods

    def _grid(self) -> Iterator[tuple[str, str, str, int, int]]:
        """(study, population, dynamics, M, K) of every cell but for the seed."""
        for population in self.populations:
            for horizon in self.horizons:
                yield "horizon", population, "static", self.num_prompts, horizon
            for size in self.pool_sizes:
                yield "pool", population, "static", size, self.pool_horizon
        for drift in self.drifts:
            yield "drift", self.moving_population, f"drift({drift:g})", self.drift_prompts, self.drift_horizon
        for drift in self.small_drifts if self.drifts else ():
            dynamics = f"drift({drift:g})"
            yield "small_drift", self.moving_population, dynamics, self.small_prompts, self.small_horizon
        for dynamics in self.dynamics:
            yield "dynamics", self.moving_population, dynamics, self.dynamics_prompts, self.dynamics_horizon
