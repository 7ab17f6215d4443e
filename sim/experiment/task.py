"""A task of an experiment: methods still to run, in one cell or in several that are simulated at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cerolab.errors import CerolabError, RunFinishedError, RunTakenError
from cerolab.plugins.hooks import raised_at
from cerolab.records import method_label, write_in_turn
from cerolab.tools.method import Method
from sim.experiment.cell import Cell
from sim.experiment.runs import missing_methods, run_method, run_stack, stacks

# Prompts of a stack: its arrays should stay in cache. In a stack of ten a run takes 0.4 of its time alone with 100 or
# 300 prompts, half of it with 1,000 and nearly all of it with 3,000 (benchmarks/bench_simulator.py).
_MOST_STACKED = 10_000
_MOST_SEEDS = 50  # of a stack; each has a record open, and more bring little


class RunFailedError(CerolabError):
    """A run of the experiment raised; the message names its settings."""


@dataclass(frozen=True, slots=True)
class Task:
    """Methods that are still to run in one cell, or in a stack of cells that differ in their seed alone."""

    cells: tuple[Cell, ...]
    methods: tuple[Method, ...]
    directory: Path
    detail: tuple[str, ...]

    def __str__(self) -> str:
        scenario, problem = self.cells[0].scenario, self.cells[0].problem
        names = ", ".join(method_label(method.name, method.options) for method in self.methods)
        world = f"{scenario.population}, {scenario.dynamics}, {scenario.rewards} rewards"
        seeds = ", ".join(f"seed={cell.seed}" for cell in self.cells)
        return f"{names} on {world}, M={problem.num_prompts}, K={problem.num_rounds}, {seeds}"

    def unfinished(self) -> bool:
        """Whether a run of the task is not finished on disk."""
        return any(missing_methods(cell, self.methods, self.directory, self.detail) for cell in self.cells)

    @property
    def num_runs(self) -> int:
        """Runs that it leaves."""
        return len(self.cells) * len(self.methods)

    @property
    def work(self) -> float:
        """Rough cost, to start the long ones first."""
        problem = self.cells[0].problem
        return self.num_runs * problem.num_rounds * (problem.num_prompts + 2000.0)


def run_task(task: Task, stamp: Mapping[str, Any], directory: Path | None = None) -> int:
    """Do the task's runs one after the other; returns how many.

    Those that another process has finished meanwhile are not done again; those that it is writing come last: they are
    waited for, and done here should that process end without them.

    Args:
        task: what to run.
        stamp: the runs' provenance.
        directory: where records are written if not in the task's own folder, which has the same name.

    Raises:
        RunFailedError: a run raised; names its settings and where its record is, or will be once brought home.
    """
    directory = directory or task.directory
    done, waiting = 0, []
    for method in task.methods:
        with _named(replace(task, methods=(method,))):
            ran, taken = _run(task, method, directory, stamp)
        done += ran
        waiting += [(cell, method) for cell in taken]
    for cell, method in waiting:
        with _named(replace(task, cells=(cell,), methods=(method,))):
            done += write_in_turn(partial(run_method, cell, method, directory, task.detail, stamp))
    return done


def _run(task: Task, method: Method, directory: Path, stamp: Mapping[str, Any]) -> tuple[int, list[Cell]]:
    """(runs of this method done, the cells whose run another process is writing)."""
    if len(task.cells) > 1:
        return run_stack(task.cells, method, directory, stamp)
    (cell,) = task.cells
    try:
        run_method(cell, method, directory, task.detail, stamp)
    except RunTakenError:
        return 0, [cell]
    except RunFinishedError:
        return 0, []
    return 1, []


@contextmanager
def _named(task: Task) -> Iterator[None]:
    """Around the runs of one method: an error says which they are."""
    try:
        yield
    except Exception as error:
        (method,) = task.methods
        ids = [cell.settings(task.directory.name, method, task.detail).run_id for cell in task.cells]
        records = ", ".join(str(task.directory / run_id) for run_id in ids)
        place = "" if isinstance(error, CerolabError) else f" ({raised_at(error)})"  # the others say it themselves
        raise RunFailedError(f"{task}: {type(error).__name__}: {error}{place} (record: {records})") from error


def stack_tasks(tasks: Sequence[Task], workers: int) -> list[Task]:
    """The same runs with seeds stacked where that is faster, longest first; the records are the same either way.

    Args:
        tasks: of one cell each.
        workers: tasks at a time; none of them is to wait long for the last stack.
    """
    most_work = sum(task.work for task in tasks) / (2 * workers) if workers > 1 else math.inf
    out: list[Task] = []
    alike: dict[Any, list[Cell]] = {}
    models: dict[Any, Task] = {}
    for task in tasks:
        (cell,) = task.cells
        together = [method for method in task.methods if not task.detail and stacks(cell, method)]
        alone = [method for method in task.methods if method not in together]
        if alone:
            out.append(replace(task, methods=tuple(alone)))
        if together:
            names = tuple(method_label(method.name, method.options) for method in together)
            key = names, cell.any_seed()
            models.setdefault(key, replace(task, methods=tuple(together)))
            alike.setdefault(key, []).append(cell)
    for key, model in models.items():
        cells = alike[key]
        most = min(_MOST_SEEDS, _MOST_STACKED / model.cells[0].problem.num_prompts, most_work / model.work)
        num_stacks = math.ceil(len(cells) / max(1, int(min(most, len(cells)))))
        out += [replace(model, cells=tuple(cells[at::num_stacks])) for at in range(num_stacks)]
    return sorted(out, key=lambda task: -task.work)
