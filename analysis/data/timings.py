"""Reading results/bench: the timings that ``python -m benchmarks.run`` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cerolab.errors import RecordError
from cerolab.records.files import read_json

COMMAND = "python -m benchmarks.run"
_ROUND = ("method", "num_prompts", "median_seconds", "yardstick_seconds", "state_bytes_per_prompt")
_ORACLE = ("rates", "median_seconds", "goal_seconds", "relative_gap")


def read_rounds(folder: Path) -> pd.DataFrame:
    """Rounds of the scheduler, a row a method and pool: the columns above, ``copies`` of the state, ``goal_seconds``.

    ``goal_seconds`` is nan where there is none.

    Raises:
        RecordError: no benchmark.json, or a damaged one; names it and how to make it.
    """
    rounds = _with(folder, _ROUND)
    rounds["copies"] = rounds["median_seconds"] / rounds["yardstick_seconds"]
    return rounds if "goal_seconds" in rounds else rounds.assign(goal_seconds=float("nan"))


def read_oracle(folder: Path) -> pd.DataFrame:
    """The exact oracle on a million prompts, a row a kind of success rates. Raises as ``read_rounds``."""
    return _with(folder, _ORACLE)


def read_rows(file: Path, key: str, columns: Sequence[str], command: str = COMMAND) -> pd.DataFrame:
    """The list ``key`` of a JSON file as a table of ``columns``; ``command`` makes the file.

    Raises:
        RecordError: the file, the list or a column is missing; names it and how to make it.
    """
    rows = _rows(file, key, columns, command)
    # object: a column may hold text and numbers; each stays as it is.
    return pd.DataFrame([[row[column] for column in columns] for row in rows], columns=list(columns), dtype=object)


def _rows(file: Path, key: str, columns: Sequence[str], command: str = COMMAND) -> list[dict[str, Any]]:
    """The list ``key`` of a JSON file, of rows that have all of ``columns``; raises as ``read_rows``."""
    if not file.exists():
        raise RecordError(f"{file} does not exist; make it with `{command}`")
    rows: Any = read_json(file).get(key)
    if not isinstance(rows, list) or not rows:
        raise RecordError(f"{file}: {key!r} is missing, empty or no list; make it again with `{command}`")
    for number, row in enumerate(rows):
        for column in columns:
            if not isinstance(row, dict) or column not in row:
                raise RecordError(f"{file}: {column!r} is missing in row {number}; make it again with `{command}`")
    return rows


def _with(folder: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The timings that have all of ``columns``."""
    file = folder / "benchmark.json"
    timings = pd.DataFrame(_rows(file, "timings", ["name"]))
    missing = [column for column in columns if column not in timings]
    found = timings if missing else timings.dropna(subset=list(columns))
    if missing or found.empty:
        raise RecordError(f"{file}: no timing has {', '.join(missing or columns)}; make it again with `{COMMAND}`")
    return found.reset_index(drop=True)
