"""What every registered allocator promises. A new one is covered as soon as it is registered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab import Allocation, AllocationProblem, Allocator, Feedback, available
from cerolab.errors import CerolabError, InvalidValueError, ProtocolError, StateError
from cerolab.projection import TieOrder
from tests import golden
from tests.reference.naive_ablations import NaiveCeroFixed, NaiveCeroGreedy, NaiveCeroPreset
from tests.reference.naive_batches import NaiveCoba, NaiveKnapsack, NaiveReinforceAdaEst, NaiveVip
from tests.reference.naive_cero import NaiveCero
from tests.reference.naive_mirror import NaiveDualMirrorDescent
from tests.reference.naive_mopps import NaiveMopps
from tests.reference.naive_resolve import NaiveRenew, NaiveResolve
from tests.reference.naive_waves import NaiveDapo, NaiveGreso, NaiveHora, NaiveReinforceAda, NaiveSpeed
from tests.strategies import (
    Luck,
    Scenario,
    as_pairs,
    feedbacks,
    few_examples,
    moment,
    one_round,
    one_wave,
    pairs_of,
    play,
    same_state,
    scenarios,
    some_examples,
    through_a_file,
)

# What each method is checked against: a naive implementation (test_parity.py, test_peers.py), or why there is none.
REFERENCES = {
    "cero": NaiveCero,
    "cero_fixed": NaiveCeroFixed,
    "cero_greedy": NaiveCeroGreedy,
    "cero_preset": NaiveCeroPreset,
    "coba": NaiveCoba,
    "dapo": NaiveDapo,
    "dual_mirror_descent": NaiveDualMirrorDescent,
    "greso": NaiveGreso,
    "hora": NaiveHora,
    "knapsack": NaiveKnapsack,
    "mopps": NaiveMopps,
    "oracle": "its exposures are an optimum that tests/reference/naive_utility.py finds by brute force",
    "random_matched": "does no arithmetic: tests/test_random_matched.py checks it against the run it replays",
    "reinforce_ada": NaiveReinforceAda,
    "reinforce_ada_est": NaiveReinforceAdaEst,
    "renew": NaiveRenew,
    "resolve": NaiveResolve,
    "speed": NaiveSpeed,
    "uniform": "does no arithmetic: tests/test_uniform.py states its rule",
    "vip": NaiveVip,
}

NAMES = available()
SEVERAL_WAVES = ("dapo", "speed", "greso", "hora", "reinforce_ada")
CERO_FAMILY = [name for name in NAMES if name.startswith("cero") or name == "dual_mirror_descent"]
PROBLEM = AllocationProblem(
    num_prompts=7, num_rounds=6, budget=26, capacity=5, max_units=2, responses_per_unit=3, saturation=1.0
)
RATES = (0.5, 0.2, 0.0, 1.0, 0.7, 0.4, 0.9)


def the(name: str, **changed: object) -> Scenario:
    """One fixed scenario of an allocator; every method has groups in its first rounds."""
    return replace(Scenario(name, PROBLEM, RATES, seed=1, luck_seed=5), **changed)


def each():
    """Parametrise over all registered names."""
    return pytest.mark.parametrize("name", NAMES)


# --- completeness ----------------------------------------------------------------------------------------------


@each()
def test_it_has_a_golden_file(name):
    assert golden.path(name).is_file(), "run `make golden`"


@each()
def test_it_has_a_naive_reference_or_a_reason_for_none(name):
    reference = REFERENCES.get(name)
    assert isinstance(reference, type) or (isinstance(reference, str) and len(reference) > 20)


def test_the_table_of_references_names_registered_methods_only():
    assert set(REFERENCES) == set(NAMES)


# --- shape of the interface ------------------------------------------------------------------------------------


@each()
def test_it_satisfies_the_allocator_protocol(name):
    allocator = the(name).make()
    assert isinstance(allocator, Allocator)
    assert allocator.name == name
    assert allocator.problem is PROBLEM
    assert not allocator.done


@each()
@few_examples
@given(data=st.data())
def test_predictions_are_one_number_a_prompt_in_range_or_nan(name, data):
    scenario = data.draw(scenarios(name, graded=None))

    def check(result):
        allocator = result.allocator
        for prediction, most in ((allocator.predicted_success(), 1.0), (allocator.predicted_value(), 0.25)):
            assert prediction.shape == (scenario.problem.num_prompts,)
            assert prediction.dtype == np.float64
            known = prediction[~np.isnan(prediction)]
            assert known.size in (0, prediction.size)
            assert ((known >= 0.0) & (known <= most)).all()

    allocator = scenario.make()
    result = play(allocator, scenario.problem, scenario.luck, rounds=0)
    check(result)
    play(allocator, scenario.problem, scenario.luck, ledger=result.ledger, after_round=check)


@each()
def test_asking_for_predictions_changes_no_decision(name):
    scenario = the(name)
    asked, silent = scenario.make(), scenario.make()
    for _ in range(PROBLEM.num_rounds):
        asked.predicted_success(), asked.predicted_value(), asked.metrics(), asked.state_dict()
        asked.training_mask([])
        assert pairs_of(one_round(asked, scenario.luck)) == pairs_of(one_round(silent, scenario.luck))
    assert same_state(asked.state_dict(), silent.state_dict())


@each()
def test_writing_into_predictions_and_states_changes_nothing_inside(name):
    scenario = the(name)
    allocator, twin = scenario.make(), scenario.make()
    for _ in range(3):
        for prediction in (allocator.predicted_success(), allocator.predicted_value()):
            if prediction.flags.writeable:
                prediction[:] = 0.125
        for value in allocator.state_dict().values():
            if isinstance(value, np.ndarray) and value.flags.writeable:
                value[...] = 0
        assert pairs_of(one_round(allocator, scenario.luck)) == pairs_of(one_round(twin, scenario.luck))
    assert same_state(allocator.state_dict(), twin.state_dict())
    assert np.array_equal(allocator.predicted_value(), twin.predicted_value(), equal_nan=True)


@each()
@few_examples
@given(data=st.data())
def test_metrics_are_finite_floats_and_report_what_remains(name, data):
    scenario = data.draw(scenarios(name, graded=None))

    def check(result):
        metrics = result.allocator.metrics()
        assert all(type(key) is str and type(value) is float for key, value in metrics.items())
        assert np.isfinite(list(metrics.values())).all()
        assert metrics["remaining"] == result.ledger.remaining

    play(scenario.make(), scenario.problem, scenario.luck, after_round=check)


@each()
def test_training_mask_has_one_flag_a_group_of_the_round(name):
    scenario = the(name)
    allocator = scenario.make()
    for _ in range(PROBLEM.num_rounds):
        waves = one_round(allocator, scenario.luck)
        mask = allocator.training_mask(waves)
        assert mask.shape == (sum(wave.allocation.num_groups for wave in waves),)
        assert mask.dtype == np.bool_
    assert allocator.training_mask([]).shape == (0,)


# --- feasibility and the budget --------------------------------------------------------------------------------


@each()
@given(data=st.data())
def test_every_round_is_feasible_and_the_budget_is_accounted_exactly(name, data):
    scenario = data.draw(scenarios(name, graded=None))
    problem = scenario.problem
    spent = np.zeros(problem.num_prompts, np.int64)

    checked = []

    def check(result):
        allocator, ledger = result.allocator, result.ledger
        waves = result.allocations[len(checked) :]
        checked.extend(waves)
        assert [wave.last_wave for wave in waves] == [False] * (len(waves) - 1) + [True]
        # The rules of (1) once more, so that this does not rest on the ledger alone.
        in_round = dict.fromkeys(range(problem.num_prompts), 0)
        for allocation in waves:
            assert allocation.prompts.dtype == allocation.units.dtype == np.int64
            assert len(set(allocation.prompts.tolist())) == allocation.num_groups
            assert all(units >= 1 for units in allocation.units.tolist())
            for prompt, units in as_pairs(allocation):
                in_round[prompt] += units
            spent[allocation.prompts] += allocation.units
        assert len(in_round) == problem.num_prompts
        assert max(in_round.values()) <= problem.max_units
        assert sum(in_round.values()) <= problem.capacity
        assert spent.sum() <= problem.budget
        assert allocator.remaining == ledger.remaining == problem.budget - spent.sum()
        assert allocator.round_index == ledger.round_index
        assert allocator.done == (ledger.remaining == 0 or ledger.round_index == problem.num_rounds)

    result = play(scenario.make(), problem, scenario.luck, after_round=check)
    assert len(result.allocations) >= problem.num_rounds
    assert np.array_equal(result.ledger.exposure_M, spent)


@each()
@few_examples
@given(data=st.data())
def test_once_done_it_admits_nobody_any_more(name, data):
    scenario = data.draw(scenarios(name))
    allocator = scenario.make()
    for _ in range(scenario.problem.num_rounds):
        was_done = allocator.done
        for wave in one_round(allocator, scenario.luck):
            assert not (was_done and wave.allocation.num_groups)
        assert allocator.done or not was_done
    for _ in range(2):  # a loop that overruns the horizon
        assert allocator.done
        allocation = one_wave(allocator, scenario.luck).allocation
        assert as_pairs(allocation) == []
        assert allocation.last_wave
    assert allocator.done


@each()
def test_a_state_saved_after_the_horizon_can_be_loaded(name):
    scenario = the(name)
    allocator = scenario.make()
    for _ in range(PROBLEM.num_rounds + 1):
        one_round(allocator, scenario.luck)
    resumed = scenario.make()
    resumed.load_state_dict(allocator.state_dict())
    assert resumed.done


@each()
@few_examples
@given(data=st.data())
def test_graded_rewards_are_accepted_over_a_whole_horizon(name, data):
    scenario = data.draw(scenarios(name, graded=True))
    result = play(scenario.make(), scenario.problem, scenario.luck)
    assert result.allocator.remaining == result.ledger.remaining


@each()
@few_examples
@given(data=st.data())
def test_any_valid_feedback_is_accepted(name, data):
    scenario = data.draw(scenarios(name))
    allocator = scenario.make()
    while allocator.round_index < min(2, scenario.problem.num_rounds):
        allocation = allocator.allocate()
        allocator.observe(allocation, data.draw(feedbacks(allocation, scenario.problem)))
    assert np.isfinite(list(allocator.metrics().values())).all()


# --- determinism -----------------------------------------------------------------------------------------------


@each()
@few_examples
@given(data=st.data())
def test_same_seed_and_feedback_give_the_same_allocations(name, data):
    scenario = data.draw(scenarios(name, graded=None))
    one, other = (play(scenario.make(), scenario.problem, scenario.luck) for _ in range(2))
    assert one.pairs == other.pairs
    assert same_state(one.allocator.state_dict(), other.allocator.state_dict())


@each()
def test_it_neither_reads_nor_moves_the_global_random_state(name):
    def run(global_seed):
        np.random.seed(global_seed)  # noqa: NPY002
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        pairs = play(the(name).make(), PROBLEM, the(name).luck).pairs
        assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
        return pairs

    assert run(1) == run(2)


@each()
def test_runs_with_interleaved_calls_do_not_disturb_each_other(name):
    scenario = the(name)
    alone = play(scenario.make(), PROBLEM, scenario.luck).pairs
    one, other = scenario.make(), replace(scenario, seed=2).make()
    pairs = []
    for _ in range(PROBLEM.num_rounds):
        pairs += pairs_of(one_round(one, scenario.luck))
        one_round(other, scenario.luck)
    assert pairs == alone


@pytest.mark.parametrize("name", CERO_FAMILY)
@some_examples
@given(data=st.data())
def test_renaming_the_prompts_renames_the_allocations(name, data):
    scenario = data.draw(scenarios(name, graded=None))
    problem, size = scenario.problem, scenario.problem.num_prompts
    new_of_old = np.array(data.draw(st.permutations(range(size))))
    old_of_new = np.argsort(new_of_old)
    plain, renamed = scenario.make(), scenario.make()
    renamed.ties = TieOrder(plain.ties.rank_M[old_of_new])
    luck = scenario.luck
    expected = play(plain, problem, luck).pairs
    actual = play(renamed, problem, replace(luck, labels=old_of_new.tolist())).pairs
    assert actual == [[(int(new_of_old[prompt]), units) for prompt, units in wave] for wave in expected]
    assert np.array_equal(renamed.predicted_value()[new_of_old], plain.predicted_value())


# --- inputs stay as they are -----------------------------------------------------------------------------------


@each()
@pytest.mark.parametrize("graded", [False, True], ids=["binary", "graded"])
def test_feedback_arrays_are_neither_changed_nor_kept(name, graded):
    scenario = the(name, graded=graded)
    allocator, twin = scenario.make(), scenario.make()
    wave = 0
    while allocator.round_index < PROBLEM.num_rounds:
        allocation = allocator.allocate()
        feedback = scenario.luck(moment(PROBLEM, allocator.round_index, wave), allocation)
        arrays = [feedback.num_responses, feedback.reward_sum]
        arrays += [feedback.reward_sq_sum] if graded else []
        copies = [array.copy() for array in arrays]
        allocator.observe(allocation, feedback)
        assert all(np.array_equal(array, copy) for array, copy in zip(arrays, copies, strict=True))
        for array in arrays:
            array[:] = 99  # what the caller does with its arrays afterwards is its own affair
        one_wave(twin, scenario.luck, wave)
        wave = 0 if allocation.last_wave else wave + 1
    assert same_state(allocator.state_dict(), twin.state_dict())


@each()
def test_read_only_feedback_is_accepted(name):
    scenario = the(name)
    allocator = scenario.make()
    allocation = allocator.allocate()
    feedback = scenario.luck(0, allocation)
    feedback.num_responses.flags.writeable = feedback.reward_sum.flags.writeable = False
    allocator.observe(allocation, feedback)
    assert allocator.round_index == allocation.last_wave


@each()
def test_feedback_may_be_plain_lists(name):
    scenario = the(name)
    lists, arrays = scenario.make(), scenario.make()
    allocation = lists.allocate()
    feedback = scenario.luck(0, allocation)
    lists.observe(allocation, Feedback(feedback.num_responses.tolist(), feedback.reward_sum.tolist()))
    one_wave(arrays, scenario.luck)
    assert same_state(lists.state_dict(), arrays.state_dict())


@each()
def test_allocation_arrays_are_read_only(name):
    allocator = the(name).make()
    waves = [wave for _ in range(PROBLEM.num_rounds + 1) for wave in one_round(allocator, the(name).luck)]
    for allocation, _ in waves:
        assert not allocation.prompts.flags.writeable
        assert not allocation.units.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            allocation.units[:] = 1


@each()
def test_options_are_not_changed(name):
    scenario = the(name)
    allocator = scenario.make()
    before = allocator.options_dict()
    rate = getattr(allocator.options, "rate", None)
    copy = None if rate is None else np.array(rate)
    play(allocator, PROBLEM, scenario.luck)
    assert allocator.options_dict() == before
    assert rate is None or np.array_equal(rate, copy)


# --- turn-taking -----------------------------------------------------------------------------------------------


@each()
@few_examples
@given(data=st.data())
def test_allocate_repeats_itself_until_it_is_answered(name, data):
    scenario = data.draw(scenarios(name))
    allocator = scenario.make()
    for _ in range(3 * scenario.problem.num_rounds + 1):
        before = allocator.state_dict()
        first, second = allocator.allocate(), allocator.allocate()
        assert first.matches(second)
        assert same_state(before, allocator.state_dict())
        allocator.observe(first, scenario.luck(allocator.round_index, first))


@each()
def test_an_equal_allocation_stands_for_the_last_one(name):
    allocator = the(name).make()
    allocation = allocator.allocate()
    copy = Allocation(allocation.prompts.copy(), allocation.units.copy(), allocation.last_wave)
    allocator.observe(copy, the(name).luck(0, allocation))
    assert allocator.round_index == allocation.last_wave


def _other_allocations(allocation: Allocation) -> dict[str, Allocation]:
    prompts, units, last = allocation.prompts, allocation.units, allocation.last_wave
    unused = np.setdiff1d(np.arange(PROBLEM.num_prompts), prompts)
    return {
        "other units": Allocation(prompts, np.append(units[:-1], 3 - units[-1]), last),
        "other prompts": Allocation(np.append(prompts[:-1], unused[0]), units, last),
        "other order": Allocation(prompts[::-1].copy(), units[::-1].copy(), last),
        "one group less": Allocation(prompts[:-1], units[:-1], last),
        "other wave": Allocation(prompts, units, last_wave=not last),
        "nobody": Allocation.empty(last),
    }


@each()
@pytest.mark.parametrize(
    "kind", ["other units", "other prompts", "other order", "one group less", "other wave", "nobody"]
)
def test_feedback_for_another_allocation_is_rejected_and_changes_nothing(name, kind):
    scenario = the(name)
    allocator, twin = scenario.make(), scenario.make()
    allocation = allocator.allocate()
    if kind == "other order" and allocation.num_groups == 1:
        pytest.skip("one group has one order")
    other = _other_allocations(allocation)[kind]
    before = allocator.state_dict()
    with pytest.raises(ProtocolError, match=f"{name}: feedback for another allocation"):
        allocator.observe(other, scenario.luck(0, other))
    assert same_state(before, allocator.state_dict())
    assert allocator.allocate().matches(allocation)
    assert play(allocator, PROBLEM, scenario.luck).pairs == play(twin, PROBLEM, scenario.luck).pairs


@each()
def test_observe_before_allocate_is_rejected_and_changes_nothing(name):
    scenario = the(name)
    allocator, twin = scenario.make(), scenario.make()
    with pytest.raises(ProtocolError, match="call allocate\\(\\) first"):
        allocator.observe(Allocation.empty(), Feedback([], []))
    assert same_state(allocator.state_dict(), twin.state_dict())
    assert play(allocator, PROBLEM, scenario.luck).pairs == play(twin, PROBLEM, scenario.luck).pairs


@each()
def test_observing_twice_is_rejected_and_changes_nothing(name):
    scenario = the(name)
    allocator = scenario.make()
    wave = one_wave(allocator, scenario.luck)
    before = allocator.state_dict()
    with pytest.raises(ProtocolError, match="call allocate\\(\\) first"):
        allocator.observe(wave.allocation, wave.feedback)
    assert same_state(before, allocator.state_dict())
    upcoming = allocator.allocate()
    if not upcoming.matches(wave.allocation):
        with pytest.raises(ProtocolError, match="another allocation"):
            allocator.observe(wave.allocation, wave.feedback)
    assert same_state(before, allocator.state_dict())


# --- bad feedback ----------------------------------------------------------------------------------------------


def _set(array, at, value):
    changed = np.array(array, np.float64)
    changed[at] = value
    return changed


BAD_FEEDBACK = {
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


@each()
@pytest.mark.parametrize("kind", BAD_FEEDBACK)
@pytest.mark.parametrize("round_index", [0, 1])
def test_bad_feedback_is_rejected_and_changes_nothing(name, kind, round_index):
    field, spoil = BAD_FEEDBACK[kind]
    scenario = the(name, schedule_of="uniform")
    allocator, twin = scenario.make(), scenario.make()
    play(allocator, PROBLEM, scenario.luck, rounds=round_index)
    play(twin, PROBLEM, scenario.luck, rounds=round_index)
    if allocator.allocate().num_groups == 0:  # CERO may pause
        one_round(allocator, scenario.luck), one_round(twin, scenario.luck)
    allocation = allocator.allocate()
    assert allocation.num_groups
    before = allocator.state_dict()
    good = scenario.luck(allocator.round_index, allocation)
    with pytest.raises(InvalidValueError, match=field):
        allocator.observe(allocation, spoil(good.num_responses, good.reward_sum))
    assert same_state(before, allocator.state_dict())
    assert allocator.allocate().matches(allocation)
    allocator.observe(allocation, good)  # still open, and good feedback has its usual effect
    one_wave(twin, scenario.luck)
    assert same_state(allocator.state_dict(), twin.state_dict())
    assert allocator.allocate().matches(twin.allocate())


# --- saving and loading ----------------------------------------------------------------------------------------


def _check_resume(scenario: Scenario, rounds: int, asked: bool, used_rounds: int, waves: int = 0) -> None:
    """Save after ``rounds`` rounds and ``waves`` waves, load into a fresh or used allocator, and go on with both."""
    problem, luck = scenario.problem, scenario.luck
    allocator = scenario.make()
    play(allocator, problem, luck, rounds=rounds)
    wave = 0
    while wave < waves and allocator.round_index == rounds:
        one_wave(allocator, luck, wave)
        wave += 1
    if allocator.round_index != rounds:
        wave = 0
    if asked:
        allocator.allocate()
    state = through_a_file(allocator.state_dict())
    resumed = scenario.make()
    play(resumed, problem, luck, rounds=used_rounds)
    resumed.load_state_dict(state)
    assert same_state(resumed.state_dict(), allocator.state_dict())
    assert (resumed.remaining, resumed.round_index) == (allocator.remaining, allocator.round_index)
    assert np.array_equal(resumed.predicted_value(), allocator.predicted_value(), equal_nan=True)
    while allocator.round_index < problem.num_rounds:
        expected, actual = allocator.allocate(), resumed.allocate()
        assert actual.matches(expected), (allocator.round_index, wave)
        at = moment(problem, allocator.round_index, wave)
        allocator.observe(expected, luck(at, expected))
        resumed.observe(actual, luck(at, actual))
        wave = 0 if expected.last_wave else wave + 1
    assert same_state(resumed.state_dict(), allocator.state_dict())
    assert resumed.metrics() == allocator.metrics()


@each()
@some_examples
@given(data=st.data())
def test_a_run_resumed_from_a_file_at_any_round_goes_on_identically(name, data):
    scenario = data.draw(scenarios(name))
    rounds = data.draw(st.integers(0, scenario.problem.num_rounds))
    waves = data.draw(st.integers(0, 3)) if name in SEVERAL_WAVES else 0
    _check_resume(scenario, rounds, asked=data.draw(st.booleans()), used_rounds=0, waves=waves)


@each()
@some_examples
@given(data=st.data())
def test_a_used_allocator_can_be_taken_back_to_an_earlier_state(name, data):
    scenario = data.draw(scenarios(name))
    rounds = data.draw(st.integers(0, scenario.problem.num_rounds))
    used = data.draw(st.integers(rounds, scenario.problem.num_rounds))
    _check_resume(scenario, rounds, asked=False, used_rounds=used)


@each()
def test_a_resumed_run_goes_on_identically_where_many_prompts_tie(name):
    for luck_seed, budget in enumerate((13, 22, 27, 33, 34, 41)):
        problem = AllocationProblem(num_prompts=5, num_rounds=7, budget=budget, capacity=8, max_units=2)
        rates = ((0.5,) * 5, (0.2, 0.8, 0.2, 0.8, 0.5))[luck_seed % 2]
        for rounds in range(1, 7):
            _check_resume(Scenario(name, problem, rates, luck_seed=luck_seed), rounds, asked=True, used_rounds=0)


@each()
def test_a_resumed_run_with_graded_rewards_goes_on_identically(name):
    options = {"prior": (0.3, 0.8)} if name in CERO_FAMILY else {}
    for luck_seed in range(10):
        for rounds in (1, 2, 4):
            scenario = the(name, graded=True, options=options, luck_seed=luck_seed)
            _check_resume(scenario, rounds, asked=False, used_rounds=0)


@each()
def test_an_allocator_used_with_graded_rewards_can_be_taken_back_to_its_start(name):
    _check_resume(the(name, graded=True), rounds=0, asked=False, used_rounds=3)


@each()
def test_a_state_holds_scalars_strings_and_arrays_only(name):
    allocator = the(name).make()
    one_wave(allocator, the(name).luck)
    for key, value in allocator.state_dict().items():
        assert isinstance(value, (int, float, str)) or (isinstance(value, np.ndarray) and value.dtype.kind in "biufU")
        assert type(key) is str


@each()
def test_a_state_taken_earlier_does_not_change_as_the_run_goes_on(name):
    allocator = the(name).make()
    state = allocator.state_dict()
    copy = through_a_file(state)
    play(allocator, PROBLEM, the(name).luck)
    assert same_state(state, copy)
    assert not same_state(state, allocator.state_dict())


@each()
def test_loading_takes_a_copy_of_the_arrays(name):
    scenario = the(name)
    allocator, resumed = scenario.make(), scenario.make()
    play(allocator, PROBLEM, scenario.luck, rounds=2)
    state = allocator.state_dict()
    resumed.load_state_dict(state)
    for value in state.values():
        if isinstance(value, np.ndarray):
            value[...] = 0
    assert same_state(resumed.state_dict(), allocator.state_dict())
    assert resumed.allocate().matches(allocator.allocate())


def _refuses(scenario: Scenario, state: dict[str, object], match: str, error: type[Exception] = StateError) -> None:
    """A used allocator refuses the state, and goes on as one that was never asked."""
    allocator, twin = scenario.make(), scenario.make()
    play(allocator, scenario.problem, scenario.luck, rounds=2)
    play(twin, scenario.problem, scenario.luck, rounds=2)
    allocation = allocator.allocate()
    with pytest.raises(error, match=match):
        allocator.load_state_dict(through_a_file(state))
    assert same_state(allocator.state_dict(), twin.state_dict())
    assert allocator.allocate() is allocation
    while not allocator.done:
        assert pairs_of(one_round(allocator, scenario.luck)) == pairs_of(one_round(twin, scenario.luck))
    assert same_state(allocator.state_dict(), twin.state_dict())


def _saved(scenario: Scenario) -> dict[str, object]:
    allocator = scenario.make()
    play(allocator, scenario.problem, scenario.luck, rounds=1)
    return allocator.state_dict()


@each()
@pytest.mark.parametrize(
    ("field", "value"), [("num_prompts", 8), ("num_rounds", 7), ("budget", 27), ("max_units", 3), ("saturation", 2.0)]
)
def test_the_state_of_another_problem_is_refused(name, field, value):
    other = replace(PROBLEM, **{field: value})
    rates = RATES + (0.5,) * (other.num_prompts - PROBLEM.num_prompts)
    _refuses(the(name), _saved(the(name, problem=other, rates=rates)), match="problem")


@each()
def test_the_state_of_another_seed_is_refused(name):
    _refuses(the(name), _saved(the(name, seed=2)), match="seed=2, this allocator seed=1")


@each()
def test_the_state_of_another_method_is_refused(name):
    other = "uniform" if name != "uniform" else "cero"
    _refuses(the(name), _saved(the(other)), match=f"method={other}, this allocator method={name}")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {"forgetting": 0.5}) for name in CERO_FAMILY),
        *((name, {"prior": "pool"}) for name in CERO_FAMILY),
        *((name, {"tie_seed": 5}) for name in CERO_FAMILY),
        ("cero", {"price": 0.25}),
        ("cero", {"catch_up": True}),
        ("cero_fixed", {"step_slope": 0.25}),
        ("cero_preset", {"saturation": 2.0}),
        ("dual_mirror_descent", {"floor": 0.5}),
        ("dual_mirror_descent", {"mirror_slopes": True}),
        ("mopps", {"forgetting": 0.5}),
        ("mopps", {"target": (0.3, 0.7)}),
        ("knapsack", {"min_observations": 4}),
        ("coba", {"window": 2}),
        ("dapo", {"batch_share": 0.5}),
        ("dapo", {"on_give_up": "error"}),
        ("greso", {"exploration": 0.25}),
        ("hora", {"group_units": 1}),
        ("reinforce_ada", {"variant": "pos"}),
        ("speed", {"screen_units": 1}),
        ("vip", {"form": "dr_grpo"}),
        ("vip", {"estimator": "gp", "embeddings": [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]}),
    ],
)
def test_the_state_of_other_options_is_refused(name, options):
    _refuses(the(name), _saved(the(name, options=options)), match="options")


def test_the_state_of_a_run_matched_to_another_schedule_is_refused():
    _refuses(the("random_matched"), _saved(the("random_matched", schedule_of="cero")), match="options")


@each()
def test_a_state_of_another_schema_version_is_refused(name):
    state = _saved(the(name))
    _refuses(the(name), {**state, "schema_version": state["schema_version"] + 1}, match="schema_version")


@each()
def test_a_state_without_one_of_its_keys_is_refused(name):
    for key in _saved(the(name)):
        if key not in ("round_index", "remaining"):
            state = _saved(the(name))
            del state[key]
            _refuses(the(name), state, match=f"lacks '{key}'")


@each()
@pytest.mark.parametrize("key", ["round_index", "remaining"])
def test_a_state_without_its_counts_is_refused(name, key):
    state = _saved(the(name))
    del state[key]
    _refuses(the(name), state, match=f"lacks '{key}'")


@each()
def test_a_state_with_an_array_of_the_wrong_shape_is_refused(name):
    for key, value in _saved(the(name)).items():
        if isinstance(value, np.ndarray):
            wrong = np.append(np.ravel(value), [1, 1]).astype(value.dtype)
            _refuses(the(name), {**_saved(the(name)), key: wrong}, match=f"{key} has shape")


@pytest.mark.parametrize("name", CERO_FAMILY)
def test_a_state_with_squared_rewards_of_the_wrong_shape_is_refused(name):
    _refuses(the(name), {**_saved(the(name)), "reward_sq_sum": np.zeros(3)}, match="reward_sq_sum has shape")


@each()
@pytest.mark.parametrize(
    ("key", "value"), [("round_index", -1), ("round_index", 7), ("remaining", -1), ("remaining", 27)]
)
def test_a_state_with_impossible_counts_is_refused(name, key, value):
    _refuses(the(name), {**_saved(the(name)), key: value}, match=f"{key}={value}")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("slope", np.full(7, np.nan)),
        ("slope", np.full(7, "x")),
        ("slope", np.full(7, 2.0)),
        ("price", np.array(np.nan)),
        ("prior", np.array([np.nan, 1.0])),
        ("num_responses", np.full(7, -1.0)),
        ("reward_sum", np.full(7, 1e9)),
        ("seed", np.array([1, 1])),
        ("remaining", np.nan),
    ],
)
def test_a_damaged_state_is_refused(key, value):
    _refuses(the("cero"), {**_saved(the("cero")), key: value}, match=key)


def test_every_refusal_is_a_cerolab_error():
    assert all(issubclass(error, CerolabError) for error in (InvalidValueError, ProtocolError, StateError))


def test_luck_is_a_function_of_seed_round_prompt_and_response_only():
    luck = Luck(PROBLEM, RATES, 3)
    assert [luck.reward(1, 2, r) for r in range(5)] == [Luck(PROBLEM, RATES, 3).reward(1, 2, r) for r in range(5)]
    assert np.mean([luck.reward(0, 0, r) for r in range(400)]) == pytest.approx(0.5, abs=0.1)
    graded = Luck(PROBLEM, RATES, 3, graded=True)
    assert np.mean([graded.reward(0, 4, r) for r in range(400)]) == pytest.approx(0.7, abs=0.1)


# --- states and answers that could not be ----------------------------------------------------------------------


@each()
def test_an_answer_of_another_kind_is_refused(name):
    allocator = the(name).make()
    allocation = allocator.allocate()
    for answer in ((None, None), (allocation, None), (None, Feedback([], []))):
        with pytest.raises(ProtocolError, match="takes an Allocation and a Feedback"):
            allocator.observe(*answer)
    assert allocator.allocate().matches(allocation)


WITH_EPOCHS = pytest.mark.parametrize(
    "name", ["uniform", "knapsack", "coba", "vip", "reinforce_ada_est", *SEVERAL_WAVES]
)


@WITH_EPOCHS
@pytest.mark.parametrize("order", [[0] * 7, [0, 1, 2, 3, 4, 5, 99], [0.5, 1, 2, 3, 4, 5, 6], [-1, 0, 1, 2, 3, 4, 5]])
def test_an_order_that_is_no_permutation_is_refused(name, order):
    _refuses(the(name), {**_saved(the(name)), "order": np.array(order)}, match="order")


@WITH_EPOCHS
@pytest.mark.parametrize("cursor", [[0, -4], [-1, 0], [0, 8], [0.0, 1.0]])
def test_a_cursor_outside_the_epoch_is_refused(name, cursor):
    _refuses(the(name), {**_saved(the(name)), "cursor": np.array(cursor)}, match="cursor")


@pytest.mark.parametrize("name", ["knapsack", "coba"])
@pytest.mark.parametrize("key", ["recent_responses", "recent_rewards"])
@pytest.mark.parametrize("value", [-1, 1e12])
def test_groups_that_could_not_have_been_are_refused(name, key, value):
    state = _saved(the(name))
    _refuses(the(name), {**state, key: np.full_like(state[key], value, dtype=np.float64)}, match=key)


def test_failure_rates_above_one_are_refused():
    _refuses(the("coba"), {**_saved(the("coba")), "failure_rates": np.full(3, 1.5)}, match="failure_rates")


@pytest.mark.parametrize("name", ["cero_greedy", "oracle"])
@pytest.mark.parametrize("change", [np.full(7, 0.5), np.full(7, 1000), np.zeros(7, np.int64)])
def test_exposures_that_contradict_the_spend_are_refused(name, change):
    _refuses(the(name), {**_saved(the(name)), "exposure": change}, match="exposure")
