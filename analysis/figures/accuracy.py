"""Held-out accuracy against the responses spent."""

from __future__ import annotations

from functools import partial

from matplotlib.axes import Axes

from analysis.data.load import Runs
from analysis.data.methods import in_order, method_name
from analysis.plotting.draw import BANDS, Panel
from analysis.plotting.layout import fit_to_lines, legend_below, plain_axis
from analysis.plotting.lines import draw_line
from analysis.stats.heldout import accuracy_points, mean_curve, no_accuracy

CAPTION = "Held-out accuracy against responses spent"
NOTE = f"Accuracy: mean over questions. {BANDS}"


def missing(runs: Runs) -> str:
    """What the runs lack to be drawn."""
    return no_accuracy(runs)


def panels(runs: Runs) -> list[Panel]:
    """One line an allocator: the mean over seeds, and its interval as a band."""
    return [Panel("", partial(_draw_panel, runs=runs))]


def _draw_panel(axes: Axes, runs: Runs) -> None:
    points = accuracy_points(runs)
    for method in in_order(points["method"]):
        draw_line(axes, mean_curve(points, method), method, method_name(method))
    plain_axis(axes, "x")
    fit_to_lines(axes)
    axes.set_xlabel("responses spent")
    axes.set_ylabel("held-out accuracy (%)")
    legend_below(axes, columns=3)
