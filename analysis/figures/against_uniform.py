"""What each allocator's training gains over uniform's: final accuracy, and responses for the same accuracy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.curves import draw_points, name_rows
from analysis.heldout import BASELINE, Comparison, accuracy_points, compare_to_uniform
from analysis.layout import describe_training, make_panels, set_heading
from analysis.load_training import Training
from analysis.style import REFERENCE, applied, look
from analysis.tables import NOT_REACHED
from cerolab.errors import RecordError

CAPTION = "Training against Uniform, seed by seed"


def missing(training: Training) -> str:
    """What the training lacks to be drawn."""
    points = accuracy_points(training)
    if points.empty:
        return "no held-out evaluation was recorded"
    if BASELINE not in set(points["method"]):
        return "no finished run of uniform to compare with"
    if len(compare_to_uniform(points)) < 2:
        return "no other allocator has a seed in common with uniform"
    return ""


def draw(training: Training) -> Figure:
    """Left: differences of the final accuracy, paired by seed. Right: share of uniform's responses for its accuracy.

    Where uniform gains nothing there is no right panel.
    """
    if lack := missing(training):
        raise RecordError(f"{training.directory}: {lack}")
    compared = compare_to_uniform(accuracy_points(training))
    reached = {method: found for method, found in compared.items() if not np.isnan(found.share)}
    titles = ["Final accuracy minus Uniform's"] + ["Responses until Uniform's final accuracy"] * bool(reached)
    text = "Dots are seeds, points their mean; bars and brackets: 95 % t-interval."
    with applied():
        figure, axes = make_panels(titles, height=1.2 + 0.28 * len(compared))
        _draw_differences(axes[0], {method: found for method, found in compared.items() if method != BASELINE})
        if reached:
            _draw_shares(axes[1], reached)
            text += (
                " Right: where the mean curve first reaches it, straight between evaluations, as a share of all "
                "responses of Uniform."
            )
        set_heading(figure, CAPTION, describe_training(training, text, bands=False))
    return figure


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
