"""A sweep in numbers: one row an allocator and scenario, for the terminal and for Markdown."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.data.methods import in_order, method_name
from analysis.data.select import in_natural_order, refuse_mixtures
from analysis.data.worlds import population_title
from analysis.stats.curves import horizon_slope
from analysis.stats.heldout import NOT_REACHED
from analysis.stats.intervals import NO_INTERVAL, PLUS_MINUS, Interval, mean_interval

MEANING = (
    f"Means over seeds; {PLUS_MINUS}. Slope: of log mean regret on log K over the horizons that all allocators share, "
    "with its 95 % jackknife-t interval over seeds. Every interval stands by itself: none is corrected for the number "
    "of rows."
)

_NUMBER = re.compile(f"(?:[*][*])?[-+\N{MINUS SIGN}]?[0-9]|[-\N{EN DASH}]?$|{NOT_REACHED}$")
_SETTINGS = {"rewards": "rewards", "dynamics": "rates", "num_prompts": "M", "num_rounds": "K"}
_SCENARIO = ["study", "population", "rewards", "dynamics", "num_prompts"]


def sweep_summary(data: pd.DataFrame) -> pd.DataFrame:
    """One row a study, scenario, pool size and allocator, at the largest K that all allocators there were run at.

    Columns: study, population, rewards, dynamics, num_prompts (M), num_rounds (K), method; regret_mean and regret_half
    (regret per prompt over seeds and half of its 95 % t-interval; nan without a benchmark, the half nan for one seed);
    slope, slope_low and slope_high
    (study horizon: of log mean regret on log K over the K that all allocators share, see ``intervals.fit_slope``; else
    nan); effective_group_rate, unspent_percent (of the budget) and heldout_gain, means over seeds; num_seeds.
    """
    rows = []
    for key, runs in data.groupby(_SCENARIO):
        refuse_mixtures(runs, ["num_rounds"])
        shared = set.intersection(*(set(of_method) for _, of_method in runs.groupby("method")["num_rounds"]))
        if shared:
            runs = runs[runs["num_rounds"].isin(shared)]
        for method in in_order(runs["method"]):
            of_method = runs[runs["method"] == method]
            own = of_method[of_method["num_rounds"] == of_method["num_rounds"].max()]
            slope, regret = _slope(of_method), mean_interval(own["regret_per_prompt"])
            rows.append(
                {
                    **dict(zip(_SCENARIO, key, strict=True)),
                    "num_rounds": own["num_rounds"].iloc[0],
                    "method": method,
                    "regret_mean": regret.estimate,
                    "regret_half": regret.half,
                    "slope": slope.estimate,
                    "slope_low": slope.low,
                    "slope_high": slope.high,
                    "effective_group_rate": own["effective_group_rate"].mean(),
                    "unspent_percent": 100.0 * (own["unspent_units"] / own["budget"]).mean(),
                    "heldout_gain": (own["heldout_end"] - own["heldout_start"]).mean(),
                    "num_seeds": own["seed"].nunique(),
                }
            )
    rows.sort(key=lambda row: (row["study"], row["population"], row["rewards"], in_natural_order(row["dynamics"])))
    return pd.DataFrame(rows)


def readable(summary: pd.DataFrame) -> pd.DataFrame:
    """A summary as text, units in headings or cells; what is the same, or unknown, in every row is left out."""
    table = pd.DataFrame(index=summary.index)
    if len(summary["study"].unique()) > 1:
        table["study"] = summary["study"]
    table["population"] = [population_title(text) for text in summary["population"]]
    for column, heading in _SETTINGS.items():
        if len(summary[column].unique()) > 1:
            table[heading] = [_cell(value) for value in summary[column]]
    table["allocator"] = [method_name(method) for method in summary["method"]]
    if summary["regret_mean"].notna().any():
        table["regret per prompt"] = [
            _plus_minus(mean, half) for mean, half in zip(summary["regret_mean"], summary["regret_half"], strict=True)
        ]
    if summary["slope"].notna().any():
        columns = (summary[name] for name in ("slope", "slope_low", "slope_high", "num_seeds"))
        table["slope in K"] = [
            "" if np.isnan(slope) else Interval(slope, low, high, int(seeds)).text()
            for slope, low, high, seeds in zip(*columns, strict=True)
        ]
    rates = summary["effective_group_rate"]  # nan where there was no group
    table["effective groups"] = ["" if np.isnan(rate) else f"{100 * rate:.1f} %" for rate in rates]
    table["unspent"] = [f"{percent:.2f} %" for percent in summary["unspent_percent"]]
    if summary["heldout_gain"].notna().any():
        table["held-out gain"] = ["" if np.isnan(gain) else f"{100 * gain:.2f} pp" for gain in summary["heldout_gain"]]
    table["seeds"] = [str(count) for count in summary["num_seeds"]]
    return table


def to_rich(table: pd.DataFrame, title: str) -> RenderableType:
    """A table for the terminal; of a summary one table a study and population, made readable and narrow."""
    if not _is_summary(table):
        return _rich(table, title)
    parts: list[RenderableType] = [Text(title, style="bold")]
    for (study, population), rows in table.groupby(["study", "population"]):
        shown = readable(rows).drop(columns="population")
        same = [
            f"{heading} {_cell(rows[column].iloc[0])}"
            for column, heading in _SETTINGS.items()
            if len(rows[column].unique()) == 1
        ]
        if len(rows["num_seeds"].unique()) == 1:
            same.append(f"seeds {shown.pop('seeds').iloc[0]}")
        parts.append(Text(f"Study {study}, {population_title(str(population))}: {', '.join(same)}", style="italic"))
        parts.append(_rich(shown))
    return Group(*parts)


def _rich(table: pd.DataFrame, title: str | None = None) -> Table:
    made = Table(
        title=title and Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for column in table.columns:
        made.add_column(str(column).replace(" ", "\n"), justify="right" if _numeric(table[column]) else "left")
    for row in table.itertuples(index=False):
        made.add_row(*(Text(_cell(value)) for value in row))  # Text: brackets are no markup
    return made


def to_markdown(table: pd.DataFrame) -> str:
    """A table in Markdown, without a line break at its end; a summary is made readable first."""
    if _is_summary(table):
        table = readable(table)
    lines = [
        "| " + " | ".join(str(column) for column in table.columns) + " |",
        "|" + "|".join("---:" if _numeric(table[column]) else "---" for column in table.columns) + "|",
    ]
    for row in table.itertuples(index=False):
        lines.append("| " + " | ".join(_cell(value).replace("|", r"\|") for value in row) + " |")
    return "\n".join(lines)


def _is_summary(table: pd.DataFrame) -> bool:
    return "regret_mean" in table.columns


def _slope(runs: pd.DataFrame) -> Interval:
    """Of one allocator in one scenario; nan unless it is of the study horizon and all its runs have a benchmark."""
    if runs["study"].iloc[0] != "horizon" or runs["regret_per_prompt"].isna().any():
        return NO_INTERVAL
    return horizon_slope(runs, "regret_per_prompt")


def _plus_minus(mean: float, half: float) -> str:
    if np.isnan(mean):
        return ""
    if abs(mean) < 1e-9:
        return "0"
    return f"{mean:.5f}" if np.isnan(half) else f"{mean:.5f} ± {half:.5f}"


def _numeric(column: pd.Series[Any]) -> bool:
    """Whether every cell starts with a number, is empty, a dash or ``NOT_REACHED``."""
    return all(_NUMBER.match(_cell(value)) for value in column)


def _cell(value: object) -> str:
    """A cell as text: numbers with at most four significant digits, nothing for nan."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{value:.4g}"
    return str(value)
