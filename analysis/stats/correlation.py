"""How closely predictions follow what was then observed: Pearson's and Spearman's correlation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.stats.intervals import signed

_FEWEST = 3  # through two points there is always a line
_ROUNDING = 1e-9  # relative; a side that varies by less is constant


class Correlation(NamedTuple):
    """Coefficients in [-1, 1] over so many points; nan for fewer than three, or where one side is constant."""

    pearson: float
    spearman: float
    points: int


def correlate(first: npt.ArrayLike, second: npt.ArrayLike) -> Correlation:
    """Correlation of two rows of values [P]; a point with a nan on either side is left out."""
    pairs = np.column_stack([np.asarray(first, np.float64), np.asarray(second, np.float64)])
    x, y = pairs[~np.isnan(pairs).any(axis=1)].T
    if x.size < _FEWEST or any(np.ptp(side) <= _ROUNDING * np.abs(side).max() for side in (x, y)):
        return Correlation(float("nan"), float("nan"), x.size)
    return Correlation(float(stats.pearsonr(x, y).statistic), float(stats.spearmanr(x, y).statistic), x.size)


def coefficient(value: float) -> str:
    """``0.97``, or "undefined"."""
    return "undefined" if np.isnan(value) else signed(value, 2)
