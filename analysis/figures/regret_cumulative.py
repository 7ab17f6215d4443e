"""Regret in round units, K times regret per prompt, beside the square root of K that theory promises."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from analysis.data.load import Runs
from analysis.data.methods import in_order
from analysis.data.select import by_population
from analysis.figures.regret_horizon import draw_reference, missing, slope_label, usable
from analysis.plotting.draw import BANDS, Panel
from analysis.plotting.layout import legend_below, log_axis
from analysis.plotting.lines import draw_curve
from analysis.stats.curves import curve

__all__ = ["CAPTION", "NOTE", "missing", "panels"]

CAPTION = "Cumulative regret in round units, K times regret per prompt"
NOTE = (
    f"{BANDS} In brackets: slope of the log mean on log K, with its 95 % jackknife-t interval over seeds; flat is a "
    "regret per prompt that falls like 1/K."
)


def panels(runs: Runs) -> list[Panel]:
    """One panel a population, log-log, with the line of slope 1/2 through CERO's first point."""
    data = usable(runs)
    data = data.assign(round_units=data["num_rounds"] * data["regret_per_prompt"])
    return [Panel(title, partial(_draw_panel, runs=group)) for title, group in by_population(data)]


def _draw_panel(axes: Axes, runs: pd.DataFrame) -> None:
    seen: list[float] = []
    for method in in_order(runs["method"]):
        own = runs[runs["method"] == method]
        # What is zero up to rounding stays so; K times it need not be.
        if not curve(own, "num_rounds", "num_rounds", "regret_per_prompt").positive:
            continue
        found = curve(own, "num_rounds", "num_rounds", "round_units")
        draw_curve(axes, found, method, slope_label(own, found, "round_units"))
        seen += found.extent
        if method == "cero":
            draw_reference(axes, found, 0.5, "√K from CERO's first point")
    horizons = runs["num_rounds"].unique()
    log_axis(axes, "x", horizons, ticks=horizons)
    log_axis(axes, "y", seen)
    axes.set_xlabel("horizon K (rounds)")
    axes.set_ylabel("K times regret per prompt (rounds)")
    legend_below(axes)
