"""The same runs under the arithmetic of another machine: ``python -m tests.other_machine``.

Runs cells of the leaderboard twice: as they are here, and in a process without what another processor of the kind may
lack. NumPy's wide vector units, the fused multiply-add of the C library, this processor's BLAS kernels and BLAS threads
are turned off; they round exponentials, logarithms, powers and matrix products otherwise in the last bit. Says how many
records are the same to the byte and how far the others are apart; ``docs/reproducibility.md`` has what came out.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import App
from numpy._core import _multiarray_umath as umath

from cerolab.records import read_infos
from sim.experiment.engine import run_experiment
from sim.leaderboard_settings import SCENARIOS, LeaderboardSettings

ROOT = Path(__file__).resolve().parents[1]
_GLIBC = "glibc.cpu.hwcaps=" + ",".join(f"-{unit}" for unit in ("AVX512F", "AVX2", "FMA", "FMA4", "AVX"))

app = App(name="python -m tests.other_machine", help=__doc__, version_flags=[])


@dataclass(frozen=True)
class Apart:
    """Two runs of the same settings.

    Attributes:
        run_id: of both.
        by_key: by how much each of the results that differ does, relative; regrets relative to the optimum.
    """

    run_id: str
    by_key: dict[str, float]

    @property
    def most(self) -> float:
        """The largest difference, 0 where records are the same."""
        return max(self.by_key.values(), default=0.0)


def can_be_emulated() -> bool:
    """Whether this machine has something to turn off that we know how to."""
    return platform.machine() == "x86_64" and sys.platform == "linux" and bool(_wide_units())


def other_machine() -> dict[str, str]:
    """Environment of a process that is to compute as another machine does."""
    return {
        "NPY_DISABLE_CPU_FEATURES": " ".join(_wide_units()),
        "OPENBLAS_CORETYPE": "Nehalem",
        "OPENBLAS_NUM_THREADS": "1",
        "GLIBC_TUNABLES": _GLIBC,
    }


def _wide_units() -> list[str]:
    return [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__.get(name)]


def run(out: str, given: Mapping[str, Any]) -> None:
    """Run the leaderboard of these settings below ``out``; done in a process of its own."""
    run_experiment(LeaderboardSettings(name="cells", out=Path(out), **given), workers=1, quiet=True)


def both(given: Mapping[str, Any]) -> list[Apart]:
    """Every run of a leaderboard, on this machine and on the other."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = []
        for name, changes in (("here", {}), ("there", other_machine())):
            code = f"from tests.other_machine import run; run({str(Path(scratch, name))!r}, {dict(given)!r})"
            subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **changes}, check=True)
            folders.append(Path(scratch, name, "sim", "cells"))
        here, there = (read_infos(folder) for folder in folders)
    assert set(here) == set(there)
    return [Apart(run_id, _differences(here[run_id], there[run_id])) for run_id in sorted(here)]


def _differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for key, value in here["results"].items():
        other = there["results"][key]
        if key == "seconds" or value == other:
            continue
        if isinstance(value, str) or value is None or other is None:
            found[key] = float("inf")
            continue
        scale = max(abs(value), abs(other))
        if key.startswith("regret"):
            prompts = here["problem"]["num_prompts"] if key.endswith("per_prompt") else 1
            scale = max(scale, here["results"]["optimum"] / prompts)
        found[key] = abs(value - other) / scale
    return found


@app.default
def main(
    *,
    seeds: int = 1,
    num_prompts: int = 1000,
    num_rounds: int = 200,
    scenarios: tuple[str, ...] = SCENARIOS,
    allocators: tuple[str, ...] = (),
) -> int:
    """Compare; by default every allocator in every world of the leaderboard, one seed: four minutes on an idle core."""
    given = {"seeds": seeds, "num_prompts": num_prompts, "moving_prompts": max(1, num_prompts // 2)}
    found = both({**given, "num_rounds": num_rounds, "scenarios": scenarios, "allocators": allocators})
    apart = sorted((one for one in found if one.by_key), key=lambda one: -one.most)
    print(f"{len(found) - len(apart)} of {len(found)} records are the same to the byte, but for the seconds.")
    for limit in (1e-12, 1e-9, 1e-6):
        print(f"{sum(one.most > limit for one in apart)} have a result that differs by more than {limit:g}.")
    for one in apart[:20]:
        numbers = ", ".join(f"{key} {by:.1g}" for key, by in sorted(one.by_key.items(), key=lambda item: -item[1]))
        print(f"  {one.run_id}: {numbers}")
    return 0


if __name__ == "__main__":
    sys.exit(app())
