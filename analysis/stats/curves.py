"""An allocator's curve over its runs: mean and 95 % interval over seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.data.types import FloatArray
from analysis.stats.intervals import Interval, fit_slope, mean_interval, mean_intervals

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


def horizon_slope(runs: pd.DataFrame, y: str) -> Interval:
    """Slope of log ``y`` on log K over the seeds that were run at every K."""
    table = runs.pivot_table(index="seed", columns="num_rounds", values=y).dropna()
    return fit_slope(table.columns.to_numpy(dtype=np.float64), table.to_numpy(dtype=np.float64))
