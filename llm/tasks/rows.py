"""Rows of a data set: a .jsonl, .json, .parquet or .csv file, a folder of them, or a data set of the hub."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cerolab.errors import InvalidValueError
from llm.paths import is_file, is_folder

SUFFIXES = (".csv", ".json", ".jsonl", ".parquet")

_HUB_NAME = re.compile(r"([\w.-]+(?:/[\w.-]+)?)(?::([\w.+-]+))?")
_PARQUET_BATCH = 4096  # rows in memory at once


class Row(NamedTuple):
    """One row.

    Attributes:
        file: where it stands.
        number: counted from 1 in that file; in a .jsonl file, the line.
        values: by column in lower case; None where there is no JSON object.
    """

    file: str
    number: int
    values: Mapping[str, Any] | None


def read_rows(source: str) -> Iterator[Row]:
    """All rows, in the order of the file; a folder's files by name, with those in folders below.

    Args:
        source: a path, or ``owner/name`` on the hub. ``owner/name:split`` names a split, which is else "train" or the
            only one.

    Raises:
        InvalidValueError: neither the path nor the data set can be had; a file that is not what its name says.
    """
    path = Path(source).expanduser() if is_folder(source) or is_file(source) else Path(source)
    if is_folder(source):
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not files:
            raise InvalidValueError("folder", source, "has no data file", f"put files in it: {', '.join(SUFFIXES)}")
        for file in files:
            yield from _read_file(file)
    elif is_file(source):
        yield from _read_file(path)
    else:
        hub = _HUB_NAME.fullmatch(source)
        if hub is None or path.suffix.lower() in SUFFIXES or source.startswith("."):
            raise InvalidValueError("file", source, "does not exist", "give a file, a folder or owner/name on the hub")
        yield from _read_hub(hub.group(1), hub.group(2))


def _read_file(path: Path) -> Iterator[Row]:
    readers = {".jsonl": _json_lines, ".json": _json, ".parquet": _parquet, ".csv": _csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InvalidValueError("file", str(path), "is of no known kind", f"give one of {', '.join(SUFFIXES)}")
    try:
        for number, values in reader(path):
            yield Row(str(path), number, _lowered(values))
    except (OSError, UnicodeError, json.JSONDecodeError, csv.Error) as error:
        remedy = f"give a {path.suffix} file in UTF-8"
        raise InvalidValueError("file", str(path), f"cannot be read: {error}", remedy) from error


def _lowered(values: object) -> Mapping[str, Any] | None:
    """Column names in lower case: the same data sets write "problem" and "Problem"."""
    return {str(name).lower(): value for name, value in values.items()} if isinstance(values, Mapping) else None


def _json_lines(path: Path) -> Iterator[tuple[int, object]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError:
                yield number, None


def _json(path: Path) -> Iterator[tuple[int, object]]:
    """A list of objects, one object, or lines of JSON under the wrong name."""
    text = path.read_text(encoding="utf-8-sig")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        return _json_lines(path)
    return enumerate(content if isinstance(content, list) else [content], start=1)


def _csv(path: Path) -> Iterator[tuple[int, object]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, values in enumerate(csv.DictReader(file, strict=True), start=1):
            yield number, {name: value for name, value in values.items() if name is not None}


def _parquet(path: Path) -> Iterator[tuple[int, object]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=_PARQUET_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield number, values
    except pyarrow.ArrowException as error:
        raise OSError(str(error)) from error


def _read_hub(name: str, split: str | None) -> Iterator[Row]:
    """The data set's only configuration, or the one named "main" or "default", or else all one after another."""
    import datasets

    number = 0
    try:
        configurations = datasets.get_dataset_config_names(name)
        chosen = [one for one in configurations if one in ("main", "default")][:1] or configurations
        parts = []
        for configuration in chosen:
            splits = datasets.get_dataset_split_names(name, configuration)
            wanted = split or (splits[0] if len(splits) == 1 else "train")
            parts.append(datasets.load_dataset(name, configuration, split=wanted))
    except Exception as error:  # the hub's client raises errors of many kinds
        problem = f"is no file or folder here, and the hub did not give it: {type(error).__name__}: {error}"
        remedy = f"give a path ({', '.join(SUFFIXES)}), or owner/name:split with a network"
        raise InvalidValueError("data set", name, problem, remedy) from error
    for part in parts:
        for values in part:
            number += 1
            yield Row(name, number, _lowered(values))
