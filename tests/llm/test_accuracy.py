"""avg@n and pass@n against brute force, and what is scored by suite."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.evaluation.accuracy import ALL, MACRO, pass_at, scores
from llm.tasks import Question


def one_succeeds(successes, samples, k):
    """Share of the ways to choose k of the samples that have a success among them."""
    chosen = list(combinations(range(samples), k))  # the first ``successes`` of them are right
    return sum(min(ways) < successes for ways in chosen) / len(chosen)


@pytest.mark.parametrize("samples", range(1, 9))
def test_pass_at_counts_the_choices_with_a_success(samples):
    successes = np.arange(samples + 1)
    for k in range(1, samples + 1):
        expected = [one_succeeds(c, samples, k) for c in successes]
        assert pass_at(successes, samples, k) == pytest.approx(expected, abs=1e-12)


@given(p=st.floats(0, 1), samples=st.integers(1, 30), data=st.data())
def test_pass_at_is_unbiased(p, samples, data):
    k = data.draw(st.integers(1, samples))
    chances = [math.comb(samples, c) * p**c * (1 - p) ** (samples - c) for c in range(samples + 1)]
    mean = float(np.dot(chances, pass_at(np.arange(samples + 1), samples, k)))
    assert mean == pytest.approx(1 - (1 - p) ** k, abs=1e-9)


@given(samples=st.integers(1, 300), data=st.data())
def test_pass_at_rises_with_successes_and_with_k(samples, data):
    k = data.draw(st.integers(1, samples))
    passed = pass_at(np.arange(samples + 1), samples, k)
    assert passed[0] == 0
    assert passed[-1] == 1
    assert (np.diff(passed) >= -1e-12).all()
    if k < samples:
        assert (pass_at(np.arange(samples + 1), samples, k + 1) >= passed - 1e-12).all()


@pytest.mark.parametrize("k", [0, 5])
def test_more_than_was_sampled_is_refused(k):
    with pytest.raises(ValueError, match=r"k=\d is not within 1..samples=4"):
        pass_at(np.array([1]), 4, k)


def questions(*suites):
    return [Question(f"q{i}", "?", "!", suite) for i, suite in enumerate(suites)]


def test_means_by_suite_over_questions_and_over_suites():
    asked = questions("b", "a", "b", "b")
    found = scores(asked, np.array([1.0, 0.5, 0.0, 0.5]), np.array([1.0, 1.0, 0.0, 1.0]), 8)
    table = {score.suite: (score.avg_at_n, score.pass_at_n) for score in found}
    assert list(table) == ["a", "b", ALL, MACRO]
    assert table["a"] == (0.5, 1.0)
    assert table["b"] == pytest.approx((0.5, 2 / 3))
    assert table[ALL] == pytest.approx((0.5, 0.75))
    assert table[MACRO] == pytest.approx((0.5, (1 + 2 / 3) / 2))
    assert {(score.problem, score.samples) for score in found} == {("all", 8)}


@pytest.mark.parametrize(("size", "listed"), [(100, 100), (101, 0)])
def test_problems_of_small_suites_one_by_one(size, listed):
    rates = np.linspace(0, 1, size)
    found = scores(questions(*["s"] * size), rates, rates, 0, one_by_one=True)
    single = [score for score in found if score.problem != "all"]
    assert len(single) == listed
    assert [score.avg_at_n for score in single] == rates[:listed].tolist()
    assert [score.problem for score in single] == [f"q{i}" for i in range(listed)]
