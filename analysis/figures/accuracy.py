"""Held-out accuracy of real training against the responses that it spent."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.curves import draw_line
from analysis.heldout import accuracy_points, mean_curve
from analysis.layout import describe_training, legend_below, make_panels, plain, set_heading
from analysis.load_training import Training
from analysis.style import applied, in_order, look
from cerolab.errors import RecordError

CAPTION = "Held-out accuracy against responses spent"


def missing(training: Training) -> str:
    """What the training lacks to be drawn."""
    return "no held-out evaluation was recorded" if accuracy_points(training).empty else ""


def draw(training: Training) -> Figure:
    """One line an allocator: the mean over seeds, and its interval as a band."""
    if lack := missing(training):
        raise RecordError(f"{training.directory}: {lack}")
    points = accuracy_points(training)
    with applied():
        figure, (axes,) = make_panels([""], height=4.3)
        for method in in_order(points["method"]):
            draw_line(axes, mean_curve(points, method), method, look(method).name)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: plain(number)))
        axes.set_xlabel("responses spent")
        axes.set_ylabel("held-out accuracy (%)")
        legend_below(axes, columns=3)
        set_heading(figure, CAPTION, describe_training(training, "Accuracy: mean over questions."))
    return figure
