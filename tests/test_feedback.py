"""Allocation, Feedback and the check of one against the other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab import Allocation, AllocationProblem, Feedback, make
from cerolab.errors import InvalidValueError
from cerolab.feedback import validated
from tests.strategies import feedbacks, problems

PROBLEM = AllocationProblem(num_prompts=9, num_rounds=3, budget=9, capacity=5, max_units=2, responses_per_unit=4)
WAVE = Allocation([7, 3], [1, 2])  # 4 and 8 responses
NAN, INF = float("nan"), float("inf")


def check(num_responses=(4, 8), reward_sum=(2, 3), reward_sq_sum=None):
    return validated(WAVE, Feedback(num_responses, reward_sum, reward_sq_sum), PROBLEM)


def refused(*parts: str, **feedback: object) -> None:
    with pytest.raises(InvalidValueError) as refusal:
        check(**feedback)
    for part in parts:
        assert part in str(refusal.value)


def test_binary_feedback_comes_back_as_floats():
    checked = check()
    assert checked.binary
    assert checked.num_responses.tolist() == [4.0, 8.0]
    assert checked.reward_sum.tolist() == checked.reward_sq_sum.tolist() == [2.0, 3.0]
    assert checked.reward_sum.dtype == np.float64


def test_graded_feedback_keeps_its_squares():
    checked = check(reward_sum=(2.5, 3.25), reward_sq_sum=(1.75, 1.5))
    assert not checked.binary
    assert checked.reward_sq_sum.tolist() == [1.75, 1.5]


@given(st.lists(st.sampled_from([0.1, 0.2, 1 / 3, 0.7, 0.9, 1.0]), min_size=4, max_size=4), st.integers(0, 2))
def test_sums_taken_in_single_precision_are_taken(rewards, step):
    single = np.array(rewards, np.float32)
    for _ in range(step):
        single = np.nextafter(single, np.float32(2))  # as sums of weights may be off
    checked = check(reward_sum=(single.sum(), 3.0), reward_sq_sum=((single**2).sum(), 3.0))
    assert checked.reward_sum[0] == pytest.approx(sum(rewards), rel=1e-6)
    assert 0.0 <= checked.reward_sq_sum[0] <= checked.reward_sum[0] <= 4.0


@pytest.mark.parametrize(
    ("reward_sum", "reward_sq_sum"),
    [(4.0004, 4.0), (4.00001, 4.0), (-1e-5, 0.0), (2.0, 2.00001), (2.0, 0.9999), (INF, INF), (4.0000005, 4.1)],
)
def test_what_is_more_than_rounding_is_refused(reward_sum, reward_sq_sum):
    refused("of prompt 7", reward_sum=(reward_sum, 3.0), reward_sq_sum=(reward_sq_sum, 3.0))


def test_infinite_feedback_is_refused_without_a_warning():
    refused("num_responses", num_responses=(INF, 8), reward_sum=(INF, 3.0), reward_sq_sum=(INF, 3.0))


def test_squares_of_binary_rewards_are_accepted_and_equal_the_sum():
    assert check(reward_sum=(4, 0), reward_sq_sum=(4, 0)).reward_sq_sum.tolist() == [4.0, 0.0]


@pytest.mark.parametrize("value", [NAN, INF, -INF, -1, -0.25], ids=str)
def test_rewards_that_are_not_finite_or_negative_are_refused_by_position_and_prompt(value):
    refused("reward_sum[1]", str(float(value)), "prompt 3", "not finite and >= 0", reward_sum=(2, value))


@pytest.mark.parametrize("value", [NAN, INF, -4], ids=str)
def test_numbers_of_responses_that_are_not_finite_or_negative_are_refused(value):
    refused("num_responses[0]", str(float(value)), "prompt 7", "not finite and >= 0", num_responses=(value, 8))


@pytest.mark.parametrize("value", [NAN, INF, -0.5], ids=str)
def test_squares_that_are_not_finite_or_negative_are_refused(value):
    refused("reward_sq_sum[0]", str(float(value)), "prompt 7", reward_sq_sum=(value, 3))


@pytest.mark.parametrize("value", [9, 100, 7.5])
def test_responses_are_a_whole_number_up_to_units_times_responses_per_unit(value):
    refused(
        "num_responses[1]", str(float(value)), "prompt 3", "units * responses_per_unit", "here * 4",
        "that was graded", num_responses=(4, value),
    )  # fmt: skip


@pytest.mark.parametrize("value", [3, 7, 8])
def test_responses_that_a_verifier_could_not_grade_may_be_missing(value):
    assert check(num_responses=(4, value)).num_responses.tolist() == [4.0, value]


def test_more_successes_than_responses_are_refused():
    refused("reward_sum[0]=5.0", "prompt 7", "more successes than responses", "[0, 1]", reward_sum=(5, 3))


def test_fractional_successes_without_squares_are_refused():
    refused("reward_sum[1]=2.5", "prompt 3", "not a whole number", "give reward_sq_sum", reward_sum=(2, 2.5))


@pytest.mark.parametrize("squares", [(2.1, 3), (2, 1.0), (0.9, 3), (4, 3)], ids=str)
def test_squares_that_no_rewards_in_the_unit_interval_have_are_refused(squares):
    refused("reward_sq_sum[", "between reward_sum**2 / num_responses and reward_sum", reward_sq_sum=squares)


@pytest.mark.parametrize("field", ["num_responses", "reward_sum", "reward_sq_sum"])
@pytest.mark.parametrize("value", [(), (4,), (4, 8, 8), ((4, 8),), 4], ids=str)
def test_the_wrong_shape_is_refused(field, value):
    refused(field, "shape", "[2]", "one entry an admitted prompt, in the allocation's order", **{field: value})


@pytest.mark.parametrize("value", [("a", "b"), ((1, 2), 3), (1j, 2)], ids=str)
def test_what_is_no_array_of_numbers_is_refused(value):
    refused("reward_sum", "is not an array of numbers", reward_sum=value)


def test_an_empty_allocation_takes_empty_feedback():
    checked = validated(Allocation.empty(), Feedback([], []), PROBLEM)
    assert checked.num_responses.size == 0


def test_the_bounds_themselves_are_accepted():
    check(reward_sum=(0, 8))
    check(reward_sum=(4, 0), reward_sq_sum=(4, 0))
    check(reward_sum=(2, 4), reward_sq_sum=(1, 2))  # all rewards are 1/2
    check(reward_sum=(0.3, 0.8), reward_sq_sum=(0.3**2 / 4, 0.8**2 / 8))


@given(data=st.data())
def test_the_sums_of_any_rewards_in_the_unit_interval_are_accepted(data):
    problem = data.draw(problems())
    allocation = make("uniform", problem).allocate()
    feedback = data.draw(feedbacks(allocation, problem))
    checked = validated(allocation, feedback, problem)
    assert checked.binary == (feedback.reward_sq_sum is None)
    assert np.array_equal(checked.reward_sum, feedback.reward_sum)


# --- Allocation ------------------------------------------------------------------------------------------------


def test_an_allocation_counts_groups_and_units():
    assert (WAVE.num_groups, WAVE.num_units, WAVE.last_wave) == (2, 3, True)
    assert (Allocation.empty().num_groups, Allocation.empty().num_units) == (0, 0)
    assert not Allocation.empty(last_wave=False).last_wave


def test_an_allocation_copies_what_the_caller_can_still_write():
    prompts, units = np.array([1, 2]), np.array([1, 1])
    allocation = Allocation(prompts, units)
    prompts[:] = units[:] = 9
    assert allocation.prompts.tolist() == [1, 2]
    assert allocation.units.tolist() == [1, 1]
    assert prompts.flags.writeable


def test_an_allocation_copies_a_read_only_view_of_a_writable_array():
    base = np.array([1, 2])
    view = base.view()
    view.flags.writeable = False
    allocation = Allocation(view, [1, 1])
    base[:] = 9
    assert allocation.prompts.tolist() == [1, 2]


def test_an_allocation_cannot_be_changed():
    with pytest.raises(AttributeError):
        WAVE.units = np.array([5, 5])
    with pytest.raises(ValueError, match="read-only"):
        WAVE.units[0] = 5


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int64])
def test_any_integers_become_int64(dtype):
    allocation = Allocation(np.array([1, 2], dtype), np.array([1, 1], dtype))
    assert allocation.prompts.dtype == allocation.units.dtype == np.int64


@pytest.mark.parametrize(
    ("prompts", "units", "parts"),
    [
        ([0.0, 1.0], [1, 1], ("prompts", "float64", "not a vector of integers", "int64")),
        ([0, 1], [1.0, 1.5], ("units", "float64", "not a vector of integers")),
        ([True], [1], ("prompts", "bool")),
        (["a"], [1], ("prompts", "not a vector of integers")),
        ([[0, 1]], [[1, 1]], ("prompts", "[1, 2]", "not a vector")),
        (3, 1, ("prompts", "not a vector")),
        ([0, 1], [1], ("units=(1,)", "(2,)", "give one a prompt")),
        ([0, 1], [1, 0], ("units=0", "below 1", "leave prompts without units out")),
        ([0, -1], [1, 1], ("prompts=-1", "negative", "0..M-1")),
    ],
)
def test_what_is_no_allocation_is_refused(prompts, units, parts):
    with pytest.raises(InvalidValueError) as refusal:
        Allocation(prompts, units)
    for part in parts:
        assert part in str(refusal.value)


def test_allocations_match_when_prompts_units_order_and_wave_do():
    assert WAVE.matches(Allocation([7, 3], [1, 2]))
    for other in ([3, 7], [2, 1]), ([7, 3], [2, 2]), ([7], [1]), ([7, 4], [1, 2]):
        assert not WAVE.matches(Allocation(*other))
    assert not WAVE.matches(Allocation([7, 3], [1, 2], last_wave=False))


@pytest.mark.parametrize("value", [["1", "2"], [[1], [2, 3]], [None, 1], [1j, 2]])
def test_feedback_that_is_no_array_of_numbers_is_refused(value):
    with pytest.raises(InvalidValueError, match="is not an array of numbers"):
        check(reward_sum=value)
