"""A budget of tokens: the problem, the ledger that never overspends it, and every allocator under one."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab import Allocation, AllocationProblem, BudgetLedger, Feedback, available, make
from cerolab.errors import InvalidValueError, OverspendError, ProtocolError, StateError
from tests.strategies import (
    Scenario,
    edgy,
    few_examples,
    method_options,
    one_round,
    options_for,
    play,
    problems,
    same_state,
    success_rates,
    through_a_file,
)

PLAIN = AllocationProblem(num_prompts=6, num_rounds=3, budget=9, capacity=5, max_units=2, responses_per_unit=4)
PROBLEM = replace(PLAIN, token_budget=300, max_tokens=10)  # a unit can cost 40: seven of them


# --- the problem -----------------------------------------------------------------------------------------------


def test_a_problem_without_a_token_budget_is_written_as_it_always_was():
    assert list(PLAIN.to_dict()) == [name for name in asdict(PLAIN) if "token" not in name]
    assert AllocationProblem(**PROBLEM.to_dict()) == PROBLEM != PLAIN
    assert (PROBLEM.most_unit_tokens, PLAIN.most_unit_tokens) == (40, 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"token_budget": 100}, "max_tokens=None is missing; give token_budget and max_tokens, or neither"),
        ({"max_tokens": 10}, "token_budget=None is missing"),
        ({"token_budget": 2.5, "max_tokens": 10}, "token_budget=2.5 is not an integer"),
        ({"token_budget": 100, "max_tokens": 0}, "max_tokens=0 is not positive"),
        ({"token_budget": 39, "max_tokens": 10}, "does not pay for one unit of 4 .* raise it to at least 40"),
    ],
    ids=str,
)
def test_token_settings_that_cannot_be_are_refused(given, message):
    with pytest.raises(InvalidValueError, match=message):
        replace(PLAIN, **given)


# --- the ledger ------------------------------------------------------------------------------------------------


def test_a_wave_reserves_the_most_that_it_can_cost_until_it_is_counted():
    ledger = BudgetLedger(PROBLEM)
    ledger.spend(Allocation([0, 1], [2, 2], last_wave=False))
    assert (ledger.reserved_tokens, ledger.remaining_tokens, ledger.tokens) == (160, 140, 0)
    ledger.count_tokens(70)
    assert (ledger.reserved_tokens, ledger.remaining_tokens, ledger.tokens) == (0, 230, 70)


def test_a_wave_that_the_tokens_may_not_pay_for_is_refused_and_one_that_they_do_is_booked():
    ledger = BudgetLedger(replace(PROBLEM, token_budget=160))
    ledger.spend(Allocation([0], [2], last_wave=False))
    before = ledger.state_dict()
    with pytest.raises(OverspendError, match="3 units can cost 120 tokens, 80 left of token_budget=160"):
        ledger.spend(Allocation([2, 3], [2, 1], last_wave=False))
    assert same_state(before, ledger.state_dict())
    ledger.spend(Allocation([2], [2]))
    assert ledger.remaining_tokens == 0


def test_one_token_too_few_is_too_few():
    ledger = BudgetLedger(replace(PROBLEM, token_budget=159))
    with pytest.raises(OverspendError, match="4 units can cost 160 tokens, 159 left"):
        ledger.spend(Allocation([0, 1], [2, 2]))


def test_more_tokens_than_reserved_are_refused():
    ledger = BudgetLedger(PROBLEM)
    ledger.spend(Allocation([0], [1]))
    with pytest.raises(OverspendError, match=r"41 tokens counted, 40 reserved; .* max_tokens=10"):
        ledger.count_tokens(41)
    assert (ledger.tokens, ledger.reserved_tokens) == (0, 40)
    ledger.count_tokens(40)
    with pytest.raises(OverspendError, match="1 tokens counted, 0 reserved"):
        ledger.count_tokens(1)


def test_a_round_does_not_end_before_its_tokens_are_counted():
    ledger = BudgetLedger(PROBLEM)
    ledger.spend(Allocation([0], [1]))
    with pytest.raises(ProtocolError, match=r"round 0 ends with 40 tokens reserved; count_tokens\(\) first"):
        ledger.end_round(updated=True)
    assert ledger.round_index == 0
    ledger.count_tokens(0)
    ledger.end_round(updated=True)


@given(data=st.data())
def test_whatever_is_asked_and_however_long_the_responses_the_tokens_are_never_overspent(data):
    problem = with_tokens(data, data.draw(problems()))
    ledger, tokens, unit = BudgetLedger(problem), 0, problem.most_unit_tokens
    for _ in range(problem.num_rounds):
        reserve = 0
        for _ in range(data.draw(st.integers(0, 3))):
            prompts = data.draw(st.lists(st.integers(0, problem.num_prompts - 1), min_size=1, unique=True))
            units = data.draw(st.lists(st.integers(1, 2), min_size=len(prompts), max_size=len(prompts)))
            wave = Allocation(prompts, units, last_wave=False)
            paid = tokens + reserve + wave.num_units * unit <= problem.token_budget
            plain = BudgetLedger(replace(problem, token_budget=10**9))  # the other rules alone
            plain.exposure_M, plain.units = ledger.exposure_M.copy(), ledger.units
            plain._round_waves, plain._round_units = list(ledger._round_waves), ledger.round_units
            try:
                plain.spend(wave)
                allowed = paid
            except OverspendError:
                allowed = False
            if allowed:
                ledger.spend(wave)
                reserve += wave.num_units * unit
            else:
                with pytest.raises(OverspendError):
                    ledger.spend(wave)
            assert ledger.reserved_tokens == reserve
            if data.draw(st.booleans()):
                counted = data.draw(edgy(0, reserve))
                ledger.count_tokens(counted)
                tokens, reserve = tokens + counted, 0
            assert ledger.remaining_tokens == problem.token_budget - tokens - reserve >= 0
            resumed = BudgetLedger(problem)
            resumed.load_state_dict(through_a_file(ledger.state_dict()))
            assert same_state(resumed.state_dict(), ledger.state_dict())
        ledger.count_tokens(reserve)
        tokens += reserve
        ledger.end_round(updated=True)
    assert ledger.tokens == tokens <= problem.token_budget


def test_a_ledger_saved_with_an_open_reserve_still_holds_it():
    ledger, resumed = BudgetLedger(PROBLEM), BudgetLedger(PROBLEM)
    ledger.spend(Allocation([0, 1], [2, 2]))
    resumed.load_state_dict(through_a_file(ledger.state_dict()))
    assert resumed.remaining_tokens == 140
    resumed.count_tokens(160)
    resumed.end_round(updated=True)
    with pytest.raises(OverspendError, match="140 left"):
        resumed.spend(Allocation([0, 1], [2, 2]))


@pytest.mark.parametrize(
    "damage",
    [{"reserved_tokens": 200}, {"reserved_tokens": 30}, {"reserved_tokens": -40}, {"tokens": 200}, {"tokens": 301}],
    ids=str,
)
def test_a_state_whose_tokens_do_not_fit_together_is_refused(damage):
    ledger = BudgetLedger(PROBLEM)
    ledger.spend(Allocation([0, 1], [2, 2]))
    state = ledger.state_dict()
    with pytest.raises(StateError, match="tokens"):
        BudgetLedger(PROBLEM).load_state_dict({**state, **damage})


def test_states_without_a_token_budget_have_not_changed():
    keys = {"units", "responses", "tokens", "updates", "round_index", "schema_version", "problem", "exposure"}
    assert set(BudgetLedger(PLAIN).state_dict()) == keys | {"round_exposure"}
    assert not any("token" in key for key in make("resolve", PLAIN).state_dict())
    assert "token" not in str(make("resolve", PLAIN).state_dict()["problem"])


# --- feedback --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_tokens", "message"),
    [
        (None, r"num_tokens=None is missing under token_budget=300; .*num_tokens="),
        ([1], r"num_tokens=\[1\] is not the shape"),
        ([1, np.nan], r"num_tokens\[1\]=nan of prompt \d is no whole number >= 0 up to 10 a response"),
        ([1, 2.5], r"num_tokens\[1\]=2.5"),
        ([-1, 2], r"num_tokens\[0\]=-1"),
        ([81, 2], r"num_tokens\[0\]=81"),
        ([np.inf, 2], r"num_tokens\[0\]=inf"),
    ],
    ids=str,
)
def test_tokens_that_cannot_be_true_are_refused_and_change_nothing(num_tokens, message):
    allocator = make("uniform", replace(PROBLEM, budget=12, capacity=4))
    allocation = allocator.allocate()
    assert allocation.units.tolist() == [2, 2]
    before = allocator.state_dict()
    with pytest.raises(InvalidValueError, match=message):
        allocator.observe(allocation, Feedback([8, 8], [1, 1], num_tokens=num_tokens))
    assert same_state(before, allocator.state_dict())
    allocator.observe(allocation, Feedback([8, 8], [1, 1], num_tokens=[80, 0]))
    assert allocator.remaining_tokens == 220


def test_tokens_may_be_told_without_a_budget_but_must_be_numbers():
    allocator = make("uniform", PLAIN)
    allocation = allocator.allocate()
    nothing = np.zeros(allocation.num_groups)
    with pytest.raises(InvalidValueError, match="num_tokens"):
        allocator.observe(allocation, Feedback(nothing, nothing, num_tokens=nothing - 1))
    allocator.observe(allocation, Feedback(nothing, nothing, num_tokens=nothing + 10**6))
    assert allocator.remaining_tokens is None


# --- every allocator -------------------------------------------------------------------------------------------


def with_tokens(data, problem: AllocationProblem) -> AllocationProblem:
    """The problem with a token budget from one unit's worth to more than can be spent."""
    most_tokens = data.draw(st.integers(1, 12))
    unit = most_tokens * problem.responses_per_unit
    budget = data.draw(edgy(unit, unit * (problem.budget + 1)))
    return replace(problem, token_budget=budget, max_tokens=most_tokens)


def scenario_with_tokens(data, name: str) -> Scenario:
    problem = with_tokens(data, data.draw(problems()))
    rates = data.draw(success_rates(problem.num_prompts))
    options = dict(data.draw(method_options(name, problem)))
    if name == "random_matched":
        options |= options_for(name, replace(problem, token_budget=None, max_tokens=None), rates)
    return Scenario(name, problem, rates, options=options, luck_seed=data.draw(st.integers(0, 99)))


def made(scenario: Scenario):
    needed = {} if scenario.name == "random_matched" else options_for(scenario.name, scenario.problem, scenario.rates)
    return make(scenario.name, scenario.problem, seed=1, **{**needed, **scenario.options})


@pytest.mark.parametrize("name", available())
@given(data=st.data())
def test_no_allocator_asks_for_more_than_the_tokens_pay_for_and_all_can_be_resumed(name, data):
    scenario = scenario_with_tokens(data, name)
    problem, unit = scenario.problem, scenario.problem.most_unit_tokens

    def check(result):
        allocator, ledger = result.allocator, result.ledger
        assert allocator.remaining_tokens == ledger.remaining_tokens == problem.token_budget - ledger.tokens
        assert allocator.remaining == ledger.remaining
        paid = min(ledger.remaining, ledger.remaining_tokens // unit)
        assert allocator.done == (paid == 0 or ledger.round_index == problem.num_rounds)
        assert allocator.metrics()["remaining_tokens"] == ledger.remaining_tokens
        resumed = made(scenario)
        resumed.load_state_dict(through_a_file(allocator.state_dict()))
        assert resumed.allocate().matches(made_again(allocator))

    def made_again(allocator):
        twin = made(scenario)
        twin.load_state_dict(allocator.state_dict())
        return twin.allocate()

    play(made(scenario), problem, scenario.luck, after_round=check)


@pytest.mark.parametrize("name", available())
@few_examples
@given(data=st.data())
def test_a_token_budget_that_cannot_bind_changes_nothing(name, data):
    scenario = scenario_with_tokens(data, name)
    plain = replace(scenario.problem, token_budget=None, max_tokens=None)
    ample = replace(scenario.problem, token_budget=10**9)
    pairs = []
    for problem in (plain, ample):
        allocator = made(replace(scenario, problem=problem))
        if name == "resolve":
            allocator._kinds = None  # planned by kinds, prompts that are alike share what the plan gives to one of them
        pairs.append(play(allocator, problem, scenario.luck).pairs)
    assert pairs[0] == pairs[1]


@pytest.mark.parametrize("name", available())
def test_a_first_wave_is_cut_off_at_the_tokens_and_a_state_with_other_tokens_is_refused(name):
    problem = replace(PLAIN, num_rounds=6, budget=30, token_budget=100, max_tokens=10)
    plain = replace(problem, token_budget=None, max_tokens=None)
    schedule = options_for(name, plain, ()) if name == "random_matched" else {}
    scenario = Scenario(name, problem, (0.5,) * 6, options=schedule)
    allocator = made(scenario)
    allocation = allocator.allocate()
    assert allocation.num_units <= 2 == allocator.affordable
    state = allocator.state_dict()
    for other in ({**state, "remaining_tokens": 101}, {**state, "remaining_tokens": -1}):
        with pytest.raises(StateError, match="remaining_tokens"):
            made(scenario).load_state_dict(other)
    del state["remaining_tokens"]
    with pytest.raises(StateError, match="remaining_tokens"):
        made(scenario).load_state_dict(state)


def served(name, token_budget, tokens_a_unit):
    """Prompts in the order of their groups over six rounds of at most five units."""
    problem = replace(PLAIN, num_rounds=6, budget=30, token_budget=token_budget, max_tokens=10)
    allocator, prompts = make(name, problem), []
    while not allocator.done:
        waves = one_round(allocator, lambda _, a: Feedback(a.units * 4, a.units * 0, None, a.units * tokens_a_unit))
        prompts += [prompt for wave in waves for prompt in wave.allocation.prompts.tolist()]
    return prompts


@pytest.mark.parametrize("name", ["uniform", "reinforce_ada_est"])
def test_prompts_that_were_cut_off_are_next_in_the_epoch(name):
    free, cut = served(name, 10**9, 4), served(name, 130, 4)
    assert len(set(free[:6])) == 6
    assert cut[:6] == free[:6]


def test_the_price_of_cero_moves_with_what_it_would_have_spent():
    cut, free = (
        make("cero", replace(PLAIN, num_rounds=6, budget=12, token_budget=tokens, max_tokens=10))
        for tokens in (90, 10**9)
    )
    for allocator in (cut, free):
        one_round(allocator, lambda _, a: Feedback(a.units * 4, a.units * 0, num_tokens=a.units))
    assert (90 - cut.remaining_tokens, 10**9 - free.remaining_tokens) == (2, 5)
    assert cut.price == free.price > 0.5
