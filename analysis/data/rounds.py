"""Rounds of runs as they stand on the horizon: one row for every round of every run."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from analysis.data.load import RUN, Runs
from analysis.data.types import FloatArray
from cerolab.errors import RecordError

SPENT = ("units", "groups", "effective_groups", "responses", "tokens", "updated")
SECONDS = ("seconds_allocate", "seconds_rollout", "seconds_train", "seconds_observe")


@lru_cache(maxsize=8)
def every_round(runs: Runs) -> pd.DataFrame:
    """K rows a run: ``RUN``, round and the columns ``SPENT`` and ``SECONDS`` of the record.

    A run whose budget ran out before the horizon spends nothing in the rounds that it did not have. Every figure of a
    setting asks for it: the answer is kept, do not change it in place.

    Raises:
        RecordError: a run's rounds are lost; names the run.
    """
    found = runs.table("rounds").astype({"updated": "int64"})
    kept = runs.frame[runs.frame["run_id"].isin(found["run_id"])]
    there = set(kept["run_id"])
    bare = [i for i, info in runs.infos.items() if "rounds" in info["detail"] and i not in there]
    if bare:
        raise RecordError(
            f"{runs.folders[bare[0]]}: neither a folder nor rounds.parquet has the rounds of {bare[0]} and of "
            f"{len(bare) - 1} other runs; pack an experiment by pack_experiment and pack_tables"
        )
    every = pd.MultiIndex.from_tuples(
        [(i, k) for i, horizon in zip(kept["run_id"], kept["num_rounds"], strict=True) for k in range(horizon)],
        names=["run_id", "round"],
    )
    columns = found.set_index(["run_id", "round"])[[*SPENT, *SECONDS]].reindex(every, fill_value=0).reset_index()
    return kept[RUN].merge(columns, on="run_id", validate="one_to_many")


def cumulative(values: pd.Series[float]) -> FloatArray:
    """0, then the sums up to each round [K + 1]."""
    return np.concatenate([[0.0], np.cumsum(values.to_numpy(np.float64))])
