"""``python -m benchmarks.run``: run the benchmarks, write and draw results/bench, print the numbers with goals."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from analysis.command import says_errors
from analysis.scaling import save_scaling
from benchmarks.measure import ROOT, measure, ratios
from benchmarks.rows import make_rows
from cerolab.records import provenance
from cerolab.records.files import write_json
from cerolab.tools.command_line import start
from cerolab.tools.settings import FolderToFill, PoolSize, checked

app = App(
    name="python -m benchmarks.run",
    help="Time the hot paths; ten minutes in full, and only a machine without other work gives numbers to commit.",
    help_epilogue="A trial, two minutes: python -m benchmarks.run --out trial --most-prompts 100000 --no-trainer "
    "--no-sweep",
    version_flags=[],
)


@app.default
@says_errors
@checked
def run(
    *,
    out: Annotated[FolderToFill, Parameter(show_default=False)] = ROOT / "results" / "bench",
    sweep: bool = True,
    trainer: bool = True,
    most_prompts: PoolSize = 10**7,
) -> int:
    """Time the hot paths; ten minutes in full, and only a machine without other work gives numbers to commit.

    Parameters
    ----------
    out
        Folder of benchmark.json (every timing, and the machine), summary.json (the numbers with goals, and the ratios
        that carry over between machines) and figures; results/bench by default.
    sweep
        Also time the default regret sweep: minutes.
    trainer
        Also time training against TRL's own trainer, where the extra llm is installed: minutes.
    most_prompts
        The largest pool for the scheduler.
    """
    out.mkdir(parents=True, exist_ok=True)
    left_out = [] if trainer else ["--ignore=benchmarks/bench_trainer.py"]
    timings, machine = measure("-m", "", f"--most-prompts={most_prompts}", *left_out)
    sweep_seconds = _timed_sweep() if sweep else None
    write_json(out / "benchmark.json", {"provenance": provenance(), "machine": machine, "timings": timings})
    rows = make_rows(timings, sweep_seconds)
    title = f"{machine['cores']} cores, {machine['cpu']}, {machine['memory_gib']:.0f} GiB"
    found = [{"name": r.name, "value": r.value, "better": "lower", "slow": r.slow} for r in ratios(timings)]
    write_json(out / "summary.json", {"machine": title, "rows": rows, "ratios": found})
    save_scaling(out)
    table = Table("quantity", "goal", "measured", title=title)
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)
    print(f"wrote {out}")
    return 0


def _timed_sweep() -> float:
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "sim.regret_sweep", "--out", scratch], check=True, cwd=ROOT)
        return time.perf_counter() - began


if __name__ == "__main__":
    start(app)
