"""Who wins where, in tables and sentences: ``python -m analysis.leaderboard results/sim/leaderboard``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import pandas as pd
from cyclopts import App, Parameter

from analysis.command import says_errors
from analysis.data.describe import describe
from analysis.data.load import Runs, load_runs
from analysis.data.methods import in_order, method_name
from analysis.stats.board import (
    EFFECTIVE,
    FEWEST_RANKED,
    GAIN,
    REGRET,
    STUDY,
    Board,
    find_boards,
    find_settings,
    main_scores,
)
from analysis.stats.contrast import Contrast, Standing, compare, listed
from analysis.stats.intervals import PLUS_MINUS, mean_interval, signed
from analysis.stats.scores import Score
from analysis.stats.verdict import Case, is_told, judge
from analysis.tables.offline import offline_check
from analysis.tables.sweep_tables import to_markdown
from cerolab.errors import UnknownNameError
from cerolab.tools.command_line import start

LEAST = "Least of any learner"
MEANING = (
    f"Means over seeds; {PLUS_MINUS}. Rows: by mean rank over the scenarios, which is told for {FEWEST_RANKED} of them "
    "or more; the oracle, which is told the success rates, without a rank. Bold: ahead of the next by a t-test on the "
    "differences of seeds, at 5 % after Holm's correction for all scenarios of the table. †: more than 5 % of the "
    "budget was left. Against: mean difference over all scenarios, paired by seed, with its 95 % t-interval, each by "
    "itself and corrected for nothing. Where metrics disagree: both differences shown at 5 % after Holm's correction "
    "for all allocators in all scenarios. The least regret of any learner is a lower bound, on average over pools of "
    "the population. Under drift and shift regret is that to an upper bound on the optimum. A group counts for regret "
    "whether the policy is trained on it or not."
)

CAUTION = (
    "These scenarios learn by a model of training. Fitted to uniform's real runs it did not predict how the other "
    "allocators would rank there (`python -m analysis.agreement`): take no order for training from this table."
)
_GROWING = "In a growing pool regret is that to the exact optimum which knows all arrivals from the start."
_BASES = ("uniform", "cero")
_UNITS = {REGRET: (1000.0, 2, "thousandths"), EFFECTIVE: (1.0, 1, "%")}  # factor, digits, unit
_POINTS = (1.0, 2, "points")
_MUCH_UNSPENT = 5.0  # percent of the budget

app = App(
    name="python -m analysis.leaderboard",
    help="Print the tables of a leaderboard, and in sentences who wins where.",
    version_flags=[],
    help_epilogue="Example: python -m analysis.leaderboard results/sim/leaderboard --against cero",
)


def table(board: Board) -> pd.DataFrame:
    """A board as text: a row an allocator, a column a scenario, the best in bold where it is sure."""
    factor, digits, _ = _UNITS.get(board.name, _POINTS)
    rows = {method: {"allocator": method_name(method)} for method in board.order}
    if board.ranked:
        for method, row in rows.items():
            row["mean rank"] = f"{board.mean_ranks[method]:.1f}" if method in board.mean_ranks.index else ""
    for title, score in board.scores.items():
        lead = board.leads.get(title)
        best = lead.method if lead is not None and lead.standing is Standing.AHEAD else None
        for method, row in rows.items():
            text = mean_interval(score.values.get(method, [])).scaled(factor).plus_minus(digits)
            spends_less = board.unspent[title].get(method, 0.0) > _MUCH_UNSPENT
            row[title] = f"{text} †" if text and spends_less else f"**{text}**" if method == best else text
    for base in (base for base in _BASES if base in rows):
        for method, row in rows.items():
            row[f"against {method_name(base)}"] = _against(board.overall, method, base, factor, digits)
    lines = list(rows.values())
    if board.least:
        least = {title: f"{factor * value:.{digits}f}" for title, value in board.least.items()}
        lines.append({"allocator": LEAST} | least)
    return pd.DataFrame(lines).fillna("")


def differences(board: Board, base: str) -> pd.DataFrame:
    """Every allocator against ``base`` in every scenario: mean difference with its t-interval."""
    factor, digits, _ = _UNITS.get(board.name, _POINTS)
    rows = [
        {"allocator": method_name(method)}
        | {title: _against(score, method, base, factor, digits) for title, score in board.scores.items()}
        for method in board.order
        if method != base
    ]
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class Summary:
    """What is told of a leaderboard, worked out once for the terminal, its file and README.

    Attributes:
        runs: the records; of other studies too.
    """

    runs: Runs

    @cached_property
    def boards(self) -> list[Board]:
        """See ``find_boards``."""
        return find_boards(self.runs)

    @cached_property
    def overview(self) -> pd.DataFrame:
        """One column a metric, by the first of them: the mean rank, or over too few scenarios for it the mean."""
        columns = {}
        for board in self.boards:
            factor, digits, unit = _UNITS.get(board.name, _POINTS)
            means = {method: board.overall.values[method] for method in board.mean_ranks.index}
            columns[f"{board.name}, {'mean rank' if board.ranked else unit}"] = (
                board.mean_ranks.map("{:.1f}".format)
                if board.ranked
                else pd.Series(
                    {
                        method: mean_interval(values).scaled(factor).plus_minus(digits)
                        for method, values in means.items()
                    }
                )
            )
        found = pd.DataFrame(columns).reindex(self.boards[0].mean_ranks.index).fillna("")
        found.insert(0, "allocator", [method_name(str(method)) for method in found.index])
        return found

    @cached_property
    def sentences(self) -> list[str]:
        """Which allocators win where, how near the first is to what any learner can have, where metrics disagree."""
        found = [text for board in self.boards for text in (_winners(board), _above_least(board)) if text]
        disagreements = _disagreements(main_scores(self.boards))
        return [*found, *_correlations(self.boards), *disagreements, *_unspent(self.boards)]

    @cached_property
    def solved(self) -> str:
        """How far the offline benchmark is from cvxpy's, see ``offline_check``."""
        return offline_check(self.runs.study(STUDY))

    def markdown(self, against: str | None = None) -> str:
        """All tables, what they mean, and the sentences; with ``against`` the differences in every scenario instead.

        Raises:
            UnknownNameError: ``against`` did not run.
        """
        study, parts = self.runs.study(STUDY), []
        known = in_order(study.frame["method"])
        if against is not None and against not in known:
            raise UnknownNameError("allocator of this leaderboard", against, known)
        for board in self.boards:
            _, _, unit = _UNITS.get(board.name, _POINTS)
            heading = f"{board.name[0].upper()}{board.name[1:]}, {unit}"
            if board.name == GAIN:
                parts.append(CAUTION)
            if against is None:
                parts.append(f"{heading}:\n\n{to_markdown(table(board))}")
            else:
                parts.append(
                    f"{heading}, minus that of {method_name(against)}:\n\n{to_markdown(differences(board, against))}"
                )
        told = "\n".join(f"- {sentence}" for sentence in self.sentences)
        worlds = [setting.scenario["dynamics"] for setting in find_settings(self.runs).values()]
        grows = f" {_GROWING}" if any(dynamics.startswith("growing") for dynamics in worlds) else ""
        return "\n\n".join([*parts, told, f"{MEANING}{grows} {describe(study)}. {self.solved}".rstrip()])


def _winners(board: Board) -> str:
    """``Lowest regret per prompt: A in 5 of 8 scenarios (ahead of the next in 3); B in ...``."""
    leads = list(board.leads.values())
    if not leads:
        return ""
    wins: dict[str, list[Contrast]] = {}
    for lead in leads:
        wins.setdefault(lead.method, []).append(lead)
    order = sorted(wins, key=lambda method: -len(wins[method]))
    claims = []
    for method in order:
        sure = sum(lead.standing is Standing.AHEAD for lead in wins[method])
        claims.append(
            f"{method_name(method)} in {len(wins[method])} ({f'ahead of the next in {sure}' if sure else 'not sure'})"
        )
    extreme = "Highest" if leads[0].score.higher_is_better else "Lowest"
    scenarios = "1 scenario" if len(leads) == 1 else f"{len(leads)} scenarios"
    return " ".join(filter(None, [f"{extreme} {board.name} of {scenarios}: {listed(claims)}.", _best_rank(board)]))


def _best_rank(board: Board) -> str:
    """``Best mean rank: A, 1.6, also without any one scenario``; nothing over too few scenarios."""
    if not board.ranked:
        return ""
    first = str(board.mean_ranks.index[0])
    others = {title: best for title, best in board.first_without.items() if best != first}
    but = [f"{method_name(best)} without {title}" for title, best in others.items()]
    more = f"but {listed(but)}" if but else "also where any one scenario is left out"
    return f"Best mean rank: {method_name(first)}, {board.mean_ranks.iloc[0]:.1f}, {more}."


def _above_least(board: Board) -> str:
    """How near the best of each scenario is to the least regret of any learner; what it means to lie below."""
    ratios, seeds = {}, set()
    for title, least in board.least.items():
        if (lead := board.leads.get(title)) is not None and least > 0:
            ratios[title] = lead.own / least
            seeds.add(lead.num_seeds)
    if not ratios:
        return ""
    low, high = min(ratios.values()), max(ratios.values())
    span = f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
    luck = ""
    if float(f"{low:.2f}") < 1.0:
        luck = f" Below 1 is luck: the least bounds the average over all pools, not the mean of {min(seeds)} of them."
    return f"On static rates the lowest regret is {span} times the least that any learner can have.{luck}"


def _correlations(boards: Sequence[Board]) -> Iterator[str]:
    """Of the order by effective groups with that by what decides, over the scenarios that have both."""
    effective = next((board for board in boards if board.name == EFFECTIVE), None)
    for board in boards:
        if effective is None or board is effective:
            continue
        shared = [title for title in board.scores if title in effective.scores]
        if len(shared) < FEWEST_RANKED:
            continue
        means = [of.ranks[shared].mean(axis=1).dropna() for of in (board, effective)]
        both = means[0].index.intersection(means[1].index)
        if len(both) < 3 or min(mean[both].nunique() for mean in means) == 1:
            continue
        found = signed(float(means[0][both].corr(means[1][both], method="spearman")), 2)
        best = str(means[1][both].idxmin())
        top, place = method_name(best), int(means[0][both].rank(method="min")[best])
        yield (
            f"Orders by {board.name} and by {EFFECTIVE} over {len(shared)} scenarios have a Spearman correlation of "
            f"{found}: {top}, first in {EFFECTIVE}, is number {place} of {len(both)} in {board.name}."
        )


def _disagreements(by_title: Mapping[str, Sequence[Score]]) -> Iterator[str]:
    """Where an allocator is better than CERO in one score and worse in another, counted over scenarios."""
    scenarios = Counter(scores[0].name for scores in by_title.values())
    cases = [
        Case(scores, [method for method in in_order(scores[0].values.columns) if not is_told(method)])
        for scores in by_title.values()
    ]
    found: dict[tuple[str, str, str, bool], Counter[str]] = {}
    for verdict in judge(cases):
        for main, minor in verdict.disagreeing:
            key = (main.score.name, main.other, minor.score.name, main.advantage > 0)
            found.setdefault(key, Counter())[main.name] += 1
    for (main_name, other, minor_name, better), counts in found.items():
        way, but = ("better", "lower") if better else ("worse", "higher")
        names = listed([f"{name} in {count}" for name, count in counts.most_common()])
        yield (
            f"The metrics disagree: {way} than {method_name(other)} in {main_name}, but {but} in {minor_name}, "
            f"{names} of {scenarios[main_name]} scenarios."
        )


def _unspent(boards: Sequence[Board]) -> Iterator[str]:
    """Who leaves so much of the budget that responses are not equal."""
    percent = pd.DataFrame({title: left for board in boards for title, left in board.unspent.items()})
    most = percent.max(axis=1).sort_values(ascending=False)
    large = [f"{method_name(str(method))} {left:.0f} %" for method, left in most.items() if left > _MUCH_UNSPENT]
    if large:
        yield f"Responses are not equal where much of the budget is left, at most by {listed(large)}."


def _against(score: Score, method: str, base: str, factor: float, digits: int) -> str:
    found = None if method == base else compare(score, method, base)
    return "" if found is None else found.mean.scaled(factor).text(digits)


@app.default
@says_errors
def main(
    directory: Annotated[Path, Parameter(help="Folder of a leaderboard: its runs, or their packed table.")],
    /,
    *,
    against: Annotated[str | None, Parameter(help="Print differences to this allocator in every scenario.")] = None,
) -> int:
    """Print the tables of a leaderboard, and in sentences who wins where."""
    print(Summary(load_runs(directory)).markdown(against))
    return 0


if __name__ == "__main__":
    start(app)
