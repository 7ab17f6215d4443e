"""Peers with several waves a round: against naive implementations of their rules, worked examples, worst cases.

Where a second wave of HORA differs from the naive one, both must be worth the same: a tie.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from cerolab import Allocation, AllocationProblem, BudgetLedger, Feedback, Wave, make, seeding
from cerolab.allocators.hora import hit_utility
from cerolab.errors import CerolabError, InvalidValueError, StateError
from cerolab.groups import mixed_prompts
from cerolab.tools.method import Method
from sim.experiment.cell import Cell
from sim.experiment.cell import Scenario as World
from tests.reference.naive_waves import NaiveDapo, NaiveGreso, NaiveHora, NaiveReinforceAda, NaiveSpeed
from tests.strategies import (
    Luck,
    as_pairs,
    epochs_of,
    feedbacks,
    moment,
    naive_of,
    one_round,
    one_wave,
    play,
    problems,
    same_state,
    some_examples,
    success_rates,
    through_a_file,
    wave_options,
)

NAIVE = {
    "dapo": NaiveDapo,
    "greso": NaiveGreso,
    "hora": NaiveHora,
    "reinforce_ada": NaiveReinforceAda,
    "speed": NaiveSpeed,
}
EACH = pytest.mark.parametrize("name", NAIVE)
ROOMY = {"max_prompts": 9, "max_rounds": 10, "max_units": 5, "max_responses": 4}
PROBLEM = AllocationProblem(num_prompts=12, num_rounds=10, budget=100, capacity=14, max_units=4, responses_per_unit=2)
RATES = (0.5, 0.0, 1.0, 0.1, 0.85, 0.25, 0.6, 0.7, 0.03, 0.45, 0.98, 0.35)


# --- parity --------------------------------------------------------------------------------------------------------


def naive_twin(fast, options):
    if fast.name == "greso":  # which coin falls how is luck, too
        keys = seeding.coin_keys(seeding.seed_from_names("greso skip", fast.seed), fast.problem.num_prompts)
        options = {**options, "coin": lambda i, k: float(seeding.counter_uniforms(keys[i], np.array(k)))}
    return naive_of(NAIVE[fast.name], fast, order_of=epochs_of(fast), **options)


def assert_in_step(fast, naive, feedback_of) -> int:
    """Play both over a horizon; how many waves tied. Any difference that is no tie fails."""
    problem, ledger, ties, wave = fast.problem, BudgetLedger(fast.problem), 0, 0
    while fast.round_index < problem.num_rounds:
        allocation, (expected, last) = fast.allocate(), naive.allocate()
        pairs = as_pairs(allocation)
        assert allocation.last_wave == last, (fast.round_index, wave)
        if pairs != expected:
            assert fast.name == "hora", (fast.round_index, wave)
            assert wave == 1
            assert naive.worth(pairs) == naive.worth(expected)
            assert allocation.num_units == sum(units for _, units in expected)
            ties += 1
        feedback = feedback_of(moment(problem, fast.round_index, wave), allocation)
        squares = feedback.reward_sum if feedback.reward_sq_sum is None else feedback.reward_sq_sum
        ledger.spend(allocation)
        fast.observe(allocation, feedback)
        answers = (np.asarray(x, np.float64).tolist() for x in (feedback.num_responses, feedback.reward_sum, squares))
        naive.observe(pairs, last, *answers)
        wave = 0 if last else wave + 1
        if last:
            ledger.end_round(updated=True)
    return ties


@EACH
@given(data=st.data())
def test_waves_are_those_of_the_naive_rule(name, data):
    problem = data.draw(problems(**ROOMY))
    options = data.draw(wave_options(name, problem))
    fast = make(name, problem, seed=data.draw(st.integers(0, 5)), **options)
    luck = Luck(problem, data.draw(success_rates(problem.num_prompts)), data.draw(st.integers(0, 1000)))
    if assert_in_step(fast, naive_twin(fast, options), luck):
        event("tied")


@pytest.mark.parametrize("name", [name for name in NAIVE if name != "hora"])  # whose sums of floats are no fractions
@some_examples
@given(data=st.data())
def test_waves_are_those_of_the_naive_rule_on_any_feedback(name, data):
    problem = data.draw(problems(max_prompts=5, max_rounds=5, max_units=4))
    fast = make(name, problem)

    def any_feedback(at, allocation):
        return data.draw(feedbacks(allocation, problem))

    assert_in_step(fast, naive_twin(fast, {}), any_feedback)


@EACH
def test_long_runs_agree_with_the_naive_rule(name):
    problem = replace(PROBLEM, num_prompts=40, num_rounds=60, budget=1500, capacity=40)
    rates = np.random.default_rng(1).beta(0.4, 0.4, 40).tolist()
    for seed in range(3):
        fast = make(name, problem, seed=seed)
        ties = assert_in_step(fast, naive_twin(fast, {}), Luck(problem, rates, seed))
        assert ties < 30


# --- what all of them keep -----------------------------------------------------------------------------------------


@EACH
@some_examples
@given(data=st.data())
def test_a_run_resumed_between_two_waves_goes_on_identically(name, data):
    problem = data.draw(problems(**ROOMY))
    options = data.draw(wave_options(name, problem))
    luck = Luck(problem, data.draw(success_rates(problem.num_prompts)), data.draw(st.integers(0, 1000)))
    allocator = make(name, problem, **options)
    wave = 0
    while allocator.round_index < problem.num_rounds:
        resumed = make(name, problem, **options)
        resumed.load_state_dict(through_a_file(allocator.state_dict()))
        assert resumed.allocate().matches(allocator.allocate())
        answered = [one_wave(each, luck, wave) for each in (allocator, resumed)]
        assert same_state(resumed.state_dict(), allocator.state_dict())
        wave = 0 if answered[0].allocation.last_wave else wave + 1


@EACH
def test_a_round_leaves_nothing_of_itself_behind(name):
    allocator = make(name, PROBLEM)
    luck = Luck(PROBLEM, RATES, 3)
    waves = 0
    for _ in range(PROBLEM.num_rounds):
        waves += len(one_round(allocator, luck))
        state = allocator.state_dict()
        for key in ("round", "round_units", "round_responses", "round_reward_sum", "round_reward_sq_sum"):
            assert not state[key].any(), key
    assert waves > PROBLEM.num_rounds


@EACH
def test_bad_feedback_between_waves_changes_nothing(name):
    allocator = make(name, PROBLEM)
    assert not one_wave(allocator, Luck(PROBLEM, [0.0] * 12)).allocation.last_wave
    allocation, before = allocator.allocate(), allocator.state_dict()
    with pytest.raises(InvalidValueError, match="reward_sum"):
        allocator.observe(allocation, Feedback(allocation.units * 2, allocation.units * 2 + 1))
    assert same_state(before, allocator.state_dict())
    assert allocator.allocate() is allocation


@EACH
@pytest.mark.parametrize(
    ("key", "change", "match"),
    [
        ("round", np.array([1, 99, 0, 1]), "round"),
        ("round", np.array([-1, 0, 0, 0]), "round"),
        ("round", np.array([0, 0, 0, 13]), "round"),
        ("round_units", np.full(12, 3), "round_units"),
        ("round_responses", np.full(12, 99.0), "round_responses"),
        ("round_reward_sum", np.full(12, 50.0), "round_reward_sum"),
        ("round_reward_sq_sum", np.full(12, 50.0), "round_reward_sq_sum"),
    ],
)
def test_a_round_that_could_not_be_is_refused(name, key, change, match):
    allocator = make(name, PROBLEM)
    one_wave(allocator, Luck(PROBLEM, RATES, 3))
    before = allocator.state_dict()
    with pytest.raises(StateError, match=match):
        allocator.load_state_dict({**before, key: change})
    assert same_state(before, allocator.state_dict())


@EACH
def test_the_quota_of_a_round_is_the_even_quota_at_its_start(name):
    allocator = make(name, PROBLEM)
    luck = Luck(PROBLEM, RATES, 5)
    spent = 0
    for k in range(PROBLEM.num_rounds):
        quota = min((k + 1) * PROBLEM.budget // PROBLEM.num_rounds - spent, PROBLEM.capacity)
        units = sum(wave.allocation.num_units for wave in one_round(allocator, luck))
        assert units <= quota
        spent += units


@EACH
def test_its_schedule_is_replayed_by_random_matched(name):
    cell = Cell(World(population="beta(0.5, 0.5)"), PROBLEM, seed=0)
    schedule = cell.schedule(Method.parse(name))
    assert len(schedule) == PROBLEM.num_rounds
    replayed = play(make("random_matched", PROBLEM, schedule=schedule), PROBLEM, cell.success_M)
    assert replayed.units == [allocation.num_units for allocation in schedule]
    assert sum(replayed.units) > PROBLEM.budget / 2


@EACH
def test_every_prompt_comes_up_once_an_epoch(name):
    problem = replace(PROBLEM, num_rounds=30, budget=120, capacity=6)
    allocator, luck = make(name, problem), Luck(problem, RATES)
    order: list[int] = []
    for _ in range(problem.num_rounds):
        prompts = [prompt for wave in one_round(allocator, luck) for prompt in wave.allocation.prompts.tolist()]
        order += dict.fromkeys(prompts)
    assert sorted(order[:12]) == list(range(12))


def test_rewards_of_all_waves_make_a_prompt_mixed():
    waves = [
        Wave(Allocation([3, 1, 5], [1, 1, 1], False), Feedback([2, 2, 2], [0, 2, 1])),
        Wave(Allocation([1, 3], [1, 1]), Feedback([2, 2], [2, 2])),
    ]
    assert mixed_prompts(waves).tolist() == [True, False, True, False, True]
    graded = [Wave(Allocation([0, 1], [1, 1]), Feedback([2, 2], [1.0, 1.0], [0.5, 0.68]))]
    assert mixed_prompts(graded).tolist() == [False, True]  # both 1/2; 0.8 and 0.2
    assert mixed_prompts([Wave(Allocation.empty(), Feedback([], []))]).tolist() == []


# --- DAPO ----------------------------------------------------------------------------------------------------------


def answer(allocator, mixed, share=0.5):
    """Answer the wave: of the prompts in ``mixed`` a share of the responses is right, of the others all."""
    allocation = allocator.allocate()
    responses = allocation.units * allocator.problem.responses_per_unit
    right = np.where(np.isin(allocation.prompts, mixed), (share * responses).astype(np.int64), responses)
    feedback = Feedback(responses, right)
    allocator.observe(allocation, feedback)
    return Wave(allocation, feedback)


def dapo_by_hand(**options):
    # Quota 12, groups of 2 units: 6 groups; a full batch is a third of the quota, 2 groups.
    problem = AllocationProblem(num_prompts=12, num_rounds=4, budget=48, capacity=16, max_units=2, responses_per_unit=4)
    allocator = make("dapo", problem, **options)
    return allocator, allocator.epochs.draw(12).tolist()


def test_dapo_samples_until_its_batch_is_full_by_hand():
    allocator, order = dapo_by_hand()
    waves = [answer(allocator, mixed=order[1:2]), answer(allocator, mixed=order[3:4]), answer(allocator, [])]
    assert [wave.allocation.prompts.tolist() for wave in waves] == [order[:2], order[2:4], []]
    assert [wave.allocation.last_wave for wave in waves] == [False, False, True]
    assert allocator.training_mask(waves).tolist() == [False, True, False, True]
    # 8 of 12 units are used: the next quota is 24 - 8 = 16, all that a round can have; a full batch is 2 of 8 groups.
    assert allocator.quota == 16
    assert allocator.allocate().prompts.tolist() == order[4:6]


def test_dapo_trains_on_what_there_is_where_the_quota_ends():
    allocator, order = dapo_by_hand()
    waves = [answer(allocator, mixed=order[:1]) for _ in range(3)]
    assert [wave.allocation.prompts.tolist() for wave in waves] == [order[:2], order[2:4], order[4:6]]
    assert waves[-1].allocation.last_wave
    assert allocator.training_mask(waves).tolist() == [True] + [False] * 5
    assert allocator.round_index == 1


def test_dapo_raises_an_error_instead_where_that_is_asked_for():
    allocator, _ = dapo_by_hand(on_give_up="error", max_batches=2)
    answer(allocator, mixed=[])
    before = allocator.state_dict()
    with pytest.raises(
        CerolabError, match=r"dapo: round 0 gives up after 2 batches: 0 of 4 groups .* full batch has 2"
    ):
        answer(allocator, mixed=[])
    assert same_state(before, allocator.state_dict())


def test_dapo_gives_up_after_its_batches():
    allocator, order = dapo_by_hand(max_batches=2, batch_share=0.2)
    assert [answer(allocator, mixed=[]).allocation.last_wave for _ in range(2)] == [False, True]
    assert allocator.remaining == 44
    assert allocator.allocate().prompts.tolist() == order[2:3]


def test_dapo_samples_beyond_a_full_batch_where_units_would_be_lost():
    problem = AllocationProblem(num_prompts=12, num_rounds=2, budget=24, capacity=12, max_units=2, responses_per_unit=4)
    result = play(make("dapo", problem), problem, [0.5] * 12)
    assert result.ledger.remaining == 0


def test_dapo_in_its_worst_case_generates_all_and_trains_on_nothing():
    problem = AllocationProblem(num_prompts=12, num_rounds=6, budget=60, capacity=10, max_units=2, responses_per_unit=4)
    allocator = make("dapo", problem)
    luck = Luck(problem, [0.0] * 6 + [1.0] * 6)
    rounds = [one_round(allocator, luck) for _ in range(6)]
    assert not any(allocator.training_mask(waves).any() for waves in rounds)
    assert allocator.remaining == 0


# --- SPEED ---------------------------------------------------------------------------------------------------------


def test_speed_screens_and_continues_by_hand():
    # Quota 12, 1 + 3 units: 3 prompts can be screened and continued; 9 units are left, 3 of them go to the one that is
    # mixed, with 6 one more can be; then 5 - 3 = 2 are left over.
    problem = AllocationProblem(num_prompts=12, num_rounds=4, budget=48, capacity=14, max_units=4, responses_per_unit=4)
    allocator = make("speed", problem)
    order = allocator.epochs.draw(12).tolist()
    waves = [answer(allocator, mixed=order[1:2]), answer(allocator, mixed=order[3:4]), answer(allocator, mixed=[])]
    assert [as_pairs(wave.allocation) for wave in waves] == [
        [(i, 1) for i in order[:3]],
        [(order[1], 3), (order[3], 1)],
        [(order[3], 3)],
    ]
    assert [wave.allocation.last_wave for wave in waves] == [False, False, True]
    assert allocator.training_mask(waves).tolist() == [False, True, False, True, True, True]
    assert allocator.quota == 14  # 24 - 10


@pytest.mark.parametrize(
    ("max_units", "unit", "options", "expected"),
    [
        (6, 4, {}, (1, 6)),  # 4 + 20
        (6, 4, {"screen_units": 2}, (2, 6)),  # 8 + 16
        (9, 4, {}, (1, 6)),
        (4, 4, {}, (1, 4)),
        (2, 3, {}, (1, 2)),
        (1, 4, {}, (1, 1)),
        (30, 1, {}, (4, 24)),
    ],
)
def test_speed_takes_its_sizes_from_the_problem(max_units, unit, options, expected):
    problem = AllocationProblem(
        num_prompts=40, num_rounds=2, budget=40, capacity=40, max_units=max_units, responses_per_unit=unit
    )
    allocator = make("speed", problem, **options)
    assert (allocator.screen, allocator.total) == expected


def test_speed_in_its_worst_case_drops_prompts_that_a_longer_group_would_resolve():
    problem = AllocationProblem(
        num_prompts=300, num_rounds=40, budget=6000, capacity=155, max_units=8, responses_per_unit=4
    )
    allocator = make("speed", problem)
    luck = Luck(problem, [0.02] * 300)
    screened = accepted = 0
    for _ in range(problem.num_rounds):
        for wave in one_round(allocator, luck):
            screened += np.count_nonzero(wave.allocation.units == 1)
            accepted += np.count_nonzero(wave.allocation.units > 1)
    assert accepted / screened == pytest.approx(1 - 0.98**4, abs=0.02)


# --- GRESO ---------------------------------------------------------------------------------------------------------


def test_greso_skips_by_the_length_of_the_run_by_hand():
    allocator = make("greso", PROBLEM)
    allocator.run_M[:5] = [0, 1, 3, -2, -9]
    allocator.exploration = np.array([0.5, 0.4])
    np.testing.assert_allclose(allocator.keep_probability(np.arange(5)), [1.0, 0.5, 0.125, 0.16, 0.01])


def test_greso_counts_runs_of_all_right_and_all_wrong_groups():
    problem = AllocationProblem(num_prompts=1, num_rounds=9, budget=18, capacity=2, max_units=2, responses_per_unit=5)
    allocator = make("greso", problem, exploration=0.95)
    allocator._keys_M = seeding.coin_keys(3, 1)
    runs = []
    for right in (10, 10, 9, 0, 1, 2, 10):  # 1 of 10 is below 0.11, 9 of 10 are not 0.98
        while allocator.allocate().num_groups == 0:
            allocator.observe(Allocation.empty(), Feedback([], []))
        allocator.observe(allocator.allocate(), Feedback([10], [right]))
        runs.append(int(allocator.run_M[0]))
    assert runs == [1, 2, 0, -1, -2, 0, 1]


def test_greso_refills_by_the_share_of_mixed_groups():
    # Quota 48, groups of 2: a full batch is 8 of 24 groups, the first wave 12. With 3 mixed of 12, 5 are missing:
    # 1.25 * 5 / (1/4) = 25, above the 12 that a wave has. With 6 of 12: 1.25 * 2 / (1/2) = 5.
    problem = AllocationProblem(
        num_prompts=60, num_rounds=4, budget=192, capacity=60, max_units=2, responses_per_unit=4
    )
    for mixed, refill in ((3, 12), (6, 5), (7, 2), (0, 12)):
        allocator = make("greso", problem)
        order = allocator.epochs.draw(60).tolist()
        assert answer(allocator, mixed=order[:mixed]).allocation.num_groups == 12
        assert allocator.allocate().num_groups == refill


def test_greso_moves_its_exploration_towards_the_target():
    allocator = make("greso", PROBLEM)
    allocator._explore(np.array([0.25 / 3, 0.1]))
    np.testing.assert_allclose(allocator.exploration, [0.49, 0.51])
    for _ in range(99):
        allocator._explore(np.array([0.2, 0.1]))
    np.testing.assert_allclose(allocator.exploration, [0.05, 0.95])


def test_greso_trains_on_more_groups_than_dapo():
    problem = AllocationProblem(
        num_prompts=300, num_rounds=60, budget=4500, capacity=100, max_units=2, responses_per_unit=4
    )
    rates = np.random.default_rng(0).beta(0.3, 0.3, 300)
    shares = {}
    for name in ("dapo", "greso"):
        allocator, luck = make(name, problem), Luck(problem, rates.tolist())
        masks = [allocator.training_mask(one_round(allocator, luck)) for _ in range(problem.num_rounds)]
        shares[name] = np.concatenate(masks).mean()
    assert shares["greso"] > shares["dapo"] + 0.1


def test_greso_in_its_worst_case_hardly_looks_again_at_what_has_become_learnable():
    problem = AllocationProblem(
        num_prompts=100, num_rounds=120, budget=3600, capacity=60, max_units=2, responses_per_unit=4
    )
    before, after = [0.5] * 50 + [0.0] * 50, [0.5] * 100
    allocator = make("greso", problem)
    visits = np.zeros(100, np.int64)
    for k in range(problem.num_rounds):
        for wave in one_round(allocator, Luck(problem, before if k < 100 else after)):
            if k >= 100:
                visits[wave.allocation.prompts] += 1
    assert visits[50:].sum() < 0.6 * visits[:50].sum()
    assert visits[50:].min() == 0
    assert visits[:50].min() >= 3


# --- HORA ----------------------------------------------------------------------------------------------------------


def test_hora_adds_up_the_marginals_of_a_unit_by_hand():
    # S = 0, F = 2: a = 1, b = 3. 1/4, 1/4 * 3/5 = 3/20, * 4/6 = 1/10, * 5/7 = 1/14.
    # S = 1, F = 1: a = b = 2. 1/2, 1/2 * 2/5 = 1/5, * 3/6 = 1/10, * 4/7 = 2/35.
    gains = hit_utility(np.array([0.0, 1.0]), np.array([2.0, 1.0]), 2, unit=2)
    np.testing.assert_allclose(gains, [[0.4, 0.1 + 1 / 14], [0.7, 0.1 + 2 / 35]], rtol=1e-12)
    assert hit_utility(np.array([0.0]), np.array([0.0]), 1, unit=1).tolist() == [[0.5]]


def test_hora_commits_by_hand():
    # Quota 10, probes of 2 responses = 1 unit, most 4, 2.5 on average: 4 prompts, 6 units to commit.
    # One unit's hit utility after (S, F) = (2, 0): a/(a+b) = 3/4, * 1/5 = 3/20: .9; (1, 1): .7; (0, 2): .4.
    # Second units: 1/20 + 3/140 = .0714; .1571; .1714. Third: .0182; .0571; .0952.
    problem = AllocationProblem(num_prompts=9, num_rounds=2, budget=20, capacity=10, max_units=4, responses_per_unit=2)
    allocator = make("hora", problem, probe_units=1, group_units=2.5)
    probes = allocator.allocate()
    assert probes.units.tolist() == [1, 1, 1, 1]
    assert not probes.last_wave
    allocator.observe(probes, Feedback([2, 2, 2, 2], [2, 1, 0, 0]))
    committed = allocator.allocate()
    assert committed.last_wave
    assert dict(as_pairs(committed)) == dict(zip(probes.prompts.tolist(), [1, 1, 2, 2], strict=True))


def test_hora_keeps_within_its_cap():
    problem = AllocationProblem(num_prompts=4, num_rounds=1, budget=40, capacity=40, max_units=40, responses_per_unit=1)
    result = play(make("hora", problem, most_responses=6), problem)
    assert result.ledger.exposure_M.tolist() == [6, 6, 6, 6]
    result = play(make("hora", problem), problem)
    assert result.ledger.exposure_M.max() <= 32


def test_hora_in_its_worst_case_gives_the_solved_their_next_unit_first():
    problem = AllocationProblem(num_prompts=8, num_rounds=1, budget=12, capacity=12, max_units=2, responses_per_unit=4)
    result = play(make("hora", problem), problem, [1.0] * 4 + [0.0] * 4)
    assert result.ledger.exposure_M.tolist() == [2] * 4 + [1] * 4


# --- Reinforce-Ada -------------------------------------------------------------------------------------------------


def ada_by_hand(**options):
    # Quota 20, waves of 2 units of 4 responses, at most 8 units, 5 on average: 4 prompts.
    problem = AllocationProblem(num_prompts=9, num_rounds=3, budget=60, capacity=40, max_units=8, responses_per_unit=4)
    allocator = make("reinforce_ada", problem, **options)
    return allocator, allocator.epochs.draw(4).tolist()


def serve(allocator, right):
    """Answer the wave with these right responses."""
    allocation = allocator.allocate()
    responses = allocation.units * allocator.problem.responses_per_unit
    allocator.observe(allocation, Feedback(responses, [right.get(i, 0) for i in allocation.prompts.tolist()]))
    return allocation


def test_reinforce_ada_drops_prompts_that_have_shown_both_outcomes_by_hand():
    allocator, (a, b, c, d) = ada_by_hand()
    waves = [
        serve(allocator, {a: 2, b: 1, c: 7, d: 0}),  # a leaves with 2 right and 6 wrong; c has 1 wrong
        serve(allocator, {b: 1, c: 7, d: 0}),  # b and c have 2 of each now; 6 of 20 units are left
        serve(allocator, {d: 0}),
        serve(allocator, {d: 0}),
    ]
    assert [as_pairs(wave) for wave in waves] == [
        [(a, 2), (b, 2), (c, 2), (d, 2)],
        [(b, 2), (c, 2), (d, 2)],
        [(d, 2)],
        [(d, 2)],
    ]
    assert [wave.last_wave for wave in waves] == [False, False, False, True]
    assert allocator.quota == 22  # 40 - 18


def test_reinforce_ada_pos_leaves_at_one_hit():
    allocator, (a, b, c, d) = ada_by_hand(variant="pos")
    first = serve(allocator, {a: 8, b: 1, c: 1, d: 1})
    assert first.num_groups == 4
    last = allocator.allocate()
    assert last.num_groups == 0
    assert last.last_wave


def test_reinforce_ada_serves_in_order_where_the_quota_ends():
    allocator, _ = ada_by_hand()
    waves = [serve(allocator, {}) for _ in range(3)]
    assert [wave.units.tolist() for wave in waves] == [[2, 2, 2, 2], [2, 2, 2, 2], [2, 2]]
    assert waves[-1].last_wave


def test_reinforce_ada_takes_further_prompts_where_units_would_be_lost():
    problem = AllocationProblem(num_prompts=9, num_rounds=1, budget=40, capacity=40, max_units=8, responses_per_unit=4)
    allocator = make("reinforce_ada", problem, variant="pos")
    first = serve(allocator, dict.fromkeys(range(9), 1))  # 8 prompts, all leave at once; 24 of 40 units are left
    assert first.units.tolist() == [2] * 8
    joined = serve(allocator, {})  # the one prompt that is left over
    assert joined.units.tolist() == [2]
    assert [serve(allocator, {}).num_groups for _ in range(3)] == [1, 1, 1]
    assert allocator.round_index == 1


def test_reinforce_ada_in_its_worst_case_spends_the_most_on_the_hopeless():
    problem = AllocationProblem(
        num_prompts=40, num_rounds=20, budget=2000, capacity=100, max_units=8, responses_per_unit=4
    )
    result = play(make("reinforce_ada", problem), problem, [0.5] * 20 + [0.0] * 20)
    learnable, hopeless = np.split(result.ledger.exposure_M, 2)
    assert hopeless.sum() > 2 * learnable.sum()


# --- options -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        ("dapo", {"batch_share": 0}, ["batch_share=0", "(0, 1]"]),
        ("dapo", {"batch_share": 1.5}, ["batch_share=1.5"]),
        ("dapo", {"max_batches": 0}, ["max_batches=0"]),
        ("dapo", {"on_give_up": "stop"}, ["on_give_up='stop'", '"train" or "error"']),
        ("greso", {"exploration": 0.01}, ["exploration=0.01", "[0.05, 0.95]"]),
        ("greso", {"target_zero_variance": 2}, ["target_zero_variance=2"]),
        ("greso", {"max_batches": 1.5}, ["max_batches=1.5"]),
        ("hora", {"probe_units": 5}, ["probe_units=5", "above 4"]),
        ("hora", {"group_units": 5}, ["group_units=5"]),
        ("hora", {"group_units": "many"}, ["group_units='many'"]),
        ("hora", {"most_responses": 0}, ["most_responses=0"]),
        ("reinforce_ada", {"variant": "est"}, ["variant='est'", "balanced, pos"]),
        ("reinforce_ada", {"wave_units": 5}, ["wave_units=5", "above 4"]),
        ("reinforce_ada", {"train_responses": 1}, ["train_responses=1", ">= 2"]),
        ("reinforce_ada", {"group_units": 0}, ["group_units=0"]),
        ("speed", {"screen_units": 5}, ["screen_units=5", "above 4"]),
        ("speed", {"screen_units": 0}, ["screen_units=0"]),
        ("speed", {"total_responses": 0}, ["total_responses=0"]),
        ("speed", {"max_waves": 1}, ["max_waves=1", ">= 2"]),
    ],
)
def test_options_that_cannot_be_used_are_refused(name, options, parts):
    with pytest.raises(InvalidValueError) as refusal:
        make(name, PROBLEM, **options)
    for part in parts:
        assert part in str(refusal.value)
