"""What each allocator gains over uniform: final held-out accuracy, and responses for the same accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.curves import draw_points, name_rows, rows_height
from analysis.draw import Panel
from analysis.heldout import BASELINE, Comparison, accuracy_points, compare_to_uniform, no_accuracy
from analysis.load import Runs
from analysis.style import REFERENCE, look
from analysis.tables import NOT_REACHED

CAPTION = "Held-out accuracy against Uniform's, seed by seed"
NOTE = (
    "Differences: dots are seeds, points their mean; bars and brackets: 95 % t-interval. Responses: where the mean "
    "curve first reaches Uniform's final accuracy, straight between evaluations, as a share of all responses of "
    "Uniform."
)


def missing(runs: Runs) -> str:
    """What the runs lack to be drawn."""
    if lack := no_accuracy(runs):
        return lack
    points = accuracy_points(runs)
    if BASELINE not in set(points["method"]):
        return "no finished run of uniform to compare with"
    if len(compare_to_uniform(points)) < 2:
        return "no other allocator has a seed in common with uniform"
    return ""


def panels(runs: Runs) -> list[Panel]:
    """Differences of the final accuracy, paired by seed; then the share of uniform's responses for its accuracy.

    Where uniform gains nothing there is no second panel.
    """
    compared = compare_to_uniform(accuracy_points(runs))
    reached = {method: found for method, found in compared.items() if not np.isnan(found.share)}
    others = {method: found for method, found in compared.items() if method != BASELINE}
    height = 1.2 + rows_height(compared, 0.28)
    differences = Panel("Final accuracy minus Uniform's", partial(_draw_differences, compared=others), height)
    shares = Panel("Responses until Uniform's final accuracy", partial(_draw_shares, compared=reached), height)
    return [differences, shares] if reached else [differences]


def _draw_differences(axes: Axes, compared: Mapping[str, Comparison]) -> None:
    differences = pd.concat(
        [pd.DataFrame({"method": method, "difference": found.differences}) for method, found in compared.items()]
    )
    axes.axvline(0.0, color=REFERENCE, linewidth=0.9, linestyle="--", zorder=1)
    draw_points(axes, differences, "difference", "percentage points")
    for place, (method, found) in enumerate(compared.items()):
        seeds = found.differences.to_numpy()
        if seeds.size > 1:
            places = np.full(seeds.size, place + 0.28)
            axes.plot(seeds, places, ".", color=look(method).colour, markersize=3.5, alpha=0.7)
        axes.text(1.02, place, found.mean.text(), transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)


def _draw_shares(axes: Axes, compared: Mapping[str, Comparison]) -> None:
    axes.axvline(100.0, color=REFERENCE, linewidth=0.9, linestyle="--", zorder=1)
    for place, (method, found) in enumerate(compared.items()):
        style, text = look(method), NOT_REACHED
        if np.isfinite(found.share):
            axes.plot(100.0 * found.share, place, color=style.colour, marker=style.marker, markersize=6)
            text = f"{100.0 * found.share:.0f} %"
        axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)
    name_rows(axes, list(compared))
    axes.set_xlim(-3.0, 103.0)
    axes.set_xlabel("% of Uniform's responses")
