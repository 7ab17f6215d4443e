"""Rank correlation of two sources' allocators in one score, and how far single seeds move it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from analysis.data.types import FloatArray
from analysis.stats.intervals import signed

_FEWEST = 3  # of two allocators the order agrees or it does not


class Range(NamedTuple):
    """A coefficient over all seeds, and its least and most when one seed of one source is left out.

    No confidence interval: ranks jump where means change places, so that neither resampling nor a jackknife of a few
    seeds covers what it promises.
    """

    all_seeds: float
    least: float
    most: float

    def text(self) -> str:
        """``0.86 (0.71 to 0.89 without single seeds)``."""
        value = signed(self.all_seeds, 2)
        if np.isnan(self.least):
            return value
        return f"{value} ({signed(self.least, 2)} to {signed(self.most, 2)} without single seeds)"


@dataclass(frozen=True, slots=True)
class Ranks:
    """How alike two sources rank some allocators.

    Attributes:
        methods: the allocators.
        spearman, kendall: coefficients in [-1, 1] of the means over seeds; nan for fewer than three allocators or where
            all are equal.
        p_value: of Kendall's coefficient, two-sided, were the order random; exact where no two means are equal.
    """

    methods: tuple[str, ...]
    spearman: Range
    kendall: Range
    p_value: float

    @property
    def same_by_chance(self) -> float:
        """Chance that as many allocators in random order are ranked alike, 1 / A!."""
        return 1.0 / math.factorial(len(self.methods))


def rank_agreement(measured: pd.DataFrame, predicted: pd.DataFrame, methods: Sequence[str]) -> Ranks:
    """Rank correlation over ``methods``.

    Args:
        measured, predicted: a row a seed, a column an allocator; nan where there is no such run.
        methods: columns of both.
    """
    ours_SA, theirs_SA = (table[list(methods)].to_numpy(np.float64) for table in (measured, predicted))
    ours_A, theirs_A = _means(ours_SA), _means(theirs_SA)
    found = _coefficients(ours_A, theirs_A)
    without = [_coefficients(_means(np.delete(ours_SA, seed, axis=0)), theirs_A) for seed in range(len(ours_SA))]
    without += [_coefficients(ours_A, _means(np.delete(theirs_SA, seed, axis=0))) for seed in range(len(theirs_SA))]
    ends = [np.stack(without).min(axis=0), np.stack(without).max(axis=0)]  # nan where some allocator has one seed
    spearman, kendall = (Range(float(found[i]), float(ends[0][i]), float(ends[1][i])) for i in (0, 1))
    p_value = float(stats.kendalltau(ours_A, theirs_A).pvalue) if len(methods) > 1 else float("nan")
    return Ranks(tuple(methods), spearman, kendall, p_value)


def _coefficients(ours_A: FloatArray, theirs_A: FloatArray) -> FloatArray:
    """Spearman's and Kendall's coefficient [2]; nan for too few allocators, a mean that is nan, or all equal."""
    sides = (ours_A, theirs_A)
    if ours_A.size < _FEWEST or any(np.isnan(side).any() or not np.ptp(side) for side in sides):
        return np.full(2, np.nan)
    return np.array([stats.spearmanr(*sides).statistic, stats.kendalltau(*sides).statistic])


def _means(values_SA: FloatArray) -> FloatArray:
    """Means [A] over the seeds [S, A] that there are; nan where there is none."""
    known = ~np.isnan(values_SA)
    with np.errstate(invalid="ignore"):
        return np.where(known, values_SA, 0.0).sum(axis=0) / known.sum(axis=0)
