"""The nearest draws of a large pool, found by kind: against every draw made by itself, and against the gamma draws."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cerolab import AllocationProblem, BudgetLedger, Feedback, make, seeding
from cerolab.allocators import mopps
from cerolab.selection.nearest_draw import nearest_by_kind
from cerolab.selection.prompt_types import Kinds
from tests.strategies import Luck, few_examples, method_options, one_wave, play, problems, same_state, success_rates

TARGETS = [(0.5, 0.5), (0.0, 0.0), (1.0, 1.0), (0.8, 0.8), (0.3, 0.7), (0.6, 0.6001)]


def pool(num_prompts, most_visits=3, seed=0):
    """(responses, successes) after up to so many visits of four responses."""
    rng = np.random.default_rng(seed)
    responses = 4 * rng.integers(0, most_visits + 1, num_prompts)
    return responses, rng.binomial(responses, rng.beta(0.5, 0.5, num_prompts))


def distances_one_by_one(uniform, alpha, beta, low, high):
    """D_i of every prompt by plain bisection of its own distribution function, as SciPy's ``stats`` has it."""

    def mass(distance):
        return stats.beta.cdf(high + distance, alpha, beta) - stats.beta.cdf(low - distance, alpha, beta)

    least, most = np.zeros(uniform.size), np.full(uniform.size, max(low, 1.0 - high))
    for _ in range(48):
        middle = (least + most) / 2
        short = mass(middle) < uniform
        least, most = np.where(short, middle, least), np.where(short, most, middle)
    inside = mass(np.zeros(uniform.size))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(uniform <= inside, uniform / inside - 1.0, most)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("prior", [(1.0, 1.0), (0.3, 1.0), (20.0, 6.0)])
def test_they_are_the_nearest_of_all_draws_in_the_same_order(target, prior):
    responses, successes = pool(2000)
    uniform = np.random.default_rng(5).random(2000)
    expected = distances_one_by_one(uniform, prior[0] + successes, prior[1] + responses - successes, *target)
    for count in (1, 60, 700):
        prompts, distance = nearest_by_kind(
            Kinds(responses, successes), prior, target, count, lambda: np.random.default_rng(5)
        )
        assert prompts.size >= count
        np.testing.assert_allclose(distance, expected[prompts], rtol=1e-8, atol=1e-11)
        chosen = prompts[np.argsort(distance)[:count]]
        assert chosen.tolist() == np.argsort(expected)[:count].tolist()


def test_they_do_not_depend_on_the_order_or_the_past_of_the_kinds():
    responses, successes = pool(3000)
    fresh = Kinds(responses, successes)
    moved = Kinds(np.zeros(3000, np.int64), np.zeros(3000, np.int64))
    rng = np.random.default_rng(1)
    moved.move(np.arange(10), np.full(10, 77), np.full(10, 5))  # a kind that nobody will be of
    for prompts in np.array_split(rng.permutation(3000), 7):
        moved.move(prompts, responses[prompts], successes[prompts])
    assert fresh.rows.tolist() != moved.rows.tolist()
    one, other = (
        nearest_by_kind(kinds, (0.7, 1.3), (0.5, 0.5), 50, lambda: np.random.default_rng(2)) for kinds in (fresh, moved)
    )
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])


def test_every_prompt_of_a_pool_of_several_blocks_has_a_uniform_of_its_own():
    size = 200_000
    kinds = Kinds(np.zeros(size, np.int64), np.zeros(size, np.int64))
    prompts, distance = nearest_by_kind(kinds, (1.0, 1.0), (0.5, 0.5), 100, lambda: np.random.default_rng(3))
    uniform = np.random.default_rng(3).random(size)
    chosen = prompts[np.argsort(distance)[:100]]
    assert chosen.tolist() == np.argsort(uniform)[:100].tolist()  # P is uniform: the distance is U / 2
    np.testing.assert_allclose(distance, uniform[prompts] / 2, rtol=1e-9)


def test_all_prompts_are_found_where_all_are_wanted():
    responses, successes = pool(500)
    prompts, _ = nearest_by_kind(
        Kinds(responses, successes), (1.0, 1.0), (0.5, 0.5), 500, lambda: np.random.default_rng(0)
    )
    assert prompts.tolist() == list(range(500))


@pytest.mark.parametrize("prior", [(1e100, 1e100), (1e-300, 1e-300)])
def test_where_no_distance_parts_them_it_says_so(prior):
    kinds = Kinds(np.zeros(5000, np.int64), np.zeros(5000, np.int64))
    assert nearest_by_kind(kinds, prior, (0.2, 0.2), 50, lambda: np.random.default_rng(0)) is None


# --- the law ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [(0.5, 0.5), (0.9, 0.9), (0.4, 0.6)])
def test_the_law_is_that_of_the_gamma_draws(target):
    size, count, rounds, prior = 4000, 200, 400, (0.6, 1.1)
    responses, successes = pool(size, most_visits=2)
    kinds = Kinds(responses, successes)
    alpha, beta = prior[0] + successes, prior[1] + responses - successes
    taken, by_draws = np.zeros((rounds, len(kinds.rows))), np.zeros((rounds, len(kinds.rows)))
    last, last_by_draws = np.zeros((2, rounds))
    rng = np.random.default_rng(11)
    for k in range(rounds):
        prompts, distance = nearest_by_kind(
            kinds, prior, target, count, lambda k=k: seeding.generator("law of the nearest", k)
        )
        order = np.argsort(distance)[:count]
        taken[k] = np.bincount(kinds.kind_M[prompts[order]], minlength=len(kinds.rows))
        last[k] = distance[order[-1]]
        drawn = rng.beta(alpha, beta)
        outside = np.maximum(target[0] - drawn, drawn - target[1])
        distance = np.where(outside > 0, outside, rng.random(size) - 1.0)
        order = np.argsort(distance)[:count]
        by_draws[k] = np.bincount(kinds.kind_M[order], minlength=len(kinds.rows))
        last_by_draws[k] = distance[order[-1]]
    error = np.sqrt((taken.var(axis=0) + by_draws.var(axis=0)) / rounds)
    z = (taken.mean(axis=0) - by_draws.mean(axis=0)) / np.maximum(error, 1e-9)
    assert len(z) > 10
    assert np.abs(z).max() < 4.0
    assert stats.ks_2samp(last, last_by_draws).pvalue > 1e-3


# --- MoPPS ------------------------------------------------------------------------------------------------------------


@contextmanager
def by_kind():
    """MoPPS looks by kind in every pool."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_LARGE", "_FEW", "_ALIKE"):
            patch.setattr(mopps, name, 0)
        yield


LARGE = AllocationProblem(
    num_prompts=100_000, num_rounds=3, budget=30_000, capacity=10_000, max_units=3, responses_per_unit=2
)


def rates_of(problem):
    return np.random.default_rng(0).beta(0.5, 0.5, problem.num_prompts)


@pytest.mark.parametrize("target", [0.5, (0.3, 0.7)])
def test_a_large_pool_is_looked_through_by_kind_as_one_by_one_would_choose(target):
    allocator, rates = make("mopps", LARGE, seed=4, target=target), rates_of(LARGE)
    rng, low_high = np.random.default_rng(9), (target, target) if isinstance(target, float) else target
    for k in range(LARGE.num_rounds):
        uniform = seeding.generator("mopps draw", 4, k).random(LARGE.num_prompts)
        alpha, beta = allocator.posterior.alpha, allocator.posterior.beta
        expected = np.argsort(distances_one_by_one(uniform, alpha, beta, *low_high))
        allocation = allocator.allocate()
        quota = allocator.even_quota()
        assert allocation.num_units == quota
        assert allocation.prompts.tolist() == expected[: -(-quota // 3)].tolist()
        assert (allocation.units[:-1] == 3).all()
        n = allocation.units * LARGE.responses_per_unit
        allocator.observe(allocation, Feedback(n, rng.binomial(n, rates[allocation.prompts])))
    assert allocator._kinds.count.sum() == LARGE.num_prompts
    assert (allocator._kinds.count > 0).sum() > 8


@pytest.mark.parametrize("options", [{"forgetting": 0.9}, {"candidate_ratio": 4}])
def test_what_makes_prompts_differ_keeps_the_draws_of_each(options):
    assert make("mopps", LARGE, **options)._kinds is None


def test_graded_rewards_end_the_kinds_and_are_drawn_one_by_one():
    allocator = make("mopps", LARGE)
    assert allocator._kinds is not None
    allocation = allocator.allocate()
    n = allocation.units * LARGE.responses_per_unit
    allocator.observe(allocation, Feedback(n, 0.25 * n, 0.0625 * n))
    assert allocator._kinds is None
    assert allocator.allocate().num_units == LARGE.budget // LARGE.num_rounds
    resumed = make("mopps", LARGE)
    resumed.load_state_dict(allocator.state_dict())
    assert resumed._kinds is None
    assert resumed.allocate().matches(allocator.allocate())


def test_small_pools_and_rounds_that_take_much_of_the_pool_keep_the_draws_of_each():
    small = AllocationProblem(num_prompts=99_999, num_rounds=1, budget=10, capacity=10)
    assert make("mopps", small)._kinds is None
    wide = AllocationProblem(num_prompts=100_000, num_rounds=1, budget=12_501, capacity=12_501)
    for allocator in (make("mopps", wide), make("mopps", wide)):
        assert allocator._nearest_by_kind(12_500) is not None
        assert allocator._nearest_by_kind(12_501) is None
    of_each = make("mopps", wide)
    of_each._kinds = None
    assert allocator.allocate().matches(of_each.allocate())


def test_many_kinds_keep_the_draws_of_each():
    allocator = make("mopps", LARGE)
    prompts = np.arange(1001)
    allocator._kinds.move(prompts, prompts, prompts * 0)
    assert allocator._nearest_by_kind(10) is None
    allocator._kinds.move(prompts[-2:], np.zeros(2, np.int64), np.zeros(2, np.int64))
    assert allocator._nearest_by_kind(10) is not None


@few_examples
@given(data=st.data())
@by_kind()
def test_by_kind_it_keeps_the_budget_and_continues_exactly(data):
    problem = data.draw(problems())
    rates = data.draw(success_rates(problem.num_prompts))
    options = data.draw(method_options("mopps", problem)) | {"forgetting": 1.0, "candidate_ratio": None}
    allocator, ledger, luck = make("mopps", problem, 1, **options), BudgetLedger(problem), Luck(problem, rates, 2)
    assert allocator._kinds is not None
    rounds = data.draw(st.integers(0, problem.num_rounds))
    play(allocator, problem, luck, rounds=rounds, ledger=ledger)  # the ledger refuses what is not allowed
    resumed = make("mopps", problem, 1, **options)
    resumed.load_state_dict(allocator.state_dict())
    for _ in range(problem.num_rounds - allocator.round_index):
        expected = allocator.allocate()
        allocator._pending = None
        assert allocator.allocate().matches(expected)
        assert expected.num_units == allocator.even_quota()
        wave = one_wave(allocator, luck)
        assert resumed.allocate().matches(wave.allocation)
        resumed.observe(*wave)
    assert same_state(allocator.state_dict(), resumed.state_dict())


@few_examples
@given(data=st.data())
@by_kind()
def test_by_kind_it_takes_prompts_in(data):
    problem = data.draw(problems())
    rates = data.draw(success_rates(problem.num_prompts))
    allocator, luck = make("mopps", problem), Luck(problem, rates, 2)
    play(allocator, problem, luck, rounds=problem.num_rounds // 2)
    allocator.extend(3)
    assert allocator._kinds.kind_M.size == problem.num_prompts + 3
    larger = make("mopps", allocator.problem)
    larger.load_state_dict(allocator.state_dict())
    assert larger.allocate().matches(allocator.allocate())
