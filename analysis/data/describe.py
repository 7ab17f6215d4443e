"""What is behind the numbers of a figure or a table, in a line of words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.data.load import Runs


def plain(number: float) -> str:
    """A number as people write it: 10,000 and 0.05, not 1e4 and 5e-2; from a million million on, powers of ten."""
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e12 else f"{number:.4g}"


def describe(runs: Runs) -> str:
    """What is behind the points of a figure: seeds, M, K, N_max, g and budget, each a number or a range."""
    settings = runs.frame.drop(columns=["run_id", "seed"]).columns.tolist()
    counts = runs.frame.groupby(settings)["seed"].nunique()
    return f"{_span(counts)} seed{'' if counts.max() == 1 else 's'}; {sizes(runs.frame)}"


def sizes(data: pd.DataFrame) -> str:
    """``describe`` without the seeds; a row a run."""
    budget, scale = data["budget"], data["num_rounds"] * data["num_prompts"]
    share = (budget / scale).unique()
    if len(budget.unique()) > 1 and np.ptp(share) < 1e-3 * share.max():
        spent = f"B = {share.mean():.3g}·K·M units"
    else:
        spent = f"B = {_span(budget)} units"
    parts = [
        f"M = {_span(data['num_prompts'])} prompts",
        f"K = {_span(data['num_rounds'])} rounds",
        f"N_max = {_span(data['max_units'])}",
        f"g = {_span(data['responses_per_unit'])}",
        spent,
    ]
    return "; ".join(parts)


def _span(values: pd.Series[Any]) -> str:
    """Up to three values one by one, more as a range."""
    found = sorted(values.unique())
    if len(found) <= 3:
        return ", ".join(plain(value) for value in found)
    return f"{plain(found[0])} to {plain(found[-1])}"
