"""Regret per prompt against the size of the pool, M."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import style
from analysis.curves import curve, draw_curve
from analysis.layout import describe, legend_below, log_axis, make_panels, set_heading
from analysis.select import panels, study_runs
from cerolab.errors import RecordError

CAPTION = "Regret per prompt against the size of the pool"


def usable(data: pd.DataFrame) -> pd.DataFrame:
    """The runs of the study "pool" that have a benchmark."""
    return study_runs(data, "pool", ["num_prompts"])


def draw(data: pd.DataFrame) -> Figure:
    """One panel a population, both axes logarithmic."""
    runs = usable(data)
    if runs.empty:
        raise RecordError("the sweep has no run of the study 'pool' with a benchmark")
    parts = panels(runs)
    with style.applied():
        figure, axes = make_panels([title for title, _ in parts])
        for panel, (_, group) in zip(axes, parts, strict=True):
            _draw_panel(panel, group)
        set_heading(figure, CAPTION, f"{describe(runs)}. Lines: mean over seeds; bands: 95 % t-interval.")
    return figure


def _draw_panel(axes: Axes, runs: pd.DataFrame) -> None:
    seen: list[float] = []
    for method in style.in_order(runs["method"]):
        found = curve(runs[runs["method"] == method], "num_prompts", "num_prompts", "regret_per_prompt")
        name = style.look(method).name
        draw_curve(axes, found, method, name if found.positive else f"{name}: 0 up to rounding")
        seen += found.extent
    sizes = runs["num_prompts"].unique()
    log_axis(axes, "x", sizes, ticks=sizes)
    log_axis(axes, "y", seen)
    axes.set_xlabel("pool size M (prompts)")
    axes.set_ylabel("regret per prompt")
    legend_below(axes, columns=3)
