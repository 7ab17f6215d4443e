"""``python -m benchmarks.run``: run the benchmarks, write results/bench, print the numbers beside their goals."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median as median_of
from typing import Any

from cyclopts import App
from rich.console import Console
from rich.table import Table

from cerolab.records import provenance
from cerolab.records.files import write_json

_TRAINERS = {
    "allocated": "training of 0.8 M parameters on a CPU, 64 groups of 8: allocated trainer against TRL's, equal work",
    "defaults": "the same, rows without advantage left out and prompts read once",
}

app = App(name="python -m benchmarks.run", help=__doc__, version=None)


@app.default
def run(*, out: Path = Path("results/bench"), sweep: bool = True) -> None:
    """Time the hot paths.

    Parameters
    ----------
    out
        Folder of benchmark.json (every timing) and summary.json (the numbers with goals).
    sweep
        Also time the default regret sweep, minutes.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / "raw.json"
        command = [sys.executable, "-m", "pytest", "benchmarks", "-o", "python_files=bench_*.py", "-m", ""]
        subprocess.run([*command, "--benchmark-only", f"--benchmark-json={raw}"], check=True)
        timings = json.loads(raw.read_text())
        sweep_seconds = _timed_sweep(Path(scratch)) if sweep else None
    write_json(out / "benchmark.json", {"provenance": provenance(), "timings": _compact(timings)})
    machine = f"{provenance()['machine']['cores']} cores, {timings['machine_info']['cpu'].get('brand_raw', 'unknown')}"
    rows = _rows({entry["name"]: entry for entry in timings["benchmarks"]}, sweep_seconds)
    write_json(out / "summary.json", {"machine": machine, "rows": rows})
    table = Table("quantity", "goal", "measured", title=machine)
    for row in rows:
        table.add_row(row["quantity"], row["goal"], row["measured"])
    Console().print(table)


def _timed_sweep(scratch: Path) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "sim.regret_sweep", "--out", str(scratch)], check=True)
    return time.perf_counter() - began


def _compact(timings: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": entry["name"],
            "median_seconds": entry["stats"]["median"],
            "min_seconds": entry["stats"]["min"],
            "max_seconds": entry["stats"]["max"],
            "rounds": entry["stats"]["rounds"],
            **entry["extra_info"],
        }
        for entry in timings["benchmarks"]
    ]


def _rows(entries: dict[str, Any], sweep_seconds: float | None) -> list[dict[str, str]]:
    def median(name: str) -> float:
        return float(entries[name]["stats"]["median"])

    rows = []
    for num_prompts, goal in ((1_000_000, "<= 30 ms"), (10_000_000, "<= 400 ms")):
        seconds = median(f"test_round[{num_prompts}-cero]")
        ratio = seconds / median(f"test_copy_of_the_state[{num_prompts}]")
        text = f"{1e3 * seconds:.0f} ms ({ratio:.1f} plain copies of the state)"
        rows.append(_row(f"CERO round, allocate + observe, M = {num_prompts:,}", goal, text))
    memory = entries["test_round[10000000-cero]"]["extra_info"]["state_bytes_per_prompt"]
    rows.append(_row("CERO state per prompt", "<= 64 bytes", f"{memory:.0f} bytes"))
    for kind in ("beta", "clustered", "equal"):
        name = f"test_integer_oracle_million[{kind}]"
        gap = entries[name]["extra_info"]["relative_gap"]
        text = f"{median(name):.2f} s (certified to {_power(gap)} of the value)"
        rows.append(_row(f"exact integer oracle, M = 1,000,000, B = 64,000,000, {kind} rates", "<= 2 s", text))
    goals = {"integer": ">= 1,000 times faster than cvxpy, objectives equal to 1e-6", "continuous": "none"}
    for kind, goal in goals.items():
        closed, cvxpy = (entries[f"test_oracle_two_thousand[{kind}{by}]"] for by in ("", " cvxpy"))
        off = abs(cvxpy["extra_info"]["value"] / closed["extra_info"]["value"] - 1)
        ratio = cvxpy["stats"]["median"] / closed["stats"]["median"]
        text = f"{1e3 * closed['stats']['median']:.2f} ms, {ratio:,.0f} times faster, objectives equal to {_power(off)}"
        rows.append(_row(f"{kind} oracle against cvxpy on the same problem, M = 2,000", goal, text))
    horizon = entries["test_simulated_horizon[1000-cero]"]
    rate = horizon["extra_info"]["prompt_rounds"] / horizon["stats"]["median"]
    rows.append(_row("simulator with CERO, M = 1,000, prompts x rounds a second", "none", f"{rate / 1e6:.1f} million"))
    seconds = median("test_load_million_groups")
    rows.append(_row("run records: a million group rows, read and checked", "<= 2 s", f"{seconds:.2f} s"))
    if "test_training" in entries:  # needs the extra llm
        found = entries["test_training"]["extra_info"]
        for kind, what in _TRAINERS.items():
            speed, ratios = found["seconds_per_million_tokens"], found[f"{kind}_to_stock"]
            text = f"{speed[kind]:.0f} s a million tokens, TRL's own {speed['stock']:.0f} s, "
            text += f"ratio {median_of(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            rows.append(_row(what, "none", text))
    if sweep_seconds is not None:
        name = "default sweep: CERO and uniform at K = 50 ... 10,000, ablations to 1,000; M = 1,000, 4 populations, "
        name += "10 seeds; and three more studies"
        rows.append(_row(name, "<= 5 minutes", f"{sweep_seconds / 60:.1f} minutes"))
    return rows


def _power(number: float) -> str:
    """An accuracy, not better than double precision over a large sum can show."""
    return f"{max(number, 1e-12):.0e}"


def _row(quantity: str, goal: str, measured: str) -> dict[str, str]:
    return {"quantity": quantity, "goal": goal, "measured": measured}


if __name__ == "__main__":
    app()
