"""What a leaderboard measured: one board a metric, the scores of every allocator in every scenario that has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from analysis.data.load import Runs, refuse_twice
from analysis.data.methods import in_order
from analysis.data.results import results_frame
from analysis.data.worlds import scenario_title
from analysis.stats.contrast import Contrast, compare, corrected
from analysis.stats.curves import ROUNDING
from analysis.stats.scores import Score
from analysis.stats.verdict import is_told
from cerolab.errors import RecordError

STUDY = "leaderboard"
REGRET, GAIN, EFFECTIVE = "regret per prompt", "held-out accuracy gain", "effective-group rate"

FEWEST_RANKED = 4  # scenarios; the order by a mean rank over fewer hangs on each of them
_KINDS = ("static", "growing", "drift", "shift", "learning")


@dataclass(frozen=True, eq=False)
class Board:
    """One metric.

    Attributes:
        name: of the metric, as in ``Score``.
        scores: by the scenario's title; values [seeds, allocators].
        least: the least value that any learner can have, by the title of the scenarios where it is known.
        unspent: percent of the budget that allocators leave [allocators], by title.
    """

    name: str
    scores: Mapping[str, Score]
    least: Mapping[str, float]
    unspent: Mapping[str, pd.Series[float]]

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """Rank [allocators, scenarios] by the mean over seeds, 1 the best; without those that are told the rates."""
        found = {}
        for title, score in self.scores.items():
            means = score.values.mean()
            usable = means[[not is_told(str(method)) for method in means.index]]
            found[title] = usable.rank(ascending=not score.higher_is_better)
        return pd.DataFrame(found)

    @cached_property
    def mean_ranks(self) -> pd.Series[float]:
        """Over the scenarios that an allocator ran in, the best first."""
        listed = self.ranks.reindex(in_order(self.ranks.index))
        return listed.mean(axis=1).sort_values(kind="stable")

    @property
    def order(self) -> list[str]:
        """Allocators by mean rank, behind them those that are told the rates."""
        methods = {str(method) for score in self.scores.values() for method in score.values.columns}
        return [*map(str, self.mean_ranks.index), *(method for method in in_order(methods) if is_told(method))]

    @cached_property
    def overall(self) -> Score:
        """The mean over all scenarios, seed by seed; nan for an allocator that lacks one."""
        each = list(self.scores.values())
        total = sum((score.values for score in each[1:]), start=each[0].values)
        return Score(self.name, total / len(each), each[0].higher_is_better, each[0].percent, each[0].baselines)

    @cached_property
    def ranked(self) -> bool:
        """Whether there are so many scenarios that a mean rank says something."""
        return len(self.scores) >= FEWEST_RANKED

    @cached_property
    def first_without(self) -> dict[str, str]:
        """Who has the best mean rank when one scenario is left out, by its title; of equals who is first with it."""
        first, found = str(self.mean_ranks.index[0]), {}
        for title in self.scores:
            means = self.ranks.drop(columns=title).mean(axis=1)
            found[title] = first if means[first] <= means.min() + ROUNDING else str(means.idxmin())
        return found

    @cached_property
    def leads(self) -> dict[str, Contrast]:
        """The best usable allocator of each scenario against the next, corrected over the scenarios.

        A scenario without two that can be compared is left out.
        """
        found = {}
        for title, score in self.scores.items():
            ranked = self.ranks[title].dropna().sort_values(kind="stable").index
            lead = compare(score, str(ranked[0]), str(ranked[1])) if len(ranked) > 1 else None
            if lead is not None:
                found[title] = lead
        return dict(zip(found, corrected(found.values()), strict=True))


def find_settings(runs: Runs) -> dict[str, Runs]:
    """The scenarios of a leaderboard by title: binary rewards first, then static, growing, drift, shift, learning.

    Raises:
        RecordError: none of the runs is of a leaderboard, or two have the same scenario, method and seed.
    """
    board = runs.study(STUDY)
    if not board.infos:
        folder = next(iter(runs.folders.values()))
        raise RecordError(f"{folder}: no run of the study {STUDY!r}; make them with `python -m sim.leaderboard`")
    settings = sorted(board.settings(), key=_place)
    found = {scenario_title(one.scenario): one for one in settings}
    if len(found) < len(settings):
        raise RecordError(
            f"{next(iter(board.folders.values()))}: two problems in the same scenario; give one leaderboard at a time"
        )
    for setting in settings:
        refuse_twice(setting)
    return found


def find_boards(runs: Runs) -> list[Board]:
    """Regret, held-out gain and effective-group rate, as far as there are scenarios that have them."""
    settings = find_settings(runs)
    boards = []
    for name in (REGRET, GAIN, EFFECTIVE):
        scores = {title: score for title, setting in settings.items() if (score := _score(name, setting))}
        least = {title: _least(settings[title]) for title in scores} if name == REGRET else {}
        if scores:
            known = {title: value for title, value in least.items() if value is not None}
            boards.append(Board(name, scores, known, {title: _unspent(settings[title]) for title in scores}))
    return boards


def main_scores(boards: Sequence[Board]) -> dict[str, list[Score]]:
    """The scores of every scenario: first what decides there, regret or else the gain, last the effective groups."""
    found: dict[str, list[Score]] = {}
    for board in boards:
        for title, score in board.scores.items():
            found.setdefault(title, []).append(score)
    return found


def _place(setting: Runs) -> tuple[bool, int, int]:
    scenario = setting.scenario
    kind = scenario["dynamics"].partition("(")[0]
    place = _KINDS.index(kind) if kind in _KINDS else len(_KINDS)
    return scenario["rewards"] != "binary", place, scenario["population"].count("*")


def _score(name: str, setting: Runs) -> Score | None:
    """None where the scenario has no such number."""
    data = results_frame(setting)
    if name == REGRET:
        data = data.assign(shown=data["regret_per_prompt"])
    elif name == GAIN:
        data = data.assign(shown=100.0 * (data["heldout_end"] - data["heldout_start"]))
    else:
        data = data.assign(shown=100.0 * data["effective_group_rate"])
    values = data.dropna(subset="shown").pivot_table(index="seed", columns="method", values="shown")
    if values.empty:
        return None
    return Score(name, values, name != REGRET, name != REGRET, ("cero", "uniform"))


def _unspent(setting: Runs) -> pd.Series[float]:
    sums = results_frame(setting).groupby("method")[["unspent_units", "budget"]].sum()
    return 100.0 * sums["unspent_units"] / sums["budget"]


def _least(setting: Runs) -> float | None:
    """What the runs hold as the least regret of any learner; it is the same in all of them."""
    values = [info["results"].get("least_regret_per_prompt") for info in setting.infos.values()]
    return next((float(value) for value in values if value is not None), None)
