"""Effective-group rate, the share of groups with mixed rewards, over the consumed budget (figure 4 of the paper)."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.data.load import Runs
from analysis.data.methods import in_order, method_name
from analysis.data.rounds import cumulative, every_round
from analysis.data.types import FloatArray
from analysis.plotting.draw import BANDS, Panel
from analysis.plotting.layout import fit_to_lines, legend_below
from analysis.plotting.lines import draw_line
from analysis.stats.curves import curve

WINDOW = 0.05  # of the budget
CAPTION = "Effective-group rate over the consumed budget"
NOTE = f"Moving window of {100 * WINDOW:g} % of the budget. {BANDS}"
_POINTS = 96


def consumed_shares(window: float = WINDOW) -> FloatArray:
    """Shares of the budget at which the rate is taken [P], the ends of its windows."""
    return np.linspace(window, 1.0, _POINTS)


def effective_rate(rounds: pd.DataFrame, budget: int, window: float = WINDOW) -> FloatArray:
    """The rate over the window that ends at each of ``consumed_shares`` [P]; nan where the run did not come so far.

    Groups within a round are spread evenly over the units that it spent.

    Args:
        rounds: of one run, in order.
        budget: units.
        window: share of the budget.
    """
    spending = rounds[rounds["units"] > 0]
    consumed, groups, effective = (cumulative(spending[name]) for name in ("units", "groups", "effective_groups"))
    consumed /= budget
    ends = consumed_shares(window)
    starts = ends - window
    in_window = np.interp(ends, consumed, groups) - np.interp(starts, consumed, groups)
    mixed = np.interp(ends, consumed, effective) - np.interp(starts, consumed, effective)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(ends <= consumed[-1] + 1e-9, mixed / in_window, np.nan)


def missing(runs: Runs) -> str:
    """What the runs lack to be drawn."""
    return "" if runs.kept("rounds") and every_round(runs)["groups"].any() else "no run kept rounds with groups"


def panels(runs: Runs) -> list[Panel]:
    """One line an allocator, both axes in percent."""
    return [Panel("", partial(_draw_panel, runs=runs))]


def _draw_panel(axes: Axes, runs: Runs) -> None:
    rounds, budget = every_round(runs), runs.problem["budget"]
    for method in in_order(rounds["method"]):
        of_method = rounds[rounds["method"] == method].groupby("run_id")
        rates = [effective_rate(of_run, budget) for _, of_run in of_method]
        consumed = 100 * np.tile(consumed_shares(), len(rates))
        found = pd.DataFrame({"consumed": consumed, "rate": 100 * np.concatenate(rates)}).dropna()
        draw_line(axes, curve(found, "consumed", "consumed", "rate"), method, method_name(method), marked=_POINTS // 8)
    axes.set_xlim(0.0, 100.0)
    fit_to_lines(axes)
    axes.set_ylim(0.0, min(100.0, axes.get_ylim()[1]))
    axes.set_xlabel("budget consumed (%)")
    axes.set_ylabel("groups with mixed rewards (%)")
    legend_below(axes, columns=3)
