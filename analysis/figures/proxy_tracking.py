"""The proxy q-hat against the reward variance that groups then showed, over the budget (figure 2 of the paper).

By proposition 1 of the paper, q-hat is the predictive mean of the unbiased within-group reward variance.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.data.load import Runs
from analysis.data.methods import method_name
from analysis.data.predictions import leading_method, no_predictions
from analysis.data.rounds import cumulative
from analysis.data.types import FloatArray
from analysis.plotting.draw import BANDS, Panel
from analysis.plotting.layout import legend_below
from analysis.plotting.lines import draw_band
from analysis.plotting.style import Look
from analysis.stats.correlation import coefficient, correlate
from analysis.stats.curves import Curve, curve

INTERVALS = 10
CAPTION = "Predicted value and observed reward variance over the budget"
NOTE = (
    f"{INTERVALS} intervals of equal budget; means of rounds weighted by their groups, a round on a boundary counting "
    f"on both sides in proportion to its units. {BANDS} Pearson: of the mean lines, predicted and observed."
)
QUANTITIES = {
    "predicted_value_mean": Look("predicted, q-hat", "#0072B2", "o", "-", 2.0),
    "observed_value_mean": Look("observed in groups", "#D55E00", "s", "--", 1.6),
    "true_value_mean": Look("true, p(1 − p)", "#000000", "x", ":", 1.6),  # noqa: RUF001
}
_MIDDLES = 100.0 * (np.arange(INTERVALS) + 0.5) / INTERVALS  # % of the budget


def interval_means(rounds: pd.DataFrame, column: str, budget: int) -> FloatArray:
    """Mean of a column over the groups of each tenth of the budget [INTERVALS]; nan for a tenth without groups.

    The groups of a round are spread evenly over the units that it spent.

    Args:
        rounds: of one run, in order.
        column: a mean over the groups of each round; rounds where it is nan are left out.
        budget: units.
    """
    edges = budget * np.linspace(0.0, 1.0, INTERVALS + 1)
    groups = rounds["groups"].where(rounds[column].notna(), 0)
    consumed = cumulative(rounds["units"])
    sums, counts = (
        np.diff(np.interp(edges, consumed, cumulative(one))) for one in (groups * rounds[column].fillna(0.0), groups)
    )
    return np.divide(sums, counts, out=np.full(INTERVALS, np.nan), where=counts > 0)


def tracked(runs: Runs, method: str) -> dict[str, Curve]:
    """The ``QUANTITIES`` that a method's runs recorded, over % of the budget consumed [INTERVALS points]."""
    rounds = runs.table("rounds")
    of_runs = [of_run for _, of_run in rounds[rounds["method"] == method].groupby("run_id")]
    consumed = np.tile(_MIDDLES, len(of_runs))
    found = {}
    for column in QUANTITIES:
        means = [interval_means(of_run, column, runs.problem["budget"]) for of_run in of_runs]
        if not np.isnan(means).all():
            points = pd.DataFrame({"consumed": consumed, "mean": np.concatenate(means)})
            found[column] = curve(points, "consumed", "consumed", "mean")
    return found


def missing(runs: Runs) -> str:
    """What the runs lack to be drawn."""
    if lack := no_predictions(runs):
        return lack
    if not runs.kept("rounds"):
        return "no run kept its rounds"
    method = leading_method(runs)
    found = tracked(runs, method)
    for column in ("predicted_value_mean", "observed_value_mean"):
        if column not in found:
            return f"no round of {method_name(method)} has a {column}"
    return ""


def panels(runs: Runs) -> list[Panel]:
    """Predicted, observed and, in the simulator, true value of CERO or of the first method that predicts."""
    method = leading_method(runs)
    lines = tracked(runs, method)
    found = correlate(lines["predicted_value_mean"].mean, lines["observed_value_mean"].mean)
    title = f"{method_name(method)}: Pearson {coefficient(found.pearson)} over {found.points} intervals"
    return [Panel(title, partial(_draw_panel, lines=lines))]


def _draw_panel(axes: Axes, lines: dict[str, Curve]) -> None:
    for column, line in lines.items():
        draw_band(axes, line, QUANTITIES[column], QUANTITIES[column].name)
    axes.set_xlim(0.0, 100.0)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("budget consumed (%)")
    axes.set_ylabel("reward variance of admitted prompts")
    legend_below(axes, columns=3)
