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


def claim_directory(directory: Path, fixed: Mapping[str, Any]) -> None:
    """Take a folder for an experiment, or go on with the one that is there if its fixed settings are the same.

    Args:
        directory: ``results/<source>/<experiment>``.
        fixed: the settings that all its runs share; what a sweep runs over may grow.

    Raises:
        RecordError: the folder holds an experiment with other settings (named), or something else.
    """
    file = directory / "experiment.json"
    wanted = {"schema_version": SCHEMA_VERSION, **fixed}
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
        return
    if occupied:
        raise RecordError(f"{directory} is not empty and holds no experiment; choose another --name or --out")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(f"cannot create {directory}: {error.strerror}; choose another --out") from error
    write_json(file, wanted)
