"""Held-out accuracy over the budget, in training and in the learning simulator, and every method's beside uniform's."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.curves import Curve, curve
from analysis.load import RUN, Runs
from analysis.statistics import Interval, mean_interval, paired_difference
from analysis.style import in_order

BASELINE = "uniform"
OVERALL = "all"  # the suite: mean over all questions; the problem: mean of the suite
MACRO = "macro"  # the suite: mean over suites
_COLUMNS = ("round", "responses_spent", "suite", "problem", "samples", "avg_at_n", "pass_at_n")
_EXACT_PASS = 16  # n of pass@n where success rates are known exactly, see the record's schema


def accuracy_points(runs: Runs) -> pd.DataFrame:
    """Held-out accuracy after so many responses: the mean over questions, in percent, of every run.

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


@dataclass(frozen=True, slots=True)
class Comparison:
    """A method beside uniform, over the seeds that both have.

    Attributes:
        differences: final accuracy minus uniform's, percentage points, by seed.
        responses: after so many the method's mean curve first reaches uniform's final mean accuracy; infinite if it
            never does, nan where uniform ends no higher than it began: then there is nothing to reach.
        share: the same as a share of the responses that uniform spent.
    """

    differences: pd.Series[float]
    responses: float
    share: float

    @property
    def mean(self) -> Interval:
        """Mean difference with Student's t-interval over seeds."""
        return mean_interval(self.differences.to_numpy())

    @property
    def bootstrapped(self) -> Interval:
        """Mean difference with the paired-bootstrap interval over seeds, with few seeds narrower than it should be."""
        return paired_difference(self.differences.to_numpy(), [0.0] * len(self.differences))


def compare_to_uniform(points: pd.DataFrame) -> dict[str, Comparison]:
    """Every method that has seeds in common with uniform, uniform itself too; empty where there is no uniform.

    Args:
        points: from ``accuracy_points``.
    """
    final = points[~points.duplicated("run_id", keep="last")].pivot_table(
        index="seed", columns="method", values="accuracy"
    )
    found = {}
    for method in in_order(final.columns) if BASELINE in final else ():
        pairs = final[[method]].assign(uniform=final[BASELINE]).dropna()
        if pairs.empty:
            continue
        paired = points[points["seed"].isin(pairs.index)]
        uniform = mean_curve(paired, BASELINE)
        responses = float("nan")
        if uniform.mean[-1] > uniform.mean[0]:
            responses = mean_curve(paired, method).first_reaches(float(uniform.mean[-1]))
        found[method] = Comparison(pairs[method] - pairs["uniform"], responses, responses / float(uniform.x[-1]))
    return found


def _whole(runs: Runs) -> pd.DataFrame:
    """Evaluations of whole suites."""
    evals = runs.table("evals") if runs.kept("evals") else pd.DataFrame(columns=[*RUN, *_COLUMNS])
    return evals[evals["problem"] == OVERALL]


def _overall(evals: pd.DataFrame) -> pd.DataFrame:
    """Those over all questions: of the suite "all", or of a run's only suite."""
    suites = evals.groupby("run_id")["suite"].transform("nunique")
    return evals[(evals["suite"] == OVERALL) | (suites == 1)]
