"""What `resolve` was to reach on fixed success rates, beside what it reaches and what no learner could."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from analysis.board import REGRET, Board, find_boards
from analysis.layout import describe
from analysis.load import Runs
from analysis.tables import to_markdown
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
        (cero_short, resolve_short), (cero_long, resolve_long) = (_means(board, title) for board in (first, second))
        decade = math.log(long / short)
        rows.append(
            {
                "success rates": title,
                f"CERO, K = {short}": _text(cero_short),
                f"Resolve, K = {short}": _text(resolve_short),
                f"CERO, K = {long}": _text(cero_long),
                "a third of it": _text(cero_long / 3.0),
                f"Resolve, K = {long}": _text(resolve_long),
                "least of any learner": _text(second.least[title]),
                "slope of CERO": f"{math.log(cero_long / cero_short) / decade:.2f}",
                "slope of Resolve": f"{math.log(resolve_long / resolve_short) / decade:.2f}",
            }
        )
    return f"{to_markdown(pd.DataFrame(rows))}\n\nRegret per prompt, means over seeds; {describe(runs_of_K[long])}."


def _regret(num_rounds: int, runs: Runs) -> Board:
    board = next((board for board in find_boards(runs) if board.name == REGRET), None)
    if board is None:
        raise RecordError(f"K = {num_rounds}: no run has regret; make them with `make bars`")
    return board


def _means(board: Board, title: str) -> list[float]:
    values = board.scores[title].values.mean()
    for method in METHODS:
        if method not in values:
            raise RecordError(f"{title}: no run of {method!r}; make it with `make bars`")
    return [float(values[method]) for method in METHODS]


def _text(regret: float) -> str:
    return f"{regret:.4f}"
