import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab import Allocation, AllocationProblem, BudgetLedger, make
from cerolab.errors import InvalidValueError, OverspendError, ProtocolError, StateError
from tests.strategies import play, problems, same_state, through_a_file

PROBLEM = AllocationProblem(num_prompts=6, num_rounds=3, budget=9, capacity=5, max_units=2, responses_per_unit=4)


def probe(prompts, units) -> Allocation:
    """A wave with another one to come in the same round."""
    return Allocation(prompts, units, last_wave=False)


def refused(ledger: BudgetLedger, allocation: Allocation, *parts: str) -> None:
    """The wave is refused with all parts in the message, and nothing is booked."""
    before, round_units = ledger.state_dict(), ledger.round_units
    with pytest.raises(OverspendError) as refusal:
        ledger.spend(allocation)
    for part in parts:
        assert part in str(refusal.value)
    assert same_state(before, ledger.state_dict())
    assert ledger.round_units == round_units


def test_a_wave_is_booked_in_units_responses_and_exposures():
    ledger = BudgetLedger(PROBLEM)
    ledger.spend(Allocation([4, 1], [2, 1]))
    ledger.end_round(updated=True)
    assert (ledger.units, ledger.responses, ledger.remaining, ledger.remaining_responses) == (3, 12, 6, 24)
    assert ledger.exposure_M.tolist() == [0, 1, 0, 0, 2, 0]
    assert (ledger.round_index, ledger.updates) == (1, 1)


def test_a_wave_without_units_is_the_last_of_its_round_or_refused():
    ledger = BudgetLedger(PROBLEM)
    ledger.spend(probe([0], [1]))
    with pytest.raises(ProtocolError, match="round 0 has a wave without units that is not its last"):
        ledger.spend(Allocation.empty(last_wave=False))
    ledger.spend(Allocation.empty())
    ledger.end_round(updated=True)
    assert (ledger.units, ledger.round_index) == (1, 1)


def test_an_empty_round_counts_but_updates_nothing():
    ledger = BudgetLedger(PROBLEM)
    ledger.spend(Allocation.empty())
    ledger.end_round(updated=False)
    assert (ledger.round_index, ledger.updates, ledger.units, ledger.responses) == (1, 0, 0, 0)


def test_tokens_add_up():
    ledger = BudgetLedger(PROBLEM)
    ledger.count_tokens(100)
    ledger.count_tokens(np.int64(23))
    assert ledger.tokens == 123
    assert type(ledger.tokens) is int


@pytest.mark.parametrize(
    "value",
    [
        -1,
        float("nan"),
        2.5,
    ],
)
def test_tokens_that_cannot_be_counted_are_refused(value):
    ledger = BudgetLedger(PROBLEM)
    with pytest.raises(InvalidValueError, match="num_tokens="):
        ledger.count_tokens(value)
    assert ledger.tokens == 0


def test_a_prompt_named_twice_is_refused():
    refused(BudgetLedger(PROBLEM), Allocation([3, 0, 3], [1, 1, 1]), "prompt 3 is named twice in one wave")


def test_a_prompt_outside_the_pool_is_refused():
    refused(BudgetLedger(PROBLEM), Allocation([0, 6], [1, 1]), "id 6", "the pool has 6")


def test_a_group_above_the_cap_is_refused():
    refused(BudgetLedger(PROBLEM), Allocation([2, 5], [1, 3]), "prompt 5 would get 3 units", "max_units=2")


def test_a_group_above_the_cap_over_the_waves_of_a_round_is_refused():
    ledger = BudgetLedger(PROBLEM)
    ledger.spend(probe([2, 5], [1, 1]))
    ledger.spend(probe([5], [1]))
    refused(ledger, Allocation([2, 5], [1, 1]), "prompt 5 would get 3 units in round 0", "max_units=2")
    ledger.spend(Allocation([2], [1]))


def test_the_cap_counts_anew_in_the_next_round():
    ledger = BudgetLedger(PROBLEM)
    for _ in range(2):
        ledger.spend(probe([2], [1]))
        ledger.spend(Allocation([2], [1]))
        ledger.end_round(updated=True)
    assert ledger.exposure_M[2] == 4


def test_a_wave_after_the_last_one_of_the_round_does_not_escape_the_cap():
    ledger = BudgetLedger(PROBLEM)
    ledger.spend(Allocation([2], [2]))
    refused(ledger, Allocation([2], [2]), "prompt 2")


def test_a_wave_above_the_capacity_is_refused():
    refused(BudgetLedger(PROBLEM), Allocation([0, 1, 2], [2, 2, 2]), "6 units", "capacity=5")


def test_waves_above_the_capacity_together_are_refused():
    ledger = BudgetLedger(PROBLEM)
    ledger.spend(probe([0, 1], [2, 2]))
    refused(ledger, Allocation([2], [2]), "round 0 would execute 6 units", "capacity=5")
    ledger.spend(Allocation([2], [1]))


def test_a_wave_above_the_budget_is_refused():
    ledger = BudgetLedger(PROBLEM)
    ledger.spend(Allocation([0, 1, 2], [2, 2, 1]))
    ledger.end_round(updated=True)
    refused(ledger, Allocation([0, 1, 2], [2, 2, 1]), "5 units asked for", "4 left of budget=9")
    ledger.spend(Allocation([0, 1], [2, 2]))
    assert ledger.remaining == 0


def test_waves_above_the_budget_together_are_refused():
    ledger = BudgetLedger(AllocationProblem(num_prompts=6, num_rounds=3, budget=3, capacity=5, max_units=2))
    ledger.spend(probe([0], [2]))
    refused(ledger, Allocation([1], [2]), "2 units asked for", "1 left of budget=3")


def test_a_round_after_the_horizon_is_refused_unless_it_is_empty():
    ledger = BudgetLedger(PROBLEM)
    for _ in range(3):
        ledger.end_round(updated=False)
    refused(ledger, Allocation([0], [1]), "horizon of 3 rounds is over")
    ledger.spend(Allocation.empty())


def test_units_that_overflow_an_integer_are_refused():
    refused(BudgetLedger(PROBLEM), Allocation([0, 1, 2, 3], [2**62] * 4), "max_units=2")


def test_the_callers_later_changes_do_not_reach_the_books():
    prompts, units = np.array([0, 1]), np.array([1, 1])
    ledger = BudgetLedger(PROBLEM)
    wave = probe(prompts, units)
    ledger.spend(wave)
    prompts[:], units[:] = 5, 2
    refused(ledger, Allocation([0], [2]), "prompt 0 would get 3 units")


@st.composite
def waves(draw):
    prompts = draw(st.lists(st.integers(0, 7), max_size=5))
    units = draw(st.lists(st.integers(1, 3), min_size=len(prompts), max_size=len(prompts)))
    return Allocation(prompts, units, last_wave=not prompts)


@given(rounds=st.lists(st.lists(waves(), max_size=3), max_size=3))
def test_whatever_is_asked_the_books_stay_within_the_problem(rounds):
    ledger = BudgetLedger(PROBLEM)
    total = np.zeros(6, np.int64)
    for waves_of_round in rounds:
        in_round = np.zeros(6, np.int64)
        for wave in waves_of_round:
            asked = np.zeros(8, np.int64)
            np.add.at(asked, wave.prompts, wave.units)
            legal = (
                len(set(wave.prompts.tolist())) == wave.num_groups
                and not asked[6:].any()
                and (in_round + asked[:6] <= 2).all()
                and in_round.sum() + asked.sum() <= 5
                and total.sum() + asked.sum() <= 9
            )
            if legal:
                ledger.spend(wave)
                in_round += asked[:6]
                total += asked[:6]
            else:
                refused(ledger, wave)
        ledger.end_round(updated=True)
    assert ledger.exposure_M.tolist() == total.tolist()
    assert (ledger.units, ledger.responses, ledger.round_index) == (total.sum(), 4 * total.sum(), len(rounds))


# --- saving and loading ----------------------------------------------------------------------------------------


def used_ledger() -> BudgetLedger:
    ledger = BudgetLedger(PROBLEM)
    ledger.spend(Allocation([4, 1], [2, 1]))
    ledger.count_tokens(77)
    ledger.end_round(updated=True)
    return ledger


def test_a_ledger_goes_on_after_a_round_trip_through_a_file():
    ledger, resumed = used_ledger(), BudgetLedger(PROBLEM)
    resumed.load_state_dict(through_a_file(ledger.state_dict()))
    assert same_state(ledger.state_dict(), resumed.state_dict())
    for book in (ledger, resumed):
        book.spend(Allocation([1], [2]))
        book.end_round(updated=False)
    assert same_state(ledger.state_dict(), resumed.state_dict())
    assert (resumed.units, resumed.tokens, resumed.updates, resumed.round_index) == (5, 77, 1, 2)


def test_loading_forgets_the_round_that_was_open():
    ledger = BudgetLedger(PROBLEM)
    ledger.spend(probe([0, 1], [2, 2]))
    ledger.load_state_dict(used_ledger().state_dict())
    assert ledger.round_units == 0
    ledger.spend(Allocation([0, 1], [2, 2]))


def test_a_state_shares_no_memory_with_the_ledger():
    ledger, resumed = used_ledger(), BudgetLedger(PROBLEM)
    state = ledger.state_dict()
    resumed.load_state_dict(state)
    state["exposure"][:] = 0
    assert ledger.exposure_M.sum() == resumed.exposure_M.sum() == 3


@pytest.mark.parametrize("key", ["units", "responses", "tokens", "updates", "round_index", "exposure"])
def test_a_state_without_a_key_is_refused(key):
    state = used_ledger().state_dict()
    del state[key]
    _state_refused(state, key)


def test_a_state_of_another_pool_is_refused():
    _state_refused({**used_ledger().state_dict(), "exposure": np.array([0, 1, 0, 0, 2])}, "5 prompts", "6")


def test_a_state_above_the_budget_is_refused():
    state = {**used_ledger().state_dict(), "exposure": np.array([2, 2, 2, 2, 2, 0]), "units": 10}
    _state_refused(state, "units=10", "budget=9")


def test_a_state_whose_counts_do_not_fit_together_is_refused():
    _state_refused({**used_ledger().state_dict(), "units": 4}, "units=4", "exposures of 3")


@pytest.mark.parametrize(
    "damage",
    [{"exposure": np.array([4, -1, 0, 0, 0, 0])}, {"round_index": -1}, {"responses": 5}, {"tokens": -1}],
    ids=str,
)
def test_a_damaged_state_is_refused(damage):
    _state_refused({**used_ledger().state_dict(), **damage}, next(iter(damage)))


def _state_refused(state, *parts):
    ledger = used_ledger()
    before = ledger.state_dict()
    with pytest.raises(StateError) as refusal:
        ledger.load_state_dict(state)
    for part in parts:
        assert part in str(refusal.value)
    assert same_state(before, ledger.state_dict())


@given(problem=problems())
def test_every_state_of_a_run_loads(problem):
    def check(result):
        other = BudgetLedger(problem)
        other.load_state_dict(through_a_file(result.ledger.state_dict()))
        assert other.remaining == result.ledger.remaining

    play(make("cero_fixed", problem), problem, after_round=check)


def test_a_state_is_small_and_without_pickles():
    file = io.BytesIO()
    np.savez(file, **used_ledger().state_dict())
    assert len(file.getvalue()) < 5000


def test_a_ledger_saved_in_an_open_round_keeps_its_caps():
    ledger = BudgetLedger(PROBLEM)
    ledger.spend(Allocation([2], [2], last_wave=False))
    again = BudgetLedger(PROBLEM)
    again.load_state_dict(through_a_file(ledger.state_dict()))
    assert again.round_units == 2
    refused(again, Allocation([2], [1]), "prompt 2")
    again.end_round(updated=True)
    again.spend(Allocation([2], [2]))


def test_no_round_is_ended_after_the_horizon():
    ledger = BudgetLedger(PROBLEM)
    for _ in range(PROBLEM.num_rounds):
        ledger.end_round(updated=False)
    with pytest.raises(ProtocolError, match="no round is left to end"):
        ledger.end_round(updated=True)
    assert (ledger.round_index, ledger.updates) == (PROBLEM.num_rounds, 0)


def test_the_state_of_another_problem_or_schema_is_refused():
    other = AllocationProblem(num_prompts=6, num_rounds=30, budget=90, capacity=5, max_units=2, responses_per_unit=4)
    _state_refused(BudgetLedger(other).state_dict(), "problem=")
    _state_refused({**used_ledger().state_dict(), "schema_version": 99}, "schema_version=99")
    _state_refused({**used_ledger().state_dict(), "round_index": 4}, "round_index=4 of 3")


# --- a pool that grows -----------------------------------------------------------------------------------------------


@given(
    steps=st.lists(
        st.one_of(st.integers(1, 3), st.lists(st.tuples(st.integers(0, 9), st.integers(1, 2)), max_size=3)),
        max_size=9,
    )
)
def test_prompts_that_join_have_books_of_their_own_and_the_others_keep_theirs(steps):
    problem = AllocationProblem(num_prompts=3, num_rounds=9, budget=20, capacity=5, max_units=2, responses_per_unit=4)
    ledger, exposure = BudgetLedger(problem), [0, 0, 0]
    for step in steps:
        if isinstance(step, int):
            counts = ledger.units, ledger.responses, ledger.remaining, ledger.round_index
            ledger.extend(step)
            exposure += [0] * step
            assert counts == (ledger.units, ledger.responses, ledger.remaining, ledger.round_index)
        else:
            asked = dict(step)
            wave = Allocation(list(asked), list(asked.values()))
            if max(asked, default=0) >= len(exposure):
                refused(ledger, wave, f"the pool has {len(exposure)}")
            elif sum(asked.values()) <= min(5, 20 - sum(exposure)):
                ledger.spend(wave)
                for prompt, units in asked.items():
                    exposure[prompt] += units
                before = ledger.state_dict()
                with pytest.raises(ProtocolError, match="is open"):
                    ledger.extend(1)
                assert same_state(before, ledger.state_dict())
            ledger.end_round(updated=True)
        assert ledger.exposure_M.tolist() == exposure
        assert ledger.problem == problem.grown(len(exposure) - 3)
        again = BudgetLedger(ledger.problem)
        again.load_state_dict(through_a_file(ledger.state_dict()))
        assert same_state(again.state_dict(), ledger.state_dict())


@pytest.mark.parametrize("num_new", [0, -2, 1.5, True])
def test_a_number_of_prompts_that_is_none_is_refused(num_new):
    ledger = used_ledger()
    before = ledger.state_dict()
    with pytest.raises(InvalidValueError, match="num_new="):
        ledger.extend(num_new)
    assert same_state(before, ledger.state_dict())


def test_the_state_of_a_smaller_pool_is_refused():
    ledger, state = used_ledger(), used_ledger().state_dict()
    ledger.extend(1)
    with pytest.raises(StateError, match="problem="):
        ledger.load_state_dict(state)
