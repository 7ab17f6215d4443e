"""Held-out accuracy over the budget, in training and in the learning simulator, and every method's beside uniform's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import isotonic_regression

from analysis.data.load import RUN, Runs
from analysis.data.methods import in_order
from analysis.data.types import FloatArray, IntArray
from analysis.stats.curves import Curve, curve
from analysis.stats.intervals import NO_INTERVAL, Interval, combined, jackknife

NOT_REACHED = "not reached"  # stands in for a number

BASELINE = "uniform"
OVERALL = "all"  # the suite: mean over all questions; the problem: mean of the suite
MACRO = "macro"  # the suite: mean over suites
_COLUMNS = ("round", "responses_spent", "suite", "problem", "samples", "avg_at_n", "pass_at_n")
_EXACT_PASS = 16  # n of pass@n where success rates are known exactly, see the record's schema
REACHING = (
    "Responses to Uniform's accuracy: a seed's curve is smoothed by the best increasing fit (isotonic regression) and "
    "taken straight between evaluations; where it reaches the mean of Uniform's seeds, smoothed alike, at the end, in "
    "% of Uniform's responses. A seed that never does counts as 100 %; where many do, the interval covers less than "
    "95 %: some 80 to 90 % with 3 to 10 seeds."
)


@lru_cache(maxsize=8)
def accuracy_points(runs: Runs) -> pd.DataFrame:
    """Held-out accuracy after so many responses: the mean over questions, in percent, of every run.

    Every figure of a setting asks for it: the answer is kept, do not change it in place.

    Columns: run_id, method, seed, stage, responses, accuracy. The stage is the number of rounds completed, and K at a
    run's last evaluation, also where its budget ran out before. A stage that not all seeds of a method have is left
    out. Every evaluation is of the kind of the first: a final one with more samples is no point of the curve.
    """
    overall = _overall(_whole(runs))
    points = overall[overall["samples"] == overall.groupby("run_id")["samples"].transform("first")]
    last = ~points.duplicated("run_id", keep="last")
    points = points.assign(
        stage=points["round"].where(~last, runs.problem["num_rounds"]),
        responses=points["responses_spent"],
        accuracy=100.0 * points["avg_at_n"],
    )
    seeds = points.groupby("method")["seed"].transform("nunique")
    shared = points.groupby(["method", "stage"])["seed"].transform("nunique") == seeds
    return points.loc[shared, [*RUN, "stage", "responses", "accuracy"]].reset_index(drop=True)


def final_scores(runs: Runs) -> pd.DataFrame:
    """``suite_scores`` over all questions, without the column suite."""
    return _overall(suite_scores(runs)).drop(columns="suite").reset_index(drop=True)


def suite_scores(runs: Runs) -> pd.DataFrame:
    """The last evaluation of every run and suite with the most samples.

    Columns: run_id, method, seed, suite, samples (0: exact success rates), n of pass@n, avg_at_n and pass_at_n in
    percent.
    """
    evals = _whole(runs).sort_values(["run_id", "suite", "round", "samples"], kind="stable")
    last = evals[~evals.duplicated(["run_id", "suite"], keep="last")]
    return last.assign(
        n=last["samples"].where(last["samples"] > 0, _EXACT_PASS),
        avg_at_n=100.0 * last["avg_at_n"],
        pass_at_n=100.0 * last["pass_at_n"],
    )[[*RUN, "suite", "samples", "n", "avg_at_n", "pass_at_n"]].reset_index(drop=True)


def mean_curve(points: pd.DataFrame, method: str) -> Curve:
    """Accuracy over responses of one method, from ``accuracy_points``."""
    return curve(points[points["method"] == method], "stage", "responses", "accuracy")


def no_accuracy(runs: Runs) -> str:
    """What the runs lack to have a curve of held-out accuracy; nothing: ""."""
    return "no held-out evaluation was recorded" if accuracy_points(runs).empty else ""


def smoothed(points: pd.DataFrame) -> pd.DataFrame:
    """``accuracy_points`` with each run's accuracies replaced by their best increasing fit.

    The first crossing of a curve that goes up and down comes too early; an increasing one crosses once.
    """
    fits = points.groupby("run_id", sort=False)["accuracy"].transform(lambda of_run: isotonic_regression(of_run).x)
    return points.assign(accuracy=fits)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A method beside uniform.

    Attributes:
        own, uniform: final accuracies in percent by seed; of runs that are paired those of the seeds that both have.
        paired: whether runs of a seed share their luck, see ``Score.paired``.
        reach: share of uniform's responses after which the method has uniform's final accuracy, mean over its seeds,
            with a jackknife-t interval, into which goes how sure uniform's accuracy is. A seed that does not reach it
            counts as 1: a mean restricted to the budget. nan where uniform ends no higher than it began: then there is
            nothing to reach.
        reached: seeds that reach it.
    """

    own: pd.Series[float]
    uniform: pd.Series[float]
    paired: bool
    reach: Interval = NO_INTERVAL
    reached: int = 0

    @property
    def terms(self) -> list[tuple[float, npt.ArrayLike]]:
        """The difference to uniform as a sum over independent samples, see ``intervals.combined``."""
        return [(1.0, self.own - self.uniform)] if self.paired else [(1.0, self.own), (-1.0, self.uniform)]

    @property
    def mean(self) -> Interval:
        """Difference of the final accuracies, own minus uniform's, percentage points."""
        return combined(self.terms)

    @property
    def deviations(self) -> FloatArray:
        """Of each seed: final accuracy minus that of uniform's same seed where they are paired, else its mean."""
        uniform = self.uniform.to_numpy(np.float64)
        return self.own.to_numpy(np.float64) - (uniform if self.paired else uniform.mean())


def compare_to_uniform(runs: Runs) -> dict[str, Comparison]:
    """Every method beside uniform, uniform itself too; empty where there is no uniform.

    Runs of the simulator are compared over the seeds that both have, and a method without any is left out.
    """
    points, paired = accuracy_points(runs), runs.source == "sim"
    final = points[~points.duplicated("run_id", keep="last")].pivot_table(
        index="seed", columns="method", values="accuracy"
    )
    increasing = smoothed(points)
    found = {}
    for method in in_order(final.columns) if BASELINE in final else ():
        own, uniform = final[method].dropna(), final[BASELINE].dropna()
        if paired:
            shared = own.index.intersection(uniform.index)
            own, uniform = own.loc[shared], uniform.loc[shared]
        if own.empty:
            continue
        begins = points[(points["method"] == BASELINE) & points["seed"].isin(uniform.index)].groupby("seed")["accuracy"]
        reach, reached = NO_INTERVAL, 0
        if uniform.mean() > begins.first().mean():
            curves, uniforms = (
                _curves(increasing, name, seeds.index) for name, seeds in ((method, own), (BASELINE, uniform))
            )
            reach, reached = share_needed(curves, uniforms, joint=paired or method == BASELINE)
        found[method] = Comparison(own, uniform, paired, reach, reached)
    return found


def share_needed(own: Sequence[Curve], uniform: Sequence[Curve], joint: bool) -> tuple[Interval, int]:
    """``Comparison.reach`` and ``reached``, from a smoothed curve a seed.

    The interval covers what infinitely many seeds would give: of 3, 5 or 10 in 93 to 96 % of cases where it is well
    below 1, in about 81, 86 and 90 % where it is near 1 and many seeds are cut off (``tests/test_coverage.py``).

    Args:
        own, uniform: curves of the method and of uniform.
        joint: whether the two share their seeds: then one is left out of both.
    """
    ends_S = np.array([line.mean[-1] for line in uniform])
    all_S = np.array([line.x[-1] for line in uniform])

    def needed(of_own: IntArray, of_uniform: IntArray) -> FloatArray:
        level = float(ends_S[of_uniform].mean())
        return np.array([own[seed].first_reaches(level) for seed in of_own]) / all_S[of_uniform].mean()

    def share(of_own: IntArray, of_uniform: IntArray | None = None) -> float:
        return float(np.minimum(needed(of_own, of_own if of_uniform is None else of_uniform), 1.0).mean())

    counts = (len(own),) if joint else (len(own), len(uniform))
    reached = int(np.isfinite(needed(np.arange(len(own)), np.arange(len(uniform)))).sum())
    return jackknife(share, *counts), reached


def _curves(points: pd.DataFrame, method: str, seeds: pd.Index) -> list[Curve]:
    """One a seed, in the order of ``seeds``."""
    by_seed = dict(iter(points[points["method"] == method].groupby("seed")))
    return [curve(by_seed[seed], "stage", "responses", "accuracy") for seed in seeds]


def _whole(runs: Runs) -> pd.DataFrame:
    """Evaluations of whole suites."""
    evals = runs.table("evals") if runs.kept("evals") else pd.DataFrame(columns=[*RUN, *_COLUMNS])
    return evals[evals["problem"] == OVERALL]


def _overall(evals: pd.DataFrame) -> pd.DataFrame:
    """Those over all questions: of the suite "all", or of a run's only suite."""
    suites = evals.groupby("run_id")["suite"].transform("nunique")
    return evals[(evals["suite"] == OVERALL) | (suites == 1)]
