"""What each allocator gains over uniform: final held-out accuracy, and responses for the same accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from analysis.data.load import Runs
from analysis.plotting.draw import Panel
from analysis.plotting.lines import name_rows, rows_height
from analysis.plotting.style import REFERENCE, look
from analysis.stats.heldout import (
    BASELINE,
    NOT_REACHED,
    REACHING,
    Comparison,
    accuracy_points,
    compare_to_uniform,
    no_accuracy,
)
from analysis.stats.intervals import Interval

CAPTION = "Held-out accuracy against Uniform's"
NOTE = (
    "Points: mean over seeds; bars and brackets: 95 % t-interval, of trainings Welch's, each by itself. Dots: seeds, "
    "minus the mean of Uniform's; in the simulator, where runs of a seed share their luck, minus Uniform's same seed. "
    f"{REACHING}"
)


def missing(runs: Runs) -> str:
    """What the runs lack to be drawn."""
    if lack := no_accuracy(runs):
        return lack
    points = accuracy_points(runs)
    if BASELINE not in set(points["method"]):
        return "no finished run of uniform to compare with"
    if len(compare_to_uniform(runs)) < 2:
        return "no other allocator has a seed in common with uniform"
    return ""


def panels(runs: Runs) -> list[Panel]:
    """Differences of the final accuracy; then the share of uniform's responses for its accuracy.

    Where uniform gains nothing there is no second panel.
    """
    compared = compare_to_uniform(runs)
    reached = {method: found for method, found in compared.items() if not np.isnan(found.reach.estimate)}
    others = {method: found for method, found in compared.items() if method != BASELINE}
    height = 1.2 + rows_height(compared, 0.28)
    differences = Panel("Final accuracy minus Uniform's", partial(_draw_differences, compared=others), height)
    shares = Panel("Responses until Uniform's final accuracy", partial(_draw_shares, compared=reached), height)
    return [differences, shares] if reached else [differences]


def _draw_differences(axes: Axes, compared: Mapping[str, Comparison]) -> None:
    axes.axvline(0.0, color=REFERENCE, linewidth=0.9, linestyle="--", zorder=1)
    for place, (method, found) in enumerate(compared.items()):
        _draw_interval(axes, place, method, found.mean, found.mean.text())
        seeds = found.deviations
        if seeds.size > 1:
            places = np.full(seeds.size, place + 0.28)
            axes.plot(seeds, places, ".", color=look(method).colour, markersize=3.5, alpha=0.7)
    name_rows(axes, list(compared))
    axes.set_xlabel("percentage points")


def _draw_shares(axes: Axes, compared: Mapping[str, Comparison]) -> None:
    axes.axvline(100.0, color=REFERENCE, linewidth=0.9, linestyle="--", zorder=1)
    for place, (method, found) in enumerate(compared.items()):
        share, count = found.reach.scaled(100.0), found.own.size
        if found.reached:
            text = f"{share.plus_minus(0)} %" + (f", {found.reached} of {count}" if found.reached < count else "")
            _draw_interval(axes, place, method, share, text)
        else:
            axes.text(1.02, place, NOT_REACHED, transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)
    name_rows(axes, list(compared))
    axes.set_xlim(-3.0, 113.0)
    axes.set_xlabel("% of Uniform's responses")


def _draw_interval(axes: Axes, place: int, method: str, found: Interval, text: str) -> None:
    """A point with its interval, and its numbers beside the panel."""
    style = look(method)
    axes.plot([found.low, found.high], [place, place], color=style.colour, linewidth=2.0)
    axes.plot(found.estimate, place, color=style.colour, marker=style.marker, markersize=6)
    axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)
