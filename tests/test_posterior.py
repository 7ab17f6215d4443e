import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special, stats

from cerolab import AllocationProblem, Feedback, make
from cerolab.errors import InvalidValueError
from cerolab.estimators.posterior import (
    Posterior,
    checked_prior,
    expected_variance,
    expected_variance_error,
    fit_prior,
    variance_sd,
    variance_second_moment,
)
from tests.reference.naive_prior import naive_prior
from tests.strategies import few_examples

SHAPE = st.floats(-2.0, 3.0).map(lambda e: 10.0**e)


def beta_expectation(function, a, b):
    # Gauss-Jacobi: exact for polynomials of degree below 16 under the Beta(a, b) weight.
    nodes, weights = special.roots_jacobi(8, b - 1.0, a - 1.0)
    return float((weights / weights.sum()) @ function((nodes + 1.0) / 2.0))


def variance(p):
    return p * (1.0 - p)


# --- moments of P(1-P) -----------------------------------------------------------------------------------------


@given(SHAPE, SHAPE)
def test_moments_equal_numerical_integrals(a, b):
    first = beta_expectation(variance, a, b)
    second = beta_expectation(lambda p: variance(p) ** 2, a, b)
    assert expected_variance(a, b) == pytest.approx(first, rel=1e-9, abs=0.0)  # (6)
    assert variance_second_moment(a, b) == pytest.approx(second, rel=1e-9, abs=0.0)
    assert variance_sd(a, b) == pytest.approx(math.sqrt(max(0.0, second - first**2)), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (0.3, 1.0), (0.5, 4.0), (3.0, 2.0), (40.0, 7.0)])
def test_moments_equal_those_of_scipy_beta(a, b):
    law = stats.beta(a, b)
    m1, m2, m3, m4 = (law.moment(k) for k in (1, 2, 3, 4))
    assert expected_variance(a, b) == pytest.approx(m1 - m2, rel=1e-10)
    assert variance_second_moment(a, b) == pytest.approx(m2 - 2 * m3 + m4, rel=1e-9)
    assert variance_sd(a, b) == pytest.approx(math.sqrt(m2 - 2 * m3 + m4 - (m1 - m2) ** 2), rel=1e-8)


def test_moments_by_hand_for_the_uniform_prior():
    assert expected_variance(1, 1) == pytest.approx(1 / 6)
    assert variance_second_moment(1, 1) == pytest.approx(1 / 30)
    assert variance_sd(1, 1) == pytest.approx(math.sqrt(1 / 30 - 1 / 36))


@given(st.floats(1e-6, 1e12), st.floats(1e-6, 1e12))
def test_moments_stay_in_their_range(a, b):
    assert 0.0 <= expected_variance(a, b) <= 0.25
    assert 0.0 <= variance_second_moment(a, b) <= 0.0625
    assert 0.0 <= variance_sd(a, b) <= 0.125


def test_moments_take_arrays_of_any_shape():
    a, b = np.array([[1.0], [2.0]]), np.array([1.0, 2.0, 5.0])
    for function in (expected_variance, variance_second_moment, variance_sd):
        table = function(a, b)
        assert table.shape == (2, 3)
        assert table[1, 2] == function(2.0, 5.0)


# --- propositions 1 and 2 --------------------------------------------------------------------------------------


@given(SHAPE, SHAPE, st.integers(2, 12))
def test_expected_variance_is_the_predictive_mean_of_the_unbiased_group_variance(a, b, size):
    successes = np.arange(size + 1)
    group_variance = successes * (size - successes) / (size * (size - 1.0))  # unbiased, from a group of this size
    predictive = stats.betabinom(size, a, b).pmf(successes)
    assert predictive @ group_variance == pytest.approx(float(expected_variance(a, b)), rel=1e-9, abs=0.0)  # Prop. 1


@pytest.mark.parametrize("prior", [(1.0, 1.0), (0.3, 1.0), (5.0, 2.0), (0.01, 0.01)])
@pytest.mark.parametrize("size", [0, 1, 4, 40, 1000])
def test_estimation_error_is_below_the_bound_for_every_success_rate(prior, size):
    bound = expected_variance_error(size, sum(prior))
    successes = np.arange(size + 1.0)
    qhat = expected_variance(prior[0] + successes, prior[1] + size - successes)
    for p in (0.0, 0.01, 0.1, 0.3, 0.5, 0.77, 0.999, 1.0):
        error = stats.binom(size, p).pmf(successes) @ np.abs(qhat - variance(p))
        assert error <= bound + 1e-12  # (7)


@pytest.mark.parametrize("prior", [(1.0, 1.0), (0.3, 1.0), (5.0, 2.0)])
@pytest.mark.parametrize("size", [1, 8, 200])
def test_estimation_error_is_below_the_bound_when_rates_come_from_the_prior(prior, size):
    # P from the prior, S | P binomial: S is beta-binomial, and P | S is Beta(a0 + S, b0 + n - S).
    error = 0.0
    for successes in range(size + 1):
        a, b = prior[0] + successes, prior[1] + size - successes
        grid = stats.beta(a, b).ppf((np.arange(400) + 0.5) / 400)
        error += stats.betabinom(size, *prior).pmf(successes) * np.abs(expected_variance(a, b) - variance(grid)).mean()
    assert error <= expected_variance_error(size, sum(prior))


def test_error_bound_by_hand():
    assert expected_variance_error(4, 2.0) == pytest.approx(2 / 12 + 2 / 6 + 1 / 28)
    assert expected_variance_error(0, 2.0) == pytest.approx(1 + 1 / 12)
    np.testing.assert_allclose(expected_variance_error([4, 0], 2.0), [2 / 12 + 2 / 6 + 1 / 28, 1 + 1 / 12])


# --- the recursion (5) -----------------------------------------------------------------------------------------


@st.composite
def histories(draw, graded=False):
    num_prompts = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    rounds = []
    for _ in range(draw(st.integers(0, 8))):
        prompts = rng.permutation(num_prompts)[: rng.integers(0, num_prompts + 1)]
        sizes = rng.integers(1, 6, prompts.size)
        rewards = [rng.random(n) if graded else rng.integers(0, 2, n).astype(float) for n in sizes]
        rounds.append((prompts, rewards))
    prior = (draw(st.floats(0.05, 20.0)), draw(st.floats(0.05, 20.0)))
    forgetting = draw(st.one_of(st.just(1.0), st.floats(0.01, 1.0)))
    return num_prompts, rounds, prior, forgetting


def sums(rewards):
    number = np.array([len(r) for r in rewards], float)
    return number, np.array([r.sum() for r in rewards]), np.array([(r**2).sum() for r in rewards])


@given(histories())
def test_state_follows_the_recursion_with_forgetting(history):
    num_prompts, rounds, (a0, b0), rho = history
    posterior = Posterior.create(num_prompts, (a0, b0), rho)
    a, b = [a0] * num_prompts, [b0] * num_prompts
    for prompts, rewards in rounds:
        number, total, _ = sums(rewards)
        posterior.update(prompts, number, total, None)
        new = dict(zip(prompts.tolist(), rewards, strict=True))
        for i in range(num_prompts):
            successes = float(new[i].sum()) if i in new else 0.0
            failures = len(new[i]) - successes if i in new else 0.0
            a[i] = a0 + rho * (a[i] - a0) + successes  # (5)
            b[i] = b0 + rho * (b[i] - b0) + failures
    np.testing.assert_allclose(posterior.alpha, a, rtol=1e-10)
    np.testing.assert_allclose(posterior.beta, b, rtol=1e-10)
    a, b = np.array(a), np.array(b)
    np.testing.assert_allclose(posterior.mean(), a / (a + b), rtol=1e-10)
    np.testing.assert_allclose(posterior.expected_variance(), a * b / ((a + b) * (a + b + 1)), rtol=1e-10)
    np.testing.assert_array_equal(posterior.mean(np.array([0])), posterior.mean()[:1])
    np.testing.assert_array_equal(posterior.expected_variance(np.array([0])), posterior.expected_variance()[:1])


def test_rounds_without_rollouts_fade_the_evidence_of_everybody():
    posterior = Posterior.create(2, (1.0, 2.0), 0.5)
    posterior.update(np.array([0]), np.array([4.0]), np.array([3.0]), None)
    np.testing.assert_allclose((posterior.alpha, posterior.beta), [[4.0, 1.0], [3.0, 2.0]])
    posterior.update(np.array([], np.int64), np.array([]), np.array([]), None)
    np.testing.assert_allclose((posterior.alpha, posterior.beta), [[2.5, 1.0], [2.5, 2.0]])
    posterior.update(np.array([1]), np.array([2.0]), np.array([2.0]), None)
    np.testing.assert_allclose((posterior.alpha, posterior.beta), [[1.75, 3.0], [2.25, 2.0]])


def test_forgetting_everything_leads_back_to_the_prior():
    posterior = Posterior.create(1, (2.0, 3.0), 0.5)
    posterior.update(np.array([0]), np.array([8.0]), np.array([8.0]), None)
    for _ in range(60):
        posterior.update(np.array([], np.int64), np.array([]), np.array([]), None)
    assert posterior.expected_variance()[0] == pytest.approx(float(expected_variance(2.0, 3.0)), rel=1e-12)


# --- graded rewards --------------------------------------------------------------------------------------------


@given(histories())
def test_binary_rewards_passed_as_graded_give_the_binary_result(history):
    num_prompts, rounds, prior, rho = history
    binary, graded = Posterior.create(num_prompts, prior, rho), Posterior.create(num_prompts, prior, rho)
    for prompts, rewards in rounds:
        number, total, squares = sums(rewards)
        binary.update(prompts, number, total, None)
        graded.update(prompts, number, total, squares)
    assert binary.reward_sq_sum is None
    np.testing.assert_allclose(graded.expected_variance(), binary.expected_variance(), rtol=1e-9, atol=1e-15)


def dirichlet_expected_variance(atoms, weights):
    # Exact: for w ~ Dirichlet(weights), E[w_i w_j] = a_i (a_j + [i = j]) / (s (s + 1)).
    atoms, weights = np.asarray(atoms), np.asarray(weights)
    s = weights.sum()
    products = (np.outer(weights, weights) + np.diag(weights)) / (s * (s + 1.0))
    return (weights / s) @ atoms**2 - atoms @ products @ atoms


@given(histories(graded=True))
def test_graded_rewards_give_the_mean_variance_under_the_dirichlet_process(history):
    num_prompts, rounds, (a0, b0), rho = history
    posterior = Posterior.create(num_prompts, (a0, b0), rho)
    # The process restricted to the atoms that carry mass: the prior's 0 and 1, and every reward, faded by its age.
    atoms = [[0.0, 1.0] for _ in range(num_prompts)]
    weights = [[b0, a0] for _ in range(num_prompts)]
    for age, (prompts, rewards) in enumerate(rounds):
        posterior.update(prompts, *sums(rewards))
        for i, new in zip(prompts.tolist(), rewards, strict=True):
            atoms[i] += new.tolist()
            weights[i] += [rho ** (len(rounds) - 1 - age)] * len(new)
    expected = [dirichlet_expected_variance(x, w) for x, w in zip(atoms, weights, strict=True)]
    np.testing.assert_allclose(posterior.expected_variance(), expected, rtol=1e-8, atol=1e-14)
    assert (posterior.expected_variance() >= 0.0).all()
    assert (posterior.expected_variance() <= 0.25).all()


def test_graded_rewards_agree_with_a_sampled_dirichlet_process():
    rewards = np.array([0.2, 0.9, 0.55, 0.2, 0.7])
    posterior = Posterior.create(1, (0.8, 1.7))
    posterior.update(np.array([0]), *sums([rewards]))
    atoms = np.concatenate([[0.0, 1.0], rewards])
    draws = np.random.default_rng(0).dirichlet([1.7, 0.8, 1, 1, 1, 1, 1], 200_000)
    variances = draws @ atoms**2 - (draws @ atoms) ** 2
    assert posterior.expected_variance()[0] == pytest.approx(variances.mean(), abs=5 * variances.std() / math.sqrt(2e5))


def test_equal_graded_rewards_leave_only_the_doubt_of_the_prior():
    posterior = Posterior.create(1, (1.0, 1.0))
    number = 10_000.0
    posterior.update(np.array([0]), np.array([number]), np.array([0.5 * number]), np.array([0.25 * number]))
    assert 0.0 <= posterior.expected_variance()[0] < 1e-4


@given(histories(), st.integers(0, 10**6))
def test_a_pool_may_switch_from_binary_to_graded_and_back(history, seed):
    num_prompts, binary_rounds, prior, rho = history
    rng = np.random.default_rng(seed)
    prompts = rng.permutation(num_prompts)[:2]
    graded_rewards = [rng.random(3) for _ in prompts]
    switching, always_graded = (Posterior.create(num_prompts, prior, rho) for _ in range(2))
    for phase in ("binary", "graded", "binary again"):
        if phase == "graded":
            switching.update(prompts, *sums(graded_rewards))
            always_graded.update(prompts, *sums(graded_rewards))
            continue
        for chosen, rewards in binary_rounds:
            number, total, squares = sums(rewards)
            switching.update(chosen, number, total, None)
            always_graded.update(chosen, number, total, squares)
    np.testing.assert_allclose(switching.expected_variance(), always_graded.expected_variance(), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(switching.mean(), always_graded.mean(), rtol=1e-12)


def test_after_the_switch_to_graded_rewards_a_resumed_method_is_the_same_to_the_last_bit():
    problem = AllocationProblem(num_prompts=30, num_rounds=20, budget=200, capacity=12, max_units=2)
    rng = np.random.default_rng(0)
    allocator = make("cero", problem)
    for k in range(10):
        allocation = allocator.allocate()
        graded = k == 9
        rewards = [rng.random(n) if graded else rng.integers(0, 2, n).astype(float) for n in allocation.units]
        number, total, squares = sums(rewards)
        allocator.observe(allocation, Feedback(number, total, squares if graded else None))
    resumed = make("cero", problem)
    resumed.load_state_dict(allocator.state_dict())
    np.testing.assert_array_equal(resumed.predicted_value(), allocator.predicted_value())


@pytest.mark.parametrize("graded", [False, True])
def test_state_survives_a_round_trip_and_shares_no_memory(graded):
    posterior = Posterior.create(3, (0.5, 2.0), 0.9)
    squares = np.array([0.5, 1.0]) if graded else None
    posterior.update(np.array([2, 0]), np.array([4.0, 4.0]), np.array([1.0, 2.0]), squares)
    state = posterior.state_dict()
    copy = Posterior.from_state(state, 0.9)
    before = copy.expected_variance()
    np.testing.assert_array_equal(before, posterior.expected_variance())
    assert copy.prior == posterior.prior
    posterior.update(np.array([1]), np.array([4.0]), np.array([4.0]), squares[:1] if graded else None)
    np.testing.assert_array_equal(copy.expected_variance(), before)
    np.testing.assert_array_equal(Posterior.from_state(state, 0.9).expected_variance(), before)


@given(histories())
def test_binary_rewards_vary_as_coins_whether_passed_as_graded_or_not(history):
    num_prompts, rounds, prior, rho = history
    binary, graded = Posterior.create(num_prompts, prior, rho), Posterior.create(num_prompts, prior, rho)
    for prompts, rewards in rounds:
        number, total, squares = sums(rewards)
        binary.update(prompts, number, total, None)
        graded.update(prompts, number, total, squares)
    assert binary.variance_ratio() == 1.0
    assert graded.variance_ratio() == pytest.approx(1.0, rel=1e-9)
    np.testing.assert_array_equal(binary.variance_sd(), variance_sd(binary.alpha, binary.beta))


@given(histories(graded=True))
def test_the_variance_ratio_is_one_before_evidence_and_never_leaves_its_range(history):
    num_prompts, rounds, prior, rho = history
    posterior = Posterior.create(num_prompts, prior, rho)
    assert posterior.variance_ratio() == 1.0
    for prompts, rewards in rounds:
        posterior.update(prompts, *sums(rewards))
        assert 0.0 < posterior.variance_ratio() <= 1.0


def test_rewards_that_never_vary_leave_no_doubt_about_their_variance():
    posterior = Posterior.create(100, (1.0, 1.0))
    number = np.full(100, 8.0)
    posterior.update(np.arange(100), number, 0.5 * number, 0.25 * number)
    assert posterior.variance_ratio() < 0.001
    assert posterior.variance_sd().max() < 0.001  # of coins with those means it is 0.024
    assert variance_sd(posterior.alpha, posterior.beta).min() > 0.02


# --- the pool's prior ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", [(1.0, 1.0), (0.3, 1.0), (0.5, 2.0), (4.0, 2.0)])
def test_fitted_prior_recovers_the_one_that_made_the_pool(prior):
    rng = np.random.default_rng(3)
    number = rng.integers(4, 17, 40_000).astype(float)
    successes = rng.binomial(number.astype(int), rng.beta(*prior, number.size)).astype(float)
    np.testing.assert_allclose(fit_prior(successes, number), prior, rtol=0.06)


def test_fitted_prior_ignores_prompts_without_responses():
    rng = np.random.default_rng(4)
    successes = rng.binomial(8, rng.beta(0.4, 1.2, 2000)).astype(float)
    number = np.full(2000, 8.0)
    padded = fit_prior(np.concatenate([np.zeros(5000), successes]), np.concatenate([np.zeros(5000), number]))
    np.testing.assert_allclose(padded, fit_prior(successes, number), rtol=1e-6)


def test_without_data_the_prior_is_uniform():
    assert fit_prior(np.zeros(5), np.zeros(5)) == (1.0, 1.0)
    posterior = Posterior.create(3, (7.0, 2.0))
    posterior.refit_prior()
    assert posterior.prior == (1.0, 1.0)


def test_fitted_prior_is_near_the_maximum_of_the_likelihood():
    rng = np.random.default_rng(5)
    number = np.full(5000, 6.0)
    successes = rng.binomial(6, rng.beta(0.7, 0.9, 5000)).astype(float)
    a, b = fit_prior(successes, number)

    def likelihood(a, b):
        return stats.betabinom(6, a, b).logpmf(successes).sum() + math.log(a * b) - a - b

    best = likelihood(a, b)
    for da, db in ((1.02, 1.0), (0.98, 1.0), (1.0, 1.02), (1.0, 0.98), (1.02, 1.02), (0.98, 0.98)):
        assert likelihood(a * da, b * db) < best


@few_examples
@given(st.data())
def test_fitted_prior_is_that_of_its_naive_version(data):
    size, g = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 8))
    successes = data.draw(st.lists(st.integers(0, g), min_size=size, max_size=size))
    expected = naive_prior(successes, [g - s for s in successes])
    assert fit_prior(np.array(successes, float), np.full(size, float(g))) == pytest.approx(expected, rel=6e-3)


def test_one_prompt_makes_nobody_certain():
    """An Exponential(1) penalty would pull both parameters to the floor: (.01, .096), and its q-hat to .008."""
    a, b = fit_prior(np.array([0.0]), np.array([4.0]))
    assert (a, b) == pytest.approx((0.421, 1.39), rel=1e-2)
    assert expected_variance(a, b) > 0.1
    assert fit_prior(np.array([4.0]), np.array([4.0])) == (b, a)
    # One response a prompt says nothing about the spread; the weight stays near that of the mode.
    successes = np.random.default_rng(0).integers(0, 2, 500).astype(float)
    assert sum(fit_prior(successes, np.ones(500))) == pytest.approx(2.0, abs=0.3)


def test_the_penalty_does_not_count_in_a_large_pool():
    rng = np.random.default_rng(8)
    successes = rng.binomial(4, rng.beta(0.3, 1.0, 10_000)).astype(float)
    without = optimize.minimize(
        lambda x: -stats.betabinom(4, *np.exp(x)).logpmf(np.arange(5)) @ np.bincount(successes.astype(int)), np.zeros(2)
    )
    assert fit_prior(successes, np.full(10_000, 4.0)) == pytest.approx(np.exp(without.x), rel=6e-3)


def test_a_fitted_prior_does_not_depend_on_order_or_on_the_last_bits():
    rng = np.random.default_rng(9)
    number = rng.integers(1, 12, 300) + 0.7
    successes = rng.uniform(0, number)
    fitted = fit_prior(successes, number)
    order = rng.permutation(300)
    assert fit_prior(successes[order], number[order]) == fitted
    assert fit_prior(successes * (1 + 1e-14), number * (1 - 1e-14), 1.0) == fitted
    assert fit_prior(successes, number, 1 - 1e-13) == fitted
    assert all(part == float(f"{part:.3g}") for part in fitted)


@pytest.mark.parametrize("checks", [5, 25])
@pytest.mark.parametrize("shape", [(1.0, 1.0), (0.5, 0.5), (0.3, 1.0)])
def test_the_prior_of_a_graded_pool_spreads_the_means_as_that_of_a_binary_one(shape, checks):
    """Without the ratio the weight of Beta(1, 1) from four rewards of five checks each is 5.3 instead of 2."""
    rng = np.random.default_rng(10)
    means = rng.beta(*shape, 5000)
    rewards = rng.binomial(checks, means[:, None], (5000, 4)) / checks
    coins, graded = Posterior.create(5000), Posterior.create(5000)
    coins.update(np.arange(5000), np.full(5000, 4.0), rng.binomial(4, means).astype(float), None)
    graded.update(np.arange(5000), np.full(5000, 4.0), rewards.sum(axis=1), (rewards**2).sum(axis=1))
    for posterior in (coins, graded):
        posterior.refit_prior()
    ratio = graded.variance_ratio()
    assert ratio == pytest.approx(1 / checks, rel=0.05)
    # In units of responses, ratio times the law of the means.
    assert np.array(graded.prior) / ratio == pytest.approx(coins.prior, rel=0.15)
    # Calibrated: prompts whose posterior means differ by one differ by one in truth.
    guess = graded.mean()
    assert np.cov(means, guess)[0, 1] / guess.var(ddof=1) == pytest.approx(1.0, abs=0.03)
    loose = Posterior.create(5000, fit_prior(graded.reward_sum, graded.num_responses))
    loose.update(np.arange(5000), graded.num_responses, graded.reward_sum, graded.reward_sq_sum)
    assert ((guess - means) ** 2).mean() < 0.9 * ((loose.mean() - means) ** 2).mean()


@pytest.mark.parametrize(
    ("successes", "number"),
    [
        ([1e6] * 3, [1e6] * 3),  # everything solved
        ([0.0] * 3, [1e6] * 3),  # nothing
        ([5e5] * 1000, [1e6] * 1000),  # no spread at all
        ([0.0, 8.0] * 500, [8.0] * 1000),  # all or nothing
        ([1.0], [1.0]),
        ([1e-9, 0.0], [1e-9, 1e-12]),  # evidence faded to almost nothing
        ([0.3, 1.7], [0.9, 2.5]),  # fractions
        ([1e-300], [1e-300]),
    ],
)
def test_fitted_prior_is_positive_and_finite_for_extreme_data(successes, number):
    a, b = fit_prior(np.array(successes), np.array(number), most_weight=50.0)
    assert 0.0 < a <= 50.0 * (1 + 1e-12)
    assert 0.0 < b <= 50.0 * (1 + 1e-12)
    checked_prior((a, b))


def test_refitting_keeps_the_evidence_under_the_new_prior():
    posterior = Posterior.create(200, (1.0, 1.0))
    rng = np.random.default_rng(6)
    successes = rng.binomial(8, rng.beta(0.5, 0.5, 200)).astype(float)
    posterior.update(np.arange(200), np.full(200, 8.0), successes, None)
    posterior.refit_prior()
    a0, b0 = posterior.prior
    assert (a0, b0) == fit_prior(successes, np.full(200, 8.0))
    np.testing.assert_allclose(posterior.alpha, a0 + successes)
    np.testing.assert_allclose(posterior.beta, b0 + 8 - successes)


# --- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forgetting", [0.0, -1.0, 1.0000001, math.nan, math.inf])
def test_a_forgetting_outside_its_range_is_refused(forgetting):
    with pytest.raises(InvalidValueError) as caught:
        Posterior.create(2, forgetting=forgetting)
    assert caught.value.field == "forgetting"


@pytest.mark.parametrize(
    "prior",
    [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (1.0, math.nan), (math.inf, 1.0), (1.0,), (1.0, 1.0, 1.0), 3.0, None, "ab"],
)
def test_a_prior_that_is_no_pair_of_positive_numbers_is_refused(prior):
    with pytest.raises(InvalidValueError) as caught:
        Posterior.create(2, prior=prior)
    assert caught.value.field == "prior"


@pytest.mark.parametrize("prior", [(1, 2), [1.0, 2.0], np.array([1.0, 2.0])])
def test_a_prior_may_be_any_pair(prior):
    assert checked_prior(prior) == (1.0, 2.0)
