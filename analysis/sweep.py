"""Every figure of a sweep: ``python -m analysis.sweep results/sim/regret_sweep``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console

from analysis import style
from analysis.detail import detailed_runs
from analysis.figures import (
    effective_rate,
    exposure,
    learning,
    pacing,
    regret_cumulative,
    regret_drift,
    regret_horizon,
    regret_pool,
    selection_lift,
)
from analysis.load import sweep_frame
from analysis.tables import sweep_summary, to_rich
from cerolab.errors import CerolabError, RecordError
from cerolab.records import read_infos

_OF_SWEEPS = {
    "regret_horizon": regret_horizon,
    "regret_cumulative": regret_cumulative,
    "regret_drift": regret_drift,
    "regret_pool": regret_pool,
    "learning": learning,
}
_OF_RUNS = {
    "pacing": pacing,
    "exposure": exposure,
    "effective_rate": effective_rate,
}

app = App(
    name="python -m analysis.sweep",
    help="Draw every figure that a sweep has runs for, as PNG and SVG, and print its summary.",
    version_flags=[],
    help_epilogue="Example: python -m analysis.sweep results/sim/regret_sweep --out /tmp/figures",
)


def draw_sweep(directory: Path, out: Path, infos: Mapping[str, Mapping[str, Any]] | None = None) -> list[Path]:
    """Draw every figure for which ``directory`` has runs into ``out``; returns the paths written.

    Who has read the records already passes them as ``infos``.

    Figures over seeds are drawn where runs belong to their study; figures of single runs where runs kept their tables,
    for one set of comparable runs (see ``analysis.detail``), the lift for the first allocator there that predicts.

    Raises:
        RecordError: no finished run, or a damaged record; names the file.
    """
    infos = read_infos(directory) if infos is None else infos
    data = sweep_frame(infos, directory)
    written = []
    for stem, figure in _OF_SWEEPS.items():
        if not figure.usable(data).empty:
            written += style.save(figure.draw(data), out / stem)
    for stem, figure in _OF_RUNS.items():
        runs = detailed_runs(infos, directory, figure.TABLES)
        if runs:
            written += style.save(figure.draw(runs), out / stem)
    candidates = detailed_runs(infos, directory, selection_lift.TABLES).values()
    predicting = next(filter(selection_lift.predicts, candidates), None)
    if predicting is not None:
        written += style.save(selection_lift.draw(predicting), out / "selection_lift")
    return written


@app.default
def main(
    directory: Annotated[Path, Parameter(help="Folder of a sweep: its runs, or their packed table runs.parquet.")],
    /,
    *,
    out: Annotated[Path | None, Parameter(help="Folder for the figures.  [default: DIRECTORY/figures]")] = None,
) -> int:
    """Draw every figure that a sweep has runs for, as PNG and SVG, and print its summary."""
    try:
        infos = read_infos(directory)
        written = draw_sweep(directory, out or directory / "figures", infos)
        Console().print(
            to_rich(
                sweep_summary(sweep_frame(infos, directory)), f"{directory}, at the largest K that all allocators share"
            )
        )
        if not written:
            raise RecordError(
                f"{directory}: no figure fits its runs; figures take the studies that sim.regret_sweep runs"
            )
    except CerolabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path in written:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(app())
