"""Which runs of a sweep belong together: the runs of a study, and its panels."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.data.load import PROBLEM, Runs
from analysis.data.results import results_frame
from analysis.data.worlds import population_title
from cerolab.errors import RecordError


def study_runs(runs: Runs, study: str, setting: Sequence[str]) -> pd.DataFrame:
    """The results of a study's runs that have a benchmark to measure regret against; none is an empty table.

    Args:
        runs: of a sweep.
        study: name of the study.
        setting: columns that, with population, rewards, method and seed, tell the study's runs apart.

    Raises:
        RecordError: two runs differ in something else, so that a mean over seeds would mix unlike runs.
    """
    data = results_frame(runs)
    found = data[(data["study"] == study) & data["regret_per_prompt"].notna()]
    refuse_mixtures(found, setting)
    return found


def refuse_mixtures(runs: pd.DataFrame, setting: Sequence[str]) -> None:
    """Refuse runs that a mean over seeds would mix, see ``study_runs``."""
    key = ["population", "rewards", "method", "seed", *setting]
    twice = runs[runs.duplicated(key, keep=False)].sort_values(key)
    if twice.empty:
        return
    first, second = twice.iloc[0], twice.iloc[1]
    told_apart = ("options", "dynamics", *PROBLEM)
    differ = [column for column in told_apart if first[column] != second[column]]
    remedy = (
        f"but differ in {', '.join(differ)}; put them in sweeps of their own"
        if differ
        else "of two sweeps it seems; give one sweep at a time"
    )
    raise RecordError(
        f"runs {first['run_id']} and {second['run_id']} have the same method, seed and {', '.join(setting)}, {remedy}"
    )


def in_natural_order(dynamics: str) -> tuple[str, float]:
    """Sort key of a text form such as drift(0.3): by kind, then by its number."""
    kind, _, argument = dynamics.rstrip(")").partition("(")
    try:
        return kind, float(argument or 0.0)
    except ValueError:
        return kind, float("inf")


def by_population(runs: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """(title, runs) for each population, sorted by name; rewards are named unless they are binary."""
    found = []
    for (population, rewards), group in runs.groupby(["population", "rewards"], sort=True):
        title = population_title(str(population))
        found.append((title if rewards == "binary" else f"{title}, {rewards} rewards", group))
    return found
