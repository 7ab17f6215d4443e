"""What stands at a path that a user typed, however odd the text is, and whether something can be written there."""

from __future__ import annotations

import os
from pathlib import Path

from cerolab.errors import InvalidValueError


def is_folder(text: str) -> bool:
    """Whether there is such a folder; a text that can be no path is none."""
    return bool(text) and os.path.isdir(os.path.expanduser(text))  # noqa: PTH111, PTH112  Path's raise on odd texts


def is_file(text: str) -> bool:
    """Whether there is such a file; a text that can be no path is none."""
    return bool(text) and os.path.isfile(os.path.expanduser(text))  # noqa: PTH111, PTH113


def check_folder(field: str, folder: Path) -> None:
    """Refuse a folder of results that cannot be made or written to.

    Raises:
        InvalidValueError: names ``field`` and what stands in the way.
    """
    there = Path(os.path.abspath(folder))  # noqa: PTH100
    while not os.path.lexists(there):
        there = there.parent
    if not os.path.isdir(there):  # noqa: PTH112
        raise InvalidValueError(field, str(folder), f"cannot be a folder: {there} is a file", "give another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InvalidValueError(
            field, str(folder), f"cannot be written: {there} is closed to you", "give another folder"
        )


def check_new_file(field: str, file: Path) -> None:
    """Refuse a file that could not be written when the work is done.

    Raises:
        InvalidValueError: it is a folder, or its folder does not exist or is closed to us.
    """
    folder = os.path.dirname(os.path.abspath(file))  # noqa: PTH100, PTH120
    if os.path.isdir(file):  # noqa: PTH112
        raise InvalidValueError(field, str(file), "is a folder", "name a file in it")
    if os.path.exists(file) and not os.path.isfile(file):  # noqa: PTH110, PTH113
        raise InvalidValueError(field, str(file), "is there, and is no plain file", "name another")
    if not os.path.isdir(folder):  # noqa: PTH112
        raise InvalidValueError(field, str(file), f"lies in {folder}, which is no folder", "make that folder first")
    if not os.access(file if os.path.exists(file) else folder, os.W_OK):  # noqa: PTH110
        raise InvalidValueError(field, str(file), "cannot be written", "give a place that is yours")
