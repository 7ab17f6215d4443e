"""Pacing: how far the cumulative spend is ahead of an even pace, and where epochs end (figure 5 of the paper)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.data.load import Runs
from analysis.data.methods import in_order, method_name
from analysis.data.rounds import cumulative, every_round
from analysis.data.types import FloatArray
from analysis.plotting.draw import BANDS, Panel
from analysis.plotting.layout import legend_below, plain_axis
from analysis.plotting.lines import draw_line
from analysis.plotting.style import REFERENCE, look
from analysis.stats.curves import curve

CAPTION = "Pacing gap: responses spent beyond an even pace"
NOTE = (
    f"{BANDS} Thin vertical lines, in the allocator's colour: the end of an epoch (M more groups), mean over seeds; "
    "at most eight an allocator."
)
_MARKERS = 10
_MOST_EPOCHS = 8


def pacing_gap(rounds: pd.DataFrame, problem: dict[str, Any]) -> FloatArray:
    """Responses spent minus the even pace k g B / K, before the first round and after each [K + 1], of one run."""
    spent = cumulative(rounds["units"])
    pace = np.arange(spent.size) * problem["budget"] / problem["num_rounds"]
    return (spent - pace) * problem["responses_per_unit"]


def epoch_ends(rounds: pd.DataFrame, num_prompts: int) -> list[int]:
    """Rounds completed when the groups generated so far first reach M, 2M, 3M, ... in one run."""
    epochs = np.cumsum(rounds["groups"].to_numpy()) // num_prompts
    return [int(np.argmax(epochs >= epoch)) + 1 for epoch in range(1, int(epochs[-1]) + 1)]


def missing(runs: Runs) -> str:
    """What the runs lack to be drawn."""
    return "" if runs.kept("rounds") else "no run kept its rounds"


def panels(runs: Runs) -> list[Panel]:
    """One line an allocator."""
    return [Panel("", partial(_draw_panel, runs=runs))]


def _draw_panel(axes: Axes, runs: Runs) -> None:
    rounds, problem = every_round(runs), runs.problem
    horizon = problem["num_rounds"]
    for method in in_order(rounds["method"]):
        of_runs = [of_run for _, of_run in rounds[rounds["method"] == method].groupby("run_id")]
        gaps = [pacing_gap(of_run, problem) for of_run in of_runs]
        found = pd.DataFrame({"round": np.tile(np.arange(horizon + 1), len(gaps)), "gap": np.concatenate(gaps)})
        line = curve(found, "round", "round", "gap")
        draw_line(axes, line, method, method_name(method), marked=max(1, horizon // _MARKERS))
        ends = pd.DataFrame([epoch_ends(of_run, problem["num_prompts"]) for of_run in of_runs]).dropna(axis=1).mean()
        for end in ends[:_MOST_EPOCHS]:
            axes.axvline(end, color=look(method).colour, linewidth=0.8, alpha=0.45, zorder=1)
    axes.axhline(0.0, color=REFERENCE, linewidth=0.9, linestyle="--")
    plain_axis(axes, "y")
    axes.set_xlabel("round")
    axes.set_ylabel("responses ahead of an even pace")
    legend_below(axes, columns=3)
