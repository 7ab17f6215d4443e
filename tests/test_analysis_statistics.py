"""Slopes and intervals against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.statistics import Interval, fit_slope, mean_interval, paired_difference
from cerolab.errors import InvalidValueError

HORIZONS = np.array([50, 100, 400, 1000])


@given(power=st.floats(-2, 2), scales=st.lists(st.floats(0.1, 10), min_size=1, max_size=6))
def test_slope_of_an_exact_power_law_is_its_exponent(power: float, scales: list[float]) -> None:
    found = fit_slope(HORIZONS, np.outer(scales, HORIZONS**power))
    assert found.estimate == pytest.approx(power, abs=1e-9)
    assert found.num_seeds == len(scales)
    if len(scales) > 1:
        # Whichever seeds are drawn, all their horizons come along, so that the slope is the same.
        assert found.low == pytest.approx(power, abs=1e-9)
        assert found.high == pytest.approx(power, abs=1e-9)


def test_slope_is_that_of_the_mean_not_the_mean_of_slopes() -> None:
    # Means 1 at K = 1 and (0.1 + 0.7) / 2 = 0.4 at K = 10: slope log10(0.4).
    found = fit_slope([1, 10], [[1.0, 0.1], [1.0, 0.7]])
    assert found.estimate == pytest.approx(math.log10(0.4))
    # Of the four equally likely resamples one is (seed 0, seed 0) and one (seed 1, seed 1).
    assert found.low == pytest.approx(-1.0)
    assert found.high == pytest.approx(math.log10(0.7))


def test_slope_weighs_points_by_least_squares() -> None:
    # log K = 0, 1, 2 and log regret = 0, 0, -3: slope (-1 * 0 + 1 * -3) / 2.
    found = fit_slope(np.exp([0, 1, 2]), [np.exp([0, 0, -3])])
    assert found.estimate == pytest.approx(-1.5)


def test_one_seed_has_a_slope_without_interval() -> None:
    found = fit_slope([10, 100], [[1.0, 0.1]])
    assert found.estimate == pytest.approx(-1.0)
    assert np.isnan(found.low)
    assert np.isnan(found.high)
    assert found.text() == "−1.00 (1 seed)"  # noqa: RUF001


@pytest.mark.parametrize("values", [[[0.0, 0.1]], [[-1.0, 0.1], [0.5, 0.1]]])
def test_regret_that_is_not_positive_has_no_slope(values: list[list[float]]) -> None:
    assert np.isnan(fit_slope([10, 100], values).estimate)
    assert fit_slope([10, 100], values).text() == "none"


def test_one_horizon_has_no_slope() -> None:
    assert np.isnan(fit_slope([10], [[1.0], [2.0]]).estimate)


def test_slope_refuses_another_shape() -> None:
    with pytest.raises(InvalidValueError, match=r"values_by_seed=\(1, 2\) is not \[seeds, horizons\]; give \[S, 3\]"):
        fit_slope([1, 2, 3], [[1.0, 2.0]])


def test_slope_interval_is_the_same_every_time_and_covers_noise() -> None:
    rng = np.random.default_rng(0)
    values = HORIZONS**-0.5 * np.exp(0.1 * rng.standard_normal((10, 4)))
    found = fit_slope(HORIZONS, values)
    assert found == fit_slope(HORIZONS, values)
    assert found.low < -0.5 < found.high
    assert found.high - found.low < 0.1


def test_mean_interval_by_hand() -> None:
    # Mean 2, standard deviation 1, t(0.975, 2) = 4.30265: 2 +- 4.30265 / sqrt(3).
    found = mean_interval([1.0, 2.0, 3.0])
    assert found.estimate == 2.0
    assert found.high - 2.0 == pytest.approx(2.48414, abs=1e-5)
    assert 2.0 - found.low == pytest.approx(2.48414, abs=1e-5)
    assert found.num_seeds == 3


def test_mean_interval_leaves_nan_out() -> None:
    assert mean_interval([1.0, np.nan, 2.0, 3.0]) == mean_interval([1.0, 2.0, 3.0])


def test_mean_of_one_seed_has_no_interval() -> None:
    found = mean_interval([0.5])
    assert found.estimate == 0.5
    assert np.isnan(found.low)
    assert found.text() == "0.50 (1 seed)"


def test_mean_of_nothing_is_nan() -> None:
    assert np.isnan(mean_interval([np.nan]).estimate)
    assert mean_interval([]).num_seeds == 0


def test_paired_difference_by_hand() -> None:
    # Differences 0 and 1: resampled means 0, 0.5, 0.5, 1, so the 2.5 % and 97.5 % points are 0 and 1.
    found = paired_difference([1.0, 3.0], [1.0, 2.0])
    assert found == Interval(0.5, 0.0, 1.0, 2)


def test_paired_difference_knows_what_seeds_share() -> None:
    shared = np.array([0.0, 10.0, -5.0, 3.0])
    found = paired_difference(shared + 1.0, shared)
    assert (found.low, found.high) == pytest.approx((1.0, 1.0))


def test_paired_difference_of_one_seed_and_of_none() -> None:
    assert paired_difference([2.0], [0.5]).text() == "1.50 (1 seed)"
    assert np.isnan(paired_difference([np.nan], [0.5]).estimate)


def test_paired_difference_refuses_other_lengths() -> None:
    with pytest.raises(InvalidValueError, match="are not paired"):
        paired_difference([1.0, 2.0], [1.0])


def test_text_has_no_negative_zero() -> None:
    assert Interval(-0.001, -0.004, 0.0, 3).text() == "0.00 [0.00, 0.00]"
    assert Interval(-0.5, -0.52, -0.478, 3).text() == "−0.50 [−0.52, −0.48]"  # noqa: RUF001
