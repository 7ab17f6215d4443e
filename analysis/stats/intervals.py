"""Slopes, means and differences over seeds: 95 % t-intervals, p-values, and Holm's correction for several of them.

Every interval is of one kind: estimate ± t * error, the error from the spread of independent seeds, t of Student's
distribution with Welch and Satterthwaite's degrees of freedom. Of 3, 5 or 10 seeds of normal data it covers 95 %; of
data as skewed as a lognormal of sigma 1 it covers 84, 82 and 84 % (``tests/test_coverage.py``), where a percentile
bootstrap has 64, 73 and 80 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.data.types import FloatArray, IntArray
from cerolab.errors import InvalidValueError

LEVEL = 0.95
PLUS_MINUS = "±: half of the 95 % t-interval over seeds"  # in every caption, the one meaning that the sign has
_NONE = float("nan")


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval over seeds; low, high and p-value are nan for fewer than two seeds.

    Attributes:
        estimate, low, high: in the unit of the values.
        num_seeds: behind it; of several samples, the fewest.
        p_value: two-sided, were the true value zero; corrected for nothing.
    """

    estimate: float
    low: float
    high: float
    num_seeds: int
    p_value: float = _NONE

    @property
    def half(self) -> float:
        """Half of the interval's width, what follows the sign ±."""
        return self.high - self.estimate

    def scaled(self, factor: float) -> Interval:
        """In another unit; ``factor`` > 0."""
        estimate, low, high = (factor * end for end in (self.estimate, self.low, self.high))
        return Interval(estimate, low, high, self.num_seeds, self.p_value)

    def text(self, digits: int = 2) -> str:
        """``-0.50 [-0.52, -0.48]``, or the estimate and "1 seed" where there is no interval."""
        if np.isnan(self.estimate):
            return "none"
        if np.isnan(self.low):
            seeds = "1 seed" if self.num_seeds == 1 else f"{self.num_seeds} seeds"
            return f"{signed(self.estimate, digits)} ({seeds})"
        low, high = signed(self.low, digits), signed(self.high, digits)
        return f"{signed(self.estimate, digits)} [{low}, {high}]"

    def plus_minus(self, digits: int | None = 2) -> str:
        """``13.36 ± 0.33``; the estimate alone where there is no interval, "" where there is none.

        Args:
            digits: after the point; None: three significant ones of the estimate.
        """
        if np.isnan(self.estimate):
            return ""
        if digits is None:
            digits = max(0, 2 - int(np.floor(np.log10(abs(self.estimate))))) if self.estimate else 0
        text = signed(self.estimate, digits)
        return text if np.isnan(self.half) else f"{text} ± {self.half:,.{digits}f}"


NO_INTERVAL = Interval(_NONE, _NONE, _NONE, 0)


def mean_interval(values: npt.ArrayLike) -> Interval:
    """Mean of the values of independent seeds [S]; nan values are left out."""
    return combined([(1.0, values)])


def mean_intervals(values: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """``mean_interval`` of every row of [P, S] known values: the means [P], and halves of the intervals [P]."""
    values_PS = np.asarray(values, np.float64)
    means, count = values_PS.mean(axis=1), values_PS.shape[1]
    if count < 2:
        return means, np.full(means.shape, _NONE)
    return means, special.stdtrit(count - 1, 0.5 + LEVEL / 2) * np.sqrt(values_PS.var(axis=1, ddof=1) / count)


def paired_difference(first: npt.ArrayLike, second: npt.ArrayLike) -> Interval:
    """Mean of first - second, seed by seed [S]; a seed that lacks one of them is left out.

    For runs that share their luck: in the simulator two methods meet the same prompts and coins under each seed.
    """
    first_S, second_S = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first_S.shape != second_S.shape or first_S.ndim != 1:
        raise InvalidValueError(
            "first, second", (first_S.shape, second_S.shape), "are not paired", "give one value a seed, in one order"
        )
    return mean_interval(first_S - second_S)


def welch_difference(first: npt.ArrayLike, second: npt.ArrayLike) -> Interval:
    """Difference of the means of two samples with seeds of their own [S], [T], by Welch's t; nan values are left out.

    For runs whose seeds share no luck: two trainings part after the first update, whatever their seeds.
    """
    return combined([(1.0, first), (-1.0, second)])


def combined(terms: Sequence[tuple[float, npt.ArrayLike]]) -> Interval:
    """Sum of factor * mean over samples that are independent of each other, each with seeds of its own.

    Args:
        terms: factor and values of each sample; nan values are left out.
    """
    samples = [np.asarray(values, np.float64) for _, values in terms]
    samples = [values[~np.isnan(values)] for values in samples]
    counts = [values.size for values in samples]
    if min(counts) == 0:
        return NO_INTERVAL
    factors = [factor for factor, _ in terms]
    estimate = sum(factor * float(values.mean()) for factor, values in zip(factors, samples, strict=True))
    if min(counts) == 1:
        return Interval(estimate, _NONE, _NONE, 1)
    variances = [
        factor**2 * float(values.var(ddof=1)) / values.size for factor, values in zip(factors, samples, strict=True)
    ]
    return _interval(estimate, variances, counts)


def jackknife(statistic: Callable[..., float], *counts: int) -> Interval:
    """A smooth statistic of one or more independent samples, with its jackknife-t interval (Efron & Stein 1981).

    Args:
        statistic: of the indices of the seeds that are kept, one array a sample.
        counts: seeds of each sample.

    Returns:
        The statistic of all seeds; without an interval where it is undefined (nan) once some seed is left out.
    """
    everyone = [np.arange(count) for count in counts]
    estimate = statistic(*everyone)
    if min(counts) < 2 or np.isnan(estimate):
        return Interval(estimate, _NONE, _NONE, min(counts))
    variances = []
    for place, kept in enumerate(everyone):
        without = np.array([statistic(*everyone[:place], np.delete(kept, i), *everyone[place + 1 :]) for i in kept])
        variances.append(float((kept.size - 1) * without.var()))
    if np.isnan(variances).any():
        return Interval(estimate, _NONE, _NONE, min(counts))
    return _interval(estimate, variances, counts)


def ratio_of_means(first: npt.ArrayLike, second: npt.ArrayLike) -> Interval:
    """Mean of first over mean of second, two samples that are independent of each other, [S] and [T]; both positive.

    Of samples of 3 to 10 values that spread by up to a third of their means it covers 95 to 97 %. Without a p-value:
    that a ratio is not zero is no news.
    """
    first_S, second_T = (np.asarray(values, np.float64) for values in (first, second))
    if not first_S.size or not second_T.size:
        return NO_INTERVAL
    found = jackknife(lambda i, j: float(first_S[i].mean() / second_T[j].mean()), first_S.size, second_T.size)
    return replace(found, p_value=_NONE)


def fit_slope(horizons: npt.ArrayLike, values_by_seed: npt.ArrayLike) -> Interval:
    """Least-squares slope of log(mean regret over seeds) on log K, with its jackknife-t interval over seeds.

    Why seeds are left out and no t-interval is taken over the points of the line: a seed's pool and coins are the
    same at every K, so the points' errors hang together, and the departures from a straight line are curvature, not
    noise. A seed goes with all its horizons. The interval says how sure the slope over *these* horizons is, not that
    it will stay so beyond them.

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
        return Interval(_NONE, _NONE, _NONE, count)
    weight_K = (log_K - log_K.mean()) / np.square(log_K - log_K.mean()).sum()

    def slope(kept: IntArray) -> float:
        means_K = values_SK[kept].mean(axis=0)
        return float(np.log(means_K) @ weight_K) if (means_K > 0).all() else _NONE

    return jackknife(slope, count)


def holm(p_values: Iterable[float]) -> FloatArray:
    """P-values after Holm's step-down correction (1979), in their order: at most ``alpha`` of them at or below alpha.

    Whatever the p-values have to do with each other, the chance that any true hypothesis has a corrected one of at
    most alpha is at most alpha. A nan, where nothing was tested, stays and does not count.
    """
    given = np.asarray(list(p_values), np.float64)
    tested = np.flatnonzero(~np.isnan(given))
    order = tested[np.argsort(given[tested], kind="stable")]
    found = np.full(given.size, np.nan)
    found[order] = np.minimum(np.maximum.accumulate(given[order] * np.arange(order.size, 0, -1)), 1.0)
    return found


def plus_minus(values: npt.ArrayLike, digits: int | None = 2) -> str:
    """``13.36 ± 0.33``, mean and half of its 95 % t-interval over seeds; without it for one seed, "" for none.

    Args:
        values: one a seed [S].
        digits: after the point; None: three significant ones of the mean, none for whole numbers.
    """
    values_S = np.asarray(values, np.float64)
    if not values_S.size:
        return ""
    found = mean_interval(values_S)
    if digits is None and (values_S == np.round(values_S)).all():
        digits = 1 if np.ptp(values_S) else 0
    return found.plus_minus(digits)


def _interval(estimate: float, variances: Sequence[float], counts: Sequence[int]) -> Interval:
    """From the variance of each independent part of an estimate, known from so many seeds (Satterthwaite 1946)."""
    total = sum(variances)
    if total == 0.0:
        return Interval(estimate, estimate, estimate, min(counts), 0.0 if estimate else 1.0)
    parts = [(variance / total) ** 2 / (count - 1) for variance, count in zip(variances, counts, strict=True)]
    degrees, error = 1.0 / sum(parts), float(np.sqrt(total))
    half = error * float(special.stdtrit(degrees, 0.5 + LEVEL / 2))
    p_value = 2.0 * float(special.stdtr(degrees, -abs(estimate) / error))
    return Interval(estimate, estimate - half, estimate + half, min(counts), p_value)


def signed(number: float, digits: int) -> str:
    """Fixed digits, with a true minus sign, and none before zero."""
    return f"{round(number, digits) + 0.0:,.{digits}f}".replace("-", "\N{MINUS SIGN}")
