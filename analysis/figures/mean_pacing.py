"""Pacing of real training: how far the cumulative spend is ahead of an even pace, mean over seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.curves import curve, draw_line
from analysis.figures.pacing import CAPTION, pacing_gap
from analysis.layout import describe_training, legend_below, make_panels, plain, set_heading
from analysis.load_training import Training
from analysis.style import REFERENCE, applied, in_order, look

_MARKERS = 10


def missing(training: Training) -> str:
    """What the training lacks to be drawn: nothing."""
    return ""


def draw(training: Training) -> Figure:
    """One line an allocator: the mean over seeds, and its interval as a band."""
    horizon = training.problem["num_rounds"]
    with applied():
        figure, (axes,) = make_panels([""], height=4.3)
        for method in in_order(training.runs["method"]):
            runs = training.rounds[training.rounds["method"] == method].groupby("run_id")
            gaps = [pacing_gap(rounds, training.problem) for _, rounds in runs]
            found = pd.DataFrame({"round": np.tile(np.arange(horizon + 1), len(gaps)), "gap": np.concatenate(gaps)})
            marked = max(1, horizon // _MARKERS)
            draw_line(axes, curve(found, "round", "round", "gap"), method, look(method).name, marked)
        axes.axhline(0.0, color=REFERENCE, linewidth=0.9, linestyle="--")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: plain(number)))
        axes.set_xlabel("round")
        axes.set_ylabel("responses ahead of an even pace")
        legend_below(axes, columns=3)
        set_heading(figure, CAPTION, describe_training(training))
    return figure
