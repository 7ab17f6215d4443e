"""Reading run records, of the simulator and of training alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cerolab.allocation import Allocation
from cerolab.errors import RecordError
from cerolab.records.files import read_json
from cerolab.records.info import checked_info
from cerolab.records.settings import method_label
from cerolab.records.tables import read_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Run:
    """A run's record: what it was (``info``, the content of run.json) and its tables, read when asked for."""

    path: Path
    info: dict[str, Any]

    @property
    def label(self) -> str:
        """The method, with its options where it has any."""
        return method_label(self.info["method"], self.info["options"])

    def table(self, name: str) -> pd.DataFrame:
        """One table as a data frame.

        Raises:
            RecordError: the run did not write this table, or its file is missing or damaged.
        """
        if name not in self.info["detail"]:
            raise RecordError(
                f"{self.path}: the run kept no {name!r} table (it kept: {', '.join(self.info['detail']) or 'none'}); "
                "run it again with more detail"
            )
        return read_table(self.path / f"{name}.parquet", name).to_pandas()


def read_run(path: Path | str, unfinished: bool = False) -> Run:
    """Open a run directory.

    Args:
        path: the folder with run.json.
        unfinished: accept a run that is still running or was killed; its tables cannot be read.

    Raises:
        RecordError: missing, foreign, damaged, of another schema version, not finished, or of another run than its
            folder is named for, so that one of two copies would count, or none.
    """
    path = Path(path)
    info = checked_info(read_json(path / "run.json"), path / "run.json")
    if info["run_id"] != path.resolve().name:
        raise RecordError(
            f"{path / 'run.json'}: run_id={info['run_id']!r} is not its folder's name; "
            f"rename the folder to {info['run_id']}, or remove it if it is a copy"
        )
    if info["status"] != "finished" and not unfinished:
        raise RecordError(f"{path}: the run is not finished (status {info['status']!r}); resume it first")
    return Run(path, info)


def find_runs(paths: Iterable[Path | str]) -> list[Path]:
    """Run directories at or below each path, sorted.

    Raises:
        RecordError: a path does not exist or has no run below it.
    """
    found: set[Path] = set()
    for given in paths:
        root = Path(given)
        if not root.is_dir():
            raise RecordError(f"{root} does not exist; give the folder of a run or of an experiment")
        here = [record.parent for record in root.rglob("run.json") if not is_partial(record.parent)]
        if not here:
            raise RecordError(f"{root}: no run record (run.json) at or below it")
        found.update(here)
    return sorted(found)


def is_partial(path: Path) -> bool:
    """Whether a folder is one that a kill left behind while its run was being created."""
    return path.name.startswith(".") and path.name.endswith(".partial")


def read_schedule(path: Path) -> list[Allocation]:
    """What a recorded run allocated, one ``Allocation`` a round; the waves of a round are merged."""
    run = read_run(path)
    groups = run.table("groups")
    merged = groups.groupby(["round", "prompt"], sort=False)["units"].sum().reset_index()
    by_round = dict(iter(merged.groupby("round")))
    schedule = []
    for k in range(int(run.info["problem"]["num_rounds"])):
        rows = by_round.get(k)
        schedule.append(
            Allocation.empty() if rows is None else Allocation(rows["prompt"].to_numpy(), rows["units"].to_numpy())
        )
    return schedule
