"""The engine of one machine: tasks in this process or in several, which write into the experiment's folder."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

from cerolab.registry import import_plugins
from cerolab.tools.workers import in_processes, worker_count
from sim.experiment.task import RunFailedError, Task, run_task, stack_tasks


def run_locally(
    tasks: Sequence[Task], stamp: Mapping[str, Any], workers: int | None, plugins: Sequence[str]
) -> Generator[int, None, None]:
    """Do the tasks on ``workers`` processes of this machine, see ``sim.experiment.engine.Engine``."""
    tasks = stack_tasks(tasks, worker_count(workers))
    workers = min(worker_count(workers), len(tasks))
    run = partial(run_task, stamp=stamp)
    if workers == 1:
        yield from map(run, tasks)
        return
    try:
        yield from in_processes(run, tasks, workers, import_plugins, (tuple(plugins),))
    except BrokenProcessPool:
        left = [str(task) for task in tasks if task.unfinished()]
        raise RunFailedError(
            f"a worker was killed (out of memory? lower --workers); not finished: {'; '.join(left[:4])}"
            f"{' ...' if len(left) > 4 else ''}; the same command goes on with them"
        ) from None
