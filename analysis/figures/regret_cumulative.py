"""Regret in round units, K times regret per prompt, beside the square root of K that theory promises."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import style
from analysis.curves import curve, draw_curve
from analysis.figures import regret_horizon
from analysis.figures.regret_horizon import draw_reference, slope_label
from analysis.layout import describe, legend_below, log_axis, make_panels, set_heading
from analysis.select import panels
from cerolab.errors import RecordError

CAPTION = "Cumulative regret in round units, K times regret per prompt"


def usable(data: pd.DataFrame) -> pd.DataFrame:
    """The runs that ``regret_horizon`` draws."""
    return regret_horizon.usable(data)


def draw(data: pd.DataFrame) -> Figure:
    """One panel a population, log-log, with the line of slope 1/2 through CERO's first point."""
    runs = usable(data)
    if runs.empty:
        raise RecordError("the sweep has no run of the study 'horizon' with fixed rates")
    runs = runs.assign(round_units=runs["num_rounds"] * runs["regret_per_prompt"])
    parts = panels(runs)
    with style.applied():
        figure, axes = make_panels([title for title, _ in parts], height=4.3)
        for panel, (_, group) in zip(axes, parts, strict=True):
            _draw_panel(panel, group)
        set_heading(
            figure,
            CAPTION,
            f"{describe(runs)}. Lines: mean over seeds; bands: 95 % t-interval. In brackets: slope of the log mean "
            "on log K, with its 95 % bootstrap interval over seeds; flat is a regret per prompt that falls like 1/K.",
        )
    return figure


def _draw_panel(axes: Axes, runs: pd.DataFrame) -> None:
    seen: list[float] = []
    for method in style.in_order(runs["method"]):
        own = runs[runs["method"] == method]
        # What is zero up to rounding stays so; K times it need not be.
        if not curve(own, "num_rounds", "num_rounds", "regret_per_prompt").positive:
            continue
        found = curve(own, "num_rounds", "num_rounds", "round_units")
        draw_curve(axes, found, method, slope_label(own, found, "round_units"))
        seen += found.extent
        if method == "cero":
            draw_reference(axes, found, 0.5, r"$\sqrt{K}$ from CERO's first point")
    horizons = runs["num_rounds"].unique()
    log_axis(axes, "x", horizons, ticks=horizons)
    log_axis(axes, "y", seen)
    axes.set_xlabel("horizon K (rounds)")
    axes.set_ylabel("K times regret per prompt (rounds)")
    legend_below(axes)
