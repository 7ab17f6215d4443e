"""Tasks on several processes of this machine; each process starts clean, a task that raises ends the whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any, TypeVar

from cerolab.errors import InvalidValueError

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


def worker_count(workers: int | None) -> int:
    """Processes to use: as asked, or one a core.

    Raises:
        InvalidValueError: below 1.
    """
    if workers is not None and workers < 1:
        raise InvalidValueError("workers", workers, "is below 1", "leave it out for one a core")
    return workers or os.cpu_count() or 1


def in_processes(
    work: Callable[[TaskT], ResultT],
    tasks: Iterable[TaskT],
    workers: int,
    initializer: Callable[..., object] | None = None,
    initargs: tuple[Any, ...] = (),
    max_tasks_per_child: int | None = None,
) -> Iterator[ResultT]:
    """The results of ``work`` on every task, in the order in which they come.

    Args:
        work, tasks: sent to the processes by pickling.
        workers: processes.
        initializer, initargs: called first in every process.
        max_tasks_per_child: tasks after which a process is replaced by a fresh one; None for never.

    Raises:
        BrokenProcessPool: a process was killed.
        Whatever ``work`` raises; tasks that have not begun are dropped, and those that have are waited for.
    """
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer, initargs, max_tasks_per_child=max_tasks_per_child
    )
    try:
        pending = {pool.submit(work, task) for task in tasks}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
