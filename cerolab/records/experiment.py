"""The folder of an experiment: taken once, gone on with only under the same settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cerolab.errors import RecordError
from cerolab.records.files import read_json, write_json
from cerolab.records.info import checked_experiment
from cerolab.records.schema import SCHEMA_VERSION
from cerolab.records.settings import differing_keys

_FILE = "experiment.json"


def claim_directory(directory: Path, fixed: Mapping[str, Any]) -> None:
    """Take a folder for an experiment, or go on with the one that is there if its fixed settings are the same.

    Args:
        directory: ``results/<source>/<experiment>``.
        fixed: the settings that all its runs share; what a sweep runs over may grow.

    Raises:
        RecordError: as ``is_claimed``, or the folder cannot be made.
    """
    if is_claimed(directory, fixed):
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(f"cannot create {directory}: {error.strerror}; choose another --out") from error
    write_json(directory / _FILE, _wanted(fixed))


def is_claimed(directory: Path, fixed: Mapping[str, Any]) -> bool:
    """Whether a folder holds the experiment of these fixed settings already; False: it is free. Writes nothing.

    Raises:
        RecordError: the folder holds an experiment with other settings (named), or something else.
    """
    file, wanted = directory / _FILE, _wanted(fixed)
    occupied = directory.exists() and any(not path.name.endswith(".partial") for path in directory.iterdir())
    if file.exists():  # looked for after the others: another process may be taking the folder, with this file first
        found = checked_experiment(read_json(file), file)
        differing = [
            f"{key}: {found.get(key)!r} there, {wanted.get(key)!r} now" for key in differing_keys(found, wanted)
        ]
        if differing:
            raise RecordError(
                f"{directory} holds an experiment with other settings ({'; '.join(differing)}); "
                "choose another --name or --out, or the same settings"
            )
        return True
    if occupied:
        raise RecordError(f"{directory} is not empty and holds no experiment; choose another --name or --out")
    return False


def _wanted(fixed: Mapping[str, Any]) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, **fixed}
