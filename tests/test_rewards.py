"""Rewards: paired coins, right frequencies, graded shares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab import Allocation, AllocationProblem
from cerolab.errors import CerolabError
from cerolab.feedback import validated
from sim.worlds.rewards import Rewards

PROBLEM = AllocationProblem(num_prompts=5, num_rounds=100, budget=200, capacity=20, max_units=5, responses_per_unit=3)
SUCCESS = np.array([0.0, 0.2, 0.5, 0.9, 1.0])


def draw(rewards, prompts, units):
    return rewards.draw(Allocation(np.array(prompts), np.array(units)), SUCCESS)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(0, 3))
def test_a_prompts_luck_does_not_depend_on_how_its_responses_are_grouped(sizes, seed):
    apart, together = Rewards("binary", PROBLEM, seed), Rewards("binary", PROBLEM, seed)
    total = sum(int(draw(apart, [2], [size]).reward_sum[0]) for size in sizes)
    big = AllocationProblem(num_prompts=5, num_rounds=1, budget=100, capacity=100, max_units=50, responses_per_unit=3)
    together = Rewards("binary", big, seed)
    assert int(draw(together, [2], [sum(sizes)]).reward_sum[0]) == total


def test_luck_does_not_depend_on_the_other_prompts_or_their_order():
    alone, crowd = Rewards("binary", PROBLEM, 0), Rewards("binary", PROBLEM, 0)
    assert draw(alone, [3], [4]).reward_sum[0] == draw(crowd, [1, 3, 2], [1, 4, 2]).reward_sum[1]


def test_certain_prompts_are_certain_and_others_have_their_frequency():
    rewards = Rewards("binary", PROBLEM, 0)
    total = np.zeros(5)
    for _ in range(400):
        total += draw(rewards, range(5), [5] * 5).reward_sum
    assert total[0] == 0
    assert total[4] == 400 * 15
    assert total[1:4] / 6000 == pytest.approx(SUCCESS[1:4], abs=0.02)


def test_graded_rewards_are_shares_of_checks_with_a_smaller_variance():
    rewards = Rewards("graded(4)", PROBLEM, 0)
    allocation = Allocation(np.array([2]), np.array([5]))
    sums, squares, count = 0.0, 0.0, 0
    for _ in range(400):
        feedback = rewards.draw(allocation, SUCCESS)
        checked = validated(allocation, feedback, PROBLEM)
        assert not checked.binary
        sums, squares, count = sums + checked.reward_sum[0], squares + checked.reward_sq_sum[0], count + 15
    assert sums / count == pytest.approx(0.5, abs=0.01)
    assert squares / count - (sums / count) ** 2 == pytest.approx(rewards.variance(SUCCESS)[2], rel=0.05)
    assert rewards.variance(SUCCESS)[2] == pytest.approx(0.25 / 4)


def test_an_empty_wave_draws_nothing():
    rewards = Rewards("binary", PROBLEM, 0)
    feedback = rewards.draw(Allocation.empty(), SUCCESS)
    assert np.asarray(feedback.reward_sum).size == 0
    assert not rewards.drawn_M.any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ternary", "unknown rewards 'ternary' .*; known: binary, graded"),
        ("graded", "has 0 arguments"),
        ("graded(0)", "no whole number of checks"),
        ("graded(1.5)", "no whole number of checks"),
        ("binary(2)", "has 1 arguments"),
    ],
)
def test_bad_text_is_named_with_its_remedy(text, message):
    with pytest.raises(CerolabError, match=message):
        Rewards(text, PROBLEM, 0)
