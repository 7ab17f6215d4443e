"""Checking that feedback answers an allocation, before any state is touched."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cerolab.allocation import Allocation, Feedback
from cerolab.errors import InvalidValueError
from cerolab.problem import AllocationProblem
from cerolab.types import BoolArray, FloatArray

_ROUNDING = 1e-6  # a response: how far graded sums may be off that were taken in float32


class CheckedFeedback(NamedTuple):
    """Feedback as float64 arrays [A]; for binary rewards ``reward_sq_sum`` equals ``reward_sum``.

    Sums of graded rewards that are beside what can be by float32's rounding only are what can be.

    ``num_tokens`` is None where it was not given, which only a problem without a token budget allows.
    """

    num_responses: FloatArray
    reward_sum: FloatArray
    reward_sq_sum: FloatArray
    binary: bool
    num_tokens: FloatArray | None = None


def validated(allocation: Allocation, feedback: Feedback, problem: AllocationProblem) -> CheckedFeedback:
    """The feedback as arrays, or an error that names the field, the prompt and the remedy.

    Raises:
        InvalidValueError: a wrong length, a value that is not finite or negative, a number of graded responses
            that is not whole or above g * units, more successes than responses, fractional sums without
            ``reward_sq_sum``, tokens that are not whole or above ``max_tokens`` a response, or a token budget and no
            tokens.
    """
    num_responses = _vector("num_responses", feedback.num_responses, allocation)
    reward_sum = _vector("reward_sum", feedback.reward_sum, allocation)
    expected = allocation.units * problem.responses_per_unit
    binary = feedback.reward_sq_sum is None
    squares = reward_sum if binary else _vector("reward_sq_sum", feedback.reward_sq_sum, allocation)
    if not binary:
        reward_sum = _snapped(reward_sum, num_responses, num_responses)
        squares = _snapped(squares, reward_sum, num_responses)
    # One pass in the good case; comparisons with nan are false.
    good = (
        (num_responses <= expected)
        & (num_responses == np.floor(num_responses))
        & (reward_sum >= 0)
        & (reward_sum <= num_responses)
    )
    good &= reward_sum == np.floor(reward_sum) if binary else _squares_fit(num_responses, reward_sum, squares)
    if not good.all():
        _explain(allocation, problem, num_responses, reward_sum, None if binary else squares)
    return CheckedFeedback(num_responses, reward_sum, squares, binary, _tokens(allocation, feedback, problem))


def _tokens(allocation: Allocation, feedback: Feedback, problem: AllocationProblem) -> FloatArray | None:
    if feedback.num_tokens is None:
        if problem.token_budget is not None and allocation.num_groups:
            raise InvalidValueError(
                "num_tokens",
                None,
                f"is missing under token_budget={problem.token_budget}",
                "give the generated tokens of every group: Feedback(..., num_tokens=[...])",
            )
        return None
    num_tokens = _vector("num_tokens", feedback.num_tokens, allocation)
    most = allocation.units * problem.most_unit_tokens if problem.max_tokens is not None else np.inf
    _require(
        (num_tokens >= 0) & (num_tokens < np.inf) & (num_tokens <= most) & (num_tokens == np.floor(num_tokens)),
        "num_tokens",
        num_tokens,
        allocation,
        "is no whole number >= 0"
        + (f" up to {problem.max_tokens} a response" if problem.max_tokens is not None else ""),
        "count the tokens of every response of the group, cut off at max_tokens",
    )
    return num_tokens


def _squares_fit(num_responses: FloatArray, reward_sum: FloatArray, squares: FloatArray) -> BoolArray:
    least = num_responses * (squares + _ROUNDING * num_responses)
    return (squares >= 0) & (squares <= reward_sum) & (reward_sum**2 <= least)


def _snapped(sums: FloatArray, most: FloatArray, num_responses: FloatArray) -> FloatArray:
    """Sums beside [0, most] by rounding only as its ends; others as they are."""
    ends = np.clip(sums, 0.0, most)
    with np.errstate(invalid="ignore"):  # inf - inf, which is refused
        return np.where(np.abs(sums - ends) <= _ROUNDING * num_responses, ends, sums)


def _explain(
    allocation: Allocation,
    problem: AllocationProblem,
    num_responses: FloatArray,
    reward_sum: FloatArray,
    squares: FloatArray | None,
) -> None:
    """Raise for the first rule that is broken."""
    given = {"num_responses": num_responses, "reward_sum": reward_sum}
    if squares is not None:
        given["reward_sq_sum"] = squares
    for field, array in given.items():
        finite = (array >= 0) & (array < np.inf)
        _require(finite, field, array, allocation, "is not finite and >= 0", "count responses and sum their rewards")
    _require(
        (num_responses <= allocation.units * problem.responses_per_unit) & (num_responses == np.floor(num_responses)),
        "num_responses",
        num_responses,
        allocation,
        f"is no whole number up to units * responses_per_unit (here * {problem.responses_per_unit})",
        "count every response of the group that was graded, each once",
    )
    _require(
        reward_sum <= num_responses,
        "reward_sum",
        reward_sum,
        allocation,
        "is above num_responses: more successes than responses",
        "rewards must lie in [0, 1]",
    )
    if squares is None:
        _require(
            reward_sum == np.floor(reward_sum),
            "reward_sum",
            reward_sum,
            allocation,
            "is not a whole number of successes",
            "give reward_sq_sum as well for graded rewards",
        )
    else:
        _require(
            _squares_fit(num_responses, reward_sum, squares),
            "reward_sq_sum",
            squares,
            allocation,
            "is not between reward_sum**2 / num_responses and reward_sum",
            "sum the squares of rewards in [0, 1]",
        )


def _vector(field: str, value: Any, allocation: Allocation) -> FloatArray:
    try:
        given = np.asarray(value)
    except ValueError:  # ragged
        given = np.empty(0, np.object_)
    if given.dtype.kind not in "biuf" and given.size + len(allocation.prompts) > 0:
        raise InvalidValueError(field, value, "is not an array of numbers", "give one number a prompt")
    array = given.astype(np.float64, copy=False)
    if array.shape != allocation.prompts.shape:
        raise InvalidValueError(
            field,
            list(array.shape),
            f"is not the shape of the allocation's prompts {list(allocation.prompts.shape)}",
            "give one entry an admitted prompt, in the allocation's order",
        )
    return array


def _require(good: BoolArray, field: str, array: FloatArray, allocation: Allocation, problem: str, remedy: str) -> None:
    if not good.all():
        at = int(np.flatnonzero(~good)[0])
        prompt = int(allocation.prompts[at])
        raise InvalidValueError(f"{field}[{at}]", float(array[at]), f"of prompt {prompt} {problem}", remedy)
