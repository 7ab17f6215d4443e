"""What the allocators of one setting are judged by: a number for every seed and allocator."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pandas as pd

from analysis.data.load import Runs
from analysis.data.methods import in_order
from analysis.data.results import results_frame
from analysis.data.rounds import every_round
from analysis.stats.curves import ROUNDING
from analysis.stats.heldout import accuracy_points, final_scores
from analysis.stats.intervals import Interval

_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, eq=False)
class Score:
    """A number of every run.

    Attributes:
        name: in a sentence, "regret per prompt".
        values: one row a seed, one column an allocator; nan where there is no such run.
        higher_is_better: else less is better.
        percent: whether values are percentages, and differences percentage points.
        baselines: allocators to compare with, the first that ran.
        paired: whether runs of a seed share their luck, as in the simulator, where they meet the same prompts and
            coins. Trainings of a seed do not: they part after the first update.
    """

    name: str
    values: pd.DataFrame
    higher_is_better: bool = True
    percent: bool = True
    baselines: tuple[str, ...] = ("uniform", "cero")
    paired: bool = True

    @property
    def baseline(self) -> str:
        """The allocator that the others are compared with: of ``baselines``, else the first that has values."""
        measured = in_order(self.values.columns[self.values.notna().any()])
        return next((name for name in self.baselines if name in measured), measured[0])

    def value(self, number: float) -> str:
        """``14.30 %`` or, with three significant digits, ``0.00552``."""
        return f"{self._plain(number)} %" if self.percent else self._plain(number)

    def amount(self, number: float) -> str:
        """The size of a difference, ``2.86 points``."""
        return f"{self._plain(abs(number))} points" if self.percent else self._plain(abs(number))

    def difference(self, number: float) -> str:
        """``amount`` with its sign, ``+2.86 points``; none before zero."""
        return f"{self._sign(number)}{self.amount(number)}"

    def span(self, found: Interval) -> str:
        """The interval of a difference without its unit, ``-1.53 to -0.33`` with true minus signs."""
        return " to ".join(f"{self._sign(end)}{self._plain(abs(end))}" for end in (found.low, found.high))

    def _sign(self, number: float) -> str:
        shown_as_zero = not self._plain(abs(number)).strip("0.")
        return "" if shown_as_zero else "+" if number > 0 else _MINUS

    def _plain(self, number: float) -> str:
        if self.percent:
            return f"{number:.2f}"
        if abs(number) < ROUNDING:
            return "0"
        return f"{number:.{max(0, 2 - math.floor(math.log10(abs(number))))}f}"


def find_scores(runs: Runs) -> list[Score]:
    """What was measured, the most telling first: the first decides who is ahead, the others may disagree.

    Final held-out accuracy, its pass@n, regret per prompt, effective-group rate.

    Args:
        runs: of one setting.
    """
    found = [*_held_out(runs), *_regret(runs), _effective_groups(runs)]
    known = [score for score in found if score.values.notna().to_numpy().any()]
    return [replace(score, paired=runs.source == "sim") for score in known]


def _held_out(runs: Runs) -> list[Score]:
    name = "final held-out accuracy"
    if not runs.kept("evals"):
        return [Score(name, 100.0 * _by_seed(results_frame(runs), "heldout_end"))]
    points, final = accuracy_points(runs), final_scores(runs)
    last = points[~points.duplicated("run_id", keep="last")]
    accuracy = Score(name, _by_seed(last, "accuracy"))
    # pass@n of unlike n is no one number.
    passing = [Score(f"pass@{n:.0f}", _by_seed(of_n, "pass_at_n")) for n, of_n in final.groupby("n")]
    return [accuracy, *passing]


def _regret(runs: Runs) -> list[Score]:
    values = _by_seed(results_frame(runs), "regret_per_prompt")
    return [Score("regret per prompt", values, higher_is_better=False, percent=False, baselines=("cero", "uniform"))]


def _effective_groups(runs: Runs) -> Score:
    """From the results in the simulator, which stand in run.json; in training from the rounds."""
    if runs.source == "sim" or not runs.kept("rounds"):
        rates = results_frame(runs)[["method", "seed", "effective_group_rate"]]
    else:
        sums = every_round(runs).groupby(["method", "seed"])[["effective_groups", "groups"]].sum()
        rates = (sums["effective_groups"] / sums["groups"]).rename("effective_group_rate").reset_index()
    return Score("effective-group rate", 100.0 * _by_seed(rates, "effective_group_rate"))


def _by_seed(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    return frame.pivot_table(index="seed", columns="method", values=column)
