"""The curves that the page lets its reader explore, as numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.data.describe import describe, sizes
from analysis.data.load import Runs
from analysis.data.methods import in_order
from analysis.data.rounds import every_round
from analysis.data.select import by_population
from analysis.data.text import counted
from analysis.figures import effective_rate, regret_horizon
from analysis.report.settings import by_experiment, setting_title
from analysis.stats.curves import ROUNDING, Curve, curve
from analysis.stats.heldout import accuracy_points, mean_curve, no_accuracy
from cerolab.errors import RecordError


@dataclass(frozen=True, eq=False)
class Chart:
    """Curves of several allocators.

    Attributes:
        title: what is drawn.
        note: what is behind it: the setting, seeds and sizes.
        x_label, y_label: of the axes, with units.
        curves: by allocator.
        logarithmic: whether both axes are.
    """

    title: str
    note: str
    x_label: str
    y_label: str
    curves: dict[str, Curve]
    logarithmic: bool = False


def setting_charts(settings: Iterable[Runs]) -> list[Chart]:
    """Held-out accuracy over responses and effective groups over the budget, of every setting that has them."""
    found = []
    for runs in settings:
        if not no_accuracy(runs):
            found.append(_accuracy(runs))
        if not effective_rate.missing(runs):
            found.append(_effective_rate(runs))
    return found


def horizon_charts(runs: Runs) -> list[Chart]:
    """Regret per prompt over the horizon, one chart a sweep and population."""
    found = []
    for experiment, own in by_experiment(runs):
        try:
            results = regret_horizon.usable(own)
        except RecordError:  # unlike runs that a mean would mix: the figure says so
            continue
        for title, group in by_population(results):
            chart = _regret(experiment, title, group)
            if chart.curves and len(group["num_rounds"].unique()) > 1:
                found.append(chart)
    return found


def _accuracy(runs: Runs) -> Chart:
    points = accuracy_points(runs)
    curves = {method: mean_curve(points, method) for method in in_order(points["method"])}
    note = f"{setting_title(runs)}; {describe(runs)}."
    return Chart("Held-out accuracy", note, "responses spent", "held-out accuracy (%)", curves)


def _effective_rate(runs: Runs) -> Chart:
    rounds, budget = every_round(runs), runs.problem["budget"]
    curves = {}
    for method in in_order(rounds["method"]):
        of_method = rounds[rounds["method"] == method].groupby("run_id")
        rates = [effective_rate.effective_rate(of_run, budget) for _, of_run in of_method]
        consumed = 100 * np.tile(effective_rate.consumed_shares(), len(rates))
        points = pd.DataFrame({"consumed": consumed, "rate": 100 * np.concatenate(rates)}).dropna()
        if not points.empty:
            curves[method] = curve(points, "consumed", "consumed", "rate")
    note = f"{setting_title(runs)}; {describe(runs)}."
    return Chart("Effective groups", note, "budget consumed (%)", "groups with mixed rewards (%)", curves)


def _regret(experiment: str, population: str, results: pd.DataFrame) -> Chart:
    """Without points that are zero up to rounding, which a logarithmic axis cannot show."""
    curves = {}
    for method in in_order(results["method"]):
        found = curve(results[results["method"] == method], "num_rounds", "num_rounds", "regret_per_prompt")
        if found.positive:
            seen = found.mean > ROUNDING
            low = np.maximum(found.low[seen], ROUNDING)
            curves[method] = Curve(found.x[seen], found.mean[seen], low, found.high[seen])
    seeds = results["seed"].nunique()
    note = f"{experiment}; {counted(seeds, 'seed')}; {sizes(results)}."
    return Chart(f"Regret, {population}", note, "horizon K (rounds)", "regret per prompt", curves, logarithmic=True)
