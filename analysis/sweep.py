"""Every figure of a sweep: ``python -m analysis.sweep results/sim/regret_sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from analysis.command import says_errors
from analysis.data.load import load_runs
from analysis.data.results import results_frame
from analysis.report.gallery import draw_sweep
from analysis.tables.sweep_tables import sweep_summary, to_rich
from cerolab.errors import RecordError
from cerolab.tools.command_line import start
from cerolab.tools.settings import FolderToFill

app = App(
    name="python -m analysis.sweep",
    help="Draw every figure that a sweep has runs for, as PNG and SVG, and print its summary.",
    version_flags=[],
    help_epilogue="Example: python -m analysis.sweep results/sim/regret_sweep --out /tmp/figures",
)


@app.default
@says_errors
def main(
    directory: Annotated[Path, Parameter(help="Folder of a sweep: its runs, or their packed table runs.parquet.")],
    /,
    *,
    out: Annotated[FolderToFill | None, Parameter(help="Folder for the figures.  [default: DIRECTORY/figures]")] = None,
) -> int:
    """Draw every figure that a sweep has runs for, as PNG and SVG, and print its summary."""
    runs = load_runs(directory)
    written = draw_sweep(runs, out or directory / "figures")
    title = f"{directory}, at the largest K that all allocators share"
    Console().print(to_rich(sweep_summary(results_frame(runs)), title))
    if not written:
        raise RecordError(f"{directory}: no figure fits its runs; figures take the studies that sim.regret_sweep runs")
    for path in written:
        print(path)
    return 0


if __name__ == "__main__":
    start(app)
