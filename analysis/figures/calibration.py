"""Calibration of the proxy q-hat: predicted value against the reward variance of groups (figure 6 of the paper)."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.data.load import Runs
from analysis.data.methods import method_name
from analysis.data.predictions import leading_method, no_predictions
from analysis.data.text import counted
from analysis.plotting.draw import Panel
from analysis.plotting.style import REFERENCE, look
from analysis.stats.correlation import coefficient, correlate
from analysis.stats.intervals import mean_interval

BINS = 7
LARGEST = 0.25  # of p (1 - p)
CAPTION = "Calibration of the predicted value q-hat"
NOTE = (
    "Points: bins of equal width on [0, 1/4], mean over the seeds that kept their groups; area and number: share of "
    "the groups. Bars, where there are several seeds: 95 % t-interval. Dashed: predicted and observed are equal. "
    "Groups of one response have no variance and are left out. Correlations are over the points."
)
_AREA, _LEAST_AREA = 700.0, 12.0  # square points, of a bin with all groups and of a rare one


def by_bin(groups: pd.DataFrame) -> pd.DataFrame:
    """Mean predicted and mean observed value and share of the groups, a row for every run and bin that has groups.

    Columns: run_id, bin (0 ... BINS - 1), predicted, observed, share.
    """
    known = _known(groups)
    place = np.minimum((known["predicted_value"] / LARGEST * BINS).astype("int64"), BINS - 1)
    found = known.assign(bin=place).groupby(["run_id", "bin"])
    means = found[["predicted_value", "reward_variance"]].mean().set_axis(["predicted", "observed"], axis=1)
    counts = found.size()
    return means.assign(share=counts / counts.groupby("run_id").transform("sum")).reset_index()


def overall(groups: pd.DataFrame) -> tuple[float, float]:
    """Mean predicted and mean observed value over the groups of each run, then over runs."""
    means = _known(groups).groupby("run_id")[["predicted_value", "reward_variance"]].mean().mean()
    return float(means["predicted_value"]), float(means["reward_variance"])


def _known(groups: pd.DataFrame) -> pd.DataFrame:
    return groups.dropna(subset=["predicted_value", "reward_variance"])


def missing(runs: Runs) -> str:
    """What the runs lack to be drawn."""
    if lack := no_predictions(runs):
        return lack
    name = method_name(leading_method(runs))
    return "" if len(_known(_leading(runs))) else f"no group of {name} has a prediction and two responses"


def panels(runs: Runs) -> list[Panel]:
    """One point a bin, of CERO or of the first method that predicts."""
    groups = _leading(runs)
    bins = by_bin(groups)
    means = bins.groupby("bin")[["predicted", "observed"]].mean()
    found = correlate(means["predicted"], means["observed"])
    predicted, observed = overall(groups)
    title = (
        f"{method_name(leading_method(runs))}, {counted(bins['run_id'].nunique(), 'seed')}: "
        f"mean predicted {predicted:.3f}, observed {observed:.3f}\n"
        f"Pearson {coefficient(found.pearson)}, Spearman {coefficient(found.spearman)} over {found.points} bins"
    )
    return [Panel(title, partial(_draw_panel, bins=bins, colour=look(leading_method(runs)).colour), 4.6)]


def _leading(runs: Runs) -> pd.DataFrame:
    groups = runs.table("groups")
    return groups[groups["method"] == leading_method(runs)]


def _draw_panel(axes: Axes, bins: pd.DataFrame, colour: str) -> None:
    seeds = bins["run_id"].nunique()
    tallest = LARGEST
    axes.plot([0.0, LARGEST], [0.0, LARGEST], color=REFERENCE, linestyle="--", linewidth=1.0, zorder=1)
    for _, of_bin in bins.groupby("bin"):
        x, observed = float(of_bin["predicted"].mean()), mean_interval(of_bin["observed"].to_numpy())
        share = float(of_bin["share"].sum()) / seeds
        area = max(_AREA * share, _LEAST_AREA)
        axes.scatter(x, observed.estimate, area, color=colour, alpha=0.55, linewidths=0, zorder=2)
        axes.errorbar(
            x,
            observed.estimate,
            [[observed.estimate - observed.low], [observed.high - observed.estimate]],
            color="black",
            capsize=3.0,
            linewidth=1.0,
            marker=".",
            markersize=3.0,
            zorder=3,
        )
        axes.annotate(
            f"{100 * share:.0f} %" if share >= 0.005 else "< 1 %",
            (x, observed.estimate),
            xytext=(0.35 * np.sqrt(area) + 2, -0.35 * np.sqrt(area) - 2),  # the next points are above or to the left
            textcoords="offset points",
            va="top",
            fontsize=7,
        )
        tallest = float(np.nanmax([tallest, observed.estimate, observed.high]))
    axes.set_xlim(0.0, 1.08 * LARGEST)
    axes.set_ylim(-0.06 * tallest, 1.04 * tallest)
    axes.set_xlabel("predicted value q-hat, before the decision")
    axes.set_ylabel("observed reward variance (unbiased)")
