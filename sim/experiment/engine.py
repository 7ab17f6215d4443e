"""Runs the cells of an experiment on an engine; what is finished is skipped, a failure names its cell."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tqdm import tqdm

from cerolab.records import claim_directory, is_claimed, method_label, pack_experiment, provenance, read_infos
from cerolab.records.own import committed_beside, writable
from cerolab.records.settings import plugin_version
from cerolab.registry import import_plugins
from cerolab.tools.method import Method
from cerolab.tools.workers import worker_count
from sim.experiment.cell import Cell
from sim.experiment.footprint import announcement
from sim.experiment.local_engine import run_locally
from sim.experiment.runs import missing_methods
from sim.experiment.task import Task


class Engine(Protocol):
    """Does tasks, each leaving its finished records in the task's folder; see ``local_engine``, ``ray_engine``."""

    def __call__(
        self, tasks: Sequence[Task], stamp: Mapping[str, Any], workers: int | None, plugins: Sequence[str]
    ) -> Generator[int, None, None]:
        """The number of runs done of each task, in the order in which they come; closed, it stops at once.

        Args:
            tasks: of one cell each; see ``sim.experiment.task.stack_tasks`` for how they are put together.
            stamp: provenance of this process.
            workers: tasks at a time; None for as many as there are cores.
            plugins: modules to import first wherever a task is done.

        Raises:
            RunFailedError: a run raised, or its worker was killed; the message names its settings.
        """


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


class Done(NamedTuple):
    """What a command has done: the number of runs, and the folder that they are in."""

    num_runs: int
    directory: Path


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command is going to do.

    Attributes:
        tasks: of one cell each, what is still to run of it.
        directory: folder of the runs.
        notes: what to say first: how many runs are done already, whose code has changed, how large the tables will be.
    """

    tasks: Sequence[Task]
    directory: Path
    notes: Sequence[str]

    @property
    def num_runs(self) -> int:
        """Runs to do."""
        return sum(task.num_runs for task in self.tasks)

    def __str__(self) -> str:
        """In lines, for a dry run."""
        runs = "1 run" if self.num_runs == 1 else f"{self.num_runs:,} runs"
        return "\n".join([*self.notes, f"{runs} to do, in {self.directory}"])


def run_experiment(
    settings: ExperimentSettings,
    detail: tuple[str, ...] = (),
    workers: int | None = None,
    quiet: bool = False,
    engine: Engine = run_locally,
) -> Done:
    """Take the experiment's folder, run what is missing of it and pack it.

    Where the folder has records that are committed in a checkout, and an allocator is not built in, all that is missing
    goes to a folder of the user's own, see ``cerolab.records.own``; what is committed is not run again.

    Raises:
        CerolabError: settings that cannot be used, a folder of another experiment, or a run that failed.
    """
    cells, directory = _checked(settings)
    for folder in dict.fromkeys((settings.directory, directory)):  # the committed one is there, so only compared
        claim_directory(folder, settings.fixed())
    ran = run_cells(cells, directory, detail, workers, settings.plugins, quiet, engine)
    pack_experiment(directory)
    return Done(ran, directory)


def plan_experiment(settings: ExperimentSettings, detail: tuple[str, ...] = ()) -> Plan:
    """What ``run_experiment`` would do; nothing is run or written.

    Raises:
        CerolabError: settings that cannot be used, or a folder of another experiment.
    """
    cells, directory = _checked(settings)
    for folder in dict.fromkeys((settings.directory, directory)):
        is_claimed(folder, settings.fixed())
    return _plan(cells, directory, detail)


def run_cells(
    cells: Sequence[tuple[Cell, Sequence[Method]]],
    directory: Path,
    detail: tuple[str, ...] = (),
    workers: int | None = None,
    plugins: Sequence[str] = (),
    quiet: bool = False,
    engine: Engine = run_locally,
) -> int:
    """Run what is missing of ``cells`` below ``directory``; returns the number of runs done.

    Runs that another process does meanwhile are taken as they are, so that two may work on one folder.

    Args:
        cells: each with its methods.
        directory: ``results/sim/<experiment>``.
        detail: tables to keep of each run; none keeps the results only.
        workers: tasks at a time; None takes the engine's cores.
        plugins: modules to import in every process, which register allocators.
        quiet: no progress bar.
        engine: does the tasks.

    Raises:
        RunFailedError: a run raised; the others that were finished stay on disk, and a new start does the rest.
    """
    worker_count(workers)
    plan = _plan(cells, directory, detail)
    for note in plan.notes:
        tqdm.write(note)
    if not plan.tasks:
        return 0
    total, finished = plan.num_runs, 0
    with (
        tqdm(total=total, unit="run", disable=quiet, smoothing=0.05, dynamic_ncols=True) as bar,
        closing(engine(plan.tasks, provenance(), workers, plugins)) as counts,
    ):
        for ran in counts:
            bar.update(ran)
            finished += ran
        bar.update(total - finished)
    if finished < total:
        tqdm.write(f"{total - finished} of {total} runs were done by another process meanwhile")
    return finished


def _checked(settings: ExperimentSettings) -> tuple[list[tuple[Cell, Sequence[Method]]], Path]:
    """The cells of settings that can be used, and the folder that their runs go to."""
    import_plugins(settings.plugins)
    settings.check()
    cells = list(settings.cells())
    return cells, writable(settings.directory, (not method.plugin for _, methods in cells for method in methods))


def _plan(cells: Iterable[tuple[Cell, Sequence[Method]]], directory: Path, detail: tuple[str, ...]) -> Plan:
    infos = read_infos(directory) if directory.exists() else {}
    beside = committed_beside(directory)
    seen = {*infos, *(read_infos(beside) if beside is not None else ())}
    tasks, asked = [], 0
    for cell, methods in cells:
        left = missing_methods(cell, methods, directory, detail, seen)
        seen |= {cell.settings(directory.name, method, detail).run_id for method in methods}
        asked += len(methods)
        if left:
            tasks.append(Task((cell,), tuple(left), directory, detail))
    total = sum(task.num_runs for task in tasks)
    sizes = announcement([(task.cells[0].problem, task.num_runs) for task in tasks], detail)
    notes = [
        f"{asked - total} of {asked} runs are done already" if asked > total else "",
        *_changed_plugins(infos.values(), [method for task in tasks for method in task.methods]),
        sizes,
    ]
    return Plan(tasks, directory, [note for note in notes if note])


def _changed_plugins(infos: Iterable[Mapping[str, Any]], methods: Iterable[Method]) -> Iterator[str]:
    """What to say where finished runs are of other code of an allocator than the one that runs now."""
    for label, method in {method_label(method.name, method.options): method for method in methods}.items():
        others = [
            plugin_version(info.get("plugin", {}))
            for info in infos
            if method_label(info["method"], info["options"]) == label and info.get("plugin", {}) != method.plugin
        ]
        if others:
            yield (
                f"the code of {label} has changed since {len(others)} runs here: it runs again, as {method.name}@"
                f"{plugin_version(method.plugin)} beside {', '.join(f'{method.name}@{v}' for v in sorted(set(others)))}"
                "; a new --name shows it alone"
            )
