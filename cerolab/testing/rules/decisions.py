"""Rules of what an allocator chooses, and of whose turn it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from cerolab.allocation import Allocation, Allocator, Feedback
from cerolab.allocator import BaseAllocator
from cerolab.errors import CerolabError, ProtocolError
from cerolab.testing.play import Play, Scenario, as_pairs, differing, one_round, one_wave, pairs_of, play, until
from cerolab.testing.rules.inside import attributes, changed, watched, with_nan
from cerolab.testing.rules.rule import BrokenRuleError, require, rule


@rule()
def interface(scenario: Scenario) -> None:
    """It can be made under its name, and has the whole interface."""
    allocator = scenario.make()
    require(isinstance(allocator, Allocator), "a method of cerolab.Allocator is missing")
    plain = scenario.name.partition("(")[0]
    require(allocator.name == plain, f"its name is {allocator.name!r}, not {plain!r}")
    require(allocator.problem == scenario.problem, f"problem is {allocator.problem}, not the one it was made for")
    require(not allocator.done, "done is True before the first round")


@rule()
def feasible(scenario: Scenario) -> None:
    """Every round keeps to capacity, caps and budget, and the budget is accounted exactly."""
    problem = scenario.problem
    spent = np.zeros(problem.num_prompts, np.int64)
    num_seen = 0

    def check(result: Play) -> None:
        nonlocal num_seen
        allocator, ledger = result.allocator, result.ledger
        waves, at = result.allocations[num_seen:], f"in round {result.ledger.round_index - 1}"
        num_seen = len(result.allocations)
        last = [wave.last_wave for wave in waves]
        require(last == [False] * (len(waves) - 1) + [True], f"last_wave is {last} {at}")
        in_round = np.zeros(problem.num_prompts, np.int64)
        for wave in waves:  # the rules of (1) once more, so that this does not rest on the ledger alone
            require(wave.prompts.dtype == wave.units.dtype == np.int64, f"ids or units are no int64 {at}")
            require(np.unique(wave.prompts).size == wave.num_groups, f"a prompt is named twice {at}")
            require(not wave.prompts.flags.writeable and not wave.units.flags.writeable, f"arrays are writable {at}")
            in_round[wave.prompts] += wave.units
        spent[:] += in_round
        require(in_round.max() <= problem.max_units, f"a prompt has {in_round.max()} units {at}, above max_units")
        require(in_round.sum() <= problem.capacity, f"{in_round.sum()} units {at}, above capacity={problem.capacity}")
        require(bool(spent.sum() <= problem.budget), f"{spent.sum()} units {at}, above budget={problem.budget}")
        left = problem.budget - int(spent.sum())
        require(allocator.remaining == ledger.remaining == left, f"remaining is {allocator.remaining}, not {left} {at}")
        require(allocator.round_index == ledger.round_index, f"round_index is {allocator.round_index} {at}")
        if problem.token_budget is None:
            over = left == 0 or ledger.round_index == problem.num_rounds
            require(allocator.done == over, f"done is {allocator.done} {at} with {left} units left")

    result = play(scenario.make(), problem, scenario.luck, after_round=check)
    require(np.array_equal(result.ledger.exposure_M, spent), "the ledger booked other exposures")


@rule()
def select_changes_nothing(scenario: Scenario) -> None:
    """_select changes nothing: neither the state nor anything that it does not show."""
    once, often = scenario.make(), scenario.make()
    for _ in range(2 * scenario.problem.num_rounds):
        before, at = often.state_dict(), f"in round {often.round_index}"
        allocation = often.allocate()
        state = differing(before, often.state_dict())
        require(not state, f"allocate() changed {', '.join(state)} of the state {at}; change it in _learn")
        require(often.allocate().matches(allocation), f"asked again, allocate() chose otherwise {at}")
        for _ in range(2):  # as after a resume: what follows from the state may be kept, as long as it does follow
            inside = attributes(often)
            often._pending = None
            again = often.allocate().matches(allocation)
            require(
                again, f"made again from the same state, the choice is another {at}{_named(changed(inside, often))}"
            )
        feedback = scenario.luck(often.round_index, allocation)
        once.observe(once.allocate(), feedback)
        often.observe(allocation, feedback)
        hidden = changed(attributes(once), often)
        require(not hidden, f"how often _select ran is left in the allocator {at}{_named(hidden)}")


def _named(hidden: list[str]) -> str:
    return f": it changes self.{', self.'.join(hidden)}; change that in _learn" if hidden else ""


@rule()
def no_nan(scenario: Scenario) -> None:
    """Scores, state and attributes are never nan."""
    allocator = scenario.make()
    found: list[str] = []
    for _ in until(lambda: allocator.round_index >= scenario.problem.num_rounds, "the horizon is not over"):
        at = f"in round {allocator.round_index}"
        unknown = set(with_nan(allocator))
        try:
            with np.errstate(invalid="raise"), watched(found.append):
                allocation = allocator.allocate()
        except CerolabError as error:
            if isinstance(error.__cause__, FloatingPointError) or "score_M=nan" in str(error):
                raise BrokenRuleError(str(error)) from error
            raise
        require(not found, f"{found[:1]} {at}: nan has no place in an order")
        if allocation.num_groups:
            require(not unknown, f"self.{', self.'.join(sorted(unknown))} has nan {at}")
        allocator.observe(allocation, scenario.luck(allocator.round_index, allocation))
        for name, value in allocator.state_dict().items():
            array = np.asarray(value)
            require(
                array.dtype.kind != "f" or bool(np.isfinite(array).all()), f"{name} of the state is not finite {at}"
            )


@rule()
def steps_take_no_turns(scenario: Scenario) -> None:
    """_learn and _select take no turns: they call neither allocate() nor observe()."""
    allocator, calls = scenario.make(), []
    allocate, observe = allocator.allocate, allocator.observe
    outer: dict[str, Any] = {"allocate": allocate, "observe": observe}

    def spied(name: str) -> Any:
        def call(*arguments: Any) -> Any:
            if allocator._step is not None:
                calls.append(f"{allocator._step} called {name}() in round {allocator.round_index}")
            return outer[name](*arguments)

        return call

    for name in outer:
        setattr(allocator, name, spied(name))
    try:
        for _ in range(scenario.problem.num_rounds):
            allocation = allocate()
            observe(allocation, scenario.luck(allocator.round_index, allocation))
            require(not calls, calls[0] if calls else "")
    except CerolabError:
        require(not calls, calls[0] if calls else "")
        raise


@rule()
def done_admits_nobody(scenario: Scenario) -> None:
    """Once the budget is spent or the horizon over, it admits nobody."""
    allocator = scenario.make()
    for _ in range(scenario.problem.num_rounds):
        was_done = allocator.done
        for wave in one_round(allocator, scenario.luck):
            require(not (was_done and wave.allocation.num_groups), "it is done, and admits prompts")
        require(allocator.done or not was_done, "it was done, and is not any more")
    for _ in range(2):  # a loop that overruns the horizon
        require(allocator.done, "it is not done after the horizon")
        allocation = one_wave(allocator, scenario.luck).allocation
        require(not as_pairs(allocation) and allocation.last_wave, "it admits prompts after the horizon")


@rule()
def turns(scenario: Scenario) -> None:
    """Each allocate() is answered once, by an allocation equal to it; anything else is refused and changes nothing."""
    allocator, twin = scenario.make(), scenario.make()
    _refused(allocator, twin, Allocation.empty(), Feedback([], []), "observe() before allocate()")
    allocation = allocator.allocate()
    for kind, other in _others(allocation, scenario.problem.num_prompts).items():
        _refused(allocator, twin, other, scenario.luck(0, other), f"feedback for {kind}")
        require(allocator.allocate().matches(allocation), f"after feedback for {kind}, allocate() chose otherwise")
    copy = Allocation(allocation.prompts.copy(), allocation.units.copy(), allocation.last_wave)
    feedback = scenario.luck(0, allocation)
    allocator.observe(copy, feedback)
    twin.observe(twin.allocate(), feedback)
    _refused(allocator, twin, allocation, feedback, "observe() twice")
    for _ in until(lambda: allocator.done, "it is not done"):
        one, after = (pairs_of(one_round(a, scenario.luck)) for a in (allocator, twin))
        require(one == after, f"refusals changed round {allocator.round_index - 1}")


def _refused(
    allocator: BaseAllocator[Any], twin: BaseAllocator[Any], allocation: Allocation, feedback: Feedback, what: str
) -> None:
    try:
        allocator.observe(allocation, feedback)
    except ProtocolError:
        pass
    else:
        raise BrokenRuleError(f"{what} was taken")
    state = differing(allocator.state_dict(), twin.state_dict())
    require(not state, f"{what} was refused, but changed {', '.join(state)}")


def _others(allocation: Allocation, num_prompts: int) -> dict[str, Allocation]:
    prompts, units, last = allocation.prompts, allocation.units, allocation.last_wave
    found = {"another wave": Allocation(prompts, units, last_wave=not last)}
    if not allocation.num_groups:
        return found
    unused = np.setdiff1d(np.arange(num_prompts), prompts)
    found |= {
        "other units": Allocation(prompts, np.append(units[:-1], 3 - units[-1] if units[-1] < 3 else 1), last),
        "one group less": Allocation(prompts[:-1], units[:-1], last),
        "nobody": Allocation.empty(last),
    }
    if unused.size:
        found["other prompts"] = Allocation(np.append(prompts[:-1], unused[0]), units, last)
    if allocation.num_groups > 1:
        found["another order"] = Allocation(prompts[::-1].copy(), units[::-1].copy(), last)
    return found
