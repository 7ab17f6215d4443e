from dataclasses import FrozenInstanceError, asdict, replace

import numpy as np
import pytest
from hypothesis import given

from cerolab import AllocationProblem
from cerolab.errors import CerolabError, InvalidValueError
from tests.strategies import problems

GOOD = {
    "num_prompts": 6,
    "num_rounds": 5,
    "budget": 20,
    "capacity": 8,
    "max_units": 2,
    "responses_per_unit": 4,
    "saturation": 1.0,
}
SIZES = [field for field in GOOD if field != "saturation"]


def refused(*parts: str, **changed: object) -> InvalidValueError:
    """The error for a changed setting; its message holds all parts."""
    with pytest.raises(InvalidValueError) as refusal:
        AllocationProblem(**{**GOOD, **changed})
    for part in parts:
        assert part in str(refusal.value)
    return refusal.value


@pytest.mark.parametrize("field", SIZES)
@pytest.mark.parametrize("value", [2.5, 2.0, "3", True, None, float("nan"), [3], np.float64(4.0)], ids=repr)
def test_sizes_that_are_no_integers_are_refused(field, value):
    error = refused(f"{field}={value!r} is not an integer", "give a whole number >= 1", **{field: value})
    assert error.field == field
    assert error.value is value


@pytest.mark.parametrize("field", SIZES)
@pytest.mark.parametrize("value", [0, -1, np.int64(-3)], ids=repr)
def test_sizes_below_one_are_refused(field, value):
    refused(f"{field}={value!r} is not positive", "give a whole number >= 1", **{field: value})


@pytest.mark.parametrize("value", [0, 0.0, -1.0, float("nan"), float("inf"), "1", True, None], ids=repr)
def test_a_saturation_that_is_not_positive_and_finite_is_refused(value):
    refused(f"saturation={value!r} is not a positive finite number", "use 1.0", saturation=value)


def test_a_capacity_above_the_pool_is_refused_with_the_largest_possible_one():
    refused("capacity=13", "num_prompts * max_units = 6 * 2 = 12", "lower capacity to at most 12", capacity=13)


def test_a_budget_above_the_horizon_is_refused_with_the_way_out():
    refused("budget=41", "num_rounds * capacity = 5 * 8 = 40", "at most 40", "raise capacity to at least 9", budget=41)


def test_the_largest_capacity_and_budget_are_accepted():
    problem = AllocationProblem(**{**GOOD, "capacity": 12, "budget": 60})
    assert (problem.capacity, problem.budget) == (12, 60)


def test_an_unknown_or_missing_field_is_a_type_error():
    with pytest.raises(TypeError, match="buget"):
        AllocationProblem(**GOOD, buget=3)
    with pytest.raises(TypeError, match="budget"):
        AllocationProblem(num_prompts=6, num_rounds=5, capacity=8)


def test_errors_are_value_errors_of_cerolab():
    assert isinstance(refused(budget=0), CerolabError)
    assert isinstance(refused(budget=0), ValueError)


@pytest.mark.parametrize("field", [*GOOD, "something_new"])
def test_it_is_frozen(field):
    with pytest.raises((FrozenInstanceError, TypeError, AttributeError)):
        setattr(AllocationProblem(**GOOD), field, 3)


def test_numpy_integers_become_plain_ones():
    problem = AllocationProblem(**{field: np.int32(value) for field, value in GOOD.items() if field in SIZES})
    assert problem == AllocationProblem(**GOOD)
    assert all(type(getattr(problem, field)) is int for field in SIZES)


def test_a_whole_number_is_a_saturation():
    problem = AllocationProblem(**{**GOOD, "saturation": 2})
    assert type(problem.saturation) is float
    assert problem == AllocationProblem(**{**GOOD, "saturation": np.float64(2.0)})


@pytest.mark.parametrize("value", [np.float32(1.0), np.int64(1)], ids=repr)
def test_numpy_numbers_are_a_saturation(value):
    assert AllocationProblem(**{**GOOD, "saturation": value}) == AllocationProblem(**GOOD)


def test_derived_quantities_of_the_papers_experiment():
    problem = AllocationProblem(
        num_prompts=8960, num_rounds=500, budget=64_000, capacity=132, max_units=2, responses_per_unit=4
    )
    assert problem.exposure_scale == pytest.approx(7.142857, abs=1e-6)  # R
    assert problem.horizon_exposure == 1000  # Z
    assert problem.max_slope == pytest.approx(0.14, abs=1e-15)  # cbar
    assert problem.mean_spend == 128.0  # Bbar
    assert problem.mean_units == pytest.approx(0.0142857, abs=1e-7)  # Nbar
    assert problem.price_scale == 128.0  # G_B = max(128, 132 - 128)
    assert problem.budget_responses == 256_000
    assert [problem.target_spend(k) for k in (0, 1, 250, 500)] == [0, 128, 32_000, 64_000]


def test_the_price_scale_is_the_room_above_the_mean_spend_where_that_is_larger():
    problem = AllocationProblem(num_prompts=10, num_rounds=10, budget=20, capacity=9)
    assert problem.price_scale == 7.0


def test_saturation_scales_the_largest_slope_only():
    one, three = AllocationProblem(**GOOD), AllocationProblem(**{**GOOD, "saturation": 3.0})
    assert three.max_slope == pytest.approx(3 * one.max_slope)
    assert three.exposure_scale == one.exposure_scale


@given(problem=problems(max_prompts=50, max_rounds=50))
def test_the_even_pace_ends_at_the_budget_in_steps_within_capacity(problem):
    targets = [problem.target_spend(k) for k in range(problem.num_rounds + 1)]
    steps = np.diff(targets)
    assert (targets[0], targets[-1]) == (0, problem.budget)
    assert steps.max() - steps.min() <= 1
    assert steps.max() <= problem.capacity


@given(problem=problems())
def test_to_dict_makes_the_same_problem_again(problem):
    assert AllocationProblem(**problem.to_dict()) == problem
    assert problem.to_dict() == {name: value for name, value in asdict(problem).items() if value is not None}
    assert hash(AllocationProblem(**problem.to_dict())) == hash(problem)
    assert replace(problem, saturation=9.0) != problem
