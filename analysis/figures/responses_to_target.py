"""How many responses every allocator needs to reach a held-out accuracy (not in the paper)."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.data.load import Runs
from analysis.data.methods import in_order, method_name
from analysis.data.types import FloatArray
from analysis.plotting.draw import BANDS, Panel
from analysis.plotting.layout import legend_below, plain_axis
from analysis.plotting.lines import draw_line
from analysis.stats.curves import Curve, curve
from analysis.stats.heldout import accuracy_points, no_accuracy, smoothed

CAPTION = "Responses needed to reach a held-out accuracy"
NOTE = (
    "Where each seed's curve, smoothed by its best increasing fit (isotonic regression) and straight between "
    f"evaluations, reaches the accuracy; a line ends where a seed never does. {BANDS}"
)
_TARGETS = 61
_MARKED = 6  # every so many


def from_one_start(points: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The points with accuracies that may be compared over seeds, and what those are.

    Where runs start unlike one another, as with held-out prompts of a seed's own, that is what they gained.

    Args:
        points: from ``analysis.stats.heldout.accuracy_points``.
    """
    start = points.groupby("run_id")["accuracy"].transform("first")
    if np.ptp(start) < 1e-9:
        return points, "held-out accuracy to reach (%)"
    return points.assign(accuracy=points["accuracy"] - start), "held-out accuracy to gain (percentage points)"


def target_accuracies(points: pd.DataFrame) -> FloatArray:
    """Evenly from the start to the highest accuracy that all seeds of some method reach.

    Args:
        points: from ``from_one_start``.
    """
    reached = points.groupby(["method", "run_id"])["accuracy"].max().groupby("method").min()
    return np.linspace(points["accuracy"].iloc[0], reached.max(), _TARGETS)


def responses_needed(points: pd.DataFrame, method: str, targets: FloatArray) -> Curve:
    """Responses until each target over the seeds of a method, as far as all of them reach it.

    Args:
        points: from ``from_one_start``.
        method: its label.
        targets: accuracies, increasing.
    """
    own = points[points["method"] == method]
    lines = [curve(of_run, "stage", "responses", "accuracy") for _, of_run in own.groupby("run_id")]
    spent = np.array([[line.first_reaches(target) for target in targets] for line in lines])
    shared = np.isfinite(spent).all(axis=0)
    found = pd.DataFrame({"target": np.tile(targets[shared], len(lines)), "responses": spent[:, shared].ravel()})
    return curve(found, "target", "target", "responses")


def missing(runs: Runs) -> str:
    """What the runs lack to be drawn."""
    if lack := no_accuracy(runs):
        return lack
    targets = target_accuracies(_increasing(runs)[0])
    return "" if targets[-1] > targets[0] else "no allocator raised the held-out accuracy in all of its seeds"


def panels(runs: Runs) -> list[Panel]:
    """One line an allocator; the lower and the longer, the better."""
    return [Panel("", partial(_draw_panel, runs=runs))]


def _increasing(runs: Runs) -> tuple[pd.DataFrame, str]:
    """``from_one_start`` with curves that cross an accuracy once."""
    points, label = from_one_start(accuracy_points(runs))
    return smoothed(points), label


def _draw_panel(axes: Axes, runs: Runs) -> None:
    points, label = _increasing(runs)
    targets = target_accuracies(points)
    for method in in_order(points["method"]):
        draw_line(axes, responses_needed(points, method, targets), method, method_name(method), _MARKED)
    plain_axis(axes, "y")
    axes.set_ylim(0.0, 1.05 * float(points["responses"].max()))  # wide bands of two seeds end there
    axes.set_xlabel(label)
    axes.set_ylabel("responses spent until then")
    legend_below(axes, columns=3)
