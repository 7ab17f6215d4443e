"""A task done where the experiment's folder is not at hand: its records come back as bytes and are placed at home."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cerolab.errors import CerolabError
from cerolab.records import host_facts, pack_runs, place_run, write_in_turn
from cerolab.registry import import_plugins, plugin_module
from sim.experiment.task import RunFailedError, Task, run_task


@dataclass(frozen=True, slots=True)
class Parcel:
    """The records that a task wrote, as ``pack_runs`` has them, and why it ended early where a run failed."""

    records: dict[str, dict[str, bytes]]
    failure: RunFailedError | None = None


def run_away(task: Task, stamp: Mapping[str, Any], plugins: tuple[str, ...], code: str) -> Parcel:
    """Do a task in a temporary folder of this machine.

    Args:
        task: what to run.
        stamp: provenance of the process at home; versions and machine are replaced by this one's.
        plugins: modules that register allocators.
        code: ``code_digest`` at home.

    Raises:
        CerolabError: the code here is another, so that the records would name a commit that they are not from.
    """
    import_plugins(plugins)
    if code_digest(plugins) != code:
        raise CerolabError(
            f"a worker has other code than this command in {', '.join(('cerolab', 'sim', *plugins))}; "
            "install the same on every machine"
        )
    with TemporaryDirectory(prefix="cerolab-") as scratch:
        directory, failure = Path(scratch) / task.directory.name, None
        try:
            run_task(task, {**stamp, **host_facts()}, directory)
        except RunFailedError as error:
            failure = error
        return Parcel(pack_runs(directory), failure)


def bring_home(task: Task, parcel: Parcel) -> int:
    """Put a parcel's records into the task's folder; returns the number of runs, but for those finished there already.

    Raises:
        RunFailedError: a run of the task failed; its record, and those of the runs before it, are placed all the same.
    """
    placed = 0
    for run_id, files in parcel.records.items():
        placed += write_in_turn(partial(place_run, task.directory, run_id, files))
    if parcel.failure is not None:
        raise parcel.failure
    return placed


@cache
def code_digest(plugins: tuple[str, ...] = ()) -> str:
    """Digest of the source files of cerolab, sim and the plugins, wherever they are installed."""
    digest = hashlib.sha256()
    for module in ("cerolab", "sim", *map(plugin_module, plugins)):
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            continue
        root = Path(spec.origin)
        for file in sorted(root.parent.rglob("*.py")) if spec.submodule_search_locations else [root]:
            digest.update(f"{module}/{file.relative_to(root.parent)}\n".encode() + file.read_bytes())
    return digest.hexdigest()
