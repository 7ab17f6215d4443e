"""Prompts that join between rounds: what every registered allocator promises of a pool that grows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab import AllocationProblem, BudgetLedger, Feedback, available, make
from cerolab.errors import InvalidValueError, ProtocolError
from tests.strategies import (
    Luck,
    Scenario,
    few_examples,
    moment,
    one_round,
    one_wave,
    options_for,
    play,
    rewards_of,
    same_state,
    scenarios,
    some_examples,
    success_rates,
    through_a_file,
)
from tests.test_contract import PROBLEM, RATES, SEVERAL_WAVES, the

REFUSING = ("random_matched",)  # replays a schedule on a fixed pool
NAMES = [name for name in available() if name not in REFUSING]
LATE = (0.5, 0.1, 0.8, 0.0)  # success rates of prompts that join


def each():
    return pytest.mark.parametrize("name", NAMES)


def growing(scenario: Scenario, late=LATE, num_new=0):
    """(an allocator of the scenario, over ``num_new`` prompts more than its problem; luck for ``late`` ones too)."""
    rates = (*scenario.rates, *late)
    problem = scenario.problem.grown(num_new)
    options = options_for(scenario.name, problem, rates) | dict(scenario.options)
    if scenario.name == "oracle":  # asks for the rates of the prompts that are there
        options["rate"] = lambda: np.array([p * (1.0 - p) for p in rates[: allocator.problem.num_prompts]])
    allocator = make(scenario.name, problem, seed=scenario.seed, **options)
    return allocator, Luck(problem, rates, scenario.luck_seed, scenario.graded)


def goes_on_like(one, other, luck):
    """Both allocate the same to the end of the horizon and end in the same state."""
    wave = 0
    while one.round_index < one.problem.num_rounds:
        expected, actual = one.allocate(), other.allocate()
        assert actual.matches(expected), one.round_index
        feedback = luck(moment(one.problem, one.round_index, wave), expected)
        one.observe(expected, feedback)
        other.observe(actual, feedback)
        wave = 0 if expected.last_wave else wave + 1
    assert same_state(one.state_dict(), other.state_dict())
    assert one.metrics() == other.metrics()


@each()
@some_examples
@given(data=st.data())
def test_extended_mid_run_it_keeps_to_budget_caps_and_pool(name, data):
    scenario = data.draw(scenarios(name, graded=None))
    batches = data.draw(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=3))
    late = data.draw(success_rates(9))
    (allocator, luck), ledger = growing(scenario, late), BudgetLedger(scenario.problem)
    for rounds, num_new in batches:
        play(allocator, ledger.problem, luck, rounds=rounds, ledger=ledger)
        before = allocator.remaining, allocator.round_index, allocator.done
        ledger.extend(num_new)
        allocator.extend(num_new)
        assert (allocator.remaining, allocator.round_index, allocator.done) == before
        assert allocator.problem == ledger.problem
    size = scenario.problem.num_prompts + sum(num_new for _, num_new in batches)
    assert allocator.problem == scenario.problem.grown(size - scenario.problem.num_prompts)
    assert allocator.predicted_success().shape == allocator.predicted_value().shape == (size,)
    assert np.isfinite(list(allocator.metrics().values())).all()
    play(allocator, ledger.problem, luck, ledger=ledger)  # the ledger refuses what is not allowed
    assert allocator.remaining == ledger.remaining
    assert ledger.exposure_M.shape == (size,)


@each()
@some_examples
@given(data=st.data())
def test_its_state_loads_into_one_made_for_the_larger_pool_or_extended_alike(name, data):
    scenario = data.draw(scenarios(name, graded=None))
    rounds, num_new = data.draw(st.integers(0, scenario.problem.num_rounds)), data.draw(st.integers(1, 4))
    allocator, luck = growing(scenario)
    play(allocator, scenario.problem, luck, rounds=rounds)
    allocator.extend(num_new)
    state = through_a_file(allocator.state_dict())
    made, extended = growing(scenario, num_new=num_new)[0], growing(scenario)[0]
    extended.extend(num_new)
    for other in (made, extended):
        other.load_state_dict(state)
        assert same_state(other.state_dict(), allocator.state_dict())
        assert np.array_equal(other.predicted_value(), allocator.predicted_value(), equal_nan=True)
    played, _ = growing(scenario, num_new=num_new)
    played.load_state_dict(state)
    goes_on_like(made, extended, luck)
    goes_on_like(allocator, played, luck)


@each()
def test_prompts_that_join_are_served(name):
    problem = AllocationProblem(num_prompts=6, num_rounds=60, budget=300, capacity=6, max_units=2, responses_per_unit=4)
    scenario = Scenario(name, problem, (0.5,) * 6)
    allocator, luck = growing(scenario, late=(0.5,) * 4)
    ledger = BudgetLedger(problem)
    for num_new in (3, 1):
        play(allocator, ledger.problem, luck, rounds=10, ledger=ledger)
        ledger.extend(num_new)
        allocator.extend(num_new)
    play(allocator, ledger.problem, luck, ledger=ledger)
    served = ledger.exposure_M[6:] > 0
    assert served.any() if name == "mopps" else served.all()  # it keeps to prompts that it knows to be near 1/2


@each()
@few_examples
@given(data=st.data())
def test_with_a_round_open_it_refuses_and_changes_nothing(name, data):
    scenario = data.draw(scenarios(name))
    (allocator, luck), (twin, _) = growing(scenario), growing(scenario)
    for one in (allocator, twin):
        play(one, scenario.problem, luck, rounds=data.draw(st.shared(st.integers(0, 3), key="rounds")))
    allocation = allocator.allocate()
    with pytest.raises(ProtocolError, match=rf"{name}: round {allocator.round_index} is open"):
        allocator.extend(1)
    assert allocator.allocate() is allocation
    goes_on_like(allocator, twin, luck)


@pytest.mark.parametrize("name", SEVERAL_WAVES)
def test_between_two_waves_it_refuses_too_and_after_a_checkpoint_there(name):
    problem = AllocationProblem(
        num_prompts=24, num_rounds=6, budget=144, capacity=24, max_units=4, responses_per_unit=2
    )
    scenario = Scenario(name, problem, (0.3,) * 24)
    (allocator, luck), (resumed, _) = growing(scenario), growing(scenario)
    waves = [one_wave(allocator, luck)]
    while waves[-1].allocation.last_wave and not allocator.done:
        assert not allocator.round_open
        waves.append(one_wave(allocator, luck))
    assert not waves[-1].allocation.last_wave
    resumed.load_state_dict(allocator.state_dict())
    for one in (allocator, resumed):
        before = one.state_dict()
        with pytest.raises(ProtocolError, match="is open"):
            one.extend(2)
        assert same_state(before, one.state_dict())
    one_round(allocator, luck, wave=1)
    allocator.extend(2)


@each()
@pytest.mark.parametrize("num_new", [0, -1, 1.5, True, None, "2"], ids=str)
def test_a_number_that_is_none_is_refused_and_changes_nothing(name, num_new):
    (allocator, luck), (twin, _) = growing(the(name)), growing(the(name))
    with pytest.raises(InvalidValueError, match="num_new="):
        allocator.extend(num_new)
    goes_on_like(allocator, twin, luck)


@pytest.mark.parametrize(
    ("name", "options", "remedy"),
    [
        ("random_matched", {}, "replays a schedule"),
        ("oracle", {}, "give rate as a function"),
        ("vip", {"estimator": "gp", "embeddings": np.eye(7)}, "use estimator='beta'"),
    ],
)
def test_methods_that_cannot_take_prompts_in_say_so_and_go_on(name, options, remedy):
    scenario = the(name, options=options)
    allocator, twin = scenario.make(), scenario.make()
    for one in (allocator, twin):
        play(one, PROBLEM, scenario.luck, rounds=2)
    with pytest.raises(InvalidValueError, match=remedy):
        allocator.extend(2)
    goes_on_like(allocator, twin, scenario.luck)


@each()
def test_an_extension_that_fails_half_way_leaves_the_allocator_as_it_was(name, monkeypatch):
    (allocator, luck), (twin, _) = growing(the(name)), growing(the(name))
    for one in (allocator, twin):
        play(one, PROBLEM, luck, rounds=2)
    with monkeypatch.context() as patch:
        patch.setattr(type(allocator), "_load_arrays", lambda self, arrays: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            allocator.extend(2)
    assert allocator.problem == PROBLEM
    goes_on_like(allocator, twin, luck)


# --- what prompts start with -----------------------------------------------------------------------------------------


@each()
def test_the_others_keep_what_is_known_of_them(name):
    allocator, luck = growing(the(name))
    play(allocator, PROBLEM, luck, rounds=3)
    before = allocator.state_dict(), allocator.predicted_success(), allocator.predicted_value()
    allocator.extend(4)
    size = PROBLEM.num_prompts
    for old, new in zip(before[1:], (allocator.predicted_success(), allocator.predicted_value()), strict=True):
        assert np.array_equal(old, new[:size], equal_nan=True)
    state = allocator.state_dict()
    for key, old in before[0].items():
        if key not in ("problem", "order"):
            new = np.asarray(state[key])
            assert np.array_equal(old, new[: len(old)] if new.ndim else new), key


@pytest.mark.parametrize("name", ["cero", "cero_fixed", "dual_mirror_descent"])
def test_slopes_of_new_prompts_start_at_four_times_the_present_prior_s_variance(name):
    options = (
        {"prior": "pool", "floor": 0.66, "mirror_slopes": True} if name == "dual_mirror_descent" else {"prior": "pool"}
    )
    allocator, luck = growing(the(name, options=options))
    play(allocator, PROBLEM, luck, rounds=3)
    slopes = allocator.slope_M.copy()
    allocator.extend(2)
    a, b = allocator.posterior.prior
    assert (a, b) != (1.0, 1.0)
    start = 4 * a * b / ((a + b) * (a + b + 1))
    assert allocator.slope_M[: slopes.size].tolist() == slopes.tolist()
    assert allocator.slope_M[slopes.size :] == pytest.approx([max(start, options.get("floor", 0.0))] * 2)


@pytest.mark.parametrize("used", [0, 2, 5, 6])
def test_new_prompts_are_shuffled_into_what_is_left_of_the_epoch(used):
    problem = AllocationProblem(num_prompts=6, num_rounds=40, budget=40, capacity=1)
    order = set()
    for seed in range(8):
        allocator = make("uniform", problem, seed=seed)
        served = [one_wave(allocator, _none).allocation.prompts[0] for _ in range(used)]
        allocator.extend(4)
        served += [one_wave(allocator, _none).allocation.prompts[0] for _ in range(30 - used)]
        for epoch in (served[:10], served[10:20], served[20:30]):
            assert sorted(epoch) == list(range(10))  # everybody once before anybody twice
        order.add(tuple(served[used:10]))
    assert len(order) > 4
    if used < 5:
        assert any(first < 6 for first, *_ in order)
        assert any(first >= 6 for first, *_ in order)


def _none(round_index, allocation):
    return rewards_of([1] * allocation.num_groups, [0] * allocation.num_groups)


def test_the_equal_share_follows_the_pool():
    grown = PROBLEM.grown(7)
    assert grown.exposure_scale == PROBLEM.exposure_scale / 2
    assert grown.max_slope == 2 * PROBLEM.max_slope
    assert (grown.budget, grown.capacity, grown.num_rounds) == (PROBLEM.budget, PROBLEM.capacity, PROBLEM.num_rounds)
    assert PROBLEM.grown(0) == PROBLEM
    with pytest.raises(InvalidValueError, match="num_new=-1"):
        PROBLEM.grown(-1)
    assert len(RATES) == PROBLEM.num_prompts


def test_tokens_that_are_spent_stay_spent():
    problem = AllocationProblem(
        num_prompts=4, num_rounds=6, budget=24, capacity=4, max_units=2, token_budget=900, max_tokens=9
    )
    allocator, ledger = make("resolve", problem), BudgetLedger(problem)
    allocation = allocator.allocate()
    ledger.spend(allocation)
    ledger.count_tokens(5 * allocation.num_units)
    allocator.observe(allocation, Feedback(allocation.units, 0 * allocation.units, num_tokens=5 * allocation.units))
    ledger.end_round(updated=True)
    allocator.extend(3)
    ledger.extend(3)
    assert allocator.remaining_tokens == ledger.remaining_tokens == 900 - 5 * allocation.num_units
    assert allocator.allocate().num_units > 0
