"""What responses cost in tokens: expected from those seen so far, and spent at an even pace of tokens."""

from __future__ import annotations

import math

import numpy as np

from cerolab.allocation import Allocation
from cerolab.problem import AllocationProblem
from cerolab.rounding import SLACK
from cerolab.types import FloatArray, IntArray

_PRIOR_RESPONSES = 4.0  # that the pool's mean counts for in the mean of a prompt


def expected_unit_tokens(tokens_M: IntArray, exposure_M: IntArray, problem: AllocationProblem) -> FloatArray:
    """w [M], expected tokens of a unit: the mean of a prompt's responses, drawn towards the mean over visited prompts.

    A prompt counts once in that mean, however often it was visited: those with short responses are visited more.
    Before the first response it is the most that a unit can cost.

    Args:
        tokens_M: tokens that each prompt's responses have had.
        exposure_M: its units.
        problem: with a token budget.
    """
    g = problem.responses_per_unit
    seen = exposure_M > 0
    if not seen.any():
        return np.full(exposure_M.size, float(problem.most_unit_tokens))
    # A token a response at least: engines need not count the end of the text.
    pool = max(float((tokens_M[seen] / (exposure_M[seen] * g)).mean()), 1.0)
    mean_M = (tokens_M + _PRIOR_RESPONSES * pool) / (exposure_M * g + _PRIOR_RESPONSES)
    expected: FloatArray = g * mean_M
    return expected


def round_tokens(remaining_tokens: int, rounds_left: int, mean_cost: float, problem: AllocationProblem) -> float:
    """Tokens to spend in this round at an even pace over those left.

    A wave is only booked where its longest responses could be paid for, so with r = longest / mean a round near the end
    can spend just 1/r of what is left: the pace is to be through 2 (r - 1) rounds early, and these use up the rest.
    """
    slow = 2 * (math.ceil(problem.most_unit_tokens / mean_cost - SLACK) - 1)
    return remaining_tokens / max(1, rounds_left - slow)


def first_within(allocation: Allocation, cost_M: FloatArray, tokens: float) -> Allocation:
    """What is expected to cost at most ``tokens`` of an allocation, in priority order.

    Args:
        allocation: whole groups, the last may be smaller.
        cost_M: expected tokens of a unit.
        tokens: to spend.
    """
    cost_A = cost_M[allocation.prompts]
    ends_A = np.cumsum(allocation.units * cost_A)
    tokens *= 1.0 + SLACK  # groups that cost just as much fit, however their sum is rounded
    full = int(np.searchsorted(ends_A, tokens, side="right"))
    if full == allocation.num_groups:
        return allocation
    over = tokens - (float(ends_A[full - 1]) if full else 0.0)
    return allocation.first(int(allocation.units[:full].sum()) + int(over / cost_A[full]))
