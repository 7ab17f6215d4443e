"""One allocator's curve: mean and 95 % interval over seeds at each point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.statistics import FloatArray, Interval, fit_slope, mean_interval
from analysis.style import look

ROUNDING = 1e-9  # regret below this is the rounding error of two equal sums


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


def curve(runs: pd.DataFrame, point: str, x: str, y: str) -> Curve:
    """The curve of column ``y`` against the mean of column ``x`` over the runs with equal column ``point``."""
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
    """Line with markers, and the interval as a band in the same colour, on a logarithmic y axis.

    Where the interval reaches down to zero or below, its band ends at the bottom of the panel.
    """
    style = look(method)
    seen = found.mean > ROUNDING
    axes.plot(
        found.x[seen],
        found.mean[seen],
        color=style.colour,
        marker=style.marker,
        linestyle=style.line,
        linewidth=style.width,
        label=label,
        zorder=3 if method == "cero" else 2.5,
    )
    banded = seen & ~np.isnan(found.low)
    axes.fill_between(
        found.x[banded],
        np.maximum(found.low[banded], ROUNDING),
        found.high[banded],
        color=style.colour,
        alpha=0.15,
        linewidth=0,
    )


def horizon_slope(runs: pd.DataFrame, y: str) -> Interval:
    """Slope of log ``y`` on log K over the seeds that were run at every K."""
    table = runs.pivot_table(index="seed", columns="num_rounds", values=y).dropna()
    return fit_slope(table.columns.to_numpy(dtype=np.float64), table.to_numpy(dtype=np.float64))
