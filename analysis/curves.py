"""One allocator's curve or point: mean and 95 % interval over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.statistics import FloatArray, Interval, fit_slope, mean_interval, mean_intervals
from analysis.style import Look, in_order, look
from analysis.text import wrapped

ROUNDING = 1e-9  # regret below this is the rounding error of two equal sums
_NAME, _LINE = 26, 0.145  # characters and inches of a line of a name beside a panel


@dataclass(frozen=True, slots=True)
class Curve:
    """Points [P] in increasing x; low and high are nan where a point has one seed."""

    x: FloatArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray

    @property
    def positive(self) -> bool:
        """Whether any of it can be seen on a logarithmic axis."""
        return bool((self.mean > ROUNDING).any())

    @property
    def extent(self) -> list[float]:
        """What a logarithmic y axis has to hold: the means, and the intervals' upper ends."""
        return [value for value in (*self.mean.tolist(), *self.high.tolist()) if value > ROUNDING]

    def first_reaches(self, level: float) -> float:
        """The x where the mean, straight between points, first is at least ``level``; infinite where it never is."""
        there = np.flatnonzero(self.mean >= level)
        if not there.size:
            return float("inf")
        end = int(there[0])
        if end == 0:
            return float(self.x[0])
        share = (level - self.mean[end - 1]) / (self.mean[end] - self.mean[end - 1])
        return float(self.x[end - 1] + share * (self.x[end] - self.x[end - 1]))


def curve(runs: pd.DataFrame, point: str, x: str, y: str) -> Curve:
    """The curve of column ``y`` against the mean of column ``x`` over the runs with equal column ``point``."""
    counts = runs[point].value_counts()
    complete = bool(runs[[point, x, y]].notna().to_numpy().all())
    if counts.size and counts.min() == counts.max() and complete:  # as many seeds at every point: all at once
        ordered = runs.sort_values(point, kind="stable")
        x_P, y_PS = ordered[x].to_numpy(np.float64), ordered[y].to_numpy(np.float64)
        x_P = x_P.reshape(counts.size, -1).mean(axis=1)
        mean_P, half_P = mean_intervals(y_PS.reshape(counts.size, -1))
        order = np.argsort(x_P)
        mean_P, half_P = mean_P[order], half_P[order]
        return Curve(x_P[order], mean_P, mean_P - half_P, mean_P + half_P)
    means, intervals = [], []
    for _, group in runs.groupby(point):
        means.append(float(group[x].mean()))
        intervals.append(mean_interval(group[y].to_numpy()))
    order = np.argsort(means)
    return Curve(
        np.asarray(means)[order],
        np.array([interval.estimate for interval in intervals])[order],
        np.array([interval.low for interval in intervals])[order],
        np.array([interval.high for interval in intervals])[order],
    )


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
    axes.set_yticks(range(len(methods)), [wrapped(look(method).name, _NAME) for method in methods])
    axes.set_ylim(max(len(methods), 1) - 0.5, -0.5)


def rows_height(methods: Iterable[str], least: float) -> float:
    """Inches of ``name_rows``: ``least`` a row, more where a name takes several lines."""
    lines = [wrapped(look(method).name, _NAME).count("\n") + 1 for method in methods]
    return len(lines) * max(least, _LINE * max(lines, default=1))


def horizon_slope(runs: pd.DataFrame, y: str) -> Interval:
    """Slope of log ``y`` on log K over the seeds that were run at every K."""
    table = runs.pivot_table(index="seed", columns="num_rounds", values=y).dropna()
    return fit_slope(table.columns.to_numpy(dtype=np.float64), table.to_numpy(dtype=np.float64))
