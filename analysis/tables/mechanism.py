"""What CERO does with its budget, in the quantities that the paper reports."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.data.load import Runs
from analysis.data.rounds import every_round
from analysis.figures import calibration, cost, pacing, proxy_tracking, selection_lift
from analysis.stats.correlation import correlate
from analysis.stats.intervals import NO_INTERVAL, Interval, ratio_of_means

METHOD = "cero"
COST_RATIO = "seconds a million tokens, CERO over Uniform"
_TRACKED = ("predicted_value_mean", "observed_value_mean")
_NAMES = {"cero": "CERO", "random_matched": "Random-matched", "uniform": "Uniform"}


def mechanism(runs: Runs) -> dict[str, list[float] | Interval]:
    """Quantities by name, one value a seed, or where two samples make one its interval; what is unknown is left out.

    Args:
        runs: of one setting.
    """
    found: dict[str, list[float]] = {}
    if runs.kept("rounds"):
        found |= _of_rounds(runs)
    if runs.kept("pool"):
        found |= _of_pool(runs)
    if runs.kept("groups"):
        found |= _of_groups(runs)
    if runs.source == "sim":
        found |= _of_results(runs)
    known = {name: [value for value in values if not np.isnan(value)] for name, values in found.items()}
    measured: dict[str, list[float] | Interval] = {name: values for name, values in known.items() if values}
    ratio = cost_ratio(runs)
    return measured if np.isnan(ratio.estimate) else measured | {COST_RATIO: ratio}


def cost_ratio(runs: Runs) -> Interval:
    """Mean seconds a million tokens of CERO over those of uniform, without rounds in which the machine stood still.

    The runs of a seed are not paired: two trainings share neither luck nor the hour at which the machine ran them. Not
    known where no token was counted.
    """
    rounds = every_round(runs) if runs.kept("rounds") else None
    if rounds is None or not rounds["tokens"].any():
        return NO_INTERVAL
    costs = cost.costs(cost.without_stalls(rounds)[0]).dropna(subset="per_million")
    return ratio_of_means(*(costs.loc[costs["method"] == name, "per_million"] for name in (METHOD, "uniform")))


def _of_rounds(runs: Runs) -> dict[str, list[float]]:
    rounds = every_round(runs)
    mine = _each(rounds[rounds["method"] == METHOD])
    gaps = [pacing.pacing_gap(of_run, runs.problem) for of_run in mine]
    found = {
        "rounds that spend": [float((of_run["units"] > 0).sum()) for of_run in mine],
        "peak of the pacing gap, responses": [float(gap.max()) for gap in gaps],
        "end of the pacing gap, responses": [float(gap[-1]) for gap in gaps],
    }
    for method, name in _NAMES.items():
        sums = rounds[rounds["method"] == method].groupby("seed")[["groups", "effective_groups"]].sum()
        rates = 100.0 * sums["effective_groups"] / sums["groups"]
        found[f"effective-group rate of {name}, %"] = rates.tolist()
    found["proxy and observed variance over ten budget intervals, Pearson"] = [
        correlate(*(proxy_tracking.interval_means(of_run, name, runs.problem["budget"]) for name in _TRACKED)).pearson
        for of_run in _each(runs.table("rounds").query("method == @METHOD"))
    ]
    return found


def _of_pool(runs: Runs) -> dict[str, list[float]]:
    pool = runs.table("pool")
    mine = _each(pool[pool["method"] == METHOD])
    names = {
        6: "prompts ending with 3 groups of 2 units (0.84 R in the paper), %",
        8: "prompts ending with 4 groups (1.12 R), %",
        10: "prompts ending with 5 groups (1.40 R), %",
    }
    return {name: [100.0 * float((of_run["exposure"] == u).mean()) for of_run in mine] for u, name in names.items()}


def _of_groups(runs: Runs) -> dict[str, list[float]]:
    groups, rounds = runs.table("groups"), runs.table("rounds")
    pairs = [(rounds[rounds["run_id"] == i], g) for i, g in groups[groups["method"] == METHOD].groupby("run_id")]
    ranges = {"below 0.2": (0.0, 0.2), "0.4 to 0.6": (0.4, 0.6), "of 0.8 and more": (0.8, 1.0)}
    found = {
        f"selection lift at predicted success {name}": [selection_lift.overall_lift(r, g, *ends) for r, g in pairs]
        for name, ends in ranges.items()
    }
    bins = [calibration.by_bin(of_run) for _, of_run in pairs]
    correlations = [correlate(of_run["predicted"], of_run["observed"]) for of_run in bins]
    means = [calibration.overall(of_run) for _, of_run in pairs]
    return found | {
        "proxy and observed variance over bins, Pearson": [one.pearson for one in correlations],
        "proxy and observed variance over bins, Spearman": [one.spearman for one in correlations],
        "mean of the proxy": [predicted for predicted, _ in means],
        "mean observed group variance": [observed for _, observed in means],
    }


def _of_results(runs: Runs) -> dict[str, list[float]]:
    """Regret, which only the simulator has."""
    names = {f"regret per prompt of {name}": (method, "regret_per_prompt") for method, name in _NAMES.items()}
    names["bound (11) on CERO's regret per prompt (1 is vacuous)"] = (METHOD, "bound_total")
    infos = [info for info in runs.infos.values() if not info["options"]]

    def values(method: str, key: str) -> list[float]:
        found = [info["results"].get(key) for info in infos if info["method"] == method]
        return [float(value) for value in found if value is not None]

    return {name: values(*wanted) for name, wanted in names.items()}


def _each(rows: pd.DataFrame) -> list[pd.DataFrame]:
    return [of_run for _, of_run in rows.groupby("seed")]
