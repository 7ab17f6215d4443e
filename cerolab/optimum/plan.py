"""Laying a terminal exposure out over the rounds (CERO, arXiv 2606.05606, app. C.2, eq. 23)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from cerolab.types import IntArray


def feasible_plan(exposure_M: IntArray, num_rounds: int) -> list[tuple[IntArray, IntArray]]:
    """A round-by-round plan for integer exposures: prompt after prompt, the r-th unit in round 1 + (r-1) mod K (23).

    Every round gets at most ceil(sum/K) units, and a prompt at most ceil(exposure/K) of them: feasible for (1)
    whenever exposure <= Z and sum <= B.

    Returns:
        K pairs (prompts int64 [A], units int64 [A]), prompts increasing.
    """
    round_, prompt, units = _laid_out(np.asarray(exposure_M, np.int64), num_rounds)
    order = np.lexsort((prompt, round_))
    edges = np.searchsorted(round_[order], np.arange(num_rounds + 1))
    prompt, units = prompt[order], units[order]
    return [(prompt[a:b], units[a:b]) for a, b in pairwise(edges)]


def first_round_of_plan(exposure_M: IntArray, num_rounds: int) -> IntArray:
    """int64 [M]: what ``feasible_plan`` does in its first round, without building the others."""
    ends = np.cumsum(exposure_M)
    # Units r = 0, K, 2K, ... belong to round 1: count those in [start, end).
    return -(-ends // num_rounds) + (-(ends - exposure_M) // num_rounds)


def _laid_out(exposure_M: IntArray, num_rounds: int) -> tuple[IntArray, IntArray, IntArray]:
    """(round, prompt, units) of the plan (23), one entry for each pair that meets."""
    whole, rest = np.divmod(exposure_M, num_rounds)
    starts = np.cumsum(exposure_M) - exposure_M
    every = np.flatnonzero(whole)  # these prompts appear in every round
    some = np.flatnonzero((whole == 0) & (rest > 0))
    prompt_all = np.repeat(every, num_rounds)
    round_all = np.tile(np.arange(num_rounds), every.size)
    shift = (round_all - np.repeat(starts[every], num_rounds)) % num_rounds
    units_all = np.repeat(whole[every], num_rounds) + (shift < np.repeat(rest[every], num_rounds))
    prompt_some = np.repeat(some, rest[some])
    within = np.arange(prompt_some.size) - np.repeat(np.cumsum(rest[some]) - rest[some], rest[some])
    round_some = (starts[prompt_some] + within) % num_rounds
    return (
        np.concatenate([round_all, round_some]),
        np.concatenate([prompt_all, prompt_some]),
        np.concatenate([units_all, np.ones(prompt_some.size, np.int64)]),
    )
