"""Runs the cells of an experiment on several processes; what is finished is skipped, a failure names its cell."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from cerolab.errors import CerolabError
from cerolab.records import provenance, read_infos
from sim.experiment import Cell, Method, missing_methods, run_method


class RunFailedError(CerolabError):
    """A run of the experiment raised; the message names its settings."""


@dataclass(frozen=True, slots=True)
class Task:
    """The methods that are still to run in a cell."""

    cell: Cell
    methods: tuple[Method, ...]
    directory: Path
    detail: tuple[str, ...]

    @property
    def work(self) -> float:
        """Rough cost, to start the long ones first."""
        problem = self.cell.problem
        return len(self.methods) * problem.num_rounds * (problem.num_prompts + 2000.0)


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
    tasks = []
    for cell, methods in cells:
        left = missing_methods(cell, methods, directory, detail, done)
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
    workers = max(1, min(workers or os.cpu_count() or 1, len(tasks)))
    with tqdm(total=total, unit="run", disable=quiet, smoothing=0.05, dynamic_ncols=True) as bar:
        if workers == 1:
            for task in tasks:
                bar.update(_run_task(task, stamp))
            return total
        pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker, initargs=(tuple(plugins),))
        try:
            pending: set[Future[int]] = {pool.submit(_run_task, task, stamp) for task in tasks}
            while pending:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    bar.update(future.result())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return total


def _start_worker(plugins: Sequence[str]) -> None:
    for module in plugins:
        importlib.import_module(module)


def _run_task(task: Task, stamp: dict[str, Any]) -> int:
    for method in task.methods:
        try:
            run_method(task.cell, method, task.directory, task.detail, stamp)
        except Exception as error:
            raise RunFailedError(
                f"{method.name} {dict(method.options) or ''} in {task.cell.scenario}, {task.cell.problem}, "
                f"seed={task.cell.seed}: {type(error).__name__}: {error}"
            ) from error
    return len(task.methods)
