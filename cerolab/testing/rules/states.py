"""Rules of the state: all that a decision rests on is in it, and nothing else is taken for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from cerolab.allocator import BaseAllocator
from cerolab.errors import CerolabError, InvalidValueError, ProtocolError, StateError
from cerolab.ledger import BudgetLedger
from cerolab.testing.play import (
    Scenario,
    differing,
    moment,
    one_round,
    one_wave,
    pairs_of,
    play,
    through_a_file,
    until,
)
from cerolab.testing.rules.rule import BrokenRuleError, require, rule

_MOST_POINTS = 12  # of a horizon, at which it is saved


@rule()
def options_are_kept(scenario: Scenario) -> None:
    """Options are JSON-ready, a run does not change them, and the state knows them."""
    allocator = scenario.make()
    before = allocator.options_dict()
    try:
        text = json.dumps(before)
    except (TypeError, ValueError) as error:
        raise BrokenRuleError(f"options_dict() is no JSON: {error}") from error
    play(allocator, scenario.problem, scenario.luck)
    require(json.dumps(allocator.options_dict()) == text, "a run changed its options")
    state = allocator.state_dict()
    for name, other in _other_options(scenario, allocator):
        try:
            other.load_state_dict(state)
        except StateError:
            continue
        raise BrokenRuleError(f"the state of another {name} is taken; options_dict() must hold every option")


def _other_options(scenario: Scenario, allocator: BaseAllocator[Any]) -> Iterator[tuple[str, BaseAllocator[Any]]]:
    """Allocators that differ in one option from what was given, as far as other values can be guessed."""
    if not is_dataclass(allocator.options):
        return
    for option in fields(allocator.options):
        value = getattr(allocator.options, option.name)
        if isinstance(value, bool):
            guesses: tuple[Any, ...] = (not value,)
        elif isinstance(value, int):
            guesses = (value + 1, value - 1)
        elif isinstance(value, float):
            guesses = (value / 2, 2 * value, value + 0.5)
        else:
            continue
        for guess in guesses:
            try:
                other = scenario.make(**{option.name: guess})
            except CerolabError:
                continue
            if getattr(other.options, option.name) != value:
                yield option.name, other
                break


@rule()
def state_is_plain(scenario: Scenario) -> None:
    """The state holds scalars, strings and arrays by name, and does not change as the run goes on."""
    allocator = scenario.make()
    one_wave(allocator, scenario.luck)
    state = allocator.state_dict()
    for key, value in state.items():
        plain = isinstance(value, (int, float, str, np.number))
        require(type(key) is str, f"the key {key!r} is no text")
        plain = plain or (isinstance(value, np.ndarray) and value.dtype.kind in "biufU")
        require(plain, f"{key} is {type(value).__name__}, no number, text or array of numbers")
    copy = through_a_file(state)
    play(allocator, scenario.problem, scenario.luck)
    changed = differing(state, copy)
    require(not changed, f"{', '.join(changed)} of a state that was taken changes with the run; return copies")


@rule()
def resumes(scenario: Scenario) -> None:
    """A run resumed from its state, at any moment, goes on identically."""
    rounds = range(scenario.problem.num_rounds + 1)
    for k in rounds if len(rounds) <= _MOST_POINTS else np.linspace(0, rounds[-1], _MOST_POINTS, dtype=int).tolist():
        resumes_at(scenario, k, asked=k % 2 == 1)
        resumes_at(scenario, k, asked=False, waves=1)


@rule()
def can_be_taken_back(scenario: Scenario) -> None:
    """A used allocator can be taken back to an earlier state, which it copies."""
    rounds = scenario.problem.num_rounds
    for k in (0, 1, rounds // 2, rounds):
        resumes_at(scenario, min(k, rounds), asked=False, used_rounds=min(k + 2, rounds))
    allocator, resumed = scenario.make(), scenario.make()
    play(allocator, scenario.problem, scenario.luck, rounds=2)
    state = allocator.state_dict()
    resumed.load_state_dict(state)
    for value in state.values():
        if isinstance(value, np.ndarray) and value.flags.writeable:
            value[...] = np.zeros((), value.dtype)
    changed = differing(resumed.state_dict(), allocator.state_dict())
    require(not changed, f"{', '.join(changed)} changes with the arrays that were loaded; copy them in _load_arrays")
    require(resumed.allocate().matches(allocator.allocate()), "it decides otherwise once loaded arrays were changed")


def resumes_at(scenario: Scenario, rounds: int, asked: bool, used_rounds: int = 0, waves: int = 0) -> None:
    """Save after ``rounds`` rounds and ``waves`` waves, load into a fresh or used allocator, and go on with both.

    Args:
        scenario: to play.
        rounds, waves: before the state is taken.
        asked: whether ``allocate()`` was called before.
        used_rounds: that the other allocator has played before it loads.
    """
    problem, luck = scenario.problem, scenario.luck
    allocator = scenario.make()
    play(allocator, problem, luck, rounds=rounds)
    wave = 0
    while wave < waves and allocator.round_index == rounds < problem.num_rounds:
        one_wave(allocator, luck, wave)
        wave += 1
    wave = wave if allocator.round_index == rounds else 0
    if asked:
        allocator.allocate()
    state = through_a_file(allocator.state_dict())
    resumed = scenario.make()
    play(resumed, problem, luck, rounds=used_rounds)
    resumed.load_state_dict(state)
    at = f"resumed in round {allocator.round_index}"
    _require_same(resumed, allocator, f"{at}, it has another")
    counts = (resumed.remaining, resumed.round_index) == (allocator.remaining, allocator.round_index)
    require(counts, f"{at}, it has other counts")
    same = np.array_equal(resumed.predicted_value(), allocator.predicted_value(), equal_nan=True)
    require(same, f"{at}, predicted_value() is another")
    for _ in until(lambda: allocator.round_index >= problem.num_rounds, "the horizon is not over"):
        expected, actual = allocator.allocate(), resumed.allocate()
        require(
            actual.matches(expected),
            f"{at}, it decides otherwise in round {allocator.round_index}: is all that _select reads in _arrays()?",
        )
        then = moment(problem, allocator.round_index, wave)
        allocator.observe(expected, luck(then, expected))
        resumed.observe(actual, luck(then, actual))
        wave = 0 if expected.last_wave else wave + 1
    _require_same(resumed, allocator, f"{at}, it ends with another")
    one, other = resumed.metrics(), allocator.metrics()
    same = list(one) == list(other) and np.allclose(list(one.values()), list(other.values()), rtol=1e-12, atol=1e-12)
    require(same, f"{at}, it ends with other metrics")  # for logs only: the order of a sum may be another


def _require_same(one: BaseAllocator[Any], other: BaseAllocator[Any], words: str) -> None:
    state = differing(one.state_dict(), other.state_dict())
    require(not state, f"{words} {', '.join(state)}")


@rule()
def foreign_states_are_refused(scenario: Scenario) -> None:
    """A state of another run, or a damaged one, is refused and changes nothing."""
    problem = scenario.problem
    state = saved(scenario)
    others: dict[str, tuple[str, dict[str, Any]]] = {  # what is wrong -> what the error must name, the state
        "another seed": ("seed", saved(replace(scenario, seed=scenario.seed + 1))),
        "another method": ("method", {**state, "method": "another"}),
        "another schema version": ("schema_version", {**state, "schema_version": int(state["schema_version"]) + 1}),
        "another problem": ("problem", {**state, "problem": json.dumps({**problem.to_dict(), "saturation": 7.0})}),
        "round_index=-1": ("round_index=-1", {**state, "round_index": -1}),
        "a round_index beyond the horizon": ("round_index", {**state, "round_index": problem.num_rounds + 1}),
        "remaining=-1": ("remaining=-1", {**state, "remaining": -1}),
        "a remaining above the budget": ("remaining", {**state, "remaining": problem.budget + 1}),
    }
    for key, value in state.items():
        others[f"no {key}"] = f"lacks '{key}'", {name: stored for name, stored in state.items() if name != key}
        if isinstance(value, np.ndarray):
            wrong = np.append(np.ravel(value), [1, 1]).astype(value.dtype)
            others[f"{key} of another shape"] = key, {**state, key: wrong}
    for what, (named, other) in others.items():
        refuses_state(scenario, other, named, what)


def saved(scenario: Scenario) -> dict[str, Any]:
    """A state after one round."""
    allocator = scenario.make()
    play(allocator, scenario.problem, scenario.luck, rounds=1)
    return allocator.state_dict()


def refuses_state(scenario: Scenario, state: dict[str, Any], named: str, what: str = "it") -> None:
    """A used allocator refuses the state, naming what is wrong, and goes on as one that was never asked."""
    allocator, twin = scenario.make(), scenario.make()
    play(allocator, scenario.problem, scenario.luck, rounds=2)
    play(twin, scenario.problem, scenario.luck, rounds=2)
    allocation = allocator.allocate()
    try:
        allocator.load_state_dict(through_a_file(state))
    except StateError as error:
        require(named in str(error), f"a state with {what} is refused without the word {named}: {error}")
    else:
        raise BrokenRuleError(f"a state with {what} is taken")
    _require_same(allocator, twin, f"a state with {what} was refused, but changed")
    require(allocator.allocate() is allocation, f"a state with {what} was refused, but the open allocation is another")
    for _ in until(lambda: allocator.done, "it is not done"):
        one, other = (pairs_of(one_round(a, scenario.luck)) for a in (allocator, twin))
        require(one == other, f"a state with {what} was refused, but decisions are others")


@rule()
def extends(scenario: Scenario) -> None:
    """Prompts can join between two rounds: those that were there keep their state, later rounds are feasible."""
    problem = scenario.problem
    if problem.num_rounds < 2 or problem.token_budget is not None:
        return
    allocator, ledger = scenario.make(), BudgetLedger(problem)
    play(allocator, problem, scenario.luck, rounds=1, ledger=ledger)
    before, count = allocator.state_dict(), problem.num_prompts
    allocator.allocate()
    try:
        allocator.extend(2)
    except ProtocolError:
        pass
    except InvalidValueError:
        return  # a method that cannot take prompts in says so
    else:
        raise BrokenRuleError("prompts joined while a round was open")
    _unchanged(before, allocator, "prompts were refused while a round was open, but")
    allocator = scenario.make()
    play(allocator, problem, scenario.luck, rounds=1, ledger=BudgetLedger(problem))
    if allocator.round_open:
        return
    try:
        allocator.extend(2)
    except InvalidValueError:
        _unchanged(before, allocator, "it cannot take prompts in, but")
        return
    ledger.extend(2)
    grown = problem.grown(2)
    require(allocator.problem == grown, "after extend(2), problem is not the larger one")
    require(allocator.round_index == 1, f"after extend(2), round_index is {allocator.round_index}, not 1")
    after = allocator.state_dict()
    if "exposure" in after:
        old = np.asarray(after["exposure"])[:count]
        require(np.array_equal(old, np.asarray(before["exposure"])), "extend(2) changed exposures of the old prompts")
    require(allocator.predicted_value().shape == (count + 2,), "after extend(2), predicted_value() has the old size")
    rates = (*scenario.rates, 0.5, 0.5)
    play(allocator, grown, replace(scenario, problem=grown, rates=rates).luck, ledger=ledger)


def _unchanged(before: dict[str, Any], allocator: BaseAllocator[Any], words: str) -> None:
    state = differing(before, allocator.state_dict())
    require(not state, f"{words} {', '.join(state)} has changed")
