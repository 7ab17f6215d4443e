"""Advantages by group id against a loop over groups, written from GRPO's formula."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cerolab.integrations.trl.rows.advantages import combined_reward, group_advantages

SCALINGS = ["group", "batch", "none"]
AGGREGATIONS = ["sum_then_normalize", "normalize_then_sum"]
SMALL = 1e-4
REWARD = st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.0, 1.0, -2.0, None])
WEIGHT = st.sampled_from([0.5, 1.0, 2.0])


def mean(values):
    return sum(values) / len(values)


def spread(values):
    """Unbiased standard deviation; 0 where there is none."""
    if len(values) < 2:
        return 0.0
    centre = mean(values)
    return math.sqrt(sum((value - centre) ** 2 for value in values) / (len(values) - 1))


def graded(values):
    return [value for value in values if value is not None]


def total(row, weights):
    """Weighted sum over the functions that graded the response."""
    known = [weight * reward for reward, weight in zip(row, weights, strict=True) if reward is not None]
    return sum(known) if known else None


def naive(rows, weights, groups, scaling, aggregation):
    """[N] advantages and [N] whether the group's rewards are the same, one response after the other."""
    rewards = [total(row, weights) for row in rows]
    members = {group: [i for i, g in enumerate(groups) if g == group] for group in groups}
    flat = [spread(graded(rewards[i] for i in members[group])) < 1e-8 for group in groups]
    advantages = []
    for i, group in enumerate(groups):
        if rewards[i] is None:
            advantages.append(None)
        elif aggregation == "sum_then_normalize":  # A_i = (r_i - mean r) / std r
            own = graded(rewards[j] for j in members[group])
            width = {"group": spread(own), "batch": spread(graded(rewards)), "none": None}[scaling]
            advantages.append((rewards[i] - mean(own)) / (1 if width is None else width + SMALL))
        else:  # each function by itself in the group, then their sum over the batch
            parts = 0.0
            for f, weight in enumerate(weights):
                own = graded(rows[j][f] for j in members[group])
                if rows[i][f] is not None:
                    parts += weight * (rows[i][f] - mean(own)) / (spread(own) + SMALL)
            advantages.append(parts)
    if aggregation == "normalize_then_sum":
        known = graded(advantages)
        advantages = [
            None if value is None else (value - mean(known)) / (spread(known) + SMALL) for value in advantages
        ]
    return [0.0 if value is None else value for value in advantages], flat


@st.composite
def rounds(draw):
    """Rewards [N][F] of groups of 1 to 8, weights [F], and the group of each response; rows in any order."""
    sizes = draw(st.lists(st.integers(1, 8), min_size=1, max_size=6))
    functions = draw(st.integers(1, 3))
    labels = draw(st.lists(st.integers(0, 50), min_size=len(sizes), max_size=len(sizes), unique=True))
    groups = draw(st.permutations([label for label, size in zip(labels, sizes, strict=True) for _ in range(size)]))
    rows = [draw(st.lists(REWARD, min_size=functions, max_size=functions)) for _ in groups]
    return rows, draw(st.lists(WEIGHT, min_size=functions, max_size=functions)), groups


def fast(rows, weights, groups, scaling, aggregation):
    rewards = torch.tensor([[math.nan if reward is None else reward for reward in row] for row in rows])
    return group_advantages(rewards, torch.tensor(weights), torch.tensor(groups), scaling, aggregation)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("scaling", SCALINGS)
@given(case=rounds())
def test_equal_to_the_loop_over_groups(scaling, aggregation, case):
    advantages, flat = fast(*case, scaling, aggregation)
    expected, expected_flat = naive(*case, scaling, aggregation)
    assert advantages.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-4)
    known = [total(row, case[1]) is not None for row in case[0]]
    assert [f for f, k in zip(flat.tolist(), known, strict=True) if k] == [
        f for f, k in zip(expected_flat, known, strict=True) if k
    ]


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@given(case=rounds(), data=st.data())
def test_neither_the_order_of_rows_nor_the_names_of_groups_matter(aggregation, case, data):
    rows, weights, groups = case
    advantages, flat = fast(*case, "group", aggregation)
    order = data.draw(st.permutations(range(len(groups))))
    names = dict(zip(sorted(set(groups)), data.draw(st.permutations(range(100, 100 + len(set(groups))))), strict=True))
    again, flat_again = fast([rows[i] for i in order], weights, [names[groups[i]] for i in order], "group", aggregation)
    assert again.tolist() == pytest.approx(advantages[list(order)].tolist(), rel=1e-3, abs=1e-3)
    assert flat_again.tolist() == flat[list(order)].tolist()


@given(case=rounds())
def test_advantages_of_a_group_sum_to_nothing(case):
    *_, groups = case
    advantages, flat = fast(*case, "group", "sum_then_normalize")
    for group in set(groups):
        inside = [i for i, g in enumerate(groups) if g == group]
        assert float(advantages[inside].sum()) == pytest.approx(0, abs=1e-3)
        if flat[inside[0]]:
            assert advantages[inside].abs().max() < 1e-3


def test_a_group_of_one_and_ungraded_responses_get_none():
    rewards = torch.tensor([[1.0], [math.nan], [0.0], [1.0]])
    advantages, flat = group_advantages(rewards, torch.ones(1), torch.tensor([7, 8, 8, 8]))
    assert advantages[:2].tolist() == [0.0, 0.0]
    assert advantages[3] == pytest.approx(0.5 / (math.sqrt(0.5) + SMALL))
    assert flat.tolist() == [True, False, False, False]


def noise(value, count=8):
    """The same reward, off by at most one of float32's steps."""
    number = torch.tensor(value)
    steps = [torch.nextafter(number, torch.tensor(way)) for way in (-torch.inf, torch.inf)]
    return [[float(number)], [float(steps[0])], [float(steps[1])], *[[float(number)]] * (count - 3)]


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("value", [0.1, 10.1, -1 / 3, 12345.678, 1e-6, 3e20, 0.0])
def test_rewards_that_differ_by_rounding_only_teach_nothing(scaling, aggregation, value):
    mixed = [[value], [value + abs(value) * 1e-3 + 1e-3]] * 4
    third = [[value], [value + 0.1 + 0.2 - 0.3], *[[value]] * 6]  # 6e-17 more
    for rows in ([[value]] * 8, noise(value), [*noise(value)[:7], [None]], third):
        advantages, flat = fast([*rows, *mixed], [1.0], [0] * 8 + [1] * 8, scaling, aggregation)
        assert advantages[:8].tolist() == [0.0] * 8
        assert (advantages[8:] != 0).all()
        assert flat.tolist() == [True] * 8 + [False] * 8


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize(
    ("weights", "rows"),
    [
        ([0.1, 0.2, 0.3], [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        ([0.1, 0.7, 0.8], [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        ([0.1, 0.6, 0.3], [[1.0, 0.0, 2.0], [1.0, 1.0, 0.0]]),
        ([1.0, -1.0], [[1000.1, 1000.0], [0.1, 0.0]]),
    ],
)
def test_weights_that_sum_to_the_same_in_two_ways_teach_nothing(scaling, weights, rows):
    advantages, flat = fast(rows * 4, weights, [0] * 8, scaling, "sum_then_normalize")
    assert advantages.tolist() == [0.0] * 8
    assert flat.all()


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("value", [0.1, 10.1, -1 / 3, 12345.678])
def test_a_difference_that_is_more_than_rounding_teaches(scaling, value):
    advantages, flat = fast([[value], [value * (1 + 1e-6)]] * 4, [1.0], [0] * 8, scaling, "sum_then_normalize")
    assert (advantages != 0).all()
    assert not flat.any() or abs(value) < 1  # TRL calls a deviation below 1e-8 none in its log


def test_columns_whose_scores_cancel_teach_nothing():
    rows = [[0.1 * i, 0.7 - 0.1 * i] for i in range(8)] + [[float(i % 3), 0.5] for i in range(8)]
    advantages, _ = fast(rows, [1.0, 1.0], [0] * 8 + [1] * 8, "group", "normalize_then_sum")
    assert advantages[:8].tolist() == [0.0] * 8
    assert advantages[8:].abs().max() > 0.5


def test_a_function_that_does_not_apply_is_left_out_of_the_sum():
    rewards = torch.tensor([[1.0, math.nan], [math.nan, math.nan], [1.0, 3.0]])
    combined = combined_reward(rewards, torch.tensor([1.0, 2.0]))
    assert combined[[0, 2]].tolist() == [1.0, 7.0]
    assert combined[1].isnan()
