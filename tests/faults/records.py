"""Comparing records of the same runs: all but times, and no trace of a half-written file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cerolab.records import find_runs, read_infos, read_run
from cerolab.records.reader import Run

_TIMES = {"started", "finished", "resumed", "provenance"}


def differences(out: Path, whole: Path, done: bool) -> list[str]:
    """Between the experiment in ``out`` and the uninterrupted one; of one that is not done, what counts already."""
    mine, theirs = read_infos(out) if out.exists() else {}, read_infos(whole)
    found = [f"{run_id} is no run of the experiment" for run_id in mine.keys() - theirs.keys()]
    found += [f"{run_id}: run.json differs" for run_id in mine.keys() & theirs.keys()
              if _timeless(mine[run_id]) != _timeless(theirs[run_id])]  # fmt: skip
    folders = {run.info["run_id"]: run for run in map(_any_run, find_runs([out]))} if mine else {}
    for run_id in sorted(mine):
        if run_id in folders and folders[run_id].info["status"] == "finished":
            found += _of_tables(folders[run_id], read_run(whole / run_id))
    if done:
        found += [f"{run_id} is missing" for run_id in theirs.keys() - mine.keys()]
        found += [f"{run_id}: not finished" for run_id, run in folders.items() if run.info["status"] != "finished"]
        found += [f"{path.relative_to(out)} is left over" for path in out.rglob("checkpoints")]
    return found


def leftovers(out: Path) -> int:
    """Files and folders that a kill left behind beside the records; nothing ever reads them."""
    return sum(path.name in (".lock",) or path.suffix in (".partial", ".parts") for path in out.rglob("*"))


def _of_tables(one: Run, other: Run) -> list[str]:
    found = []
    for name in one.info["detail"]:
        mine, theirs = one.table(name), other.table(name)
        timeless = [column for column in theirs if not str(column).startswith("seconds")]
        if not mine[timeless].equals(theirs[timeless]):
            found.append(f"{one.path.name}: table {name} differs")
    if "groups" in one.info["detail"]:
        groups, results = one.table("groups"), one.info["results"]
        if groups.duplicated(["round", "wave", "prompt"]).any():
            found.append(f"{one.path.name}: a group counts twice")
        if not int(groups["responses"].sum()) == results["responses"] <= _budget(one.info):
            found.append(f"{one.path.name}: responses of groups, ledger and budget do not agree")
    return found


def _budget(info: dict[str, Any]) -> int:
    return int(info["problem"]["budget"] * info["problem"]["responses_per_unit"])


def _any_run(path: Path) -> Run:
    return read_run(path, unfinished=True)


def _timeless(info: dict[str, Any]) -> dict[str, Any]:
    results = {key: value for key, value in info["results"].items() if "seconds" not in key}
    return {key: value for key, value in info.items() if key not in _TIMES} | {"results": results}
