"""A training in numbers: one row an allocator, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType

from analysis.data.load import RUN, Runs
from analysis.data.methods import in_order, method_name
from analysis.data.rounds import SECONDS, SPENT, every_round
from analysis.stats.heldout import (
    BASELINE,
    NOT_REACHED,
    REACHING,
    Comparison,
    accuracy_points,
    compare_to_uniform,
    final_scores,
)
from analysis.stats.intervals import NO_INTERVAL, PLUS_MINUS, Interval, mean_interval, signed
from analysis.tables.sweep_tables import to_rich

MEANING = (
    f"Means over seeds; {PLUS_MINUS}. Against Uniform: difference of the final accuracy in percentage points; of "
    "trainings, whose seeds share no luck, with Welch's interval, in the simulator paired by seed. Every interval "
    "stands by itself: none is corrected for the number of rows. "
    f"{REACHING} Updates: rounds that changed the policy. Minutes: without evaluations."
)
_NONE = float("nan")


def training_summary(runs: Runs) -> pd.DataFrame:
    """One row an allocator; all are means over its seeds, a half is half of a 95 % t-interval (nan: one seed).

    Columns: method; num_seeds; accuracy_start, accuracy_end and end_half (percent, mean over questions); difference
    and difference_half (of the final accuracy to uniform's, percentage points, see ``heldout.Comparison``);
    effective_group_rate; responses (spent); updates (rounds that updated the policy); reach_share, reach_half and
    reach_seeds (share of uniform's responses until its final accuracy, and how many seeds reach it); samples, n,
    avg_at_n and pass_at_n of the last evaluation (percent); minutes (in allocation, rollouts and updates; evaluations
    do not count). What cannot be known, for want of evaluations, of uniform, or of a gain of uniform's, is nan.
    """
    points, scores = accuracy_points(runs), final_scores(runs)
    compared = compare_to_uniform(runs)
    sums = every_round(runs).groupby(RUN)[[*SPENT, *SECONDS]].sum().reset_index()
    rows = []
    for method in in_order(runs.frame["method"]):
        spent, scored = sums[sums["method"] == method], scores[scores["method"] == method]
        curves = points[points["method"] == method].groupby("seed")["accuracy"]
        end, difference = mean_interval(curves.last()), _difference(method, compared)
        reached = compared.get(method)
        rows.append(
            {
                "method": method,
                "num_seeds": spent["seed"].nunique(),
                "accuracy_start": curves.first().mean(),
                "accuracy_end": end.estimate,
                "end_half": end.half,
                "difference": difference.estimate,
                "difference_half": difference.half,
                "effective_group_rate": (spent["effective_groups"] / spent["groups"]).mean(),
                "responses": spent["responses"].mean(),
                "updates": spent["updated"].mean(),
                "reach_share": reached.reach.estimate if reached else _NONE,
                "reach_half": reached.reach.half if reached else _NONE,
                "reach_seeds": reached.reached if reached else 0,
                "samples": scored["samples"].max(),
                "n": scored["n"].max(),
                "avg_at_n": scored["avg_at_n"].mean(),
                "pass_at_n": scored["pass_at_n"].mean(),
                "minutes": spent[list(SECONDS)].to_numpy().sum(axis=1).mean() / 60,
            }
        )
    return pd.DataFrame(rows)


def readable(summary: pd.DataFrame) -> pd.DataFrame:
    """A summary as text, units in headings or cells; what is unknown in every row is left out."""
    return pd.concat([_compared(summary), _measured(summary).drop(columns="allocator")], axis=1)


def terminal_tables(summary: pd.DataFrame, title: str) -> RenderableType:
    """A summary for the terminal, as two tables that are narrow enough: the comparison, and all else."""
    return Group(to_rich(_compared(summary), title), to_rich(_measured(summary), ""))


def _compared(summary: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame({"allocator": _names(summary)}, index=summary.index)
    table["seeds"] = [str(count) for count in summary["num_seeds"]]
    if summary["accuracy_end"].notna().any():
        table["accuracy at start, %"] = [_text(mean) for mean in summary["accuracy_start"]]
        ends = zip(summary["accuracy_end"], summary["end_half"], strict=True)
        table["accuracy at end, %"] = [_text(*given) for given in ends]
    if summary["difference"].notna().any():
        differences = zip(summary["difference"], summary["difference_half"], strict=True)
        table["against Uniform, points"] = [_text(*given) for given in differences]
    if summary["reach_share"].notna().any():
        columns = (summary[name] for name in ("reach_share", "reach_half", "reach_seeds", "num_seeds"))
        table["responses to Uniform's accuracy, %"] = [_reached(*given) for given in zip(*columns, strict=True)]
    return table


def _measured(summary: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame({"allocator": _names(summary)}, index=summary.index)
    if summary["accuracy_end"].notna().any():
        if (summary["samples"] > 0).any():
            table[f"avg@{summary['n'].max():.0f}, %"] = [_text(mean) for mean in summary["avg_at_n"]]
        table[f"pass@{summary['n'].max():.0f}, %"] = [_text(mean) for mean in summary["pass_at_n"]]
    table["effective groups, %"] = [_text(100.0 * rate, digits=1) for rate in summary["effective_group_rate"]]
    table["responses"] = [f"{count:,.0f}" for count in summary["responses"]]
    table["updates"] = [f"{count:,.0f}" for count in summary["updates"]]
    table["minutes"] = [f"{minutes:,.1f}" for minutes in summary["minutes"]]
    return table


def _names(summary: pd.DataFrame) -> list[str]:
    return [method_name(method) for method in summary["method"]]


def _reached(share: float, half: float, reached: int, count: int) -> str:
    """``50 ± 4``, ``81 ± 22 (4 of 5 seeds)``, "not reached"; nothing for nan."""
    if np.isnan(share):
        return ""
    if not reached:
        return NOT_REACHED
    return _text(100 * share, 100 * half, 0) + (f" ({reached} of {count} seeds)" if reached < count else "")


def _text(mean: float, half: float = _NONE, digits: int = 2) -> str:
    """``41.25 ± 0.50`` with a true minus sign, without the half where there is none; nothing for nan."""
    if np.isnan(mean):
        return ""
    number = signed(mean, digits)
    return number if np.isnan(half) else f"{number} ± {half:.{digits}f}"


def _difference(method: str, compared: Mapping[str, Comparison]) -> Interval:
    """To uniform; of uniform itself, and where no seed is shared, unknown."""
    if method == BASELINE or method not in compared:
        return NO_INTERVAL
    return compared[method].mean
