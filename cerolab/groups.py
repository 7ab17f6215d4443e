"""The groups of a round: what a prompt got in all its waves is one group, and teaches where its rewards differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cerolab.allocation import Allocation, Feedback, Wave
from cerolab.types import BoolArray, FloatArray


def contrast(num_responses: FloatArray, reward_sum: FloatArray, reward_sq_sum: FloatArray) -> BoolArray:
    """Whether the rewards of a group are not all the same; of binary rewards the sum of squares is the sum."""
    return reward_sq_sum * num_responses - reward_sum**2 > 1e-9 * num_responses


def mixed_groups(wave: Wave) -> BoolArray:
    """bool [A]: groups whose rewards are not all the same, which alone carry an advantage."""
    n = np.asarray(wave.feedback.num_responses, np.float64)
    total = np.asarray(wave.feedback.reward_sum, np.float64)
    squares = wave.feedback.reward_sq_sum
    if squares is None:
        return (total > 0) & (total < n)
    return contrast(n, total, np.asarray(squares, np.float64))


def whole_groups(waves: Sequence[Wave]) -> Wave:
    """The waves of a round as one: every prompt once, where it came first, with all its units and responses."""
    if not waves:
        return Wave(Allocation.empty(), Feedback([], []))
    if len(waves) == 1:
        return waves[0]
    prompts = np.concatenate([wave.allocation.prompts for wave in waves])
    ids, first, group = np.unique(prompts, return_index=True, return_inverse=True)
    order = np.argsort(first)

    def total(parts: list[Any]) -> FloatArray:
        summed = np.bincount(group, np.concatenate(parts).astype(np.float64), minlength=ids.size)
        return summed[order].astype(np.float64)

    feedback = [wave.feedback for wave in waves]
    sums = [np.asarray(given.reward_sum) for given in feedback]
    squares = None
    if any(given.reward_sq_sum is not None for given in feedback):
        pairs = zip(feedback, sums, strict=True)
        squares = total([s if given.reward_sq_sum is None else given.reward_sq_sum for given, s in pairs])
    units = total([wave.allocation.units for wave in waves]).astype(np.int64)
    responses = total([given.num_responses for given in feedback])
    return Wave(Allocation(ids[order], units), Feedback(responses, total(sums), squares))


def mixed_prompts(round_feedback: Sequence[Wave]) -> BoolArray:
    """bool [groups of the round, in wave order]: whether the prompt's rewards of the whole round are mixed."""
    whole = whole_groups(round_feedback)
    mixed = whole.allocation.prompts[mixed_groups(whole)]
    prompts = [wave.allocation.prompts for wave in round_feedback] or [mixed]
    return np.isin(np.concatenate(prompts), mixed)
