"""Runs of methods in cells: each leaves its record, with the numbers that figures and tables read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cerolab import BudgetLedger, regret
from cerolab.errors import CerolabError, InvalidValueError, RunFinishedError, RunTakenError
from cerolab.records import RunWriter, read_run
from cerolab.registry import allocator_class
from cerolab.rounding import written
from cerolab.stack import LedgerStack, Stack, StackableAllocator
from cerolab.tools.method import Method
from sim.experiment.cell import Cell
from sim.experiment.least_regret import least_regret
from sim.experiment.loop import Outcome, simulate
from sim.experiment.recorder import Recorder
from sim.experiment.stacked import simulate_stack
from sim.worlds.rewards import Rewards


def missing_methods(
    cell: Cell, methods: Iterable[Method], directory: Path, detail: tuple[str, ...], done: Iterable[str] = ()
) -> list[Method]:
    """The methods whose run in this cell is not finished yet, on disk or among the run ids in ``done``."""
    left, seen = [], set(done)
    for method in methods:
        run_id = cell.settings(directory.name, method, detail).run_id
        if run_id in seen:
            continue
        seen.add(run_id)
        record = directory / run_id
        if (record / "run.json").exists() and read_run(record, unfinished=True).info["status"] == "finished":
            continue
        left.append(method)
    return left


def run_method(
    cell: Cell, method: Method, directory: Path, detail: tuple[str, ...], provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """Run one method in a cell, write its record below ``directory`` and return its results.

    Raises:
        RunFinishedError, RunTakenError: another process has finished the run, or is writing it; nothing is done.
    """
    writer = RunWriter(directory, cell.settings(directory.name, method, detail), provenance)
    try:
        path, rewards, ledger = cell.path(), cell.rewards(), BudgetLedger(cell.start_problem)
        allocator = cell.allocator(method, path, rewards)
        start_M = path.success_M.copy()
        recorder = Recorder(writer, path) if detail else None
        outcome = simulate(allocator, path, rewards, ledger, recorder, cell.lengths())
        if recorder is not None:
            recorder.evaluate(ledger.round_index, ledger.responses)
        if "pool" in detail:
            best = cell.static_optimum or cell.growing_optimum
            start_M = np.append(start_M, path.success_M[start_M.size :])  # late prompts are as they came
            writer.append(
                "pool",
                {
                    "prompt": np.arange(cell.problem.num_prompts),
                    "exposure": ledger.exposure_M,
                    "true_success_start": start_M,
                    "true_success_end": path.success_M,
                    "optimal_exposure": np.full(cell.problem.num_prompts, -1) if best is None else best.exposure,
                },
            )
        results = summary(cell, outcome, ledger)
        writer.finish(results, allocator.options_dict())
    except BaseException as error:
        writer.fail(error)
        raise
    return results


def stacks(cell: Cell, method: Method) -> bool:
    """Whether ``run_stack`` can run the method on seeds of this cell.

    It can where allocators stack, rates are fixed and rewards binary. Options that cannot be used are for the run to
    refuse, which is named.
    """
    scenario = cell.scenario
    world = scenario.dynamics, scenario.rewards, scenario.lengths, cell.problem.token_budget
    if world != ("static", "binary", "none", None):
        return False
    cls = allocator_class(method.name)
    try:
        return issubclass(cls, StackableAllocator) and cls.stacks(cls.Options(**method.options))
    except (TypeError, CerolabError):
        return False


def simulate_cells(cells: Sequence[Cell], method: Method) -> tuple[list[Outcome], LedgerStack, Stack]:
    """A whole horizon of one method in all of these cells, which ``stacks`` and differ in their seed alone."""
    stack = Stack([cell.allocator(method, cell.path(), cell.rewards()) for cell in cells])
    ledgers = LedgerStack(cells[0].problem, len(cells))
    success = np.concatenate([cell.success_M for cell in cells])
    outcomes = simulate_stack(stack, success, Rewards.end_to_end([cell.rewards() for cell in cells]), ledgers)
    return outcomes, ledgers, stack


def run_stack(
    cells: Sequence[Cell], method: Method, directory: Path, provenance: Mapping[str, Any]
) -> tuple[int, list[Cell]]:
    """Run one method on several seeds of a cell at once; the records are those of ``run_method`` without detail.

    A stack fails as one: runs that are not finished then are marked failed, and are done again by the next start. Runs
    that another process has finished meanwhile, or is writing, are left out.

    Args:
        cells: which differ in their seed alone.
        method: see ``stacks``.
        directory: ``results/sim/<experiment>``.
        provenance: of this process.

    Returns:
        (runs done, the cells whose run another process is writing).

    Raises:
        InvalidValueError: cells that cannot be stacked, or differ in more than their seed.
    """
    if not all(stacks(cell, method) and cell.any_seed() == cells[0].any_seed() for cell in cells):
        raise InvalidValueError("cells", method.name, "cannot be stacked in these cells", "use run_method")
    writers: list[RunWriter] = []
    own: list[Cell] = []
    taken: list[Cell] = []
    try:
        for cell in cells:
            try:
                writers.append(RunWriter(directory, cell.settings(directory.name, method, ()), provenance))
                own.append(cell)
            except RunTakenError:
                taken.append(cell)
            except RunFinishedError:
                continue
        if own:
            outcomes, ledgers, stack = simulate_cells(own, method)
            for cell, outcome, ledger, row in zip(own, outcomes, ledgers.ledgers, stack.rows, strict=True):
                writers[0].finish(summary(cell, outcome, ledger), row.options_dict())
                del writers[0]  # whatever comes, this run is finished
    except BaseException as error:
        for writer in writers:
            writer.fail(error)
        raise
    return len(own), taken


def summary(cell: Cell, outcome: Outcome, ledger: BudgetLedger) -> dict[str, Any]:
    """The numbers of a run that figures and tables read; None where a number does not exist."""
    problem = cell.problem
    optimum, kind = cell.optimum
    lost = None if optimum is None else written(optimum - outcome.value, like=optimum)
    variation: float | None = None  # of rates that the allocator moves there is no one path
    if cell.static_optimum is not None or cell.growing_optimum is not None:
        variation = 0.0
    elif cell.rate_path_KM is not None:
        variation = regret.path_variation(cell.rate_path_KM)
    bound = None
    if optimum is not None and not math.isnan(outcome.estimation_error):
        if cell.static_optimum is not None:
            bound = regret.static_bound(problem, outcome.estimation_error)
        elif cell.rate_path_KM is not None and variation is not None:  # none holds in a growing pool
            bound = regret.dynamic_bound(problem, outcome.estimation_error, variation)
    numbers = {
        "value": outcome.value,
        "optimum": optimum,
        "optimum_kind": kind,
        "regret": lost,
        "regret_per_prompt": None if lost is None else lost / problem.num_prompts,
        "variation": variation,
        "estimation_error": outcome.estimation_error,
        "bound_total": bound and bound.total,
        "bound_optimisation": bound and bound.optimisation,
        "bound_estimation": bound and bound.estimation,
        "bound_variation": bound and bound.variation,
        "units_spent": ledger.units,
        "unspent_units": ledger.remaining,
        "responses": ledger.responses,
        "rounds_spent": outcome.rounds_spent,
        "groups": outcome.groups,
        "effective_groups": outcome.effective_groups,
        "effective_group_rate": outcome.effective_groups / outcome.groups if outcome.groups else None,
        "peak_pacing_gap_responses": outcome.peak_pacing_gap,
        "final_pacing_gap_responses": -ledger.remaining_responses,
        "heldout_start": outcome.heldout_start,
        "heldout_end": outcome.heldout_end,
        "seconds": outcome.seconds,
    }
    if cell.scenario.lengths != "none":
        numbers["tokens"], numbers["unspent_tokens"] = ledger.tokens, ledger.remaining_tokens
    if cell.by_cvxpy is not None:
        numbers |= cell.by_cvxpy.to_dict()
    if cell.with_least_regret:
        static = cell.static_optimum is not None and cell.scenario.rewards == "binary"
        least = least_regret(cell.scenario.population, problem) if static else None
        numbers["least_regret_per_prompt"] = None if least is None else written(least, like=1.0)  # of utilities
    return {key: _recorded(x) for key, x in numbers.items()}


def _recorded(value: Any) -> Any:
    """A result as it is written: None for nan, numbers with the digits that are the same on every machine."""
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else written(value)
