"""Slopes and intervals against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.stats.curves import curve
from analysis.stats.intervals import (
    NO_INTERVAL,
    Interval,
    combined,
    fit_slope,
    jackknife,
    mean_interval,
    mean_intervals,
    paired_difference,
    welch_difference,
)
from cerolab.errors import InvalidValueError

HORIZONS = np.array([50, 100, 400, 1000])


@given(power=st.floats(-2, 2), scales=st.lists(st.floats(0.1, 10), min_size=1, max_size=6))
def test_slope_of_an_exact_power_law_is_its_exponent(power: float, scales: list[float]) -> None:
    found = fit_slope(HORIZONS, np.outer(scales, HORIZONS**power))
    assert found.estimate == pytest.approx(power, abs=1e-9)
    assert found.num_seeds == len(scales)
    if len(scales) > 1:
        # Whichever seed is left out, all its horizons go along, so that the slope is the same.
        assert found.low == pytest.approx(power, abs=1e-9)
        assert found.high == pytest.approx(power, abs=1e-9)


def test_slope_is_that_of_the_mean_not_the_mean_of_slopes() -> None:
    # Means 1 at K = 1 and (0.1 + 0.7) / 2 = 0.4 at K = 10: slope log10(0.4).
    found = fit_slope([1, 10], [[1.0, 0.1], [1.0, 0.7]])
    assert found.estimate == pytest.approx(math.log10(0.4))
    # Without one seed or the other: log10(0.7) and -1. Of two values a, b the jackknife's error is |a - b| / 2, and
    # t(0.975, 1) = 12.7062.
    half = 12.7062 * (math.log10(0.7) + 1) / 2
    assert (found.low, found.high) == pytest.approx((math.log10(0.4) - half, math.log10(0.4) + half), abs=1e-4)


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


def test_a_seed_without_which_regret_is_not_positive_leaves_no_interval() -> None:
    found = fit_slope([10, 100], [[1.0, 0.1], [1.0, -0.05], [1.0, 0.0]])
    assert found.estimate == pytest.approx(math.log10(0.05 / 3))
    assert np.isnan(found.low)


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
    # Differences 0 and 1: mean 0.5, error 0.5; t(0.975, 1) = 12.7062. t = 1 with one degree of freedom has p = 0.5.
    found = paired_difference([1.0, 3.0], [1.0, 2.0])
    assert (found.estimate, found.num_seeds) == (0.5, 2)
    assert (found.low, found.high) == pytest.approx((0.5 - 6.3531, 0.5 + 6.3531), abs=1e-4)
    assert found.p_value == pytest.approx(0.5)


SAMPLES = st.lists(st.floats(-100, 100), min_size=2, max_size=8).filter(lambda values: np.ptp(values) > 1e-3)


@given(first=SAMPLES, second=SAMPLES)
def test_intervals_and_p_values_are_scipys(first: list[float], second: list[float]) -> None:
    welch = stats.ttest_ind(first, second, equal_var=False)
    ends = welch.confidence_interval(0.95)
    found = welch_difference(first, second)
    assert (found.low, found.high, found.p_value) == pytest.approx(
        (ends.low, ends.high, welch.pvalue), rel=1e-6, abs=1e-9
    )
    alone = stats.ttest_1samp(first, 0.0)
    ends = alone.confidence_interval(0.95)
    found = mean_interval(first)
    assert (found.low, found.high, found.p_value) == pytest.approx(
        (ends.low, ends.high, alone.pvalue), rel=1e-6, abs=1e-9
    )


@given(first=SAMPLES, second=SAMPLES)
def test_the_jackknife_of_means_is_welchs_interval(first: list[float], second: list[float]) -> None:
    one, other = np.array(first), np.array(second)
    found = jackknife(lambda kept, also: float(one[kept].mean() - other[also].mean()), one.size, other.size)
    expected = welch_difference(first, second)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-6)


def test_a_sum_of_three_samples_by_hand() -> None:
    # Means 2, 5 and 1, variances of the means 1/3, 1 and 0: 2 - 5 + 2 * 1, error sqrt(4/3), with
    # (4/3)^2 / ((1/3)^2 / 2 + 1^2 / 1) = 1.6842 degrees of freedom.
    found = combined([(1.0, [1, 2, 3]), (-1.0, [4, 6]), (2.0, [1, 1])])
    assert found.estimate == pytest.approx(-1)
    assert found.half == pytest.approx(math.sqrt(4 / 3) * stats.t.ppf(0.975, 32 / 19))
    assert found.num_seeds == 2


def test_what_has_no_spread_is_certain() -> None:
    assert paired_difference([2.0, 3.0], [1.0, 2.0]) == Interval(1.0, 1.0, 1.0, 2, 0.0)
    assert paired_difference([2.0, 3.0], [2.0, 3.0]) == Interval(0.0, 0.0, 0.0, 2, 1.0)


def test_samples_of_none_and_of_one_have_no_interval() -> None:
    assert np.isnan(combined([(1.0, [1.0, 2.0]), (1.0, [])]).estimate)
    assert welch_difference([1.0, 2.0], [0.5]).text() == "1.00 (1 seed)"
    assert NO_INTERVAL.text() == "none"
    assert NO_INTERVAL.plus_minus() == ""


def test_the_sign_plus_minus_is_half_of_the_interval() -> None:
    found = mean_interval([1.0, 2.0, 3.0])
    assert found.plus_minus() == "2.00 ± 2.48"
    assert found.scaled(1000).plus_minus(1) == "2,000.0 ± 2,484.1"
    assert mean_interval([-1.0]).plus_minus() == "−1.00"  # noqa: RUF001


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


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_intervals_of_many_points_are_those_of_each(seeds: int) -> None:
    values_PS = np.random.default_rng(0).lognormal(size=(7, seeds))
    means, halves = mean_intervals(values_PS)
    each = [mean_interval(values) for values in values_PS]
    np.testing.assert_allclose(means, [one.estimate for one in each], rtol=1e-12)
    np.testing.assert_allclose(halves, [one.half for one in each], rtol=1e-12)


def test_a_curve_is_the_same_where_a_point_lacks_a_seed() -> None:
    """With as many seeds at every point all intervals are found at once, else one by one."""
    points = pd.DataFrame({"stage": [1, 0, 1, 0, 2, 2], "spent": [5, 0, 7, 0, 9, 11], "y": [1.0, 2, 3, 5, 8, 13]})
    whole, lacking = curve(points, "stage", "spent", "y"), curve(points.iloc[:-1], "stage", "spent", "y")
    assert whole.x.tolist() == [0, 6, 10]
    assert lacking.x.tolist() == [0, 6, 9]
    for name in ("mean", "low", "high"):
        np.testing.assert_allclose(getattr(whole, name)[:2], getattr(lacking, name)[:2], rtol=1e-12)
    assert np.isnan(lacking.high[2])
