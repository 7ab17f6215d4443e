"""Rank correlation of two sources' allocators in one score, with its interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from analysis.statistics import LEVEL, FloatArray, Interval

_RESAMPLES = 1000
_FEWEST = 3  # of two allocators the order agrees or it does not


@dataclass(frozen=True, slots=True)
class Ranks:
    """How alike two sources rank some allocators.

    Attributes:
        methods: the allocators.
        spearman, kendall: coefficients in [-1, 1] of the means over seeds, with percentile-bootstrap intervals; nan for
            fewer than three allocators or where all are equal. Their num_seeds: the fewest that an allocator has.
        p_value: of Kendall's coefficient, two-sided, were the order random; exact where no two means are equal.
    """

    methods: tuple[str, ...]
    spearman: Interval
    kendall: Interval
    p_value: float

    @property
    def same_by_chance(self) -> float:
        """Chance that as many allocators in random order are ranked alike, 1 / A!."""
        return 1.0 / math.factorial(len(self.methods))


def rank_agreement(measured: pd.DataFrame, predicted: pd.DataFrame, methods: Sequence[str]) -> Ranks:
    """Rank correlation over ``methods``.

    Seeds are resampled within each source, all allocators of a seed together, since they met the same prompts. Draws
    in which an allocator has no seed are left out.

    Args:
        measured, predicted: a row a seed, a column an allocator; nan where there is no such run.
        methods: columns of both.
    """
    ours_SA, theirs_SA = (table[list(methods)].to_numpy(np.float64) for table in (measured, predicted))
    fewest = int(min((~np.isnan(side)).sum(axis=0).min() for side in (ours_SA, theirs_SA)))
    rng = np.random.default_rng(0)
    found = _coefficients(_means(ours_SA), _means(theirs_SA))
    drawn = _coefficients(_means(_resampled(ours_SA, rng)), _means(_resampled(theirs_SA, rng)))
    low, high = np.full(2, np.nan), np.full(2, np.nan)
    if fewest > 1 and not np.isnan(found).any():
        low, high = np.nanquantile(drawn, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
    spearman, kendall = (Interval(float(found[i]), float(low[i]), float(high[i]), fewest) for i in (0, 1))
    p_value = float(stats.kendalltau(_means(ours_SA), _means(theirs_SA)).pvalue) if len(methods) > 1 else float("nan")
    return Ranks(tuple(methods), spearman, kendall, p_value)


def _coefficients(ours_A: FloatArray, theirs_A: FloatArray) -> FloatArray:
    """Spearman's and Kendall's coefficient [..., 2] of allocators [..., A]; nan where a mean is, or all are equal."""
    if ours_A.shape[-1] < _FEWEST:
        return np.full((*ours_A.shape[:-1], 2), np.nan)
    ours, theirs = (stats.rankdata(side, axis=-1, nan_policy="propagate") for side in (ours_A, theirs_A))
    by_rank = _cosine(*(ranks - ranks.mean(axis=-1, keepdims=True) for ranks in (ours, theirs)))
    signs = (np.sign(ranks[..., :, None] - ranks[..., None, :]) for ranks in (ours, theirs))
    by_pair = _cosine(*(sign.reshape(*sign.shape[:-2], -1) for sign in signs))
    return np.stack([by_rank, by_pair], axis=-1)


def _cosine(ours: FloatArray, theirs: FloatArray) -> FloatArray:
    """Of the last axis; nan where a side is zero."""
    with np.errstate(invalid="ignore"):
        return (ours * theirs).sum(axis=-1) / np.sqrt((ours**2).sum(axis=-1) * (theirs**2).sum(axis=-1))


def _means(values_SA: FloatArray) -> FloatArray:
    """Means [..., A] over the seeds [..., S, A] that there are; nan where there is none."""
    known = ~np.isnan(values_SA)
    with np.errstate(invalid="ignore"):
        return np.where(known, values_SA, 0.0).sum(axis=-2) / known.sum(axis=-2)


def _resampled(values_SA: FloatArray, rng: np.random.Generator) -> FloatArray:
    """[R, S, A] seeds drawn with replacement, so often."""
    count = len(values_SA)
    return values_SA[rng.integers(count, size=(_RESAMPLES, count))]
