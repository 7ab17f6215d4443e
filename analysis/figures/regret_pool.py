"""Regret per prompt against the size of the pool, M."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from analysis.data.load import Runs
from analysis.data.methods import in_order, method_name
from analysis.data.select import by_population, study_runs
from analysis.plotting.draw import BANDS, Panel
from analysis.plotting.layout import legend_below, log_axis
from analysis.plotting.lines import draw_curve
from analysis.stats.curves import curve

CAPTION = "Regret per prompt against the size of the pool"
NOTE = BANDS


def usable(runs: Runs) -> pd.DataFrame:
    """The runs of the study "pool" that have a benchmark."""
    return study_runs(runs, "pool", ["num_prompts"])


def missing(runs: Runs) -> str:
    """What the sweep lacks to be drawn."""
    return "no run of the study 'pool' with a benchmark" if usable(runs).empty else ""


def panels(runs: Runs) -> list[Panel]:
    """One panel a population, both axes logarithmic."""
    return [Panel(title, partial(_draw_panel, runs=group), 3.9) for title, group in by_population(usable(runs))]


def _draw_panel(axes: Axes, runs: pd.DataFrame) -> None:
    seen: list[float] = []
    for method in in_order(runs["method"]):
        found = curve(runs[runs["method"] == method], "num_prompts", "num_prompts", "regret_per_prompt")
        name = method_name(method)
        draw_curve(axes, found, method, name if found.positive else f"{name}: 0 up to rounding")
        seen += found.extent
    sizes = runs["num_prompts"].unique()
    log_axis(axes, "x", sizes, ticks=sizes)
    log_axis(axes, "y", seen)
    axes.set_xlabel("pool size M (prompts)")
    axes.set_ylabel("regret per prompt")
    legend_below(axes, columns=3)
