"""Regret per prompt against the horizon K, with fitted slopes and the bound (11) of CERO (arXiv 2606.05606)."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.data.load import Runs
from analysis.data.methods import in_order, method_name
from analysis.data.select import by_population, study_runs
from analysis.plotting import style
from analysis.plotting.draw import BANDS, Panel
from analysis.plotting.layout import legend_below, log_axis
from analysis.plotting.lines import draw_curve
from analysis.stats.curves import Curve, curve, horizon_slope

CAPTION = "Regret per prompt against the horizon"
NOTE = f"{BANDS} In brackets: slope of log mean regret on log K, with its 95 % jackknife-t interval over seeds."


def usable(runs: Runs) -> pd.DataFrame:
    """The runs of the study "horizon" with fixed rates, whose benchmark is the exact optimum."""
    found = study_runs(runs, "horizon", ["num_rounds"])
    return found[found["optimum_kind"] == "static exact"]


def missing(runs: Runs) -> str:
    """What the sweep lacks to be drawn."""
    return "no run of the study 'horizon' with fixed rates" if usable(runs).empty else ""


def panels(runs: Runs) -> list[Panel]:
    """One panel a population, log-log; the legend gives the slope of log mean regret on log K, with its interval."""
    return [Panel(title, partial(_draw_panel, runs=group)) for title, group in by_population(usable(runs))]


def _draw_panel(axes: Axes, runs: pd.DataFrame) -> None:
    seen: list[float] = []
    for method in in_order(runs["method"]):
        own = runs[runs["method"] == method]
        found = curve(own, "num_rounds", "num_rounds", "regret_per_prompt")
        draw_curve(axes, found, method, slope_label(own, found, "regret_per_prompt"))
        seen += found.extent
        if method == "cero":
            draw_reference(axes, found, -0.5, "slope \N{MINUS SIGN}1/2 from CERO's first point")
            seen += _draw_bound(axes, own)
    horizons = runs["num_rounds"].unique()
    log_axis(axes, "x", horizons, ticks=horizons)
    log_axis(axes, "y", seen)
    axes.set_xlabel("horizon K (rounds)")
    axes.set_ylabel("regret per prompt")
    legend_below(axes)


def slope_label(runs: pd.DataFrame, found: Curve, column: str) -> str:
    """Name of the allocator, with the fitted slope where there is one."""
    name = method_name(str(runs["method"].iloc[0]))
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
