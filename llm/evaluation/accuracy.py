"""avg@n and pass@n of held-out questions, per suite and macro-averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cerolab.types import FloatArray, IntArray
from llm.tasks import Question

ALL = "all"  # name of the mean over questions
MACRO = "macro"  # name of the mean over suites
_FEW = 100  # problems of a suite that are recorded one by one


def pass_at(successes: IntArray, samples: int, k: int) -> FloatArray:
    """[Q] unbiased chance that one of k responses succeeds, from ``samples`` >= k responses.

    Source: Chen et al. 2021 (arXiv 2107.03374), eq. (1): 1 - C(n - c, k) / C(n, k).
    """
    if not 1 <= k <= samples:
        raise ValueError(f"k={k} is not within 1..samples={samples}")
    ahead = np.arange(samples - k + 1, samples + 1, dtype=np.float64)  # C(n-c, k)/C(n, k) = prod (1 - c/j)
    return 1.0 - np.clip(1.0 - successes[:, None] / ahead, 0.0, 1.0).prod(axis=1)


@dataclass(frozen=True)
class SuiteScore:
    """Accuracy in one suite.

    Attributes:
        suite: its name; ``ALL`` for the mean over all questions, ``MACRO`` for the mean over suites.
        problem: "all", or the id of a problem.
        samples: responses a problem; 0 where success rates are known exactly.
        avg_at_n, pass_at_n: mean reward; chance that one of n responses succeeds.
    """

    suite: str
    problem: str
    samples: int
    avg_at_n: float
    pass_at_n: float


def scores(
    questions: Sequence[Question], average: FloatArray, passed: FloatArray, samples: int, one_by_one: bool = False
) -> list[SuiteScore]:
    """One score a suite, then the mean over questions and the mean over suites.

    Args:
        questions: [Q].
        average, passed: float [Q], mean reward and pass@n of each.
        samples: responses a problem, 0 for exact rates.
        one_by_one: record the problems of suites of up to 100.
    """
    suites = np.array([question.suite for question in questions])
    found: list[SuiteScore] = []
    means = []
    for suite in sorted(set(suites.tolist())):
        inside = suites == suite
        means.append((float(average[inside].mean()), float(passed[inside].mean())))
        found.append(SuiteScore(suite, "all", samples, *means[-1]))
        if one_by_one and inside.sum() <= _FEW:
            for at in np.flatnonzero(inside).tolist():
                found.append(SuiteScore(suite, questions[at].id, samples, float(average[at]), float(passed[at])))
    found.append(SuiteScore(ALL, "all", samples, float(average.mean()), float(passed.mean())))
    macro = np.mean(means, axis=0)
    found.append(SuiteScore(MACRO, "all", samples, float(macro[0]), float(macro[1])))
    return found
