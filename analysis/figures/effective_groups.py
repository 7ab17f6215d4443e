"""Effective-group rate, the share of groups with mixed rewards, over the rounds of real training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.curves import curve, draw_line
from analysis.layout import describe_training, legend_below, make_panels, set_heading
from analysis.load_training import Training
from analysis.style import applied, in_order, look
from cerolab.errors import RecordError

CAPTION = "Effective-group rate over the rounds"
WINDOW = 0.05  # of the rounds
_MARKERS = 10


def moving_rate(rounds: pd.DataFrame, window: int) -> pd.DataFrame:
    """Columns round (rounds completed) and rate: effective groups over groups of the ``window`` rounds up to there.

    Args:
        rounds: of one run, in order.
        window: rounds.

    Returns:
        A row a round from the ``window``-th on; nan where nothing was generated.
    """
    groups, effective = (
        np.concatenate([[0.0], np.cumsum(rounds[name].to_numpy(np.float64))]) for name in ("groups", "effective_groups")
    )
    generated = groups[window:] - groups[:-window]
    with np.errstate(invalid="ignore"):
        rate = (effective[window:] - effective[:-window]) / generated
    return pd.DataFrame({"round": np.arange(window, groups.size), "rate": rate})


def missing(training: Training) -> str:
    """What the training lacks to be drawn."""
    return "" if training.rounds["groups"].any() else "no run generated a group"


def draw(training: Training) -> Figure:
    """One line an allocator: the mean over seeds of the moving rate in percent, and its interval as a band."""
    if lack := missing(training):
        raise RecordError(f"{training.directory}: {lack}")
    horizon = training.problem["num_rounds"]
    window = max(1, round(WINDOW * horizon))
    with applied():
        figure, (axes,) = make_panels([""], height=4.3)
        for method in in_order(training.runs["method"]):
            runs = training.rounds[training.rounds["method"] == method].groupby("run_id")
            rates = pd.concat([moving_rate(rounds, window) for _, rounds in runs])
            found = curve(rates.assign(rate=100.0 * rates["rate"]), "round", "round", "rate")
            draw_line(axes, found, method, look(method).name, marked=max(1, horizon // _MARKERS))
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel("round")
        over = "of the round" if window == 1 else f"of the last {window} rounds"
        axes.set_ylabel(f"groups with mixed rewards (%)\n{over}")
        legend_below(axes, columns=3)
        set_heading(figure, CAPTION, describe_training(training))
    return figure
