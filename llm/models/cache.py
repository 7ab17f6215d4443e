"""Where models made on first use are kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def cache_directory() -> Path:
    """``CEROLAB_CACHE``, or ``~/.cache/cerolab``."""
    return Path(os.environ.get("CEROLAB_CACHE") or Path.home() / ".cache" / "cerolab")


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The cached folder ``name``; ``make`` fills it aside first, so that it is whole or absent.

    Two processes that make it at once each make their own; the first to finish wins.
    """
    folder = cache_directory() / name
    if folder.is_dir():
        return folder
    aside = folder.with_name(f".{name}.{os.getpid()}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        make(aside)
        try:
            aside.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder
