"""Where runs of allocators that are not built in go, so that the committed records of a checkout stay as they are.

What is committed is read beside them, and never written.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cerolab.errors import RecordError
from cerolab.records.settings import RunSettings

OWN = "own"  # folder below that of all results; git-ignored


@cache
def is_committed(directory: Path) -> bool:
    """Whether a folder has files that are committed in a checkout of cerolab; not so in a repository of the user's."""
    here, folder = Path(__file__).resolve(), directory.resolve()
    checkout = here.parents[2]
    return folder.is_relative_to(checkout) and _tracked(checkout, here) and _tracked(checkout, folder)


def own_directory(directory: Path) -> Path:
    """``results/own/sim/leaderboard`` for ``results/sim/leaderboard``."""
    return directory.parents[1] / OWN / directory.parent.name / directory.name


def committed_beside(directory: Path) -> Path | None:
    """The folder of committed records that ``own_directory`` makes this one of; None where there is none."""
    directory = directory.absolute()  # a name alone, typed within results/sim, has no parents
    if len(directory.parts) < 4 or directory.parents[1].name != OWN:
        return None
    found = directory.parents[2] / directory.parent.name / directory.name
    return found if is_committed(found) else None


def writable(directory: Path, built_in: Iterable[bool]) -> Path:
    """The folder itself, or ``own_directory`` where it has committed records and an allocator is not built in.

    Args:
        directory: ``results/<source>/<experiment>``.
        built_in: of every allocator that is to run.
    """
    return directory if not is_committed(directory) or all(built_in) else own_directory(directory)


def refuse_committed(directory: Path, settings: RunSettings) -> None:
    """Refuse to write the run of an allocator that is not built in among committed records.

    Raises:
        RecordError: names the folder, and where the run may go.
    """
    if settings.plugin and is_committed(directory):
        raise RecordError(
            f"{directory} holds committed records, and {settings.method} is not built in; "
            f"choose another --name or --out, {own_directory(directory)} say"
        )


def other_versions(infos: Iterable[Mapping[str, Any]], settings: RunSettings) -> list[Mapping[str, Any]]:
    """Of these run.json's, those of the same settings with other code of the allocator."""
    mine = settings.to_dict()
    plugin = mine.pop("plugin", {})
    return [
        info
        for info in infos
        if info.get("plugin", {}) != plugin and all(info.get(key) == value for key, value in mine.items())
    ]


def _tracked(checkout: Path, path: Path) -> bool:
    try:
        answer = subprocess.run(
            ["git", "ls-files", "--", str(path)], cwd=checkout, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return bool(answer.stdout)
