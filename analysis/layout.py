"""Panels, axes and footers that the figures share."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from analysis.load import Runs
from analysis.style import REFERENCE

PANEL_WIDTH, LEAST_WIDTH = 5.4, 7.0  # inches, of a panel and of a figure
_LEGEND_BELOW = 0.48  # inches, under the panel's lower edge


def make_panels(titles: Sequence[str], height: float = 3.9, columns: int = 2) -> tuple[Figure, list[Axes]]:
    """A figure with one titled panel for each title, ``height`` inches each, in rows of ``columns``."""
    columns = min(columns, len(titles))
    rows = -(-len(titles) // columns)
    width = max(PANEL_WIDTH * columns, LEAST_WIDTH)
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[len(titles) :]:
        figure.delaxes(unused)
    for panel, title in zip(axes, titles, strict=False):
        lines = [line for part in title.split("\n") for line in textwrap.wrap(part, 70)]
        panel.set_title("\n".join(lines), loc="left")
    return figure, axes[: len(titles)]


def set_heading(figure: Figure, caption: str, footer: str) -> None:
    """The caption above the panels and, in grey, the footer below them, both wrapped to the figure's width."""
    width = figure.get_figwidth()
    figure.suptitle("\n".join(textwrap.wrap(caption, round(width * 13))), fontsize=10.5, fontweight="bold")
    lines = [line for part in footer.split("\n") for line in textwrap.wrap(part, round(width * 17))]
    figure.supxlabel("\n".join(lines), fontsize=7.5, color=REFERENCE)


def legend_below(axes: Axes, title: str | None = None, columns: int = 2) -> None:
    """A legend under the panel and its label, where it hides no curve."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    below = axes.transAxes + ScaledTranslation(0.0, -_LEGEND_BELOW, figure.dpi_scale_trans)
    anchor = {"bbox_to_anchor": (0.5, 0.0), "bbox_transform": below, "borderaxespad": 0.0}
    axes.legend(loc="upper center", ncols=columns, title=title, **anchor)


def log_axis(
    axes: Axes, which: Literal["x", "y"], values: Iterable[float], ticks: Iterable[float] | None = None
) -> None:
    """Make an axis logarithmic, labelled with plain numbers, and just long enough to hold ``values``.

    Args:
        axes: the panel.
        which: its axis.
        values: what must be seen; those that are not positive and finite are passed over.
        ticks: where to label; None takes 1, 2, 5, 10, ...
    """
    seen = np.array([value for value in values if np.isfinite(value) and value > 0])
    set_scale, set_limits = (axes.set_xscale, axes.set_xlim) if which == "x" else (axes.set_yscale, axes.set_ylim)
    axis = axes.xaxis if which == "x" else axes.yaxis
    set_scale("log")
    wide = False
    if seen.size:
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


def plain(number: float) -> str:
    """A number as people write it: 10,000 and 0.05, not 1e4 and 5e-2."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def describe(runs: Runs) -> str:
    """What is behind the points of a figure: seeds, M, K, N_max, g and budget, each a number or a range."""
    settings = runs.frame.drop(columns=["run_id", "seed"]).columns.tolist()
    counts = runs.frame.groupby(settings)["seed"].nunique()
    return f"{_span(counts)} seed{'' if counts.max() == 1 else 's'}; {sizes(runs.frame)}"


def sizes(data: pd.DataFrame) -> str:
    """``describe`` without the seeds; a row a run."""
    budget, scale = data["budget"], data["num_rounds"] * data["num_prompts"]
    share = (budget / scale).unique()
    if len(budget.unique()) > 1 and np.ptp(share) < 1e-3 * share.max():
        spent = f"B = {share.mean():.3g}·K·M units"
    else:
        spent = f"B = {_span(budget)} units"
    parts = [
        f"M = {_span(data['num_prompts'])} prompts",
        f"K = {_span(data['num_rounds'])} rounds",
        f"N_max = {_span(data['max_units'])}",
        f"g = {_span(data['responses_per_unit'])}",
        spent,
    ]
    return "; ".join(parts)


def _span(values: pd.Series[Any]) -> str:
    """Up to three values one by one, more as a range."""
    found = sorted(values.unique())
    if len(found) <= 3:
        return ", ".join(plain(value) for value in found)
    return f"{plain(found[0])} to {plain(found[-1])}"
