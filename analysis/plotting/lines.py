"""Lines, bands and points of allocators on a panel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.data.methods import in_order, method_name
from analysis.data.text import wrapped
from analysis.plotting.style import Look, look
from analysis.stats.curves import ROUNDING, Curve
from analysis.stats.intervals import mean_interval

_NAME, _LINE = 26, 0.145  # characters and inches of a line of a name beside a panel


def draw_curve(axes: Axes, found: Curve, method: str, label: str) -> None:
    """``draw_line`` on a logarithmic y axis.

    Where the interval reaches down to zero or below, its band ends at the bottom of the panel.
    """
    seen = found.mean > ROUNDING
    shown = Curve(found.x[seen], found.mean[seen], np.maximum(found.low[seen], ROUNDING), found.high[seen])
    draw_line(axes, shown, method, label)


def draw_line(axes: Axes, found: Curve, method: str, label: str, marked: int = 1) -> None:
    """An allocator's line with a marker at every ``marked``-th point, and the interval as a band in its colour."""
    draw_band(axes, found, look(method), label, marked, order=3.0 if method == "cero" else 2.5)


def draw_band(axes: Axes, found: Curve, style: Look, label: str, marked: int = 1, order: float = 2.5) -> None:
    """``draw_line`` in any look; lines of a higher ``order`` are above."""
    axes.plot(
        found.x,
        found.mean,
        color=style.colour,
        marker=style.marker,
        markevery=marked,
        linestyle=style.line,
        linewidth=style.width,
        label=label,
        zorder=order,
    )
    banded = ~np.isnan(found.low)
    axes.fill_between(
        found.x[banded], found.low[banded], found.high[banded], color=style.colour, alpha=0.15, linewidth=0
    )


def draw_points(axes: Axes, runs: pd.DataFrame, column: str, label: str) -> None:
    """One point with its interval for each allocator, the first on top."""
    methods = in_order(runs["method"])
    for place, method in enumerate(methods):
        found = mean_interval(runs.loc[runs["method"] == method, column].to_numpy())
        style = look(method)
        axes.plot([found.low, found.high], [place, place], color=style.colour, linewidth=2.0)
        axes.plot(found.estimate, place, color=style.colour, marker=style.marker, markersize=6)
    name_rows(axes, methods)
    axes.set_xlabel(label)


def name_rows(axes: Axes, methods: Sequence[str]) -> None:
    """The allocators' names along the y axis in lines that fit, the first on top."""
    axes.set_yticks(range(len(methods)), [wrapped(method_name(method), _NAME) for method in methods])
    axes.set_ylim(max(len(methods), 1) - 0.5, -0.5)


def rows_height(methods: Iterable[str], least: float) -> float:
    """Inches of ``name_rows``: ``least`` a row, more where a name takes several lines."""
    lines = [wrapped(method_name(method), _NAME).count("\n") + 1 for method in methods]
    return len(lines) * max(least, _LINE * max(lines, default=1))
