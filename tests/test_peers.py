"""The published peers: against naive implementations of their rules, worked examples, and their worst cases.

Where a naive division differs from the fast one, both must be worth the same up to rounding: a tie.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from analysis.plotting.style import look
from cerolab import AllocationProblem, Feedback, available, make, seeding
from cerolab.allocators import coba, knapsack, vip
from cerolab.allocators.reinforce_ada_est import proportional_units
from cerolab.errors import InvalidValueError, StateError
from cerolab.estimators.gaussian_process import EmbeddingProcess
from cerolab.estimators.recent import RecentGroups
from cerolab.selection.batches import GroupSizes, spread_evenly
from cerolab.selection.epochs import Epochs
from cerolab.selection.top_k import largest_increments
from tests.reference.naive_batches import NaiveCoba, NaiveKnapsack, NaiveReinforceAdaEst, NaiveVip
from tests.reference.naive_mopps import NaiveMopps
from tests.strategies import (
    Luck,
    as_pairs,
    batch_options,
    epochs_of,
    feedbacks,
    naive_of,
    one_wave,
    play,
    problems,
    same_state,
    some_examples,
    success_rates,
    through_a_file,
)

NAIVE_BATCHES = {
    "knapsack": NaiveKnapsack,
    "coba": NaiveCoba,
    "vip": NaiveVip,
    "reinforce_ada_est": NaiveReinforceAdaEst,
}
BATCHED = pytest.mark.parametrize("name", NAIVE_BATCHES)
ROOMY = {"max_prompts": 8, "max_rounds": 12, "max_units": 6, "max_responses": 4}


# --- parity: methods with batches --------------------------------------------------------------------------------


def naive_batch(fast, options):
    return naive_of(NAIVE_BATCHES[fast.name], fast, order_of=epochs_of(fast), **options)


def assert_in_step(fast, naive, feedback_of) -> int:
    """Play both over a horizon; how many rounds tied. Any difference that is no tie fails."""
    ties = 0
    for round_index in range(fast.problem.num_rounds):
        allocation, expected = fast.allocate(), naive.allocate()
        pairs = as_pairs(allocation)
        assert [prompt for prompt, _ in pairs] == [prompt for prompt, _ in expected], round_index
        if pairs != expected:
            batch, units = (list(x) for x in zip(*pairs, strict=True))
            assert sum(units) == sum(units for _, units in expected)
            assert max(units) <= naive.most
            assert naive.worth(batch, units) == pytest.approx(naive.worth(batch, [n for _, n in expected]), rel=1e-9)
            ties += 1
        feedback = feedback_of(round_index, allocation)
        fast.observe(allocation, feedback)
        naive.observe(pairs, np.asarray(feedback.reward_sum).tolist(), np.asarray(feedback.num_responses).tolist())
    return ties


@BATCHED
@given(data=st.data())
def test_batches_are_laid_out_as_by_the_naive_rule(name, data):
    problem = data.draw(problems(**ROOMY))
    options = data.draw(batch_options(name, problem))
    fast = make(name, problem, seed=data.draw(st.integers(0, 5)), **options)
    luck = Luck(problem, data.draw(success_rates(problem.num_prompts)), data.draw(st.integers(0, 1000)))
    if assert_in_step(fast, naive_batch(fast, options), luck):
        event("tied")


@BATCHED
@some_examples
@given(data=st.data())
def test_batches_are_laid_out_as_by_the_naive_rule_on_any_feedback(name, data):
    problem = data.draw(problems(max_prompts=5, max_rounds=5, max_units=5))
    fast = make(name, problem)

    def any_feedback(round_index, allocation):
        return data.draw(feedbacks(allocation, problem))

    assert_in_step(fast, naive_batch(fast, {}), any_feedback)


def _random_run(name, seed):
    """(rounds that tied, rounds) of one run with room to move units, the same on every machine."""
    draw = np.random.default_rng(seed)
    prompts, units = int(draw.integers(2, 15)), int(draw.integers(2, 9))
    problem = AllocationProblem(
        num_prompts=prompts,
        num_rounds=20,
        budget=20 * max(2, prompts * units // 2),
        capacity=max(2, prompts * units // 2),
        max_units=units,
        responses_per_unit=int(draw.integers(1, 5)),
    )
    fast = make(name, problem, seed=seed)
    luck = Luck(problem, draw.random(prompts).tolist(), seed)
    return assert_in_step(fast, naive_batch(fast, {}), luck), problem.num_rounds


@BATCHED
def test_ties_are_rare(name):
    ties, rounds = np.sum([_random_run(name, seed) for seed in range(20)], axis=0)
    assert ties <= 0.05 * rounds


# --- parity: MoPPS -------------------------------------------------------------------------------------------------


@given(data=st.data())
def test_mopps_takes_the_prompts_that_the_naive_rule_takes(data):
    problem = data.draw(problems(max_prompts=9, max_rounds=10))
    target = data.draw(st.sampled_from((0.5, 0.0, 0.8, (0.3, 0.7), (0.5, 0.5))))
    options = {"target": target, "forgetting": data.draw(st.sampled_from((1.0, 0.8, 0.3)))}
    fast = make("mopps", problem, seed=data.draw(st.integers(0, 5)), **options)

    def draws(round_index, alphas, betas):
        rng = seeding.generator("mopps draw", fast.seed, round_index)
        return rng.beta(alphas, betas).tolist(), rng.random(len(alphas)).tolist()

    naive = NaiveMopps(
        problem.num_prompts,
        problem.num_rounds,
        problem.budget,
        problem.capacity,
        problem.max_units,
        draws,
        fast.ties.rank_M.tolist(),
        **options,
    )
    luck = Luck(problem, data.draw(success_rates(problem.num_prompts)), data.draw(st.integers(0, 1000)))
    for round_index in range(problem.num_rounds):
        allocation = fast.allocate()
        assert as_pairs(allocation) == naive.allocate(), round_index
        feedback = luck(round_index, allocation)
        fast.observe(allocation, feedback)
        naive.observe(as_pairs(allocation), feedback.reward_sum.tolist(), feedback.num_responses.tolist())
        np.testing.assert_allclose(fast.posterior.alpha, naive.alpha, rtol=1e-12)
        np.testing.assert_allclose(fast.posterior.beta, naive.beta, rtol=1e-12)


# --- selection by increments ---------------------------------------------------------------------------------------


@given(data=st.data())
def test_the_largest_increments_are_an_exact_optimum(data):
    rows, levels = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 3))
    gain = st.lists(st.sampled_from((0.0, 0.1, 0.2, 0.5, 1.0)), min_size=levels, max_size=levels)
    gains = np.array([sorted(data.draw(gain), reverse=True) for _ in range(rows)]).reshape(rows, levels)
    count = data.draw(st.integers(0, rows * levels + 2))
    units = largest_increments(gains, count)
    assert units.sum() == min(count, rows * levels)
    assert ((units >= 0) & (units <= levels)).all()
    worth = max(
        sum(gains[row, :n].sum() for row, n in enumerate(choice))
        for choice in itertools.product(range(levels + 1), repeat=rows)
        if sum(choice) == units.sum()
    )
    assert sum(gains[row, :n].sum() for row, n in enumerate(units)) == pytest.approx(worth)


def test_equal_increments_go_to_the_lower_level_then_to_the_earlier_row():
    assert largest_increments(np.ones((3, 2)), 4).tolist() == [2, 1, 1]
    assert spread_evenly(np.array([0, 3, 1, 3]), 5).tolist() == [0, 2, 1, 2]
    assert spread_evenly(np.array([0, 3, 1, 3]), 99).tolist() == [0, 3, 1, 3]


def test_a_row_without_further_units_gets_none():
    gains = np.array([[5.0, -np.inf], [1.0, 0.5]])
    assert largest_increments(gains, 9).tolist() == [1, 2]


# --- group sizes and epochs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("max_units", "unit", "bounds", "expected"),
    [
        (2, 4, (2, 128), (1, 1.5, 2)),
        (8, 4, (2, 16), (1, 2.5, 4)),
        (8, 1, (2, 128), (2, 5.0, 8)),
        (1, 4, (2, 128), (1, 1.0, 1)),
        (1, 1, (4, 32), (1, 1.0, 1)),  # a unit is all that there is room for
        (4, 50, (2, 32), (1, 1.0, 1)),  # one unit is more than the most already
    ],
)
def test_bounds_in_responses_become_units(max_units, unit, bounds, expected):
    problem = AllocationProblem(
        num_prompts=4, num_rounds=2, budget=2, capacity=2, max_units=max_units, responses_per_unit=unit
    )
    sizes = GroupSizes.of(problem, None, *bounds)
    assert (sizes.least, sizes.mean, sizes.most) == expected


@BATCHED
def test_every_prompt_is_in_a_batch_once_an_epoch(name):
    problem = AllocationProblem(num_prompts=12, num_rounds=8, budget=48, capacity=6, max_units=3, responses_per_unit=4)
    result = play(make(name, problem, group_units=2), problem)  # 3 prompts a round, 4 rounds an epoch
    for first in (0, 4):
        prompts = [prompt for pairs in result.pairs[first : first + 4] for prompt, _ in pairs]
        assert sorted(prompts) == list(range(12))


def test_epochs_go_on_only_when_told():
    epochs = Epochs(5, "test", 0)
    first = epochs.draw(3)
    assert np.array_equal(first, epochs.draw(3))
    epochs.advance()
    rest = epochs.draw(5)
    assert set(rest[:2].tolist()) == set(range(5)) - set(first.tolist())
    assert sorted(rest.tolist()) == list(range(5))


def test_a_batch_of_the_whole_pool_leaves_over_what_its_groups_cannot_hold():
    # 3 prompts with at most 8 responses = 2 units each: 6 of the 9 units of a round.
    problem = AllocationProblem(num_prompts=3, num_rounds=2, budget=18, capacity=9, max_units=5, responses_per_unit=4)
    for name in ("knapsack", "coba", "vip"):
        assert play(make(name, problem, most_responses=8), problem).units == [6, 6], name


# --- KnapsackRL ------------------------------------------------------------------------------------------------------

SIZES = GroupSizes(least=2, mean=3.0, most=4)
YES = np.ones(9, bool)


def test_reinforce_ada_est_shares_by_the_rarity_of_success_by_hand():
    weights = np.array([1.0, 0.04, 0.25]) ** -0.5  # 1, 5, 2
    assert proportional_units(weights, 16, most=99).tolist() == [2, 10, 4]
    assert proportional_units(weights, 15, most=99).tolist() == [2, 9, 4]  # 1.875, 9.375, 3.75
    assert proportional_units(weights, 16, most=7).tolist() == [3, 7, 6]  # the cap leaves 9 to be shared as 1 to 2
    assert proportional_units(weights, 21, most=7).tolist() == [7, 7, 7]
    assert proportional_units(np.ones(3), 2, most=4).tolist() == [1, 1, 0]
    assert proportional_units(np.ones(0), 0, most=4).tolist() == []


def test_reinforce_ada_est_starts_from_the_published_prior_and_forgets_a_tenth_a_visit():
    problem = AllocationProblem(num_prompts=4, num_rounds=9, budget=36, capacity=4, max_units=2, responses_per_unit=8)
    allocator = make("reinforce_ada_est", problem, group_units=1)
    assert allocator.predicted_success() == pytest.approx(np.full(4, 1 / 17))
    for expected in ((1 + 4) / (17 + 8), (1 + 0.9 * 4 + 4) / (17 + 0.9 * 8 + 8)):
        allocation = allocator.allocate()
        assert allocation.units.tolist() == [1, 1, 1, 1]
        allocator.observe(allocation, Feedback(np.full(4, 8), np.full(4, 4)))
        assert allocator.predicted_success() == pytest.approx(np.full(4, expected))


def test_reinforce_ada_est_in_its_worst_case_gives_the_hopeless_ever_more():
    problem = AllocationProblem(num_prompts=6, num_rounds=40, budget=960, capacity=24, max_units=12)
    pairs = play(make("reinforce_ada_est", problem, group_units=4), problem, [0.0] * 3 + [0.5] * 3).pairs
    hopeless = [sum(units for prompt, units in served if prompt < 3) / 24 for served in pairs]
    assert hopeless[0] == pytest.approx(0.5)
    assert np.mean(hopeless[-10:]) > 0.7


def test_knapsack_lays_out_the_papers_example_by_hand():
    # v(n, 1/2) = 1/8 * (1 - 2/2^n): 1/16, 3/32, 7/64 for n = 2, 3, 4; increments 1/32 = .03125 and 1/64 = .01563.
    # v(n, 1/4) = 9/64 * (1 - 1/4^n - (3/4)^n): .05273, .07910, .09558; increments .02637 and .01648.
    rates = np.array([0.5, 0.25])
    by_hand = {4: [2, 2], 5: [3, 2], 6: [3, 3], 7: [3, 4], 8: [4, 4]}  # the third unit goes to the harder prompt
    for quota, units in by_hand.items():
        assert knapsack.divide(rates, YES[:2], quota, SIZES, unit=1).tolist() == units
    increments = np.diff(knapsack.value(rates[:, None], np.array([2, 3, 4])), axis=1)
    np.testing.assert_allclose(increments, [[1 / 32, 1 / 64], [0.0263672, 0.0164795]], atol=1e-6)


def test_knapsack_gives_the_unknown_the_usual_group_and_the_surplus_to_the_hopeless():
    rates = np.array([0.5, 0.0, 1.0, 0.0, 0.5])
    known = np.array([True, True, True, True, False])
    # Base 2 2 2 2 3 = 11; the effective prompt takes 2 more (13); then the hopeless in turn; then solved and unknown.
    for quota, units in {
        11: [2, 2, 2, 2, 3],
        13: [4, 2, 2, 2, 3],
        16: [4, 4, 2, 3, 3],
        17: [4, 4, 2, 4, 3],
        18: [4, 4, 3, 4, 3],
        19: [4, 4, 3, 4, 4],
        20: [4, 4, 4, 4, 4],
    }.items():
        assert knapsack.divide(rates, known, quota, SIZES, unit=1).tolist() == units


@given(data=st.data())
def test_knapsack_finds_the_optimum_that_brute_force_finds(data):
    rates = np.array(data.draw(st.lists(st.integers(1, 15).map(lambda i: i / 16), min_size=1, max_size=4)))
    unit = data.draw(st.integers(1, 3))
    quota = data.draw(st.integers(2 * rates.size, 4 * rates.size))
    units = knapsack.divide(rates, YES[: rates.size], quota, SIZES, unit)
    best = max(
        knapsack.value(rates, unit * np.array(choice)).sum()
        for choice in itertools.product((2, 3, 4), repeat=rates.size)
        if sum(choice) == quota
    )
    assert units.sum() == quota
    assert knapsack.value(rates, unit * units).sum() == pytest.approx(best, rel=1e-12)


def test_knapsack_counts_the_last_groups_that_make_up_sixteen_rewards():
    recent = RecentGroups.none(1, 4)
    groups = [(4, 4.0), (8, 2.0), (4, 3.0), (8, 0.0), (12, 6.0)]
    expected = [(4, 4.0), (12, 6.0), (16, 9.0), (20, 5.0), (20, 6.0)]  # from the third on, the oldest drop out
    for (responses, rewards), total in zip(groups, expected, strict=True):
        recent.push(np.array([0]), np.array([float(responses)]), np.array([rewards]))
        n, s = recent.totals(slice(None), enough=16)
        assert (n[0], s[0]) == total
    recent.push(np.array([0]), np.array([16.0]), np.array([1.0]))
    assert [x.tolist() for x in recent.totals(slice(None), enough=16)] == [[16], [1.0]]  # the last group alone
    recent.push(np.array([0]), np.array([0.0]), np.array([0.0]))  # a group that failed leaves no trace
    assert recent.totals(slice(None), enough=16)[0].tolist() == [16]


def test_knapsack_in_its_worst_case_is_uniform():
    problem = AllocationProblem(num_prompts=9, num_rounds=6, budget=18, capacity=3, max_units=1, responses_per_unit=4)
    for pairs in play(make("knapsack", problem), problem, [0.5] * 9).pairs:
        assert [units for _, units in pairs] == [1, 1, 1]


# --- CoBA-RL ---------------------------------------------------------------------------------------------------------


def test_coba_values_prompts_as_by_hand():
    # f = 1/5: Beta(2, 5) with density 30 p (1-p)^4. p = 1/4: 30 * 81/1024 = 2.37305; p = 1/2: 30/32 = .9375.
    # tau = 4. n = 2: 1 - e^(-3/32) = .0894893, 1 - e^(-1/8) = .1175031.
    value = coba.value(np.array([0.25, 0.5]), np.array([2, 2]), 4.0, 0.2)
    np.testing.assert_allclose(value, [0.2123624, 0.1101592], atol=1e-6)


def test_coba_takes_tau_from_the_spread():
    assert coba.tau(np.array([0.3, 0.3])) == 3.0
    assert coba.tau(np.array([0.2, 0.6])) == pytest.approx(3.0 + 9.0 * 0.04 / 0.1667)
    assert coba.tau(np.array([0.0, 1.0])) == 12.0


def test_coba_divides_the_spare_units_by_hand():
    sizes = GroupSizes(least=1, mean=5.0, most=9)
    # 4 prompts, 24 units, 20 spare. All in the middle and alike: 4/5 of 20 = 16 by value, and the rest too.
    assert coba.divide(np.full(4, 0.5), 24, sizes, 1, 0.5).tolist() == [6, 6, 6, 6]
    # Half of them in the middle: 0.6 + 0.4 / 2 = 80 % of 20 = 16 for them, 2 each for the hard.
    assert coba.divide(np.array([0.5, 0.0, 0.5, 0.0]), 24, sizes, 1, 0.5).tolist() == [9, 3, 9, 3]
    # One in the middle: 70 % = 14, of which it has room for 8; the hard get the other 12.
    assert coba.divide(np.array([0.5, 0.0, 0.0, 1.0]), 24, sizes, 1, 0.5).tolist() == [9, 7, 7, 1]
    # None in the middle, none hard: the easy share all of it.
    assert coba.divide(np.ones(4), 24, sizes, 1, 0.5).tolist() == [6, 6, 6, 6]


def test_coba_moves_from_easy_to_hard_prompts_as_failures_rise():
    sizes, rates = GroupSizes(least=1, mean=5.0, most=9), np.array([0.2, 0.8])
    hard_when_able, easy_when_able = coba.divide(rates, 10, sizes, 1, failure_rate=0.1)
    hard_when_not, easy_when_not = coba.divide(rates, 10, sizes, 1, failure_rate=0.9)
    assert hard_when_able > easy_when_able  # few failures: Beta(1.5, 5.5), the hard ones
    assert hard_when_not < easy_when_not  # many failures: Beta(5.5, 1.5), the easy ones


def test_coba_averages_the_failure_rate_over_three_rounds():
    problem = AllocationProblem(num_prompts=2, num_rounds=6, budget=12, capacity=2, max_units=1, responses_per_unit=4)
    allocator = make("coba", problem)
    expected = [0.5, 0.75, (0.5 + 1.0 + 0.0) / 3, (1.0 + 0.0 + 0.25) / 3]
    for successes, f in zip([(0, 4), (0, 0), (4, 4), (2, 4)], expected, strict=True):
        allocation = allocator.allocate()
        allocator.observe(allocation, Feedback([4, 4], successes))
        assert allocator.failure_rate == pytest.approx(f)


def test_coba_in_its_worst_case_feeds_the_hopeless():
    problem = AllocationProblem(num_prompts=40, num_rounds=40, budget=3200, capacity=80, max_units=8)
    rates = [0.5] * 20 + [0.0] * 20
    result = play(make("coba", problem), problem, rates)
    learnable, hopeless = np.split(result.ledger.exposure_M, 2)
    # Least group 2 of 8, mean 5: 3/5 of the units are spare, at least a fifth of them goes to p-hat < 0.05.
    assert hopeless.sum() >= 0.5 * (2 / 5 + 3 / 5 / 5) * problem.budget
    assert learnable.sum() > hopeless.sum()


# --- VIP -------------------------------------------------------------------------------------------------------------


def test_vip_lays_out_rloo_by_hand():
    # a = .25 and .09: n - 1 is as 5 to 3. 18 responses: n = 11 and 7; 26: 16 and 10.
    rates, sizes = np.array([0.5, 0.1]), GroupSizes(least=2, mean=10.0, most=30)
    assert vip.divide(rates, 18, sizes, 1, "rloo").tolist() == [11, 7]
    assert vip.divide(rates, 26, sizes, 1, "rloo").tolist() == [16, 10]
    assert vip.divide(rates, 52, sizes, 1, "rloo").tolist() == [30, 22]  # the first is at its most
    assert vip.divide(rates, 5, sizes, 1, "rloo").tolist() == [3, 2]


def test_vip_lays_out_dr_grpo_by_hand():
    # x n^3 = a (n - 2): n = 6 at x = a/54 and n = 4 at x = a/32, so a = .25 and 32/54 * .25 = 4/27 share x.
    p = (1.0 - math.sqrt(1.0 - 16.0 / 27.0)) / 2.0  # p (1-p) = 4/27
    rates, sizes = np.array([0.5, p]), GroupSizes(least=3, mean=5.0, most=20)
    assert vip.divide(rates, 10, sizes, 1, "dr_grpo").tolist() == [6, 4]
    np.testing.assert_allclose(vip.responses(np.array([0.25, 4 / 27]), 0.25 / 54, "dr_grpo"), [6.0, 4.0], rtol=1e-12)


@pytest.mark.parametrize("form", ["rloo", "dr_grpo"])
@given(data=st.data())
def test_vip_is_as_good_as_the_best_division(form, data):
    rates = np.array(data.draw(st.lists(st.integers(1, 19).map(lambda i: i / 20), min_size=1, max_size=4)))
    unit = data.draw(st.integers(1, 3))
    sizes = GroupSizes(least=3, mean=4.0, most=7)
    quota = data.draw(st.integers(3 * rates.size, 7 * rates.size))
    a = rates * (1.0 - rates)
    units = vip.divide(rates, quota, sizes, unit, form)
    best = min(
        vip.variance(a, unit * np.array(choice), form).sum()
        for choice in itertools.product(range(3, 8), repeat=rates.size)
        if sum(choice) == quota
    )
    assert units.sum() == quota
    assert units.min() >= sizes.least
    assert units.max() <= sizes.most
    assert vip.variance(a, unit * units, form).sum() <= 1.02 * best


@pytest.mark.parametrize("form", ["rloo", "dr_grpo"])
@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0, 1e-9])
def test_vip_divides_evenly_where_prompts_are_alike(form, rate):
    sizes = GroupSizes(least=3, mean=4.0, most=7)
    assert vip.divide(np.full(4, rate), 20, sizes, 1, form).tolist() == [5, 5, 5, 5]
    assert vip.divide(np.full(4, rate), 22, sizes, 1, form).tolist() == [6, 6, 5, 5]


def test_vip_in_its_worst_case_never_gets_rid_of_the_hopeless():
    problem = AllocationProblem(
        num_prompts=20, num_rounds=60, budget=1800, capacity=30, max_units=4, responses_per_unit=4
    )
    result = play(make("vip", problem), problem, [0.0] * 20)
    assert result.ledger.exposure_M.min() >= problem.budget / 20 / 4  # the least of 1..4 units in every epoch


CLUSTERS = np.repeat([[0.0, 0.0], [0.0, 3.0], [3.0, 0.0]], 20, axis=0) + np.linspace(0.0, 0.1, 60)[:, None]


def test_the_gaussian_process_carries_what_it_saw_to_neighbours():
    process = EmbeddingProcess(CLUSTERS, length_scale=1.0)
    process.observe(np.arange(0, 10), np.full(10, 8.0), np.zeros(10))
    process.observe(np.arange(20, 30), np.full(10, 8.0), np.full(10, 8.0))
    hard, easy, unseen = np.split(process.predict(np.arange(60), mean=0.0), 3)
    assert hard[10:].max() < 0.2
    assert easy[10:].min() > 0.8
    assert np.abs(unseen - 0.5).max() < 0.05


def test_the_gaussian_process_of_one_prompt_by_hand():
    # S = 6, F = 1: logit log(6.5/1.5) = 1.46634, variance 1/6.5 + 1/1.5 = .820513. At distance d the weight is
    # k / (1 + .820513), k = e^(-d^2/2): .549296 at 0, .333166 at 1; p = 1/(1+e^-.80545) and 1/(1+e^-.48853).
    process = EmbeddingProcess(np.array([[0.0], [1.0], [9.0]]), length_scale=1.0)
    process.observe(np.array([0]), np.array([7.0]), np.array([6.0]))
    np.testing.assert_allclose(process.predict(np.arange(3), mean=0.0), [0.69114, 0.61976, 0.5], atol=1e-5)


def test_the_gaussian_process_forgets_all_but_the_last_512_prompts():
    process = EmbeddingProcess(np.arange(700.0)[:, None], length_scale=None)
    for start in range(0, 700, 100):
        process.observe(np.arange(start, start + 100), np.full(100, 4.0), np.zeros(100))
    process.observe(np.array([690]), np.array([4.0]), np.array([4.0]))
    observed = process.arrays()["observed"]
    assert observed[0] == 690
    assert np.unique(observed).size == 512
    assert set(range(600, 700)) <= set(observed.tolist())
    assert 0 not in observed


def test_vip_with_a_gaussian_process_is_resumed_identically():
    problem = AllocationProblem(
        num_prompts=60, num_rounds=12, budget=360, capacity=30, max_units=4, responses_per_unit=4
    )
    options = {"estimator": "gp", "embeddings": CLUSTERS, "form": "dr_grpo"}
    luck = Luck(problem, [0.0] * 20 + [0.5] * 20 + [1.0] * 20)
    allocator, resumed = (make("vip", problem, **options) for _ in range(2))
    play(allocator, problem, luck, rounds=5)
    resumed.load_state_dict(through_a_file(allocator.state_dict()))
    for _ in range(5, problem.num_rounds):
        assert one_wave(resumed, luck).allocation.matches(one_wave(allocator, luck).allocation)
    assert same_state(resumed.state_dict(), allocator.state_dict())
    success = allocator.predicted_success()
    assert success[:20].mean() < 0.2 < 0.4 < success[20:40].mean() < 0.6 < 0.8 < success[40:].mean()
    for spoilt in (np.full(512, 60), np.append(-1, np.arange(511) % 60)):
        with pytest.raises(StateError, match="observed"):
            resumed.load_state_dict({**allocator.state_dict(), "observed": spoilt})
    assert same_state(resumed.state_dict(), allocator.state_dict())


# --- MoPPS -----------------------------------------------------------------------------------------------------------


def mopps_after(rates, **options):
    """MoPPS on three prompts that have 10,000 responses each at these rates."""
    problem = AllocationProblem(num_prompts=3, num_rounds=9, budget=9, capacity=1, responses_per_unit=1)
    allocator = make("mopps", problem, **options)
    for prompt, rate in enumerate(rates):
        allocator.posterior.update(np.array([prompt]), np.array([1e4]), np.array([1e4 * rate]), None)
    return allocator


def test_mopps_takes_the_prompt_nearest_its_target():
    # Posterior standard deviations are below .005, so draws are at .2, .45 and .9.
    assert as_pairs(mopps_after((0.2, 0.45, 0.9)).allocate()) == [(1, 1)]
    assert as_pairs(mopps_after((0.2, 0.45, 0.9), target=1.0).allocate()) == [(2, 1)]
    assert as_pairs(mopps_after((0.2, 0.45, 0.9), target=(0.1, 0.3)).allocate()) == [(0, 1)]


def test_mopps_draws_at_random_among_prompts_inside_its_interval():
    taken = set()
    for seed in range(30):
        allocator = mopps_after((0.4, 0.6, 0.9), target=(0.3, 0.7))
        allocator.seed = seed
        taken |= {prompt for prompt, _ in as_pairs(allocator.allocate())}
    assert taken == {0, 1}


def test_mopps_takes_only_candidates_where_they_are_limited():
    problem = AllocationProblem(num_prompts=50_000, num_rounds=40, budget=400, capacity=10)
    allocator = make("mopps", problem, candidate_ratio=2)
    candidates = allocator._candidates(seeding.generator("mopps draw", 0, 0), 10)
    assert np.unique(candidates).size == 20
    assert set(allocator.allocate().prompts.tolist()) <= set(candidates.tolist())


def test_mopps_has_many_more_effective_groups_than_uniform():
    problem = AllocationProblem(
        num_prompts=300, num_rounds=60, budget=9000, capacity=155, max_units=2, responses_per_unit=4
    )
    rates = np.random.default_rng(0).beta(0.3, 1.0, 300)

    def effective(name):
        contrast = 1.0 - rates**8 - (1.0 - rates) ** 8
        exposure = play(make(name, problem), problem, rates).ledger.exposure_M
        return (exposure * contrast).sum() / exposure.sum()

    assert effective("mopps") > effective("uniform") + 0.2


def test_mopps_in_its_worst_case_serves_the_same_few_prompts_for_ever():
    problem = AllocationProblem(
        num_prompts=50, num_rounds=200, budget=1000, capacity=5, max_units=1, responses_per_unit=8
    )
    result = play(make("mopps", problem), problem, [0.5] * 5 + [0.9] * 45)
    assert result.ledger.exposure_M[:5].sum() > 0.6 * problem.budget


# --- dual mirror descent ---------------------------------------------------------------------------------------------


def test_the_price_moves_by_factors():
    # Bbar = 4, C = 6, G_B = 4. Spending 6 gives g = -1/2, spending nothing g = 1; step 1/2.
    problem = AllocationProblem(num_prompts=9, num_rounds=5, budget=20, capacity=6)
    allocator = make("dual_mirror_descent", problem, step_price=0.5, floor=0.4)
    assert allocator._next_price(6) == pytest.approx(0.5 * math.exp(0.25))
    assert allocator._next_price(0) == 0.4  # 0.5 * e^(-1/2) = .3033 is below the floor
    allocator.price = 0.9
    assert allocator._next_price(6) == 1.0
    assert allocator._next_price(0) == pytest.approx(0.9 * math.exp(-0.5))


def test_a_price_at_its_floor_needs_long_to_rise_again():
    problem = AllocationProblem(num_prompts=50, num_rounds=100, budget=100, capacity=2)
    allocators = [make(name, problem, price=0.0, step_price=0.1) for name in ("cero", "dual_mirror_descent")]
    rounds = []
    for allocator in allocators:
        rounds.append(0)
        while allocator.price < 0.5:
            allocator.price = allocator._next_price(problem.capacity)
            rounds[-1] += 1
    assert rounds == [5, math.ceil(math.log(0.5 / 1e-3) / 0.1)]


# --- options ---------------------------------------------------------------------------------------------------------

SMALL = AllocationProblem(num_prompts=3, num_rounds=2, budget=2, capacity=1, max_units=2, responses_per_unit=4)


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        ("mopps", {"target": 1.5}, ["target=1.5", "[0, 1]", "interval (low, high)"]),
        ("mopps", {"target": (0.7, 0.3)}, ["target=(0.7, 0.3)", "swap them"]),
        ("mopps", {"target": (0.1, 0.2, 0.3)}, ["target=(0.1, 0.2, 0.3)", "is no pair"]),
        ("mopps", {"target": "middle"}, ["target='middle'"]),
        ("mopps", {"candidate_ratio": 0}, ["candidate_ratio=0", ">= 1"]),
        ("reinforce_ada_est", {"power": -1}, ["power=-1", "use 0.5"]),
        ("reinforce_ada_est", {"group_units": 5}, ["group_units=5", "outside 1..2", "max_units=2"]),
        ("knapsack", {"group_units": 5}, ["group_units=5", "outside 1..2", "max_units=2"]),
        ("knapsack", {"group_units": -1}, ["group_units=-1", "not a positive finite number"]),
        ("knapsack", {"min_observations": 17}, ["min_observations=17", "above window=16"]),
        ("knapsack", {"window": 0}, ["window=0"]),
        ("coba", {"window": 1.5}, ["window=1.5"]),
        ("coba", {"most_responses": 1}, ["most_responses=1", "below least_responses=2"]),
        ("coba", {"least_responses": 0}, ["least_responses=0"]),
        ("vip", {"form": "grpo"}, ["form='grpo'", "rloo, dr_grpo"]),
        ("vip", {"form": "dr_grpo", "least_responses": 2}, ["least_responses=2", "below 3"]),
        ("vip", {"estimator": "gp"}, ["embeddings=None", "array [M, d]"]),
        ("vip", {"embeddings": np.zeros((3, 2))}, ["embeddings", "no meaning for estimator='beta'"]),
        ("vip", {"estimator": "gp", "embeddings": np.zeros((2, 2))}, ["embeddings=[2, 2]", "[M, d] with M=3"]),
        ("vip", {"estimator": "gp", "embeddings": np.full((3, 1), np.nan)}, ["embeddings", "not finite"]),
        ("vip", {"estimator": "gp", "embeddings": ["a", "b", "c"]}, ["embeddings='list'", "are not numbers"]),
        ("vip", {"estimator": "gp", "embeddings": np.zeros((3, 1)), "length_scale": 0}, ["length_scale=0"]),
        ("dual_mirror_descent", {"floor": 0.0}, ["floor=0.0", "(0, 1]"]),
        ("dual_mirror_descent", {"mirror_slopes": "yes"}, ["mirror_slopes='yes'", "True or False"]),
    ],
)
def test_options_that_cannot_be_used_are_refused(name, options, parts):
    with pytest.raises(InvalidValueError) as refusal:
        make(name, SMALL, **options)
    for part in parts:
        assert part in str(refusal.value)


def test_embeddings_are_named_by_a_digest():
    one, same, other = (
        make("vip", SMALL, estimator="gp", embeddings=embeddings).options_dict()
        for embeddings in (np.zeros((3, 2)), [[0, 0]] * 3, np.ones((3, 2)))
    )
    assert one == same != other
    assert isinstance(one["embeddings"], str)


# --- looks -----------------------------------------------------------------------------------------------------------

PEERS = (
    "mopps",
    "knapsack",
    "coba",
    "vip",
    "reinforce_ada_est",
    "dual_mirror_descent",
    "dapo",
    "speed",
    "greso",
    "hora",
)
PEERS += ("reinforce_ada", "reinforce_ada_est", "resolve", "renew")


def test_all_allocators_look_different():
    names = sorted({*available(), *PEERS, "cero(catch_up=true)", "oracle(recovery=8)"})
    for part in ("name", "colour", "marker", "line"):
        assert len({getattr(look(name), part) for name in names}) == len(names), part
