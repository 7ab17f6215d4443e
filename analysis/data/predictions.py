"""Which method's predictions a figure shows: CERO's, or those of the first method that makes any."""

from __future__ import annotations

from analysis.data.load import Runs
from analysis.data.methods import in_order


def predicting_methods(runs: Runs) -> list[str]:
    """Methods that predicted a success rate for some group that they kept, in the order of legends."""
    if not runs.kept("groups"):
        return []
    groups = runs.table("groups")
    return in_order(groups["method"][groups["predicted_success"].notna()].unique())


def leading_method(runs: Runs) -> str:
    """CERO where it is there, else the first of ``predicting_methods``, which must not be empty."""
    return predicting_methods(runs)[0]


def no_predictions(runs: Runs) -> str:
    """What the runs lack to show predictions; nothing: ""."""
    if not runs.kept("groups"):
        return "no run kept its groups"
    return "" if predicting_methods(runs) else "no method predicts success rates"
