"""The results of simulated runs as one table: a row a run, with its regret and what explains it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.load import PROBLEM, Runs, run_row
from cerolab.errors import RecordError

LARGEST = 1e100  # beyond it sums of squares overflow; nothing that is measured comes near

SCENARIO = ("study", "population", "dynamics", "rewards")
RESULTS = (
    "value",
    "units_spent",
    "unspent_units",
    "responses",
    "rounds_spent",
    "groups",
    "effective_groups",
    "peak_pacing_gap_responses",
    "final_pacing_gap_responses",
    "seconds",
)
# Numbers that exist only where there is a benchmark to have regret against ...
BENCHMARK_RESULTS = ("optimum", "regret", "regret_per_prompt", "variation")
# ... where there was a group, where the method has an estimate of the rates, and where part of the pool is held out.
OPTIONAL_RESULTS = (
    "effective_group_rate",
    "estimation_error",
    "bound_total",
    "bound_optimisation",
    "bound_estimation",
    "bound_variation",
    "heldout_start",
    "heldout_end",
)


@lru_cache(maxsize=8)
def results_frame(runs: Runs) -> pd.DataFrame:
    """Every simulated run; trainings have no regret and are left out. Units of the columns are those of the record.

    Columns: run_id, method (with its options where it has any), seed, options (canonical JSON), source, then
    ``SCENARIO``, ``PROBLEM``, optimum_kind (None where there is no benchmark) and all results (nan where a number does
    not exist).

    Raises:
        RecordError: a run lacks a number that it must have; names file and column.
    """
    parts = {
        "scenario": SCENARIO,
        "problem": PROBLEM,
        "results": ("optimum_kind", *RESULTS, *BENCHMARK_RESULTS, *OPTIONAL_RESULTS),
    }
    simulated = [run_id for run_id, info in runs.infos.items() if info["source"] == "sim"]
    columns = ("run_id", "method", "seed", "options", "source", *(name for part in parts.values() for name in part))
    frame = pd.DataFrame([run_row(runs, run_id, parts) for run_id in simulated], columns=columns)
    for column in (*PROBLEM, "seed", *RESULTS, *BENCHMARK_RESULTS, *OPTIONAL_RESULTS):
        frame[column] = _numbers(frame, column, runs)
    _refuse_huge(frame, [*RESULTS, *BENCHMARK_RESULTS, *OPTIONAL_RESULTS], runs)
    benchmarked = frame["optimum_kind"].notna()
    for column in ("method", *SCENARIO, *PROBLEM, "seed", *RESULTS):
        _refuse_missing(frame, column, runs)
    for column in BENCHMARK_RESULTS:
        _refuse_missing(frame[benchmarked], column, runs)
    _refuse_missing(frame[frame["groups"] > 0], "effective_group_rate", runs)
    return frame


def _numbers(frame: pd.DataFrame, column: str, runs: Runs) -> pd.Series[Any]:
    """The column as numbers, null as nan; whole numbers stay whole where none is missing."""
    try:
        return pd.to_numeric(frame[column])
    except (ValueError, TypeError):
        for run_id, value in zip(frame["run_id"], frame[column], strict=True):
            if value is not None and not isinstance(value, (int, float)):
                raise RecordError(f"{runs.where(run_id)}: {column}={value!r} is no number") from None
        raise


def _refuse_huge(frame: pd.DataFrame, columns: Sequence[str], runs: Runs) -> None:
    numbers = frame[list(columns)].to_numpy(np.float64)
    for row, column in np.argwhere(np.abs(numbers) > LARGEST):
        raise RecordError(
            f"{runs.where(frame['run_id'].iloc[row])}: {columns[column]}={numbers[row, column]:g} is no measurement; "
            "remove the run, and give the command that made it again"
        )


def _refuse_missing(frame: pd.DataFrame, column: str, runs: Runs) -> None:
    missing = frame["run_id"][frame[column].isna()]
    if not missing.empty:
        raise RecordError(
            f"{runs.where(missing.iloc[0])}: {column} is null or nan, here and in "
            f"{len(missing) - 1} other runs of {len(frame)}; it must be known"
        )
