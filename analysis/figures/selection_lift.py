"""Selection lift: how much more often than by chance a method admits prompts of a predicted success rate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.detail import describe_runs
from analysis.layout import make_panels, set_heading
from analysis.statistics import FloatArray
from analysis.style import REFERENCE, applied, look
from cerolab.errors import RecordError
from cerolab.records import Run
from cerolab.records.schema import NUM_BINS

CAPTION = "Selection lift by predicted success rate"
TABLES = ("rounds", "groups")
_BINS = 5  # of the figure; each holds several of the record
_SHADES = ("#9ecae1", "#4292c6", "#08306b")  # first, second and last third; light to dark also in grey


def predicts(run: Run) -> bool:
    """Whether the run's method predicts success rates at all."""
    return bool(run.table("groups")["predicted_success"].notna().any())


def selection_lift(rounds: pd.DataFrame, groups: pd.DataFrame, num_rounds: int) -> FloatArray:
    """Share of the admitted prompts over share of the pool [3 thirds of the horizon, 5 bins]; nan for an empty bin."""
    chosen, expected = _counts(rounds, groups)
    third = 3 * rounds["round"].to_numpy() // num_rounds
    return _ratio(_merged(chosen, third), _merged(expected, third))


def overall_lift(rounds: pd.DataFrame, groups: pd.DataFrame, low: float, high: float) -> float:
    """The lift of predicted success rates in [low, high), multiples of 1/20, over the whole horizon."""
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


def draw(run: Run) -> Figure:
    """Three bars a bin, for the thirds of the horizon."""
    if not predicts(run):
        raise RecordError(f"{run.path}: {run.info['method']} predicts no success rates, so it has no selection lift")
    lift = selection_lift(run.table("rounds"), run.table("groups"), run.info["problem"]["num_rounds"])
    with applied():
        figure, (axes,) = make_panels([look(run.label).name], height=4.0)
        _draw_bars(axes, lift)
        set_heading(
            figure,
            CAPTION,
            f"{describe_runs([run])}. Share of admitted prompts in the bin over share of the pool in it; "
            "1 (dashed) is a choice by chance.",
        )
    return figure


def _draw_bars(axes: Axes, lift: FloatArray) -> None:
    places = np.arange(_BINS)
    for third, (name, shade) in enumerate(zip(("first", "second", "last"), _SHADES, strict=True)):
        axes.bar(places + 0.27 * (third - 1), lift[third], width=0.25, color=shade, label=f"{name} third of the rounds")
    edges = np.linspace(0.0, 1.0, _BINS + 1)
    ends = [")"] * (_BINS - 1) + ["]"]
    axes.set_xticks(places, [f"[{a:.1f}, {b:.1f}{end}" for a, b, end in zip(edges, edges[1:], ends, strict=False)])
    axes.axhline(1.0, color=REFERENCE, linestyle="--", linewidth=0.9)
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0.0, max(1.1, 1.3 * float(np.nanmax(lift, initial=1.0))))
    axes.set_xlabel("predicted success rate before the decision")
    axes.set_ylabel("selection lift")
    axes.legend(loc="upper right", ncols=1)
