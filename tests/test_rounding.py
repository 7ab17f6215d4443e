"""Rounding to what arithmetic guarantees, and choices that do not hang on the last bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab import AllocationProblem, optimum
from cerolab.allocation import Allocation
from cerolab.allocators import coba, reinforce_ada_est
from cerolab.estimators.token_cost import first_within
from cerolab.optimum.static import largest_gains
from cerolab.rounding import comparable, written
from cerolab.selection.batches import GroupSizes
from cerolab.selection.top_k import largest_increments

RNG = np.random.default_rng(5)


def shaken(values: np.ndarray) -> np.ndarray:
    """The values as another machine may have them: off by a bit or two."""
    return values * (1.0 + RNG.uniform(-2e-16, 2e-16, values.shape))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(1e-200, 1e200))
def test_comparable_numbers_are_close_and_in_the_same_order(values: list[float], scale: float) -> None:
    given_A = np.array(values) * scale
    kept_A = comparable(given_A)
    largest = np.abs(given_A).max()
    assert (np.abs(kept_A - given_A) <= 2.0**-40 * largest).all()
    order = np.argsort(given_A, kind="stable")
    assert (np.diff(kept_A[order]) >= 0).all()
    assert np.array_equal(comparable(kept_A), kept_A)


def test_what_is_equal_in_mathematics_is_made_equal() -> None:
    third = np.array([1 / 3, 1 - 2 / 3, 0.1 + 0.2, 0.3, -np.inf])
    kept = comparable(third)
    assert kept[0] == kept[1]
    assert kept[2] == kept[3]
    assert kept[4] == -np.inf
    assert comparable(np.zeros(3)).tolist() == [0.0, 0.0, 0.0]
    assert comparable(np.empty(0)).size == 0


@pytest.mark.parametrize(
    ("value", "like", "text"),
    [
        (0.1 + 0.2, None, "0.3"),
        (123456.7890123456, None, "123456.789012"),
        (0.012345678901234567, 1000.0, "0.01234568"),
        (3e-14, 1000.0, "0.0"),
        (-3e-14, 1000.0, "0.0"),
        (5.0, 1.0, "5.0"),
        (math.nan, 1.0, "nan"),
        (math.inf, None, "inf"),
        (0.0, 0.0, "0.0"),
    ],
)
def test_a_number_is_written_with_twelve_digits_or_the_decimals_of_a_larger_one(
    value: float, like: float | None, text: str
) -> None:
    assert str(written(value, like)) == text


def test_units_do_not_hang_on_the_last_bit_of_their_gains() -> None:
    levels = np.array([8.0, 4.0, 2.0, 1.0]) / 3.0
    gains = np.repeat(levels[None, :], 7, axis=0)
    wanted = largest_increments(gains, 10)
    assert wanted.tolist() == [2, 2, 2, 1, 1, 1, 1]
    for _ in range(20):
        assert largest_increments(shaken(gains), 10).tolist() == wanted.tolist()


def test_a_batch_of_coba_does_not_hang_on_the_last_bit_of_its_estimates() -> None:
    # At a failure rate of 1/2 the value of p is that of 1 - p: prompts tie, which the logarithm does not see.
    success = np.tile([0.25, 0.75, 0.125, 0.875], 6)
    sizes = GroupSizes(1, 3.0, 5)
    wanted = coba.divide(success, 61, sizes, 4, 0.5)
    for _ in range(20):
        assert coba.divide(shaken(success), 61, sizes, 4, 0.5).tolist() == wanted.tolist()


def test_units_by_weight_do_not_hang_on_the_last_bit() -> None:
    weight = np.tile([1 / 3, 2 / 3, 1 / 7], 5)
    wanted = reinforce_ada_est.proportional_units(weight, 23, 4)
    for _ in range(20):
        assert reinforce_ada_est.proportional_units(shaken(weight), 23, 4).tolist() == wanted.tolist()


def test_the_oracle_gives_what_is_left_over_to_the_first_of_equal_prompts() -> None:
    curvature, start = np.full(50, 0.2), np.zeros(50, np.int64)
    wanted = [3] * 20 + [2] * 30
    for _ in range(20):
        assert largest_gains(shaken(curvature), start, 40, 120)[0].tolist() == wanted
    problem = AllocationProblem(num_prompts=50, num_rounds=40, budget=120, capacity=10, max_units=1)
    assert optimum.solve_static(np.full(50, 0.25), problem).exposure.tolist() == wanted


def test_groups_that_cost_just_the_tokens_left_fit_however_they_are_rounded() -> None:
    allocation = Allocation(np.arange(4), np.full(4, 2))
    for cost in (800.0, np.nextafter(800.0, 900.0), np.nextafter(800.0, 0.0)):
        cost_M = np.full(4, cost)
        assert first_within(allocation, cost_M, 4800.0).units.tolist() == [2, 2, 2]
        assert first_within(allocation, cost_M, 4000.0).units.tolist() == [2, 2, 1]
