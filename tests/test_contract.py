"""What every registered allocator promises. A new one is covered as soon as it is registered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab import AllocationProblem, Feedback, available
from cerolab.errors import CerolabError, InvalidValueError, ProtocolError, StateError
from cerolab.selection.top_k import TieOrder
from cerolab.testing import RULES
from cerolab.testing.rules.states import refuses_state, resumes_at, saved
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
    feedbacks,
    few_examples,
    play,
    scenarios,
    some_examples,
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


# --- the rules that every allocator keeps, a user's too: cerolab.testing ------------------------------------------

SLOW = (
    "same_in_another_process",
    "foreign_states_are_refused",
    "bad_feedback_is_refused",
    "can_be_taken_back",
)  # slow
IN_ANY_SCENARIO = [rule for rule in RULES.values() if rule.name not in (*SLOW, "feasible", "resumes")]  # drawn below


@each()
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_it_keeps_the_rule(name, rule):
    rule.check(the(name))
    if not rule.once:
        rule.check(the(name, graded=True))


@each()
@pytest.mark.parametrize("rule", IN_ANY_SCENARIO, ids=[rule.name for rule in IN_ANY_SCENARIO])
@few_examples
@given(data=st.data())
def test_it_keeps_the_rule_in_any_scenario(name, rule, data):
    rule.check(data.draw(scenarios(name, graded=None)))


@each()
@given(data=st.data())
def test_every_round_is_feasible_in_any_scenario(name, data):
    RULES["feasible"].check(data.draw(scenarios(name, graded=None)))


@each()
@some_examples
@given(data=st.data())
def test_a_run_resumed_from_a_file_at_any_wave_by_a_fresh_or_used_allocator_goes_on_identically(name, data):
    scenario = data.draw(scenarios(name))
    rounds = data.draw(st.integers(0, scenario.problem.num_rounds))
    waves = data.draw(st.integers(0, 3)) if name in SEVERAL_WAVES else 0
    used = data.draw(st.one_of(st.just(0), st.integers(rounds, scenario.problem.num_rounds)))
    resumes_at(scenario, rounds, asked=data.draw(st.booleans()), used_rounds=used, waves=waves)


# --- what only the tests' own draws reach -------------------------------------------------------------------------


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
def test_options_are_not_changed(name):
    scenario = the(name)
    allocator = scenario.make()
    before = allocator.options_dict()
    rate = getattr(allocator.options, "rate", None)
    copy = None if rate is None else np.array(rate)
    play(allocator, PROBLEM, scenario.luck)
    assert allocator.options_dict() == before
    assert rate is None or np.array_equal(rate, copy)


# --- saving and loading ----------------------------------------------------------------------------------------


@each()
def test_a_resumed_run_goes_on_identically_where_many_prompts_tie(name):
    for luck_seed, budget in enumerate((13, 22, 27, 33, 34, 41)):
        problem = AllocationProblem(num_prompts=5, num_rounds=7, budget=budget, capacity=8, max_units=2)
        rates = ((0.5,) * 5, (0.2, 0.8, 0.2, 0.8, 0.5))[luck_seed % 2]
        for rounds in range(1, 7):
            resumes_at(Scenario(name, problem, rates, luck_seed=luck_seed), rounds, asked=True, used_rounds=0)


@each()
def test_a_resumed_run_with_graded_rewards_goes_on_identically(name):
    options = {"prior": (0.3, 0.8)} if name in CERO_FAMILY else {}
    for luck_seed in range(10):
        for rounds in (1, 2, 4):
            scenario = the(name, graded=True, options=options, luck_seed=luck_seed)
            resumes_at(scenario, rounds, asked=False, used_rounds=0)


@each()
@pytest.mark.parametrize(
    ("field", "value"), [("num_prompts", 8), ("num_rounds", 7), ("budget", 27), ("max_units", 3), ("saturation", 2.0)]
)
def test_the_state_of_another_problem_is_refused(name, field, value):
    other = replace(PROBLEM, **{field: value})
    rates = RATES + (0.5,) * (other.num_prompts - PROBLEM.num_prompts)
    refuses_state(the(name), saved(the(name, problem=other, rates=rates)), named="problem")


@each()
def test_the_state_of_another_method_is_refused(name):
    other = "uniform" if name != "uniform" else "cero"
    refuses_state(the(name), saved(the(other)), named=f"method={other}, this allocator method={name}")


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
    refuses_state(the(name), saved(the(name, options=options)), named="options")


def test_the_state_of_a_run_matched_to_another_schedule_is_refused():
    refuses_state(the("random_matched"), saved(the("random_matched", schedule_of="cero")), named="options")


@pytest.mark.parametrize("name", CERO_FAMILY)
def test_a_state_with_squared_rewards_of_the_wrong_shape_is_refused(name):
    refuses_state(the(name), {**saved(the(name)), "reward_sq_sum": np.zeros(3)}, named="reward_sq_sum has shape")


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
    refuses_state(the("cero"), {**saved(the("cero")), key: value}, named=key)


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
    refuses_state(the(name), {**saved(the(name)), "order": np.array(order)}, named="order")


@WITH_EPOCHS
@pytest.mark.parametrize("cursor", [[0, -4], [-1, 0], [0, 8], [0.0, 1.0]])
def test_a_cursor_outside_the_epoch_is_refused(name, cursor):
    refuses_state(the(name), {**saved(the(name)), "cursor": np.array(cursor)}, named="cursor")


@pytest.mark.parametrize("name", ["knapsack", "coba"])
@pytest.mark.parametrize("key", ["recent_responses", "recent_rewards"])
@pytest.mark.parametrize("value", [-1, 1e12])
def test_groups_that_could_not_have_been_are_refused(name, key, value):
    state = saved(the(name))
    refuses_state(the(name), {**state, key: np.full_like(state[key], value, dtype=np.float64)}, named=key)


def test_failure_rates_above_one_are_refused():
    refuses_state(the("coba"), {**saved(the("coba")), "failure_rates": np.full(3, 1.5)}, named="failure_rates")


@pytest.mark.parametrize("name", ["cero_greedy", "oracle"])
@pytest.mark.parametrize("change", [np.full(7, 0.5), np.full(7, 1000), np.zeros(7, np.int64)])
def test_exposures_that_contradict_the_spend_are_refused(name, change):
    refuses_state(the(name), {**saved(the(name)), "exposure": change}, named="exposure")
