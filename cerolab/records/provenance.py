"""Where a result comes from: code, versions and machine."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("cerolab", "numpy", "scipy", "cvxpy", "pandas", "pyarrow", "torch", "transformers", "trl", "vllm")


@cache
def provenance() -> dict[str, Any]:
    """Commit, whether the code differs from it, and host facts; JSON-ready.

    Outside a checkout the first two are None. ``dirty`` is asked once a process, at its first record: whether any
    Python file of the repository, or its pyproject.toml, is changed, added or removed; files that git ignores do not
    count. Records, figures and pages do not either: they are written while the code runs.
    """
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=all", "--", ":(top)*.py", ":(top)pyproject.toml")
    known = bool(commit) and changes is not None
    return {"commit": commit or None, "dirty": bool(changes) if known else None, **host_facts()}


@cache
def host_facts() -> dict[str, Any]:
    """The part of provenance that depends on the machine which does a run: versions and machine facts."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    machine = {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()}
    return {"versions": versions, "machine": machine}


def _git(*arguments: str) -> str | None:
    """What git says of the repository that this file lies in; None where there is none, or no git."""
    try:
        answer = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
