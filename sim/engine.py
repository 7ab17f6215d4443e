"""Runs the cells of an experiment on several processes; what is finished is skipped, a failure names its cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from cerolab.errors import CerolabError
from cerolab.method import Method
from cerolab.records import claim_directory, method_label, pack_experiment, provenance, read_infos
from cerolab.registry import import_plugins
from cerolab.workers import in_processes, worker_count
from sim.experiment import Cell, missing_methods, run_method


class RunFailedError(CerolabError):
    """A run of the experiment raised; the message names its settings."""


@dataclass(frozen=True, slots=True)
class Task:
    """The methods that are still to run in a cell."""

    cell: Cell
    methods: tuple[Method, ...]
    directory: Path
    detail: tuple[str, ...]

    def __str__(self) -> str:
        scenario, problem = self.cell.scenario, self.cell.problem
        names = ", ".join(method_label(method.name, method.options) for method in self.methods)
        world = f"{scenario.population}, {scenario.dynamics}, {scenario.rewards} rewards"
        return f"{names} on {world}, M={problem.num_prompts}, K={problem.num_rounds}, seed={self.cell.seed}"

    def unfinished(self) -> bool:
        """Whether a run of the task is not finished on disk."""
        return bool(missing_methods(self.cell, self.methods, self.directory, self.detail))

    @property
    def work(self) -> float:
        """Rough cost, to start the long ones first."""
        problem = self.cell.problem
        return len(self.methods) * problem.num_rounds * (problem.num_prompts + 2000.0)


class ExperimentSettings(Protocol):
    """What a command can be told of an experiment, see ``sim.sweep_settings``."""

    @property
    def plugins(self) -> tuple[str, ...]:
        """Modules that register allocators."""

    @property
    def directory(self) -> Path:
        """Folder of its runs."""

    def check(self) -> None:
        """Raise where the settings cannot be used."""

    def fixed(self) -> dict[str, Any]:
        """The settings that all its runs share."""

    def cells(self) -> Iterable[tuple[Cell, Sequence[Method]]]:
        """The cells, each with its methods."""


def run_experiment(
    settings: ExperimentSettings, detail: tuple[str, ...] = (), workers: int | None = None, quiet: bool = False
) -> int:
    """Take the experiment's folder, run what is missing of it and pack it; returns the number of runs done.

    Raises:
        CerolabError: settings that cannot be used, a folder of another experiment, or a run that failed.
    """
    import_plugins(settings.plugins)
    settings.check()
    claim_directory(settings.directory, settings.fixed())
    ran = run_cells(list(settings.cells()), settings.directory, detail, workers, settings.plugins, quiet)
    pack_experiment(settings.directory)
    return ran


def run_cells(
    cells: Sequence[tuple[Cell, Sequence[Method]]],
    directory: Path,
    detail: tuple[str, ...] = (),
    workers: int | None = None,
    plugins: Sequence[str] = (),
    quiet: bool = False,
) -> int:
    """Run what is missing of ``cells`` below ``directory``, longest first; returns the number of runs done.

    Args:
        cells: each with its methods.
        directory: ``results/sim/<experiment>``.
        detail: tables to keep of each run; none keeps the results only.
        workers: processes; None takes the machine's cores.
        plugins: modules to import in every process, which register allocators.
        quiet: no progress bar.

    Raises:
        RunFailedError: a run raised; the others that were finished stay on disk, and a new start does the rest.
    """
    done = set(read_infos(directory)) if directory.exists() else set()
    workers = worker_count(workers)
    tasks, seen = [], set(done)
    for cell, methods in cells:
        left = missing_methods(cell, methods, directory, detail, seen)
        seen |= {cell.settings(directory.name, method, detail).run_id for method in methods}
        if left:
            tasks.append(Task(cell, tuple(left), directory, detail))
    tasks.sort(key=lambda task: -task.work)
    total = sum(len(task.methods) for task in tasks)
    skipped = sum(len(methods) for _, methods in cells) - total
    if skipped:
        tqdm.write(f"{skipped} of {total + skipped} runs are done already")
    if not tasks:
        return 0
    stamp = provenance()
    workers = min(workers, len(tasks))
    with tqdm(total=total, unit="run", disable=quiet, smoothing=0.05, dynamic_ncols=True) as bar:
        if workers == 1:
            for task in tasks:
                bar.update(_run_task(task, stamp))
            return total
        try:
            run = partial(_run_task, stamp=stamp)
            for ran in in_processes(run, tasks, workers, import_plugins, (tuple(plugins),)):
                bar.update(ran)
        except BrokenProcessPool:
            open_tasks = [str(task) for task in tasks if task.unfinished()]
            raise RunFailedError(
                f"a worker was killed (out of memory? lower --workers); not finished: {'; '.join(open_tasks[:4])}"
                f"{' ...' if len(open_tasks) > 4 else ''}; the same command goes on with them"
            ) from None
    return total


def _run_task(task: Task, stamp: dict[str, Any]) -> int:
    for method in task.methods:
        try:
            run_method(task.cell, method, task.directory, task.detail, stamp)
        except Exception as error:
            one = replace(task, methods=(method,))
            record = task.directory / task.cell.settings(task.directory.name, method, task.detail).run_id
            raise RunFailedError(f"{one}: {type(error).__name__}: {error} (record: {record})") from error
    return len(task.methods)
