"""Rules of feedback: what is taken, what is refused, what is left as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from cerolab.allocation import Feedback
from cerolab.errors import CerolabError, InvalidValueError
from cerolab.testing.play import Scenario, differing, moment, one_round, one_wave, play, until
from cerolab.testing.rules.rule import BrokenRuleError, require, rule


def _set(array: Any, at: int, value: float) -> np.ndarray:
    changed = np.array(array, np.float64)
    changed[at] = value
    return changed


# What is wrong -> the field that the error must name, and how feedback (responses n, rewards s) gets it.
BAD_FEEDBACK: dict[str, tuple[str, Callable[[Any, Any], Feedback]]] = {
    "nan rewards": ("reward_sum", lambda n, s: Feedback(n, _set(s, 0, np.nan))),
    "infinite rewards": ("reward_sum", lambda n, s: Feedback(n, _set(s, 0, np.inf))),
    "negative rewards": ("reward_sum", lambda n, s: Feedback(n, _set(s, -1, -1))),
    "more successes than responses": ("reward_sum", lambda n, s: Feedback(n, _set(s, -1, n[-1] + 1))),
    "rewards of one prompt too few": ("reward_sum", lambda n, s: Feedback(n, s[:-1])),
    "rewards of one prompt too many": ("reward_sum", lambda n, s: Feedback(n, np.append(s, 0))),
    "a matrix of rewards": ("reward_sum", lambda n, s: Feedback(n, s[:, None])),
    "a number for rewards": ("reward_sum", lambda n, s: Feedback(n, 1)),
    "words for rewards": ("reward_sum", lambda n, s: Feedback(n, ["many"] * len(s))),
    "nan responses": ("num_responses", lambda n, s: Feedback(_set(n, 0, np.nan), s)),
    "half a response": ("num_responses", lambda n, s: Feedback(_set(n, 0, n[0] - 0.5), s)),
    "a response too many": ("num_responses", lambda n, s: Feedback(_set(n, -1, n[-1] + 1), s)),
    "responses of one prompt too few": ("num_responses", lambda n, s: Feedback(n[:-1], s)),
    "fractional successes without squares": ("reward_sum", lambda n, s: Feedback(n, _set(s, 0, 0.5))),
    "squares above the sum": ("reward_sq_sum", lambda n, s: Feedback(n, s * 0 + 0.5, s * 0 + 0.6)),
    "squares too small for the sum": ("reward_sq_sum", lambda n, s: Feedback(n, s * 0 + 1.5, s * 0 + 0.1)),
    "nan squares": ("reward_sq_sum", lambda n, s: Feedback(n, s, s * np.nan)),
    "negative squares": ("reward_sq_sum", lambda n, s: Feedback(n, s * 0, s * 0 - 0.5)),
    "squares of one prompt too few": ("reward_sq_sum", lambda n, s: Feedback(n, s, s[:-1])),
}


@rule()
def bad_feedback_is_refused(scenario: Scenario) -> None:
    """Feedback that cannot be true is refused by name, and leaves the state as it was."""
    if scenario.problem.token_budget is not None or scenario.problem.responses_per_unit < 2:
        return  # squares above have two responses or more in mind
    for round_index in (0, 1):
        for kind in BAD_FEEDBACK:
            refuses(scenario, kind, round_index)


def refuses(scenario: Scenario, kind: str, round_index: int) -> None:
    """The rule for one kind of bad feedback, in one round."""
    field, spoil = BAD_FEEDBACK[kind]
    problem, luck = scenario.problem, scenario.luck
    if round_index >= problem.num_rounds:
        return
    allocator, twin = scenario.make(), scenario.make()
    play(allocator, problem, luck, rounds=round_index)
    play(twin, problem, luck, rounds=round_index)
    for _ in range(problem.num_rounds):
        if allocator.allocate().num_groups:
            break
        one_round(allocator, luck), one_round(twin, luck)  # a method may pause
    allocation = allocator.allocate()
    if not allocation.num_groups:
        return
    good = replace(scenario, graded=False).luck(allocator.round_index, allocation)
    before = allocator.state_dict()
    try:
        allocator.observe(allocation, spoil(np.asarray(good.num_responses), np.asarray(good.reward_sum)))
    except InvalidValueError as error:
        require(error.field.partition("[")[0] == field, f"{kind}: refused for {error.field}, not for {field}")
    else:
        raise BrokenRuleError(f"{kind} was taken")
    state = differing(before, allocator.state_dict())
    require(not state, f"{kind}: refused, but {', '.join(state)} of the state has changed")
    require(allocator.allocate().matches(allocation), f"{kind}: refused, but the allocation is another one now")
    allocator.observe(allocation, good)  # still open, and good feedback has its usual effect
    twin.observe(twin.allocate(), good)
    state = differing(allocator.state_dict(), twin.state_dict())
    require(not state, f"{kind}: after the refusal good feedback led to another {', '.join(state)}")


@rule()
def feedback_is_only_read(scenario: Scenario) -> None:
    """Feedback arrays may be read-only or plain lists; they are neither changed nor kept."""
    allocator, twin = scenario.make(), scenario.make()
    wave = 0
    for _ in until(lambda: allocator.round_index >= scenario.problem.num_rounds, "the horizon is not over"):
        allocation, at = allocator.allocate(), f"in round {allocator.round_index}"
        feedback = scenario.luck(moment(scenario.problem, allocator.round_index, wave), allocation)
        arrays = [array for array in _arrays(feedback) if isinstance(array, np.ndarray)]
        copies = [array.copy() for array in arrays]
        allocator.observe(allocation, feedback)
        require(all(map(np.array_equal, arrays, copies)), f"it writes into the feedback {at}")
        for array in arrays:
            array[:] = 99  # what the caller does with its arrays afterwards is its own affair
        one_wave(twin, scenario.luck, wave)
        wave = 0 if allocation.last_wave else wave + 1
    state = differing(allocator.state_dict(), twin.state_dict())
    require(not state, f"it keeps the feedback's arrays: {', '.join(state)} changed with them")
    lists, frozen = scenario.make(), scenario.make()
    feedback = scenario.luck(0, lists.allocate())
    responses, total, squares, tokens = (None if a is None else np.asarray(a).tolist() for a in _arrays(feedback))
    lists.observe(lists.allocate(), Feedback(responses or [], total or [], squares, tokens))
    for array in _arrays(feedback):
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    frozen.observe(frozen.allocate(), feedback)
    state = differing(lists.state_dict(), frozen.state_dict())
    require(not state, f"lists for arrays led to another {', '.join(state)}")


@rule()
def graded_rewards(scenario: Scenario) -> None:
    """Graded rewards are accepted over a whole horizon."""
    graded = replace(scenario, graded=True)
    result = play(graded.make(), graded.problem, graded.luck)
    require(result.allocator.remaining == result.ledger.remaining, "remaining is not what the ledger has")


@rule()
def ungraded_responses(scenario: Scenario) -> None:
    """Fewer graded responses than were generated are accepted."""
    allocator = scenario.make()
    for _ in range(scenario.problem.num_rounds):
        allocation = allocator.allocate()
        none = np.zeros(allocation.num_groups, np.int64)
        tokens = scenario.luck(allocator.round_index, allocation).num_tokens
        try:
            allocator.observe(allocation, Feedback(none, none, None, tokens))
        except CerolabError as error:
            raise BrokenRuleError(f"no response was graded in round {allocator.round_index}: {error}") from error
        require(bool(np.isfinite(list(allocator.metrics().values())).all()), "metrics are not finite")


def _arrays(feedback: Feedback) -> tuple[Any, ...]:
    return feedback.num_responses, feedback.reward_sum, feedback.reward_sq_sum, feedback.num_tokens
