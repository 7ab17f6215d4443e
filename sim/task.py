"""A task of an experiment: the methods that are still to run in a cell. A run that raises is named by its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cerolab.errors import CerolabError
from cerolab.method import Method
from cerolab.records import method_label
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


def run_task(task: Task, stamp: Mapping[str, Any], directory: Path | None = None) -> int:
    """Do the task's runs one after the other; returns how many.

    Args:
        task: what to run.
        stamp: the runs' provenance.
        directory: where records are written if not in the task's own folder, which has the same name.

    Raises:
        RunFailedError: a run raised; names its settings and where its record is, or will be once brought home.
    """
    for method in task.methods:
        try:
            run_method(task.cell, method, directory or task.directory, task.detail, stamp)
        except Exception as error:
            one = replace(task, methods=(method,))
            record = task.directory / task.cell.settings(task.directory.name, method, task.detail).run_id
            raise RunFailedError(f"{one}: {type(error).__name__}: {error} (record: {record})") from error
    return len(task.methods)
