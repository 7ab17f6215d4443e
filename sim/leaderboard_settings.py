"""Settings of the leaderboard and the cells that follow from them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cerolab import AllocationProblem, available
from cerolab.errors import InvalidValueError
from cerolab.tools.method import Method
from cerolab.tools.settings import CommandLineOnly, FolderName, Horizon, NoRepeats, PoolSize, Positive, Seeds, Units
from sim.experiment.cell import Cell, Scenario, check_runs
from sim.experiment.offline import OfflineSettings

QUICK = {"name": "quick_leaderboard", "num_prompts": 200, "moving_prompts": 100, "num_rounds": 50, "seeds": 3}

# A real training as the simulator has it: what results/sim/replica-arithmetic-hard/fit.json holds, which `python -m
# sim.replica` fitted to the uniform runs of results/llm/study-arithmetic-hard; here with fewer prompts and rounds.
FITTED = "0.926*beta(0.2438, 5.721) + 0.074*beta(24.92, 10.39) under learning(2.002, 0.6803, 0.6324, 0.4672)"
SCENARIOS = (
    "beta(1, 1)",
    "beta(0.5, 0.5)",
    "beta(0.3, 1)",
    "beta(2, 2)",
    "0.4*beta(1, 1) + 0.3*point(0) + 0.3*point(1)",
    "beta(1, 1) under growing(0.5, 4)",
    "beta(0.5, 0.5) under drift(1)",
    "beta(0.5, 0.5) under shift(0.5)",
    "beta(0.3, 1) under learning(0.2)",
    FITTED,
    "beta(1, 1) with graded(5) rewards",
)

_LEFT_OUT = ("random_matched",)  # a control of CERO, not a method
_RECOVERY = 8  # rounds; the stronger oracle where rates rise with training


def parse_scenario(text: str) -> Scenario:
    """The world behind ``POPULATION [under DYNAMICS] [with KIND rewards]``.

    Raises:
        InvalidValueError, UnknownNameError: names the part that cannot be and what would be right.
    """
    rest, rewards = text.strip(), ""
    if not rest:
        raise InvalidValueError("scenario", text, "is empty", "write beta(1, 1) under drift(1), say")
    head, with_, kind = rest.removesuffix(" rewards").partition(" with ")
    if with_ and rest.endswith(" rewards"):
        rest, rewards = head, kind
    population, _, dynamics = rest.partition(" under ")
    return Scenario(
        population=population, dynamics=dynamics or "static", rewards=rewards or "binary", study="leaderboard"
    )


@dataclass(frozen=True, kw_only=True)
class LeaderboardSettings(OfflineSettings):
    """Everything that a leaderboard can be told.

    Parameters
    ----------
    name
        Name of the experiment; runs go to OUT/sim/NAME. A leaderboard of the same name goes on where it was.
    out
        Folder of all results.
    allocators
        Allocators to run, options in brackets: "cero(forgetting=0.9)"; by default every one that is registered but
        random_matched. The oracle shows the headroom; where rates rise with training it is oracle(recovery=8).
    scenarios
        The worlds, "POPULATION [under DYNAMICS] [with KIND rewards]": "beta(1, 1)", "beta(0.5, 0.5) under drift(1)",
        "beta(1, 1) with graded(5) rewards".
    seeds
        Number of seeds; every allocator meets the same prompts and the same luck under a seed.
    num_prompts
        Pool size M; of the final pool where it grows.
    moving_prompts
        Pool size M under drift and shift; their optimum costs M * K^2, and none is found above 20 million.
    num_rounds
        Rounds K.
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
    plugins
        Modules to import first; they register allocators of your own.
    """

    name: FolderName = "leaderboard"
    out: Path = Path("results")
    allocators: Annotated[tuple[str, ...], NoRepeats] = ()
    scenarios: Annotated[tuple[str, ...], NoRepeats, Field(min_length=1)] = SCENARIOS
    seeds: Seeds = 10
    num_prompts: PoolSize = 1000
    moving_prompts: PoolSize = 500
    num_rounds: Horizon = 200
    mean_units: Positive = 0.5
    capacity_ratio: Annotated[float, Field(ge=1, le=1_000_000)] = 33 / 32  # a round must fit B/K units
    max_units: Units = 2
    responses_per_unit: Units = 4
    saturation: Positive = 1.0
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
        sizes = ("num_prompts", "moving_prompts", "num_rounds")
        budget = ("mean_units", "capacity_ratio", "max_units", "responses_per_unit", "saturation")
        return {**{name: getattr(self, name) for name in (*sizes, *budget)}, **self.offline_fixed()}

    def problem(self, scenario: Scenario) -> AllocationProblem:
        """The allocation problem in a scenario."""
        moving = scenario.dynamics.startswith(("drift", "shift"))
        num_prompts = self.moving_prompts if moving else self.num_prompts
        budget = max(1, round(self.mean_units * self.num_rounds * num_prompts))
        capacity = math.ceil(self.capacity_ratio * budget / self.num_rounds - 1e-9)
        return AllocationProblem(
            num_prompts=num_prompts,
            num_rounds=self.num_rounds,
            budget=budget,
            capacity=min(capacity, num_prompts * self.max_units),
            max_units=self.max_units,
            responses_per_unit=self.responses_per_unit,
            saturation=self.saturation,
        )

    def methods(self, scenario: Scenario) -> list[Method]:
        """The allocators to run in a scenario."""
        texts = self.allocators or tuple(name for name in available() if name not in _LEFT_OUT)
        learning = scenario.dynamics.startswith("learning")
        oracle = Method(name="oracle", options={"recovery": _RECOVERY} if learning else {})
        return [oracle if text == "oracle" else Method.parse(text) for text in texts]

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
        """Every cell, with the methods to run in it; of the first ``seeds`` seeds only, if given."""
        for text in self.scenarios:
            scenario = parse_scenario(text)
            for seed in range(seeds or self.seeds):
                by = self.optimum_by(seed)
                cell = Cell(scenario, self.problem(scenario), seed, with_least_regret=True, optimum_by=by)
                yield cell, self.methods(scenario)
