"""Slopes, means and differences over seeds, each with a 95 % interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from cerolab.errors import InvalidValueError

FloatArray = npt.NDArray[np.float64]
LEVEL = 0.95
_NO_INTERVAL = float("nan")


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval over seeds; low and high are nan for fewer than two seeds."""

    estimate: float
    low: float
    high: float
    num_seeds: int

    def text(self, digits: int = 2) -> str:
        """``-0.50 [-0.52, -0.48]``, or the estimate and "1 seed" where there is no interval."""
        if np.isnan(self.estimate):
            return "none"
        if np.isnan(self.low):
            seeds = "1 seed" if self.num_seeds == 1 else f"{self.num_seeds} seeds"
            return f"{signed(self.estimate, digits)} ({seeds})"
        low, high = signed(self.low, digits), signed(self.high, digits)
        return f"{signed(self.estimate, digits)} [{low}, {high}]"


def mean_interval(values: npt.ArrayLike) -> Interval:
    """Mean of the values of independent seeds [S], with Student's t-interval; nan values are left out."""
    values_S = np.asarray(values, np.float64)
    values_S = values_S[~np.isnan(values_S)]
    count = values_S.size
    if count == 0:
        return Interval(float("nan"), _NO_INTERVAL, _NO_INTERVAL, 0)
    mean = float(values_S.mean())
    if count == 1:
        return Interval(mean, _NO_INTERVAL, _NO_INTERVAL, 1)
    error = float(values_S.std(ddof=1)) / np.sqrt(count)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, count - 1)) * error
    return Interval(mean, mean - half, mean + half, count)


def plus_minus(values: npt.ArrayLike, digits: int | None = 2) -> str:
    """``13.36 ± 0.33``, mean and standard deviation over seeds; without the latter for one seed, "" for none.

    Args:
        values: one a seed [S].
        digits: after the point; None: three significant ones of the mean, none for whole numbers.
    """
    values_S = np.asarray(values, np.float64)
    if not values_S.size:
        return ""
    mean = float(values_S.mean())
    if digits is None:
        whole = bool((values_S == np.round(values_S)).all())
        digits = 0 if whole or mean == 0 else max(0, 2 - int(np.floor(np.log10(abs(mean)))))
        digits = max(digits, 1) if values_S.size > 1 and whole and np.ptp(values_S) else digits
    text = signed(mean, digits)
    return text if values_S.size == 1 else f"{text} ± {values_S.std(ddof=1):,.{digits}f}"


def paired_difference(first: npt.ArrayLike, second: npt.ArrayLike) -> Interval:
    """Mean of first - second over seeds [S], with a percentile-bootstrap interval over seeds.

    The two methods met the same prompts and the same coins under each seed, so seeds are resampled with both.
    With few seeds the interval is somewhat narrow; with two it is the two differences themselves.
    """
    first_S, second_S = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first_S.shape != second_S.shape or first_S.ndim != 1:
        raise InvalidValueError(
            "first, second", (first_S.shape, second_S.shape), "are not paired", "give one value a seed, in one order"
        )
    known = ~(np.isnan(first_S) | np.isnan(second_S))
    difference_S = (first_S - second_S)[known]
    count = difference_S.size
    if count == 0:
        return Interval(float("nan"), _NO_INTERVAL, _NO_INTERVAL, 0)
    if count == 1:
        return Interval(float(difference_S[0]), _NO_INTERVAL, _NO_INTERVAL, 1)
    low, high = _bootstrap(lambda drawn, axis: difference_S[drawn].mean(axis=axis), count)
    return Interval(float(difference_S.mean()), low, high, count)


def fit_slope(horizons: npt.ArrayLike, values_by_seed: npt.ArrayLike) -> Interval:
    """Least-squares slope of log(mean regret over seeds) on log K, with a percentile-bootstrap interval over seeds.

    Why seeds are resampled and no t-interval is taken over the points of the line: a seed's pool and coins are the
    same at every K, so the points' errors hang together, and the departures from a straight line are curvature, not
    noise. A resampled seed brings all its horizons along (paired). The interval says how sure the slope over *these*
    horizons is, not that it will stay so beyond them.

    Args:
        horizons: K, rounds [K].
        values_by_seed: regret [S, K], any unit.

    Returns:
        The slope; nan where there are fewer than two horizons or a mean regret is not positive.
    """
    log_K = np.log(np.asarray(horizons, np.float64))
    values_SK = np.asarray(values_by_seed, np.float64)
    if values_SK.ndim != 2 or values_SK.shape[1:] != log_K.shape:
        raise InvalidValueError(
            "values_by_seed", values_SK.shape, "is not [seeds, horizons]", f"give [S, {log_K.size}] values"
        )
    count = values_SK.shape[0]
    if count == 0 or np.unique(log_K).size < 2 or not (values_SK.mean(axis=0) > 0).all():
        return Interval(float("nan"), _NO_INTERVAL, _NO_INTERVAL, count)
    weight_K = (log_K - log_K.mean()) / np.square(log_K - log_K.mean()).sum()

    def slope(drawn: npt.NDArray[np.int64], axis: int) -> Any:
        means = values_SK[drawn].mean(axis=axis - 1 if axis < 0 else axis)  # [..., S, K] -> [..., K]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(means) @ weight_K

    estimate = float(slope(np.arange(count), -1))
    if count == 1:
        return Interval(estimate, _NO_INTERVAL, _NO_INTERVAL, 1)
    low, high = _bootstrap(slope, count)
    return Interval(estimate, low, high, count)


def _bootstrap(statistic: Any, num_seeds: int) -> tuple[float, float]:
    """Percentile interval of ``statistic(indices of seeds, axis)``; the same resamples every time."""
    found = stats.bootstrap(
        (np.arange(num_seeds),), statistic, confidence_level=LEVEL, method="percentile", vectorized=True, rng=0
    ).confidence_interval
    return float(found.low), float(found.high)


def signed(number: float, digits: int) -> str:
    """Fixed digits, with a true minus sign, and none before zero."""
    return f"{round(number, digits) + 0.0:,.{digits}f}".replace("-", "\N{MINUS SIGN}")
