"""Run the benchmarks and take what they noted, as JSON-ready timings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cerolab.errors import CerolabError

ROOT = Path(__file__).resolve().parents[1]


class Measured(NamedTuple):
    """Timings, and the machine they were taken on."""

    timings: list[dict[str, Any]]
    machine: dict[str, Any]


class Ratio(NamedTuple):
    """A time of ours over that of something plain, or memory over its goal; lower is better.

    ``slow``: of a benchmark that is not measured again by ``benchmarks.check``.
    ``test``: that gives it.
    """

    name: str
    value: float
    slow: bool
    test: str


def measure(*choice: str) -> Measured:
    """Run the benchmarks, saying which; ``choice``: arguments of pytest, to leave some out.

    Raises:
        CerolabError: one of them failed.
    """
    chosen = choice if any("::" in part for part in choice) else ("benchmarks", *choice)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "raw.json"
        command = [sys.executable, "-m", "pytest", *chosen, "-o", "python_files=bench_*.py", "-vv"]
        command += ["-o", "console_output_style=count", "--benchmark-only", "--benchmark-quiet"]
        # In a worker of pytest-xdist nothing would be timed.
        outside = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_XDIST")}
        done = subprocess.run([*command, f"--benchmark-json={file}"], cwd=ROOT, env=outside)
        if done.returncode:
            raise CerolabError(f"the benchmarks failed with status {done.returncode}; see above")
        found = json.loads(file.read_text())
    return Measured([_compact(entry) for entry in found["benchmarks"]], _machine(found["machine_info"]))


def ratios(timings: Iterable[Mapping[str, Any]]) -> list[Ratio]:
    """The ratios that the benchmarks noted."""
    return [
        Ratio(name, value, entry["slow"], entry["test"])
        for entry in timings
        for name, value in entry.get("ratios", {}).items()
    ]


def _compact(entry: dict[str, Any]) -> dict[str, Any]:
    stats = entry["stats"]
    return {
        "name": entry["name"],
        "test": entry["fullname"],
        "median_seconds": stats["median"],
        "min_seconds": stats["min"],
        "max_seconds": stats["max"],
        "rounds": stats["rounds"],
        **entry["extra_info"],
    }


def _machine(info: dict[str, Any]) -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cpu = info["cpu"].get("brand_raw", "unknown processor")
    return {"cores": os.cpu_count(), "cpu": cpu, "memory_gib": round(memory / 2**30, 1)}
