"""A training in numbers: one row an allocator, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType

from analysis.heldout import BASELINE, Comparison, accuracy_points, compare_to_uniform, final_scores
from analysis.load import RUN, Runs
from analysis.rounds import SECONDS, SPENT, every_round
from analysis.statistics import Interval, mean_interval
from analysis.style import in_order, look
from analysis.tables import NOT_REACHED, to_rich

_NONE = float("nan")


def training_summary(runs: Runs) -> pd.DataFrame:
    """One row an allocator; everything is a mean over its seeds, a half is half of a 95 % t-interval (nan: one seed).

    Columns: method; num_seeds; accuracy_start, accuracy_end and end_half (percent, mean over questions); difference
    and difference_half (of the final accuracy to uniform's, percentage points, paired by seed); effective_group_rate;
    responses (spent); updates (rounds that updated the policy); reach_responses and reach_share (responses after which
    the mean curve first reaches uniform's final accuracy, and the share of uniform's responses that they are;
    infinite: never); samples, n, avg_at_n and pass_at_n of the last evaluation (percent); minutes (in allocation,
    rollouts and updates; evaluations do not count). What cannot be known, for want of evaluations, of uniform, or of
    a gain of uniform's, is nan.
    """
    points, scores = accuracy_points(runs), final_scores(runs)
    compared = compare_to_uniform(points)
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
                "end_half": end.high - end.estimate,
                "difference": difference.estimate,
                "difference_half": difference.high - difference.estimate,
                "effective_group_rate": (spent["effective_groups"] / spent["groups"]).mean(),
                "responses": spent["responses"].mean(),
                "updates": spent["updated"].mean(),
                "reach_responses": reached.responses if reached else _NONE,
                "reach_share": reached.share if reached else _NONE,
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
        reached = zip(summary["reach_responses"], summary["reach_share"], strict=True)
        table["responses to Uniform's accuracy"] = [_reached(*given) for given in reached]
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
    return [look(method).name for method in summary["method"]]


def _reached(responses: float, share: float) -> str:
    if np.isnan(share):
        return ""
    return NOT_REACHED if np.isinf(share) else f"{responses:,.0f} ({100 * share:.0f} %)"


def _text(mean: float, half: float = _NONE, digits: int = 2) -> str:
    """``41.25 ± 0.50`` with a true minus sign, without the half where there is none; nothing for nan."""
    if np.isnan(mean):
        return ""
    number = f"{round(mean, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return number if np.isnan(half) else f"{number} ± {half:.{digits}f}"


def _difference(method: str, compared: Mapping[str, Comparison]) -> Interval:
    """To uniform; of uniform itself, and where no seed is shared, unknown."""
    if method == BASELINE or method not in compared:
        return Interval(_NONE, _NONE, _NONE, 0)
    return compared[method].mean
