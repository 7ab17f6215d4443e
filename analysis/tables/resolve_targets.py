"""What `resolve` was to reach on fixed success rates, beside what it reaches and what no learner could."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from analysis.data.describe import describe
from analysis.data.load import Runs
from analysis.stats.board import REGRET, Board, find_boards
from analysis.stats.intervals import PLUS_MINUS, Interval, fit_slope, mean_interval
from analysis.tables.sweep_tables import to_markdown
from cerolab.errors import RecordError

METHODS = ("cero", "resolve")


def bars_table(runs_of_K: Mapping[int, Runs]) -> str:
    """Regret of CERO and Resolve at a short and a long horizon, as Markdown.

    Args:
        runs_of_K: a leaderboard of both at two horizons, by its number of rounds.

    Raises:
        RecordError: a method or a scenario is missing.
    """
    (short, first), (long, second) = sorted((K, _regret(K, runs)) for K, runs in runs_of_K.items())
    rows = []
    for title in first.scores:
        if title not in second.scores:
            raise RecordError(f"K = {long}: no runs of {title}; make them with `make bars`")
        (cero_short, resolve_short), (cero_long, resolve_long) = (_values(board, title) for board in (first, second))
        cero_end = mean_interval(cero_long)
        rows.append(
            {
                "success rates": title,
                f"CERO, K = {short}": mean_interval(cero_short).plus_minus(5),
                f"Resolve, K = {short}": mean_interval(resolve_short).plus_minus(5),
                f"CERO, K = {long}": cero_end.plus_minus(5),
                "a third of it": cero_end.scaled(1 / 3).plus_minus(5),
                f"Resolve, K = {long}": mean_interval(resolve_long).plus_minus(5),
                "least of any learner": f"{second.least[title]:.5f}",
                "slope of CERO": _slope((short, cero_short), (long, cero_long)).text(),
                "slope of Resolve": _slope((short, resolve_short), (long, resolve_long)).text(),
            }
        )
    meaning = f"Regret per prompt, means over seeds; {PLUS_MINUS}; brackets: 95 % jackknife-t interval of a slope"
    return f"{to_markdown(pd.DataFrame(rows))}\n\n{meaning}; {describe(runs_of_K[long])}."


def _regret(num_rounds: int, runs: Runs) -> Board:
    board = next((board for board in find_boards(runs) if board.name == REGRET), None)
    if board is None:
        raise RecordError(f"K = {num_rounds}: no run has regret; make them with `make bars`")
    return board


def _values(board: Board, title: str) -> list[pd.Series[float]]:
    """Regrets by seed of each of ``METHODS``."""
    values = board.scores[title].values
    for method in METHODS:
        if method not in values:
            raise RecordError(f"{title}: no run of {method!r}; make it with `make bars`")
    return [values[method].dropna() for method in METHODS]


def _slope(*points: tuple[int, pd.Series[float]]) -> Interval:
    """Of log mean regret on log K, over the seeds that ran at both horizons."""
    table = pd.DataFrame(dict(points)).dropna()
    return fit_slope(table.columns.to_numpy(), table.to_numpy())
