"""Pacing: how far a run's cumulative spend is ahead of an even pace, and where its epochs end."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.detail import describe_runs, refuse_none, run_label
from analysis.layout import legend_below, make_panels, set_heading
from analysis.statistics import FloatArray
from analysis.style import REFERENCE, applied, look
from cerolab.records import Run

CAPTION = "Pacing gap: responses spent beyond an even pace"
TABLES = ("rounds",)
_MOST_MARKS = 12


def pacing_gap(rounds: pd.DataFrame, problem: dict[str, int]) -> FloatArray:
    """Responses spent minus the even pace k g B / K, before the first round and after each [K + 1]."""
    spent = np.concatenate([[0], np.cumsum(rounds["units"].to_numpy())])
    pace = np.arange(spent.size) * problem["budget"] / problem["num_rounds"]
    return (spent - pace) * problem["responses_per_unit"]


def epoch_ends(rounds: pd.DataFrame, num_prompts: int) -> list[int]:
    """Rounds completed when the groups generated so far first reach M, 2M, 3M, ..."""
    epochs = np.cumsum(rounds["groups"].to_numpy()) // num_prompts
    return [int(np.argmax(epochs >= epoch)) + 1 for epoch in range(1, int(epochs[-1]) + 1)]


def draw(runs: Mapping[str, Run]) -> Figure:
    """One line a run; thin vertical lines in its colour where its epochs end (at most a dozen, evenly thinned)."""
    refuse_none(runs, "pacing")
    with applied():
        figure, (axes,) = make_panels([""], height=4.0)
        thinned = 1
        for name, run in runs.items():
            rounds, problem, style = run.table("rounds"), run.info["problem"], look(run.label)
            gap = pacing_gap(rounds, problem)
            axes.plot(
                np.arange(gap.size),
                gap,
                color=style.colour,
                linestyle=style.line,
                linewidth=1.4,
                label=run_label(name, run),
            )
            ends = epoch_ends(rounds, problem["num_prompts"])
            every = -(-len(ends) // _MOST_MARKS) or 1
            thinned = max(thinned, every)
            for end in ends[every - 1 :: every]:
                axes.axvline(end, color=style.colour, linewidth=0.8, alpha=0.45, zorder=1)
        axes.axhline(0.0, color=REFERENCE, linewidth=0.9, linestyle="--")
        axes.set_xlabel("round")
        axes.set_ylabel("responses ahead of an even pace")
        legend_below(axes, columns=3)
        marks = "the end of an epoch (M more groups)" if thinned == 1 else f"every {thinned}th or so epoch's end"
        set_heading(figure, CAPTION, f"{describe_runs(runs.values())}. Vertical lines, in the run's colour: {marks}.")
    return figure
