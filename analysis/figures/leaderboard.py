"""Every allocator in every scenario: regret per prompt or held-out gain, and the effective-group rate over all."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.axes import Axes

from analysis.data.load import Runs
from analysis.plotting.draw import Panel
from analysis.plotting.layout import log_axis
from analysis.plotting.lines import name_rows, rows_height
from analysis.plotting.style import REFERENCE, look
from analysis.stats.board import EFFECTIVE, GAIN, STUDY, find_boards, main_scores
from analysis.stats.contrast import compare
from analysis.stats.curves import ROUNDING
from analysis.stats.intervals import mean_interval
from analysis.stats.scores import Score

CAPTION = "The leaderboard: every allocator in the same worlds, at equal responses"
NOTE = (
    "Points: mean over seeds; bars: 95 % t-interval. Rows: by mean rank in what the scenarios decide by, the oracle "
    "last, and left out where its regret is zero. Beside a gain: its difference from Uniform's, paired by seed, with "
    "its 95 % t-interval. Dashed: the least regret of any learner, a lower bound."
)
PANELS_A_ROW = 3


def missing(runs: Runs) -> str:
    """What the runs lack to be drawn."""
    return "" if runs.study(STUDY).infos else f"no run of the study {STUDY!r}"


def panels(runs: Runs) -> list[Panel]:
    """One panel a scenario, and one with the effective-group rate over all of them."""
    boards = find_boards(runs)
    least = {title: value for board in boards for title, value in board.least.items()}
    shown = {title: scores[0] for title, scores in main_scores(boards).items()}
    order = list(dict.fromkeys(method for board in boards for method in board.order))
    height = 0.9 + rows_height(order, 0.19)
    found = [
        Panel(title, partial(_draw, score=score, order=order, least=least.get(title)), height)
        for title, score in shown.items()
    ]
    overall = next((board for board in boards if board.name == EFFECTIVE), None)
    if overall is not None:
        title = "All scenarios: groups with mixed rewards"
        found.append(Panel(title, partial(_draw, score=overall.overall, order=order, least=None), height))
    return found


def _draw(axes: Axes, score: Score, order: list[str], least: float | None) -> None:
    """A dot with its interval for each allocator; regret on a logarithmic axis."""
    least_shown = -np.inf if score.higher_is_better else ROUNDING
    points = {method: mean_interval(score.values[method]) for method in order if method in score.values}
    points = {method: found for method, found in points.items() if found.estimate > least_shown}
    ends = [] if least is None else [least]
    for place, (method, found) in enumerate(points.items()):
        style = look(method)
        ends += [found.estimate, found.low, found.high]
        axes.plot([found.low, found.high], [place, place], color=style.colour, linewidth=2.0)
        axes.plot(found.estimate, place, color=style.colour, marker=style.marker, markersize=5)
        beside = compare(score, method, "uniform") if score.name == GAIN and method != "uniform" else None
        if beside is not None:
            text = beside.mean.text()
            axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)
    if least is not None:
        axes.axvline(least, color=REFERENCE, linewidth=1.1, linestyle="--", zorder=1)
    name_rows(axes, list(points))
    if not score.higher_is_better:
        log_axis(axes, "x", [end for end in ends if np.isfinite(end)])
    unit = "" if not score.percent else " (%)" if score.name == EFFECTIVE else " (percentage points)"
    axes.set_xlabel(f"{score.name}{unit}")
