"""A training experiment as tables: its runs, their rounds and their evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.load import PROBLEM, record_file, run_row
from cerolab.errors import RecordError
from cerolab.records import PACKED_FILE, read_infos, read_rows, read_run
from cerolab.records.reader import is_partial
from cerolab.records.settings import differing_keys

RUN = ["run_id", "method", "seed"]  # in front of every table
ROUNDS = ("units", "groups", "effective_groups", "responses", "updated")
SECONDS = ("seconds_allocate", "seconds_rollout", "seconds_train", "seconds_observe")


@dataclass(frozen=True, slots=True)
class Training:
    """Finished runs of several methods and seeds on one task, model and problem.

    Attributes:
        directory: where they came from.
        infos: run.json of each, by run id.
        runs: a row a run: run_id, method (with its options where it has any), options, seed and ``PROBLEM``.
        rounds: K rows a run, ``RUN``, round and the columns ``ROUNDS`` and ``SECONDS`` of the record; a run whose
            budget ran out before the horizon spends nothing in the rounds that it did not have.
        evals: ``RUN`` and the columns of the record.
        unfinished: ids of the runs that are left out because they are running, were stopped or failed.
    """

    directory: Path
    infos: Mapping[str, Mapping[str, Any]]
    runs: pd.DataFrame
    rounds: pd.DataFrame
    evals: pd.DataFrame
    unfinished: tuple[str, ...]

    @property
    def problem(self) -> dict[str, Any]:
        """The allocation problem of all runs."""
        return dict(next(iter(self.infos.values()))["problem"])

    @property
    def scenario(self) -> dict[str, Any]:
        """Task, model and settings of all runs."""
        return dict(next(iter(self.infos.values()))["scenario"])


def load_training(directory: Path | str) -> Training:
    """The finished runs of a training experiment, from its run folders and its packed files.

    Raises:
        RecordError: there is no finished run, the runs are of unlike settings, or a record is damaged; names the file
            or the runs, and what is wrong.
    """
    directory = Path(directory)
    infos = read_infos(directory)
    if not infos:
        raise RecordError(
            f"{directory}: no finished run in it (neither */run.json nor {PACKED_FILE}); "
            "give the folder of a training experiment, results/llm/train say"
        )
    _refuse_unlike(infos, directory)
    runs = pd.DataFrame(
        [run_row(infos[run_id], {"problem": PROBLEM}, record_file(directory, run_id)) for run_id in sorted(infos)]
    )
    twice = runs[runs.duplicated(["method", "seed"], keep=False)]
    if not twice.empty:
        raise RecordError(
            f"{directory}: runs {' and '.join(twice['run_id'].iloc[:2])} have the same method and seed; "
            "put them in experiments of their own"
        )
    return Training(
        directory,
        infos,
        runs,
        _rounds(runs, directory),
        _table(runs, directory, "evals"),
        _unfinished(directory),
    )


def _refuse_unlike(infos: Mapping[str, Mapping[str, Any]], directory: Path) -> None:
    """Refuse runs that are no trainings, or that a mean over seeds or a comparison of methods would mix."""
    first_id, *others = sorted(infos)
    for run_id in (first_id, *others):
        if infos[run_id]["source"] != "llm":
            raise RecordError(
                f"{record_file(directory, run_id)}: source is {infos[run_id]['source']!r}, no training; "
                "sweeps of the simulator are drawn by `python -m analysis.sweep`"
            )
    first = infos[first_id]
    for run_id in others:
        for part in ("problem", "scenario"):
            here, there = first[part], infos[run_id][part]
            differ = [f"{key} ({here.get(key)!r} and {there.get(key)!r})" for key in differing_keys(here, there)]
            if differ:
                raise RecordError(
                    f"{directory}: runs {first_id} and {run_id} differ in {', '.join(differ)}; "
                    "put them in experiments of their own"
                )


def _table(runs: pd.DataFrame, directory: Path, table: str) -> pd.DataFrame:
    """A table of the record of all ``runs``, each row behind its run's id, method and seed."""
    return runs[RUN].merge(read_rows(directory, table).to_pandas(), on="run_id", validate="one_to_many")


def _rounds(runs: pd.DataFrame, directory: Path) -> pd.DataFrame:
    found = _table(runs, directory, "rounds")
    bare = sorted(set(runs["run_id"]) - set(found["run_id"]))
    if bare:
        raise RecordError(
            f"{directory}: neither a folder nor rounds.parquet has the rounds of {bare[0]} and of {len(bare) - 1} "
            "other runs; pack an experiment by pack_experiment and pack_tables"
        )
    every = pd.MultiIndex.from_product([runs["run_id"], range(runs["num_rounds"].iloc[0])], names=["run_id", "round"])
    columns = found.astype({"updated": "int64"}).set_index(["run_id", "round"])[[*ROUNDS, *SECONDS]]
    return runs[RUN].merge(columns.reindex(every, fill_value=0).reset_index(), on="run_id", validate="one_to_many")


def _unfinished(directory: Path) -> tuple[str, ...]:
    records = [file.parent for file in sorted(directory.glob("*/run.json")) if not is_partial(file.parent)]
    runs = [read_run(path, unfinished=True) for path in records]
    return tuple(run.info["run_id"] for run in runs if run.info["status"] != "finished")
