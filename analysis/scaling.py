"""Time of a scheduler's round against the size of the pool: ``python -m analysis.scaling``, from results/bench."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import pandas as pd
from cyclopts import App, Parameter
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.command import says_errors
from analysis.data.methods import in_order
from analysis.data.timings import read_rounds
from analysis.plotting import style
from analysis.plotting.layout import legend_below, log_axis, make_panels, make_room, set_heading
from cerolab.tools.command_line import start

ROOT = Path(__file__).resolve().parents[1]
STEM = Path("figures") / "scaling"

_CAPTION = "One round of the scheduler, allocate + observe, against the size of the pool"
_NOTE = (
    "Medians over rounds. One copy of the state: every array that the method keeps, copied once, in turn with its "
    "rounds. Crosses: what CERO was to reach on two cores."
)

app = App(
    name="python -m analysis.scaling",
    help="Draw the scaling plots from the committed benchmark record.",
    version_flags=[],
)


def draw_scaling(rounds: pd.DataFrame) -> Figure:
    """Seconds a round, and the same in copies of the method's state; ``rounds`` as of ``read_rounds``."""
    titles = ["Time per round", "Time per round in copies of the method's own state"]
    with style.applied():
        figure, (seconds, copies) = make_panels(titles)
        _draw(seconds, rounds, "median_seconds", "milliseconds a round", 1e3)
        _draw_limits(seconds, rounds)
        _draw(copies, rounds, "copies", "copies of the state", 1.0)
        copies.axhline(1.0, color=style.REFERENCE, linewidth=1.0, linestyle=":")
        legend_below(seconds, columns=3)
        legend_below(copies, columns=4)
        make_room(figure, [seconds, copies])
        set_heading(figure, _CAPTION, _NOTE)
    return figure


def save_scaling(folder: Path) -> list[Path]:
    """Draw the benchmark.json of ``folder`` into its ``figures``; returns the paths.

    Raises:
        RecordError: no benchmark.json, or a damaged one.
    """
    return style.save(draw_scaling(read_rounds(folder)), folder / STEM, "pdf")


def _draw(axes: Axes, rounds: pd.DataFrame, column: str, label: str, scale: float) -> None:
    for method in in_order(rounds["method"]):
        found = rounds[rounds["method"] == method].sort_values("num_prompts")
        look = style.look(method)
        axes.plot(
            found["num_prompts"],
            scale * found[column],
            color=look.colour,
            marker=look.marker,
            linestyle=look.line,
            linewidth=look.width,
            label=look.name,
        )
    sizes = rounds["num_prompts"].unique()
    log_axis(axes, "x", sizes, ticks=sizes)
    log_axis(axes, "y", scale * rounds[column])
    axes.set_xlabel("pool size M (prompts)")
    axes.set_ylabel(label)


def _draw_limits(axes: Axes, rounds: pd.DataFrame) -> None:
    """One copy of CERO's state, and the goals."""
    cero = rounds[rounds["method"] == "cero"].sort_values("num_prompts")
    goals = cero[cero["goal_seconds"].notna()]
    plot = partial(axes.plot, color=style.REFERENCE)
    plot(cero["num_prompts"], 1e3 * cero["yardstick_seconds"], linestyle=":", label="one copy of CERO's state")
    plot(
        goals["num_prompts"], 1e3 * goals["goal_seconds"], linestyle="", marker="X", markersize=8, label="goals of CERO"
    )
    shown = pd.concat([rounds["median_seconds"], cero["yardstick_seconds"], goals["goal_seconds"]])
    log_axis(axes, "y", 1e3 * shown)


@app.default
@says_errors
def main(
    *,
    folder: Annotated[Path, Parameter(help="Folder of benchmark.json.", show_default=False)] = ROOT / "results/bench",
) -> int:
    """Draw the scaling plots from the committed benchmark record."""
    for path in save_scaling(folder):
        print(path)
    return 0


if __name__ == "__main__":
    start(app)
