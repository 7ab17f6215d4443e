"""Projections onto the dual box and the round polytope, and the linear maximiser over the latter.

The round polytope is P_C = {n in [0, N_max]^M : sum n <= C}; its vertices are integral when N_max and C are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cerolab.allocation import Allocation
from cerolab.errors import InvalidValueError
from cerolab.rounding import comparable
from cerolab.types import FloatArray, IntArray


class TieOrder:
    """A fixed order of the pool in which ties are broken.

    Args:
        rank_M: a permutation of 0..M-1; of two prompts with equal scores the one with the smaller rank wins.

    Raises:
        InvalidValueError: not a permutation.
    """

    def __init__(self, rank_M: npt.ArrayLike):
        rank = np.asarray(rank_M)
        if rank.ndim != 1 or rank.dtype.kind not in "iu" or not is_permutation(rank):
            raise InvalidValueError("rank_M", list(rank.shape), "is no permutation of 0..M-1", "rank every prompt once")
        kind = np.int32 if rank.size < 2**31 else np.int64
        self.rank_M = rank.astype(kind)
        self.order_M = np.empty_like(self.rank_M)  # prompts by rank
        self.order_M[rank] = np.arange(rank.size, dtype=kind)

    def first_equal(self, score_M: FloatArray, value: float, count: int, share: float) -> IntArray:
        """The first ``count`` prompts in this order whose score is ``value``, where a share of the pool has it.

        Looks no further along the order than it must. At least ``count`` prompts must have the score.
        """
        found: list[IntArray] = []
        missing, start = count, 0
        while missing > 0:
            stop = start + int(1.2 * missing / share) + 1024
            ahead = self.order_M[start:stop]
            equal = ahead[score_M[ahead] == value][:missing].astype(np.int64)
            found.append(equal)
            missing, start = missing - equal.size, stop
        return np.concatenate(found) if found else np.empty(0, np.int64)


def is_permutation(rank: IntArray) -> bool:
    """Whether whole numbers [M] name each of 0..M-1 once."""
    within = rank.size == 0 or (rank.min() >= 0 and rank.max() < rank.size)
    return bool(within and (np.bincount(rank, minlength=rank.size) == 1).all())


_SAMPLE = 1 << 13  # scores looked at to guess a threshold


def top_scores(score_M: FloatArray, ties: TieOrder, count: int, floor: float | None = 0.0) -> IntArray:
    """Ids of the ``count`` largest scores above ``floor``, best first, ties by ``ties``.

    A large pool is cut at a threshold guessed from a sample, then partitioned; only the admitted prompts are sorted.
    ``floor=None`` makes every prompt eligible.

    Raises:
        InvalidValueError: a score is nan, which has no place in an order.
    """
    if count <= 0:
        return np.empty(0, np.int64)
    if np.isnan(score_M.min(initial=np.inf)):
        unknown = np.flatnonzero(np.isnan(score_M))
        raise InvalidValueError(
            "score_M", float("nan"), f"is the score of {unknown.size} prompts, {unknown[0]} first", "-inf keeps one out"
        )
    least = -np.inf if floor is None else floor
    guess = _guessed_threshold(score_M, count, least)
    chosen = (score_M > guess).nonzero()[0]
    if chosen.size < count and guess > least:
        share = np.count_nonzero(score_M == guess) / score_M.size
        if chosen.size + round(share * score_M.size) >= count:  # the guess is the threshold, many prompts share it
            chosen = np.concatenate([chosen, ties.first_equal(score_M, guess, count - chosen.size, share)])
        else:
            chosen = (score_M > least).nonzero()[0]
    score = score_M[chosen]
    if chosen.size > count:
        threshold = np.partition(score, chosen.size - count)[chosen.size - count]
        above, tied = (score > threshold).nonzero()[0], (score == threshold).nonzero()[0]
        missing = count - above.size
        if tied.size > missing:
            tied = tied[np.argpartition(ties.rank_M[chosen[tied]], missing - 1)[:missing]]
        kept = np.concatenate([above, tied])
        chosen, score = chosen[kept], score[kept]
    return chosen[np.lexsort((ties.rank_M[chosen], -score))]


def _guessed_threshold(score_M: FloatArray, count: int, least: float) -> float:
    """A score that somewhat more than ``count`` prompts are likely to exceed; ``least`` for small pools."""
    if score_M.size < 4 * _SAMPLE or 4 * count > score_M.size:
        return least
    sample = score_M[:: score_M.size // _SAMPLE]
    rank = int(1.2 * count / score_M.size * sample.size) + 32
    return max(least, float(np.partition(sample, sample.size - rank)[sample.size - rank]))


def fill_in_order(prompts: IntArray, max_units: int, units: int) -> IntArray:
    """Units of prompts served in order: max_units each while ``units`` last, the last may get the residual.

    Returns int64 [n] with n <= len(prompts), every entry >= 1.
    """
    full = min(prompts.size, units // max_units)
    residual = units - full * max_units if full < prompts.size else 0
    out = np.full(full + (residual > 0), max_units, dtype=np.int64)
    if residual:
        out[-1] = residual
    return out


def best_allocation(
    score_M: FloatArray, ties: TieOrder, capacity: int, max_units: int, floor: float | None = 0.0
) -> Allocation:
    """The integral maximiser of sum_i score_i * n_i over P_C, in priority order (8).

    Prompts with a positive score by decreasing score get max_units each while the capacity lasts; the last may get
    the residual. ``floor=None`` fills the capacity whatever the sign of the scores.
    """
    prompts = top_scores(score_M, ties, -(-capacity // max_units), floor)
    units = fill_in_order(prompts, max_units, capacity)
    return Allocation(prompts[: units.size], units)


def largest_increments(gain_AL: FloatArray, count: int) -> IntArray:
    """How many of the ``count`` largest gains lie in each row: the exact maximiser of a sum of concave values.

    Gains must not rise along a row, so that the largest ones of a row are its first. By partition, not by a heap.

    Args:
        gain_AL: gain of the l-th unit of each row; -inf where a row has no further unit.
        count: units to lay out; fewer where there are not as many.

    Returns:
        units int64 [A]. Of gains that are equal but for rounding the lower level is taken first, then the earlier row.
    """
    num_rows = gain_AL.shape[0]
    flat = comparable(gain_AL.T.ravel())  # by levels
    count = min(count, int(np.count_nonzero(flat > -np.inf)))
    if count <= 0:
        return np.zeros(num_rows, np.int64)
    threshold = np.partition(flat, flat.size - count)[flat.size - count]
    units = np.bincount((flat > threshold).nonzero()[0] % num_rows, minlength=num_rows)
    tied = np.flatnonzero(flat == threshold)[: count - int(units.sum())]
    return units + np.bincount(tied % num_rows, minlength=num_rows)
