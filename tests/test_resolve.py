"""Resolve and Renew against naive versions, their rules by hand, and their worst cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab import AllocationProblem, BudgetLedger, Feedback, make, optimum
from cerolab.errors import InvalidValueError
from cerolab.estimators.posterior import Posterior
from tests.reference.naive_resolve import NaiveRenew, NaiveResolve
from tests.strategies import Luck, few_examples, one_wave, play, problems, success_rates

GRID = 0.05  # of the log price


def assert_highest(allocation, score_M, max_units):
    """Nobody who was left out had a higher score than somebody who was taken, and all but the last are full."""
    taken = np.zeros(score_M.size, bool)
    taken[allocation.prompts] = True
    if taken.any() and not taken.all():
        assert score_M[taken].min() >= score_M[~taken].max() - 1e-9
    assert (allocation.units[:-1] == max_units).all()
    assert (np.diff(score_M[allocation.prompts]) <= 1e-9).all()


@few_examples
@given(data=st.data())
def test_resolve_does_what_its_naive_version_says(data):
    problem = data.draw(problems())
    rates = data.draw(success_rates(problem.num_prompts))
    depth = data.draw(st.integers(1, 3))
    prior = data.draw(st.sampled_from([(1.0, 1.0), (0.4, 1.5)]))
    allocator = make("resolve", problem, seed=1, prior=prior, depth=depth)
    naive = NaiveResolve(
        problem.num_prompts,
        problem.num_rounds,
        problem.budget,
        problem.max_units,
        problem.responses_per_unit,
        problem.saturation,
        prior,
        depth,
    )
    luck, everybody = Luck(problem, rates, 3), range(problem.num_prompts)
    hits, counts, exposures = ([0] * problem.num_prompts for _ in range(3))
    while not allocator.done:
        left = problem.num_rounds - allocator.round_index
        q = [naive.rate(hits[i], counts[i]) for i in everybody]
        assert allocator.predicted_value() == pytest.approx(q)
        plan, price = naive.plan(q, exposures, left, allocator.remaining)
        units_C, fast_price = allocator._plan()
        units_M = allocator._of_pool(units_C)
        assert fast_price == pytest.approx(price, rel=1e-9, abs=1e-300)
        assert units_M.sum() == pytest.approx(sum(plan))
        on_grid = math.exp(round(math.log(fast_price) / GRID) * GRID) if fast_price > 0 else 0.0
        most = 2.0 ** math.floor(math.log2(left * problem.max_units))
        open_M = allocator._of_pool(allocator._open(fast_price))
        for i in everybody:
            u = counts[i] // problem.responses_per_unit
            assert open_M[i] == naive.is_open(u, hits[i], on_grid, most)
        score_M = np.where(open_M, 2.0 * problem.horizon_exposure + 1.0 - np.array(exposures), units_M)
        wave = one_wave(allocator, luck)
        assert_highest(wave.allocation, score_M, problem.max_units)
        pairs = zip(wave.allocation.prompts, wave.allocation.units, wave.feedback.reward_sum, strict=True)
        for prompt, units, of_group in pairs:
            exposures[prompt] += int(units)
            counts[prompt] += int(units) * problem.responses_per_unit
            hits[prompt] += int(of_group)


@few_examples
@given(data=st.data())
def test_renew_does_what_its_naive_version_says(data):
    problem = data.draw(problems())
    rates = data.draw(success_rates(problem.num_prompts))
    options = {
        "forgetting": data.draw(st.sampled_from([0.5, 0.7, 1.0])),
        "headroom": data.draw(st.sampled_from([0.0, 0.5, 1.0])),
        "recovery": 3.0,
        "optimism": 0.5,
    }
    allocator = make("renew", problem, seed=1, prior=(1.0, 1.0), **options)
    naive = NaiveRenew((1.0, 1.0), **options)
    luck = Luck(problem, rates, 3)
    stories: list[list[tuple[int, float, float]]] = [[] for _ in range(problem.num_prompts)]
    while not allocator.done:
        now = allocator.round_index
        worth_M = np.array([naive.worth(story, now) for story in stories])
        assert allocator._worth() == pytest.approx(worth_M)
        wave = one_wave(allocator, luck)
        assert_highest(wave.allocation, worth_M, problem.max_units)
        for prompt, count, of_group in zip(
            wave.allocation.prompts, wave.feedback.num_responses, wave.feedback.reward_sum, strict=True
        ):
            stories[prompt].append((now, float(count), float(of_group)))


POOL = AllocationProblem(
    num_prompts=200, num_rounds=200, budget=20_000, capacity=110, max_units=2, responses_per_unit=4, saturation=1.0
)


def regret(method, success, seed=0, problem=POOL, **options):
    allocator = make(method, problem, seed, **options)
    rng = np.random.default_rng(seed + 1)
    ledger = BudgetLedger(problem)
    for _ in range(problem.num_rounds):
        allocation = allocator.allocate()
        ledger.spend(allocation)
        n = allocation.units * problem.responses_per_unit
        allocator.observe(allocation, Feedback(n, rng.binomial(n, success[allocation.prompts])))
        ledger.end_round(updated=bool(allocation.num_groups))
    q = success * (1 - success)
    curvature = 4 * problem.saturation * q / problem.exposure_scale
    value = (1 - np.exp(-curvature * ledger.exposure_M)).sum()
    return (optimum.solve_static(q, problem).value - value) / problem.num_prompts, ledger


@pytest.mark.parametrize("shape", [(1, 1), (0.5, 0.5), (0.3, 1), (2, 2)])
def test_resolve_has_half_of_ceros_regret_on_fixed_rates(shape):
    pools = [np.random.default_rng(seed).beta(*shape, POOL.num_prompts) for seed in range(5)]
    resolve, cero = (np.mean([regret(m, pool, s)[0] for s, pool in enumerate(pools)]) for m in ("resolve", "cero"))
    assert resolve < 0.6 * cero


def test_hopeless_prompts_are_left_and_good_ones_are_not():
    success = np.concatenate([np.zeros(100), np.full(100, 0.5)])
    _, ledger = regret("resolve", success)
    assert ledger.exposure_M[:100].max() <= 12  # of 100 units a prompt
    assert ledger.exposure_M[100:].min() >= 150
    assert ledger.remaining == 0


def test_renew_comes_back_to_what_can_teach_and_never_sees_all_of_a_large_hopeless_pool():
    problem = AllocationProblem(
        num_prompts=2000, num_rounds=100, budget=2000, capacity=21, max_units=2, responses_per_unit=4
    )
    success = np.where(np.arange(2000) % 20 == 0, 0.5, 0.0)
    _, renew = regret("renew", success, problem=problem)
    good = success > 0
    assert (renew.exposure_M == 0).mean() > 0.5
    assert renew.exposure_M[good].sum() > 3 * renew.exposure_M[~good].sum() * good.mean() / (1 - good.mean())


@pytest.mark.parametrize(("headroom", "best"), [(0.0, {0, 1}), (1.0, {0})])
def test_of_two_prompts_that_teach_as_much_the_one_with_more_to_gain_goes_first(headroom, best):
    """Two successes of eight, and six of eight."""
    problem = AllocationProblem(num_prompts=2, num_rounds=4, budget=8, capacity=4, max_units=2, responses_per_unit=4)
    allocator = make("renew", problem, 0, prior=(1.0, 1.0), headroom=headroom, tie_seed=0)
    allocator.posterior.num_responses[:], allocator.posterior.reward_sum[:] = 8.0, [2.0, 6.0]
    assert set(np.flatnonzero(np.isclose(allocator._worth(), allocator._worth().max()))) == best


def test_the_worst_case_of_renew_is_fixed_rates():
    pool = np.random.default_rng(0).beta(0.5, 0.5, POOL.num_prompts)
    assert regret("renew", pool)[0] > 1.5 * regret("resolve", pool)[0]


@pytest.mark.parametrize("name", ["resolve", "renew"])
def test_the_prior_of_the_pool_is_the_default(name):
    allocator = make(name, POOL, 0)
    assert allocator.options_dict()["prior"] == "pool"
    play(allocator, POOL, Luck(POOL, [0.02] * 200, 1), rounds=3)
    assert allocator.posterior.prior[0] < allocator.posterior.prior[1] / 4


@pytest.mark.parametrize("name", ["resolve", "renew"])
def test_the_prior_follows_the_policy_when_the_evidence_no_longer_grows(name):
    """A visit keeps seven tenths of a prompt's evidence, so that the pool's stops growing; then all rates rise."""
    problem = AllocationProblem(num_prompts=30, num_rounds=200, budget=3000, capacity=16, responses_per_unit=4)
    allocator = make(name, problem, 0, **({"forgetting": 0.95} if name == "resolve" else {}))
    fits, refit = [], Posterior.refit_prior

    def counted(posterior):
        fits.append((allocator.round_index, posterior.num_responses.sum()))
        refit(posterior)

    rng, means = np.random.default_rng(0), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Posterior, "refit_prior", counted)
        for k in range(problem.num_rounds):
            allocation = allocator.allocate()
            n = allocation.units * problem.responses_per_unit
            allocator.observe(allocation, Feedback(n, rng.binomial(n, 0.1 if k < 100 else 0.8)))
            a0, b0 = allocator.posterior.prior
            means.append(a0 / (a0 + b0))
    rounds = [k for k, _ in fits]
    assert set(range(0, 200, 10)) <= set(rounds)  # twenty times over the horizon
    evidence = np.array([amount for k, amount in fits if k >= 60])
    assert evidence.max() < 1.25 * evidence.min()  # growth alone would not have asked for any of these
    assert means[99] < 0.25
    assert means[-1] > 0.6


def test_renew_adds_no_doubt_of_coins_to_rewards_that_never_vary():
    problem = AllocationProblem(num_prompts=40, num_rounds=20, budget=400, capacity=40, max_units=2)
    allocator = make("renew", problem, 0, prior=(1.0, 1.0), headroom=0.0, forgetting=1.0, optimism=1.0)
    for _ in range(10):
        allocation = allocator.allocate()
        n = allocation.units.astype(float)
        allocator.observe(allocation, Feedback(allocation.units, 0.5 * n, 0.25 * n))
    bonus_M = allocator.posterior.variance_sd()
    q = allocator.posterior.expected_variance()
    away = allocator.round_index - allocator.visited_M
    expected = np.minimum(q + bonus_M, 0.25) * -np.expm1(-away / 32.0)
    assert allocator._worth() == pytest.approx(expected)
    assert bonus_M.max() < 0.01


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resolve", {"depth": 0}, "depth=0 is not positive"),
        ("renew", {"recovery": 0.0}, "recovery=0.0"),
        ("renew", {"optimism": -1.0}, "optimism=-1.0"),
        ("renew", {"headroom": -1.0}, "headroom=-1.0"),
        ("renew", {"forgetting": 0.0}, "forgetting=0.0"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(InvalidValueError, match=message):
        make(name, POOL, 0, **options)


def test_graded_rewards_vary_less_and_are_planned_for():
    """Five checks a response: the reward's variance is a fifth of p(1-p), and so is what a find is worth."""
    checks, regrets = 5, {}
    for method in ("resolve", "cero"):
        success = np.random.default_rng(3).beta(1, 1, POOL.num_prompts)
        allocator, ledger, rng = make(method, POOL, 0), BudgetLedger(POOL), np.random.default_rng(1)
        for _ in range(POOL.num_rounds):
            allocation = allocator.allocate()
            ledger.spend(allocation)
            n = allocation.units * POOL.responses_per_unit
            pairs = zip(allocation.prompts, n, strict=True)
            rewards = [rng.binomial(checks, success[prompt], count) / checks for prompt, count in pairs]
            sums, squares = (np.array([(r**power).sum() for r in rewards]) for power in (1, 2))
            allocator.observe(allocation, Feedback(n, sums, squares))
            ledger.end_round(updated=True)
        q = success * (1 - success) / checks
        curvature = 4 * POOL.saturation * q / POOL.exposure_scale
        value = (1 - np.exp(-curvature * ledger.exposure_M)).sum()
        regrets[method] = optimum.solve_static(q, POOL).value - value
        if method == "resolve":
            assert allocator.posterior.variance_ratio() == pytest.approx(1 / checks, rel=0.2)
    assert regrets["resolve"] < 0.8 * regrets["cero"]
