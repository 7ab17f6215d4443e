"""What the allocator is told of rewards of any size; what float32 rounds is neither misuse nor a lesson."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cerolab import Allocation, AllocationProblem, Wave
from cerolab.errors import CerolabError, InvalidValueError, StateError, UnknownNameError
from cerolab.feedback import validated
from cerolab.groups import mixed_groups
from cerolab.integrations.trl.feedback import FeedbackRule, snapped
from cerolab.integrations.trl.feedback_map import FEEDBACK_MAPS, make_map
from cerolab.integrations.trl.rows.advantages import group_advantages
from cerolab.integrations.trl.rows.layout import Layout

G = 4  # responses a unit
PROBLEM = AllocationProblem(
    num_prompts=64, num_rounds=9, budget=900, capacity=128, max_units=4, responses_per_unit=G
)  # fmt: skip
MAPS = list(FEEDBACK_MAPS)


def layout_of(units):
    return Layout(Allocation(np.arange(len(units)), np.array(units)), G, 1)


def told(rewards_NF, weights=None, units=None, kind="none", chosen=None, names=None, rule=None):
    """The feedback on a wave of these rewards, as the allocator takes it."""
    rewards = torch.tensor(rewards_NF, dtype=torch.float32)
    functions = rewards.size(1)
    layout = layout_of(units or [1] * (len(rewards) // G))
    names = names or [f"f{i}" for i in range(functions)]
    rule = rule or FeedbackRule(names, chosen, make_map(kind), "skip")
    weights = torch.tensor(weights or [1.0] * functions, dtype=torch.float32)
    feedback, _ = rule(layout, rewards, weights)
    validated(layout.allocation, feedback, PROBLEM)
    return Wave(layout.allocation, feedback)


# --- rounding ---------------------------------------------------------------------------------------------------


def test_the_issues_weights_sum_to_one():
    wave = told(np.ones((8, 4)), [0.1, 0.6, 0.1, 0.2], units=[2])
    assert wave.feedback.reward_sum.tolist() == [8.0]
    assert wave.feedback.reward_sq_sum is None  # all right is 1, as binary as it was


@pytest.mark.parametrize(("functions", "step"), [(4, 20), (5, 12), (6, 10), (8, 12)])
def test_all_right_is_taken_whatever_the_weights(functions, step):
    """Every grid of positive weights that sum to 1; the sum in float32 is above the responses for some in a hundred."""
    grids = [np.diff([0, *cuts, step]) for cuts in itertools.combinations(range(1, step), functions - 1)]
    assert len(grids) > 100
    above = 0
    for parts in grids:
        weights = (parts / step).tolist()
        wave = told(np.ones((16, functions)), weights, units=[1, 3])
        assert wave.feedback.reward_sum == pytest.approx([4.0, 12.0], abs=1e-5)
        assert not mixed_groups(wave).any()
        single = (torch.ones(8, functions) * torch.tensor(weights)).nansum(1)
        above += float(single.double().sum()) > 8.0
    assert above > 0


@given(
    parts=st.lists(st.integers(1, 1000), min_size=1, max_size=10),
    single=st.booleans(),
    data=st.data(),
)
def test_rewards_up_to_one_and_weights_that_sum_to_one_are_never_refused(parts, single, data):
    weights = [part / sum(parts) for part in parts]
    if single:  # normalised in float32
        given_weights = torch.tensor(parts, dtype=torch.float32)
        weights = (given_weights / given_weights.sum()).tolist()
    reward = st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.7, 1.0, 1.0, 1.0])
    rows = data.draw(st.lists(st.lists(reward, min_size=len(parts), max_size=len(parts)), min_size=8, max_size=8))
    sums = told(rows, weights, units=[2]).feedback
    assert 0.0 <= sums.reward_sum[0] <= sums.num_responses[0] == 8


@pytest.mark.parametrize("wrong", [1.001, 1.00001, -0.001, 2.0, -1e-5, 1e30])
@pytest.mark.parametrize("functions", [1, 4])
def test_what_is_more_than_rounding_is_still_misuse(wrong, functions):
    rewards = np.full((8, functions), 0.5 / functions)
    rewards[5] = [wrong, *[0.0] * (functions - 1)]
    with pytest.raises(InvalidValueError, match=r"reward=.* of a response to prompt 1 is outside \[0, 1\].*feedback_r"):
        told(rewards)


def test_snapping_reaches_no_farther_than_rounding_and_moves_nothing_inside():
    spacing = 2.0**-23
    given = np.array([1 + 3 * spacing, 1 + 5 * spacing, -4 * spacing, -5 * spacing, 1 - spacing, spacing, math.nan])
    assert snapped(given, 4)[:6].tolist() == [1.0, 1 + 5 * spacing, 0.0, -5 * spacing, 1 - spacing, spacing]


# --- maps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waves", "expected"),
    [
        ([[0.0, 0.5, 1.0]], [[0.0, 0.5, 1.0]]),
        ([[0.2, 0.3], [0.1, 0.25]], [[0.2, 0.3], [0.1, 0.25]]),  # in [0, 1]: as they are
        ([[-1.0, -1.0], [1.0, -1.0]], [[0.0, 0.0], [1.0, 0.0]]),  # all wrong at first
        ([[2.0, 2.0], [0.0, 1.0]], [[1.0, 1.0], [0.0, 0.5]]),  # all right at first
        ([[-0.1, -0.1]], [[0.0, 0.0]]),
        ([[-0.3, -0.1], [-0.2, -0.5]], [[0.0, 1.0], [0.75, 0.0]]),
        ([[0.5, 1.0], [3.0, 0.5], [0.5, 3.0]], [[0.5, 1.0], [1.0, 0.0], [0.0, 1.0]]),
        ([[], [-4.0, 4.0]], [[], [0.0, 1.0]]),
    ],
)
def test_the_range_seen_so_far_becomes_the_unit_interval(waves, expected):
    mapping = make_map("range")
    for rewards, mapped in zip(waves, expected, strict=True):
        assert mapping(np.array(rewards)).tolist() == pytest.approx(mapped)


def test_one_value_up_to_rounding_is_not_stretched():
    assert make_map("range")(np.array([-0.1, -0.1 + 1e-8, -0.1])).tolist() == [0.0, 0.0, 0.0]


def test_ranks_know_no_outliers_and_leave_right_and_wrong_alone():
    assert make_map("rank")(np.array([0.0, 1.0, 0.0, 0.0])).tolist() == [0.0, 1.0, 0.0, 0.0]
    assert make_map("rank")(np.array([3.0, 1.0, 1e30, 2.0])).tolist() == pytest.approx([2 / 3, 0.0, 1.0, 1 / 3])
    assert make_map("range")(np.array([3.0, 1.0, 1e30, 2.0])).max(initial=0.0, where=[1, 1, 0, 1]) < 1e-20
    mapping = make_map("rank")
    assert mapping(np.array([-5.0, -5.0])).tolist() == [0.0, 0.0]
    assert mapping(np.array([])).size == 0
    for _ in range(3):
        mapping(np.arange(3000.0))
    assert mapping.state.size == 4096


def test_ranks_tell_a_hopeless_prompt_from_one_that_is_solved_half_the_time():
    wave = told([[-1.0]] * 4 + [[-1.0], [3.0]] * 2, units=[1, 1], kind="rank")
    assert wave.feedback.reward_sum.tolist() == [0.0, 2.0]


@pytest.mark.parametrize("kind", ["range", "rank"])
@given(waves=st.lists(st.lists(st.floats(-1e6, 1e6, width=32), max_size=12), min_size=1, max_size=5))
def test_maps_keep_the_order_and_go_on_where_they_were_saved(kind, waves):
    mapping = make_map(kind)
    for wave in waves:
        rewards, again = np.array(wave, np.float64), make_map(kind)
        again.load_state_dict(mapping.state_dict())
        mapped = mapping(rewards)
        assert ((mapped >= 0.0) & (mapped <= 1.0)).all()
        order = np.argsort(rewards, kind="stable")
        assert (np.diff(mapped[order]) >= 0.0).all()
        assert np.array_equal(mapped[order][1:] == mapped[order][:-1], np.diff(mapped[order]) == 0.0)
        assert np.array_equal(again(rewards), mapped)
        assert np.array_equal(again.state, mapping.state)


@pytest.mark.parametrize("kind", MAPS)
def test_a_state_of_another_map_or_a_damaged_one_changes_nothing(kind):
    mapping = make_map(kind)
    mapping(np.array([0.25, 0.75]))
    before = mapping.state_dict()
    other = next(name for name in MAPS if name != kind)
    for saved, words in (
        (make_map(other).state_dict(), f"feedback_map='{other}'"),
        ({"kind": np.array(kind), "state": np.array([[1.0]])}, "damaged"),
        ({"kind": np.array(kind), "state": np.array([math.nan, 1.0])}, "damaged"),
        ({"kind": np.array(kind)}, "damaged"),
    ):
        with pytest.raises(StateError, match=words):
            mapping.load_state_dict(saved)
        assert mapping.state.tolist() == before["state"].tolist()
    mapping.load_state_dict({})  # of an earlier version
    assert mapping(np.array([0.5])).tolist() == [{"range": 0.5, "rank": 0.5, "none": 0.5}[kind]]


def test_an_unknown_map_is_refused():
    with pytest.raises(UnknownNameError, match="range, rank"):
        make_map("ranks")


# --- groups in the allocator's eyes -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["range", "rank"])
@pytest.mark.parametrize("value", [-0.1, 0.1, 2.0, 1 / 3, -7e5])
def test_a_group_of_equal_rewards_is_not_effective(kind, value):
    rule = FeedbackRule(["f0"], None, make_map(kind), "error")
    for rewards in ([[value]] * 8, [[value]] * 8 + [[0.7], [value], [value], [-3.0]], [[value]] * 8):
        wave = told(rewards, rule=rule)
        assert mixed_groups(wave).tolist() == [False, False, True][: len(rewards) // G]


@pytest.mark.parametrize("kind", ["range", "rank"])
@given(data=st.data())
def test_a_group_is_mixed_for_the_allocator_where_it_has_an_advantage(kind, data):
    """Sums of weights in any order, which differ by float32's rounding, and true differences."""
    functions = data.draw(st.integers(1, 4))
    weights = data.draw(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.7, 1.0, -1.0]), min_size=functions,
                                 max_size=functions))  # fmt: skip
    reward = st.sampled_from([0.0, 0.1, 0.2, 0.3, 1.0, 2.0, -1.0, None])
    units = data.draw(st.lists(st.integers(1, 2), min_size=1, max_size=5))
    rows = [data.draw(st.lists(reward, min_size=functions, max_size=functions)) for _ in range(G * sum(units))]
    rows = [[math.nan if value is None else value for value in row] for row in rows]
    wave = told(rows, weights, units, kind)
    advantages, _ = group_advantages(
        torch.tensor(rows), torch.tensor(weights), torch.from_numpy(layout_of(units).entry_N)
    )
    entry = layout_of(units).entry_N
    taught = [bool((advantages[torch.from_numpy(entry == i)] != 0).any()) for i in range(len(units))]
    assert mixed_groups(wave).tolist() == taught


@pytest.mark.parametrize("kind", ["range", "rank"])
def test_weights_that_sum_to_the_same_in_two_ways_are_one_reward(kind):
    """0.1 + 0.2 and 0.3 in single precision; ranks would tell them apart."""
    rows = [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]] * 4 + [[0.0, 0.0, 0.0]] * 4
    wave = told(rows, [0.1, 0.2, 0.3], [2, 1], kind)
    assert not mixed_groups(wave).any()


# --- what users are told ----------------------------------------------------------------------------------------


def test_the_fix_names_a_function_that_says_right_or_wrong():
    rewards = [[-30.0, 1.0], [-20.0, 0.0]] * 2
    with pytest.raises(CerolabError, match=r"feedback_reward='correct' \(of length, correct\)"):
        told(rewards, names=["length", "correct"])
    assert told(rewards, names=["length", "correct"], chosen="correct").feedback.reward_sum.tolist() == [2.0]
    with pytest.raises(CerolabError, match=r"none of length stays in .*weight 0"):
        told([row[:1] for row in rewards], names=["length"])


def test_the_chosen_function_is_mapped_too():
    wave = told([[-30.0, 1.0], [-20.0, 0.0]] * 2, names=["length", "correct"], chosen="length", kind="range")
    assert wave.feedback.reward_sum.tolist() == [2.0]
