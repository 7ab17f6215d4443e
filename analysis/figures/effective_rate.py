"""Effective-group rate, the share of groups with mixed rewards, over the consumed budget."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.detail import describe_runs, refuse_none, run_label
from analysis.layout import legend_below, make_panels, set_heading
from analysis.statistics import FloatArray
from analysis.style import applied, look
from cerolab.records import Run

CAPTION = "Effective-group rate over the consumed budget"
TABLES = ("rounds",)
WINDOW = 0.05  # of the budget
_POINTS = 200


def effective_rate(rounds: pd.DataFrame, budget: int, window: float = WINDOW) -> tuple[FloatArray, FloatArray]:
    """Consumed share of the budget [P], and the rate over the window of the budget that ends there [P].

    Groups within a round are spread evenly over the units that it spent. nan where nothing was generated.
    """
    spending = rounds[rounds["units"] > 0]
    consumed, groups, effective = (
        np.concatenate([[0.0], np.cumsum(spending[name].to_numpy(np.float64))])
        for name in ("units", "groups", "effective_groups")
    )
    consumed /= budget
    if consumed[-1] < window:
        return np.empty(0), np.empty(0)
    ends = np.linspace(window, consumed[-1], _POINTS)
    starts = ends - window
    in_window = np.interp(ends, consumed, groups) - np.interp(starts, consumed, groups)
    mixed = np.interp(ends, consumed, effective) - np.interp(starts, consumed, effective)
    return ends, mixed / in_window


def draw(runs: Mapping[str, Run]) -> Figure:
    """One line a run, both axes in percent."""
    refuse_none(runs, "effective_rate")
    with applied():
        figure, (axes,) = make_panels([""], height=4.0)
        for name, run in runs.items():
            style = look(run.label)
            consumed, rate = effective_rate(run.table("rounds"), run.info["problem"]["budget"])
            axes.plot(
                100 * consumed,
                100 * rate,
                color=style.colour,
                linestyle=style.line,
                linewidth=style.width,
                marker=style.marker,
                markevery=40,
                label=run_label(name, run),
            )
        axes.set_xlim(0.0, 100.0)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel("budget consumed (%)")
        axes.set_ylabel("groups with mixed rewards (%)")
        legend_below(axes, columns=3)
        set_heading(
            figure, CAPTION, f"{describe_runs(runs.values())}. Moving window of {100 * WINDOW:g} % of the budget."
        )
    return figure
