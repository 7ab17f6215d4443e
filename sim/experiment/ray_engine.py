"""The engine of a Ray cluster: a task whose worker is lost is done again; records come back to this process."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from typing import Any

from cerolab.errors import CerolabError, InvalidValueError
from cerolab.tools.workers import worker_count
from sim.experiment.away import bring_home, code_digest, run_away
from sim.experiment.task import RunFailedError, Task, stack_tasks

_RETRIES = 3  # of a task whose worker was lost; a run that kills every worker must end
_OBJECT_STORE = 256 << 20  # bytes; results pass through one at a time, and Ray spills to disk what does not fit


@dataclass(frozen=True, slots=True)
class RayEngine:
    """Does tasks on a Ray cluster, one core each, see ``sim.experiment.engine.Engine``.

    Attributes:
        address: of a running cluster; None takes RAY_ADDRESS, or else starts Ray on this machine for the while.

    Raises:
        InvalidValueError: Ray is not installed.
        CerolabError: when tasks are given: the address leads nowhere, or Ray does not start here.
    """

    address: str | None = None

    def __post_init__(self) -> None:
        if find_spec("ray") is None:
            raise InvalidValueError(
                "engine", "ray", "needs Ray, which is not installed", "install the extra ray: pip install -e '.[ray]'"
            )

    def __call__(
        self, tasks: Sequence[Task], stamp: Mapping[str, Any], workers: int | None, plugins: Sequence[str]
    ) -> Generator[int, None, None]:
        """The number of runs done of each task, in the order in which they come."""
        import ray

        plugins = tuple(plugins)
        with self._cluster(workers):
            tasks = stack_tasks(tasks, workers or int(ray.cluster_resources().get("CPU", 1)))
            waiting = iter(tasks)
            run = ray.remote(num_cpus=1, max_retries=_RETRIES)(run_away)
            shared = ray.put(dict(stamp)), plugins, code_digest(plugins)
            begun: dict[Any, Task] = {}
            try:
                while True:
                    for task in islice(waiting, (workers or len(tasks)) - len(begun)):
                        begun[run.options(name=str(task)).remote(task, *shared)] = task
                    if not begun:
                        return
                    (done,), _ = ray.wait(list(begun))
                    yield self._result(done, begun.pop(done))
            finally:
                for task_reference in begun:
                    ray.cancel(task_reference, force=True)

    @staticmethod
    def _result(reference: Any, task: Task) -> int:
        import ray

        try:
            parcel = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            reason = str(error.cause).partition("\n")[0]  # Ray's own errors go on with a traceback
            raise RunFailedError(f"{task}: {type(error.cause).__name__}: {reason}") from error
        except ray.exceptions.RayError as error:
            raise RunFailedError(
                f"{task}: its worker was lost {_RETRIES + 1} times (out of memory? lower --workers): "
                f"{type(error).__name__}; the same command goes on with what is missing"
            ) from error
        return bring_home(task, parcel)

    @contextmanager
    def _cluster(self, workers: int | None) -> Iterator[None]:
        """A connection for the while; one that this process has already is used and kept."""
        import ray

        if ray.is_initialized():
            yield
            return
        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address == "local":
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report to its makers
            options |= {"num_cpus": worker_count(workers), "include_dashboard": False}
            options["object_store_memory"] = _OBJECT_STORE
        try:
            _knock(address)
            ray.init(address=address, **options)
        except Exception as error:  # Ray raises bare ones too, as when it cannot start in time
            ray.shutdown()
            if address == "local":
                raise CerolabError(f"Ray could not be started on this machine (overloaded?): {error}") from error
            raise InvalidValueError(
                "address", address, f"leads to no usable Ray cluster: {error}", "give HOST:PORT of ray start --head"
            ) from error
        try:
            yield
        finally:
            ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT; Ray itself waits for minutes, then ends the process."""
    host, colon, port = address.rpartition(":")
    if colon and "//" not in address:
        socket.create_connection((host, int(port)), timeout=10).close()
