"""Selection lift by predicted success rate and stage of the training (figure 3 of the paper).

How much more often than by chance a method admits prompts of a predicted success rate.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from analysis.data.load import Runs
from analysis.data.methods import method_name
from analysis.data.predictions import leading_method, no_predictions
from analysis.data.types import FloatArray
from analysis.plotting.draw import Panel
from analysis.plotting.style import REFERENCE
from analysis.stats.intervals import mean_interval
from cerolab.records.schema import NUM_BINS

CAPTION = "Selection lift by predicted success rate"
NOTE = (
    "Share of admitted prompts in the bin over share of the pool in it; 1 (dashed) is a choice by chance. "
    "Bars: mean over seeds; whiskers, where there are several: 95 % t-interval."
)
STAGES = ("first", "second", "last")  # thirds of the rounds
_BINS = 5  # of the figure; each holds several of the record
_SHADES = ("#9ecae1", "#4292c6", "#08306b")  # light to dark also in grey


def selection_lift(rounds: pd.DataFrame, groups: pd.DataFrame, num_rounds: int) -> FloatArray:
    """Share of the admitted prompts over share of the pool [3 thirds of the horizon, 5 bins]; nan for an empty bin.

    Args:
        rounds, groups: of one run.
        num_rounds: K.
    """
    chosen, expected = _counts(rounds, groups)
    third = 3 * rounds["round"].to_numpy() // num_rounds
    return _ratio(_merged(chosen, third), _merged(expected, third))


def overall_lift(rounds: pd.DataFrame, groups: pd.DataFrame, low: float, high: float) -> float:
    """The lift of predicted success rates in [low, high), multiples of 1/20, over the whole horizon of one run."""
    chosen, expected = _counts(rounds, groups)
    bins = slice(round(low * NUM_BINS), round(high * NUM_BINS))
    return float(_ratio(chosen[:, bins].sum(), expected[:, bins].sum()))


def _counts(rounds: pd.DataFrame, groups: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Prompts admitted, and expected by chance, by row of ``rounds`` and bin of the record [K, NUM_BINS].

    Chance admits as many prompts in each round as the method did, so that it has lift 1 however the spend is paced.
    A prompt counts once a round, however many waves it was in.
    """
    admitted = groups.dropna(subset=["predicted_success"]).drop_duplicates(["round", "prompt"])
    bins = np.minimum((admitted["predicted_success"].to_numpy() * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    chosen = np.zeros((len(rounds), NUM_BINS))
    np.add.at(chosen, (np.searchsorted(rounds["round"].to_numpy(), admitted["round"].to_numpy()), bins), 1.0)
    pool = np.stack(rounds["pool_histogram"].to_list()).astype(np.float64)
    share = pool / np.maximum(pool.sum(axis=1, keepdims=True), 1.0)
    return chosen, chosen.sum(axis=1, keepdims=True) * share


def _merged(counts: FloatArray, third: npt.NDArray[np.int64]) -> FloatArray:
    """Counts [K, NUM_BINS] summed over the rounds of each third and the bins of each bin of the figure [3, 5]."""
    by_third = np.stack([counts[third == which].sum(axis=0) for which in range(3)])
    return by_third.reshape(3, _BINS, NUM_BINS // _BINS).sum(axis=2)


def _ratio(chosen: npt.ArrayLike, expected: npt.ArrayLike) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.greater(expected, 0), np.divide(chosen, expected), np.nan)


def missing(runs: Runs) -> str:
    """What the runs lack to be drawn."""
    return no_predictions(runs)


def panels(runs: Runs) -> list[Panel]:
    """Three bars a bin, for the thirds of the horizon, of CERO or of the first method that predicts."""
    method = leading_method(runs)
    return [Panel(method_name(method), partial(_draw_panel, runs=runs, method=method), 4.0)]


def lifts(runs: Runs, method: str) -> FloatArray:
    """``selection_lift`` of every run of a method that kept its groups [S, 3, 5]."""
    rounds = dict(iter(runs.table("rounds").groupby("run_id")))
    groups = runs.table("groups")
    horizon = runs.problem["num_rounds"]
    of_method = groups[groups["method"] == method].groupby("run_id")
    return np.stack([selection_lift(rounds[run_id], of_run, horizon) for run_id, of_run in of_method])


def _draw_panel(axes: Axes, runs: Runs, method: str) -> None:
    found = lifts(runs, method)
    places = np.arange(_BINS)
    tallest = 1.0
    for third, (name, shade) in enumerate(zip(STAGES, _SHADES, strict=True)):
        intervals = [mean_interval(found[:, third, place]) for place in places]
        means = np.array([interval.estimate for interval in intervals])
        at = places + 0.27 * (third - 1)
        axes.bar(at, means, width=0.25, color=shade, label=f"{name} third of the rounds")
        for x, interval in zip(at, intervals, strict=True):
            axes.plot([x, x], [interval.low, interval.high], color="#d95f02", linewidth=1.0)
            tallest = float(np.nanmax([tallest, interval.estimate, interval.high]))
    edges = np.linspace(0.0, 1.0, _BINS + 1)
    ends = [")"] * (_BINS - 1) + ["]"]
    axes.set_xticks(places, [f"[{a:.1f}, {b:.1f}{end}" for a, b, end in zip(edges, edges[1:], ends, strict=False)])
    axes.axhline(1.0, color=REFERENCE, linestyle="--", linewidth=0.9)
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0.0, 1.3 * tallest)
    axes.set_xlabel("predicted success rate before the decision")
    axes.set_ylabel("selection lift")
    axes.legend(loc="upper right", ncols=1)
