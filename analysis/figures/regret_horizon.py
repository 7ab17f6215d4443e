"""Regret per prompt against the horizon K, with fitted slopes and the bound (11) of CERO (arXiv 2606.05606)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import style
from analysis.curves import Curve, curve, draw_curve, horizon_slope
from analysis.layout import describe, legend_below, log_axis, make_panels, set_heading
from analysis.select import panels, study_runs
from cerolab.errors import RecordError

CAPTION = "Regret per prompt against the horizon"


def usable(data: pd.DataFrame) -> pd.DataFrame:
    """The runs of the study "horizon" with fixed rates, whose benchmark is the exact optimum."""
    return study_runs(data[data["optimum_kind"] == "static exact"], "horizon", ["num_rounds"])


def draw(data: pd.DataFrame) -> Figure:
    """One panel a population, log-log; the legend gives the slope of log mean regret on log K, with its interval."""
    runs = usable(data)
    if runs.empty:
        raise RecordError("the sweep has no run of the study 'horizon' with fixed rates")
    parts = panels(runs)
    with style.applied():
        figure, axes = make_panels([title for title, _ in parts], height=4.3)
        for panel, (_, group) in zip(axes, parts, strict=True):
            _draw_panel(panel, group)
        set_heading(
            figure,
            CAPTION,
            f"{describe(runs)}. Lines: mean over seeds; bands: 95 % t-interval. In brackets: slope of log mean regret "
            "on log K, with its 95 % bootstrap interval over seeds.",
        )
    return figure


def _draw_panel(axes: Axes, runs: pd.DataFrame) -> None:
    seen: list[float] = []
    for method in style.in_order(runs["method"]):
        own = runs[runs["method"] == method]
        found = curve(own, "num_rounds", "num_rounds", "regret_per_prompt")
        draw_curve(axes, found, method, slope_label(own, found, "regret_per_prompt"))
        seen += found.extent
        if method == "cero":
            draw_reference(axes, found, -0.5, "slope $-1/2$ from CERO's first point")
            seen += _draw_bound(axes, own)
    horizons = runs["num_rounds"].unique()
    log_axis(axes, "x", horizons, ticks=horizons)
    log_axis(axes, "y", seen)
    axes.set_xlabel("horizon K (rounds)")
    axes.set_ylabel("regret per prompt")
    legend_below(axes)


def slope_label(runs: pd.DataFrame, found: Curve, column: str) -> str:
    """Name of the allocator, with the fitted slope where there is one."""
    name = style.look(str(runs["method"].iloc[0])).name
    if not found.positive:
        return f"{name}: 0 up to rounding"
    slope = horizon_slope(runs, column)
    return name if np.isnan(slope.estimate) else f"{name}: {slope.text()}"


def draw_reference(axes: Axes, found: Curve, power: float, label: str) -> None:
    """K to a power, dashed and grey, through the first point of a curve."""
    if found.positive:
        axes.plot(
            found.x,
            found.mean[0] * (found.x / found.x[0]) ** power,
            color=style.REFERENCE,
            linestyle="--",
            linewidth=1.0,
            label=label,
            zorder=2,
        )


def _draw_bound(axes: Axes, runs: pd.DataFrame) -> list[float]:
    """CERO's bound (11) where it is below 1, where it says something; returns the values drawn."""
    bound = curve(runs, "num_rounds", "num_rounds", "bound_total")
    below = bound.mean < 1.0
    if not below.any():
        axes.text(
            0.98, 0.97, "bound (11) is above 1 here", transform=axes.transAxes, ha="right", va="top", fontsize=7.5
        )
        return []
    axes.plot(
        bound.x[below],
        bound.mean[below],
        color=style.look("cero").colour,
        marker="x",
        linestyle=":",
        linewidth=1.2,
        label="bound (11) of CERO, where below 1",
    )
    return bound.mean[below].tolist()
