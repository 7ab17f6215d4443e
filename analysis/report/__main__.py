"""``python -m analysis.report RUN... -o report.html``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from analysis.command import says_errors
from analysis.data.load import load_runs
from cerolab.records.files import write_text
from cerolab.tools.command_line import start
from cerolab.tools.settings import FileToWrite

_HELP = (
    "Write one HTML page on any run records, of simulator and training: which allocator is ahead, by how much and how "
    "sure, then figures, curves to explore, tables, and the settings and versions behind them. The page holds "
    "everything that it shows; send it, print it, open it anywhere."
)

app = App(
    name="python -m analysis.report",
    help=_HELP,
    version_flags=[],
    help_epilogue="Example: python -m analysis.report results/llm/study-arithmetic-hard -o study.html",
)


@app.default
@says_errors
def main(
    *runs: Annotated[Path, Parameter(help="Runs, experiments, or folders of experiments.", name="RUN")],
    out: Annotated[FileToWrite, Parameter(help="The page.", name=["--out", "-o"])] = Path("report.html"),
    quiet: Annotated[bool, Parameter(help="No progress bar.", negative="")] = False,
) -> int:
    """Write the page."""
    from analysis.report.page import render

    if not runs:
        print("error: no runs; give the folder of a run or of an experiment, see --help", file=sys.stderr)
        return 1
    if not out.parent.is_dir():
        print(f"error: {out.parent} does not exist; make it, or give another place with --out", file=sys.stderr)
        return 1
    write_text(out, render(load_runs(*runs), quiet))
    print(out)
    return 0


if __name__ == "__main__":
    start(app)
