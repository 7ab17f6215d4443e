"""Terminal exposure: what share of the pool got at most so many equal shares R = B/M (figure 7 of the paper)."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from analysis.data.load import Runs
from analysis.data.methods import in_order, method_name
from analysis.data.types import FloatArray
from analysis.plotting.draw import Panel
from analysis.plotting.layout import legend_below
from analysis.plotting.style import REFERENCE, look

CAPTION = "Terminal exposure over the pool"
NOTE = "Prompts of all seeds together. Dashed: everybody gets the equal share R = B/M."


def distribution(exposure: npt.ArrayLike, equal_share: float) -> tuple[FloatArray, FloatArray]:
    """Exposures that occur, in multiples of R and increasing, and the share of prompts up to each."""
    values, counts = np.unique(np.asarray(exposure), return_counts=True)
    return values / equal_share, np.cumsum(counts) / counts.sum()


def missing(runs: Runs) -> str:
    """What the runs lack to be drawn."""
    return "" if runs.kept("pool") else "no run kept its pool"


def panels(runs: Runs) -> list[Panel]:
    """One step line an allocator, and in grey the static optimum where the records have one."""
    return [Panel("", partial(_draw_panel, runs=runs))]


def _draw_panel(axes: Axes, runs: Runs) -> None:
    pool = runs.table("pool")
    equal_share = runs.problem["budget"] / runs.problem["num_prompts"]
    lines = [
        (method_name(method), look(method), pool[pool["method"] == method]["exposure"])
        for method in in_order(pool["method"])
    ]
    for label, style, exposure in lines:
        _draw_steps(axes, exposure, equal_share, label, style.colour, style.line, style.width)
    best = pool.drop_duplicates(["seed", "prompt"])["optimal_exposure"]
    if (best >= 0).all():
        _draw_steps(axes, best, equal_share, "Static optimum", REFERENCE, "-", 0.9)
    axes.axvline(1.0, color=REFERENCE, linewidth=0.9, linestyle="--", zorder=1)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlim(left=0.0)
    axes.set_xlabel("terminal exposure (multiples of the equal share)")
    axes.set_ylabel("share of prompts with at most this")
    legend_below(axes, columns=3)


def _draw_steps(
    axes: Axes,
    exposure: npt.ArrayLike,
    equal_share: float,
    label: str,
    colour: str,
    line: str | tuple[int, tuple[int, ...]],
    width: float,
) -> None:
    x, share = distribution(exposure, equal_share)
    axes.step(
        np.concatenate([[0.0], x]),
        np.concatenate([[0.0], share]),
        where="post",
        color=colour,
        linestyle=line,
        linewidth=width,
        label=label,
    )
