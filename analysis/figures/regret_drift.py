"""Same-path regret per prompt against how much the rates move, V_K, beside the terms of (12) (arXiv 2606.05606)."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.data.describe import plain
from analysis.data.load import Runs
from analysis.data.methods import in_order, method_name
from analysis.data.select import by_population, study_runs
from analysis.plotting import style
from analysis.plotting.draw import BANDS, Panel
from analysis.plotting.layout import legend_below, log_axis
from analysis.plotting.lines import draw_curve
from analysis.stats.curves import ROUNDING, Curve, curve

CAPTION = "Same-path regret per prompt against the variation of the rates"
BENCHMARK = "The benchmark is an upper bound on OPT_dyn, so regret is overstated, never understated."
NOTE = f"{BENCHMARK} {BANDS} Open markers, where there are any: abrupt shifts."

_TOP = 2.0  # regret per prompt is at most 1; terms of (12) beyond this run out of the panel
# The terms of (12) for CERO, drawn in grey and told apart by their lines.
_TERMS = {
    "bound_optimisation": ("(12) optimisation term", "--"),
    "bound_estimation": ("(12) estimation term", "-."),
    "bound_variation": ("(12) variation term", ":"),
    "bound_total": ("(12) total, capped at λ", "-"),
}


def usable(runs: Runs) -> pd.DataFrame:
    """The runs of the study "drift" that have a benchmark."""
    return study_runs(runs, "drift", ["dynamics"])


def missing(runs: Runs) -> str:
    """What the sweep lacks to be drawn."""
    return "no run of the study 'drift' with a benchmark" if usable(runs).empty else ""


def panels(runs: Runs) -> list[Panel]:
    """One panel a population; x is linear up to the smallest positive V_K and logarithmic beyond, y is logarithmic.

    Drift and fixed rates are one line; abrupt shifts, another kind of path, are points of their own with open markers.
    """
    return [Panel(title, partial(_draw_panel, runs=group), 4.7) for title, group in by_population(usable(runs))]


def _draw_panel(axes: Axes, runs: pd.DataFrame) -> None:
    seen: list[float] = []
    shifted = runs["dynamics"].str.startswith("shift")
    for method in in_order(runs["method"]):
        name, own = method_name(method), runs["method"] == method
        drift = _variation_curve(runs[own & ~shifted], "regret_per_prompt")
        draw_curve(axes, drift, method, name if drift.positive else f"{name}: 0 up to rounding")
        shift = _variation_curve(runs[own & shifted], "regret_per_prompt")
        _draw_points(axes, shift, method)
        seen += [*drift.extent, *shift.extent]
    cero = runs[(runs["method"] == "cero") & ~shifted]
    for column, (label, line) in _TERMS.items():
        term = _variation_curve(cero, column)
        shown = term.mean > ROUNDING
        if shown.any():
            if term.mean.max() > _TOP:
                label += f", up to {plain(round(float(term.mean.max()), 1))}"
            if column == "bound_total" and (term.mean[shown] >= cero["saturation"].min()).all():
                label += ": vacuous here"
            axes.plot(term.x[shown], term.mean[shown], color="#444444", linestyle=line, linewidth=1.1, label=label)
            seen += np.minimum(term.mean[shown], _TOP).tolist()
    marked = runs if shifted.all() else runs[~shifted]
    variations = sorted({round(float(value), 4) for value in _variation_curve(marked, "regret_per_prompt").x})
    smallest = min((value for value in variations if value > 0), default=1.0)
    axes.set_xscale("symlog", linthresh=smallest, linscale=0.5)
    axes.set_xticks(variations, [plain(value) for value in variations])
    axes.set_xticks([], minor=True)
    axes.set_xlim(-0.25 * smallest, max(variations[-1], smallest) * 1.25)
    log_axis(axes, "y", seen)
    axes.set_xlabel("variation of the rates, V_K")
    axes.set_ylabel("regret per prompt")
    legend_below(axes, columns=3)


def _variation_curve(runs: pd.DataFrame, column: str) -> Curve:
    return curve(runs, "dynamics", "variation", column)


def _draw_points(axes: Axes, found: Curve, method: str) -> None:
    style_of = style.look(method)
    axes.plot(
        found.x, found.mean, color=style_of.colour, marker=style_of.marker, linestyle="none", markerfacecolor="white"
    )
