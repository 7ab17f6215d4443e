"""Panels and axes that the figures share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from analysis.data.describe import plain
from analysis.data.results import LARGEST
from analysis.data.text import wrapped
from analysis.plotting.legend import LegendBelow, text_width
from analysis.plotting.style import REFERENCE

PANEL_WIDTH, LEAST_WIDTH = 5.4, 7.0  # inches, of a panel and of a figure
_LEAST_HEIGHT = 2.0  # inches, of a panel with its labels, a heading and a footer
_TITLE_WIDTH = 0.85  # of the panel's, which has labels on its left
_LINE = 0.17  # inches, of a title's or a legend's line


def make_panels(titles: Sequence[str], height: float = 3.9, columns: int = 2) -> tuple[Figure, list[Axes]]:
    """A figure with one titled panel for each title, ``height`` inches each or a little more, ``columns`` in a row."""
    columns = min(columns, len(titles))
    rows = -(-len(titles) // columns)
    width = max(PANEL_WIDTH * columns, LEAST_WIDTH)
    figure = Figure(figsize=(width, max(height, _LEAST_HEIGHT) * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[len(titles) :]:
        figure.delaxes(unused)
    for panel, title in zip(axes, titles, strict=False):
        lines = [_fitting(part, _TITLE_WIDTH * width / columns) for part in title.split("\n")]
        panel.set_title("\n".join(lines), loc="left")
    return figure, axes[: len(titles)]


def set_heading(figure: Figure, caption: str, footer: str) -> None:
    """The caption above the panels and, in grey, the footer below them, both wrapped to the figure's width."""
    width = figure.get_figwidth()
    heading = wrapped(caption, round(width * 13))
    figure.suptitle(heading, fontsize=10.5, fontweight="bold")
    below = "\n".join(wrapped(part, round(width * 17)) for part in footer.split("\n"))
    figure.supxlabel(below, fontsize=7.5, color=REFERENCE)
    beyond = heading.count("\n") + max(below.count("\n") - 2, 0)
    figure.set_figheight(figure.get_figheight() + _LINE * beyond)


def make_room(figure: Figure, axes: Sequence[Axes], planned: int = 5) -> None:
    """Let the rows of panels grow by what their legends and titles need beyond so many lines."""
    most = 0
    for panel in axes:
        legend = panel.get_legend()
        lines = legend.num_lines if isinstance(legend, LegendBelow) else 0
        most = max(most, lines + panel.get_title(loc="left").count("\n") - planned)
    grid = axes[0].get_gridspec()
    assert grid is not None
    figure.set_figheight(figure.get_figheight() + _LINE * most * grid.nrows)


def legend_below(axes: Axes, columns: int = 2) -> None:
    """A legend under the panel and its label, where it hides no curve, in at most so many columns; see ``legend``."""
    LegendBelow.put(axes, columns)


def _fitting(title: str, room: float) -> str:
    """A panel's title in lines of at most so many inches."""
    width = text_width(title, 9.5)
    return wrapped(title, int(len(title) * room / width)) if width > room else title


def log_axis(
    axes: Axes, which: Literal["x", "y"], values: Iterable[float], ticks: Iterable[float] | None = None
) -> None:
    """Make an axis logarithmic, labelled with plain numbers, and just long enough to hold ``values``.

    Where none of them can be seen the axis stays as it is, without labels, and the panel says so.

    Args:
        axes: the panel.
        which: its axis.
        values: what must be seen; those that are not positive, or above ``LARGEST``, are passed over.
        ticks: where to label; None takes 1, 2, 5, 10, ...
    """
    seen = np.array([value for value in values if 0 < value < LARGEST])
    set_scale, set_limits = (axes.set_xscale, axes.set_xlim) if which == "x" else (axes.set_yscale, axes.set_ylim)
    axis = axes.xaxis if which == "x" else axes.yaxis
    if not seen.size:
        axis.set_ticks([])
        set_limits(0.0, 1.0)
        axes.text(0.5, 0.5, "nothing above 0 to draw", transform=axes.transAxes, ha="center", va="center", fontsize=8)
        return
    set_scale("log")
    ratio = float(seen.max() / seen.min())
    margin = max(ratio**0.06, 1.05)
    wide = ratio > (200.0 if which == "x" else 2e3)  # labels side by side need more room
    set_limits(float(seen.min()) / margin, float(seen.max()) * margin)
    if ticks is None:
        axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    else:
        axis.set_ticks(sorted(set(ticks)))
    axis.set_major_formatter(FuncFormatter(lambda number, _: plain(number)))
    axis.set_minor_locator(NullLocator())


def fit_to_lines(axes: Axes, margin: float = 0.2) -> None:
    """Let the y axis hold the lines, with a margin; the bands of two seeds, ten times as high, run out of the panel."""
    seen = np.concatenate([np.asarray(line.get_ydata(), np.float64) for line in axes.get_lines()])
    seen = seen[np.isfinite(seen)]
    if seen.size and np.ptp(seen):
        axes.set_ylim(seen.min() - margin * np.ptp(seen), seen.max() + margin * np.ptp(seen))


def plain_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    """Label an axis with plain numbers, 10,000 and not 1e4."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda number, _: plain(number)))
