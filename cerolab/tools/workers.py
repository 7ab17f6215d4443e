"""Tasks on several processes of this machine; each process starts clean, a task that raises ends the whole.

The processes end with the one that started them, however it ends: each watches a pipe whose other end is there only.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread
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
) -> Generator[ResultT, None, None]:
    """The results of ``work`` on every task, in the order in which they come.

    Where the caller is interrupted, or closes the generator, the processes are killed at once: what they write must be
    crash-safe. They do not hear Ctrl-C themselves.

    Args:
        work, tasks: sent to the processes by pickling.
        workers: processes.
        initializer, initargs: called first in every process.
        max_tasks_per_child: tasks after which a process is replaced by a fresh one; None for never.

    Raises:
        BrokenProcessPool: a process was killed.
        Whatever ``work`` raises; tasks that have not begun are dropped, and those that have are waited for.
    """
    context = get_context("spawn")
    watched, held = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        workers, context, _begin, (watched, initializer, initargs), max_tasks_per_child=max_tasks_per_child
    )
    try:
        pending = {pool.submit(work, task) for task in tasks}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        held.close()
        raise
    finally:
        try:
            pool.shutdown(wait=True, cancel_futures=True)
        finally:
            held.close()
            watched.close()


def _begin(watched: Connection, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
    """The first thing that a process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of a terminal's processes; the caller decides
    Thread(target=_end_with, args=(watched,), daemon=True).start()
    if initializer is not None:
        initializer(*initargs)


def _end_with(watched: Connection) -> None:
    """End this process once the other end of the pipe is gone: closed, or its process dead."""
    watched.poll(None)
    os._exit(1)
