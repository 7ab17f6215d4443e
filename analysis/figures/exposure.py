"""Terminal exposure: what share of the pool got at most so many equal shares R = B/M of the budget."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.detail import describe_runs, refuse_none, run_label
from analysis.layout import legend_below, make_panels, set_heading
from analysis.statistics import FloatArray
from analysis.style import REFERENCE, applied, look
from cerolab.records import Run

CAPTION = "Terminal exposure over the pool"
TABLES = ("pool",)


def distribution(exposure: npt.ArrayLike, equal_share: float) -> tuple[FloatArray, FloatArray]:
    """Exposures that occur, in multiples of R and increasing, and the share of prompts up to each."""
    values, counts = np.unique(np.asarray(exposure), return_counts=True)
    return values / equal_share, np.cumsum(counts) / counts.sum()


def draw(runs: Mapping[str, Run]) -> Figure:
    """One step line a run, and in grey the static optimum of the first run where its record has one."""
    refuse_none(runs, "exposure")
    with applied():
        figure, (axes,) = make_panels([""], height=4.0)
        for name, run in runs.items():
            style = look(run.label)
            _draw_steps(axes, run, "exposure", run_label(name, run), style.colour, style.line, style.width)
        first = next(iter(runs.values()))
        if (first.table("pool")["optimal_exposure"] >= 0).all():
            _draw_steps(axes, first, "optimal_exposure", "Static optimum", REFERENCE, "-", 0.9)
        axes.axvline(1.0, color=REFERENCE, linewidth=0.9, linestyle="--", zorder=1)
        axes.set_ylim(0.0, 1.02)
        axes.set_xlim(left=0.0)
        axes.set_xlabel("terminal exposure (multiples of the equal share R = B/M)")
        axes.set_ylabel("share of prompts with at most this")
        legend_below(axes, columns=3)
        set_heading(figure, CAPTION, f"{describe_runs(runs.values())}. Dashed: everybody gets the equal share.")
    return figure


def _draw_steps(
    axes: Axes, run: Run, column: str, label: str, colour: str, line: str | tuple[int, tuple[int, ...]], width: float
) -> None:
    problem = run.info["problem"]
    x, share = distribution(run.table("pool")[column].to_numpy(), problem["budget"] / problem["num_prompts"])
    axes.step(
        np.concatenate([[0.0], x]),
        np.concatenate([[0.0], share]),
        where="post",
        color=colour,
        linestyle=line,
        linewidth=width,
        label=label,
    )
