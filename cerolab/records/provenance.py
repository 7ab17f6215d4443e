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
    """Commit (None outside a checkout) and whether the tree differs from it, and host facts; JSON-ready."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        # Results are written while the code runs: only the code counts.
        "dirty": bool(_git("status", "--porcelain", "--", ":(top)*.py", ":(top)pyproject.toml")),
        **host_facts(),
    }


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
    try:
        answer = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
