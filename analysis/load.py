"""A sweep of the simulator as one table: a row a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cerolab.errors import RecordError
from cerolab.records import PACKED_FILE, method_label, read_infos

SCENARIO = ("study", "population", "dynamics", "rewards")
PROBLEM = ("num_prompts", "num_rounds", "budget", "capacity", "max_units", "responses_per_unit", "saturation")
RESULTS = (
    "value",
    "units_spent",
    "unspent_units",
    "responses",
    "rounds_spent",
    "groups",
    "effective_groups",
    "effective_group_rate",
    "peak_pacing_gap_responses",
    "final_pacing_gap_responses",
    "seconds",
)
# Numbers that exist only where there is a benchmark to have regret against ...
BENCHMARK_RESULTS = ("optimum", "regret", "regret_per_prompt", "variation")
# ... where the method has an estimate of the rates, and where there is a held-out part of the pool.
OPTIONAL_RESULTS = (
    "estimation_error",
    "bound_total",
    "bound_optimisation",
    "bound_estimation",
    "bound_variation",
    "heldout_start",
    "heldout_end",
)


def load_sweep(directory: Path | str) -> pd.DataFrame:
    """Every finished run of a sweep, sorted by run id; units of the columns are those of the record.

    Columns: run_id, method (with its options where it has any), options (canonical JSON), seed, then ``SCENARIO``,
    ``PROBLEM``, optimum_kind (None where there is no benchmark) and all results (nan where a number does not exist).

    Raises:
        RecordError: there is no finished run, or a run lacks a number that it must have; names file and column.
    """
    return sweep_frame(read_infos(directory), Path(directory))


def sweep_frame(infos: Mapping[str, Mapping[str, Any]], directory: Path) -> pd.DataFrame:
    """``load_sweep`` for records that are read already; ``directory`` is where they came from."""
    if not infos:
        raise RecordError(
            f"{directory}: no finished run in it (neither */run.json nor {PACKED_FILE}); "
            "give the folder of a sweep, results/sim/regret_sweep say"
        )
    parts = {
        "scenario": SCENARIO,
        "problem": PROBLEM,
        "results": ("optimum_kind", *RESULTS, *BENCHMARK_RESULTS, *OPTIONAL_RESULTS),
    }
    frame = pd.DataFrame([run_row(infos[run_id], parts, record_file(directory, run_id)) for run_id in sorted(infos)])
    for column in (*PROBLEM, "seed", *RESULTS, *BENCHMARK_RESULTS, *OPTIONAL_RESULTS):
        frame[column] = _numbers(frame, column, directory)
    benchmarked = frame["optimum_kind"].notna()
    for column in ("method", *SCENARIO, *PROBLEM, "seed", *RESULTS):
        _refuse_missing(frame, column, directory)
    for column in BENCHMARK_RESULTS:
        _refuse_missing(frame[benchmarked], column, directory)
    return frame


def run_row(info: Mapping[str, Any], parts: Mapping[str, Sequence[str]], file: Path) -> dict[str, Any]:
    """The columns of one run, flat: what it was, then those that ``parts`` names of each part of its record."""
    row = {
        "run_id": info["run_id"],
        "method": method_label(info["method"], info["options"]),
        "options": json.dumps(info["options"], sort_keys=True),
        "seed": info["seed"],
    }
    for part, columns in parts.items():
        values = info[part]
        for column in columns:
            if column not in values:
                raise RecordError(
                    f"{file}: {part}.{column} is missing; was it written by a sweep or training of this version?"
                )
            row[column] = values[column]
    return row


def _numbers(frame: pd.DataFrame, column: str, directory: Path) -> pd.Series[Any]:
    """The column as numbers, null as nan; whole numbers stay whole where none is missing."""
    try:
        return pd.to_numeric(frame[column])
    except (ValueError, TypeError):
        for run_id, value in zip(frame["run_id"], frame[column], strict=True):
            if value is not None and not isinstance(value, (int, float)):
                raise RecordError(f"{record_file(directory, run_id)}: {column}={value!r} is no number") from None
        raise


def _refuse_missing(frame: pd.DataFrame, column: str, directory: Path) -> None:
    missing = frame["run_id"][frame[column].isna()]
    if not missing.empty:
        raise RecordError(
            f"{record_file(directory, missing.iloc[0])}: {column} is null or nan, here and in "
            f"{len(missing) - 1} other runs of {len(frame)}; it must be known"
        )


def record_file(directory: Path, run_id: str) -> Path:
    """Where a run's record stands: its own folder, or a row of the packed table."""
    own = directory / run_id / "run.json"
    return own if own.exists() else directory / PACKED_FILE / run_id
