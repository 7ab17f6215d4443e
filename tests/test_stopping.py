"""What rollouts are worth to a learner: by hand, by brute force, and against allocators that learn."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from itertools import product
from math import comb

import numpy as np
import pytest
from scipy import stats

from cerolab import AllocationProblem, BudgetLedger, Feedback, make
from cerolab import optimum as oracle
from cerolab.errors import InvalidValueError
from cerolab.optimum import learner_bound, solve_stopping, stopping, stopping_problem

PROBLEM = AllocationProblem(
    num_prompts=100, num_rounds=10, budget=400, capacity=60, max_units=1, responses_per_unit=2, saturation=1.0
)  # R = 4 units, so U = 1 - exp(-q z); Z = 10
COIN = ([0.0, 0.5], [0.5, 0.5])  # hopeless or a fair coin


def naive_value(success, weight, price, problem, depth):
    """The stopping problem by recursion over all outcomes, the rate known after ``depth`` units."""
    g, most = problem.responses_per_unit, problem.horizon_exposure
    curve = [4 * p * (1 - p) * problem.saturation * problem.num_prompts / problem.budget for p in success]

    def known(c, units):
        best = most if c > 0 and price <= c * math.exp(-c * most) else (math.log(c / price) / c if c > price else 0.0)
        best = max(best, units)
        return 1 - math.exp(-c * best) - price * best

    @cache
    def value(units, hits):
        n = g * units
        chance = [w * p**hits * (1 - p) ** (n - hits) for p, w in zip(success, weight, strict=True)]
        chance = [x / sum(chance) for x in chance]
        if units == depth:
            return sum(x * known(c, units) for x, c in zip(chance, curve, strict=True))
        stop = sum(x * (1 - math.exp(-c * units)) for x, c in zip(chance, curve, strict=True)) - price * units
        go = 0.0
        for s in range(g + 1):
            of_outcome = sum(x * comb(g, s) * p**s * (1 - p) ** (g - s) for x, p in zip(chance, success, strict=True))
            go += of_outcome * value(units + 1, hits + s) if of_outcome > 0 else 0.0
        return max(stop, go)

    return value(0, 0)


def test_a_known_rate_leaves_nothing_to_learn():
    plan = solve_stopping([0.5], [1.0], 0.1, PROBLEM, depth=6)
    # c = 1/4: the best exposure is log(c / xi) / c = 3.665; in whole units 3 or 4.
    by_hand = max(1 - math.exp(-0.25 * z) - 0.1 * z for z in range(7))
    assert plan.value == pytest.approx(by_hand)
    assert plan.go_on[:6, 0].tolist() == [True, True, True, True, False, False]


def test_hopeless_prompts_are_left_when_looking_no_longer_pays():
    price = 0.05
    plan = solve_stopping(*COIN, price, PROBLEM, depth=10)
    assert plan.value == pytest.approx(naive_value((0.0, 0.5), (0.5, 0.5), price, PROBLEM, 10))
    assert plan.go_on[0, 0]
    # After u units without a success the coin is fair with chance 4^-u / (1 + 4^-u).
    assert plan.go_on[1, 0]
    assert not plan.go_on[3, 0]
    # One success gives the fair coin away: on to its own best exposure log(1/4 / 0.05) * 4 = 6.4.
    assert plan.go_on[1:6, 1].all()
    assert not plan.go_on[7, 1]


@pytest.mark.parametrize("price", [0.01, 0.03, 0.1, 0.3])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_value_by_brute_force(price, depth):
    success, weight = (0.02, 0.3, 0.5, 0.9), (0.4, 0.3, 0.2, 0.1)
    assert solve_stopping(success, weight, price, PROBLEM, depth).value == pytest.approx(
        naive_value(success, weight, price, PROBLEM, depth), abs=1e-12
    )


def test_looking_further_ahead_only_tightens_the_bound():
    values = [solve_stopping(*COIN, 0.05, PROBLEM, depth).value for depth in (1, 2, 4, 8, 10)]
    assert values == sorted(values, reverse=True)
    bounds = [learner_bound(*COIN, PROBLEM, depth).regret for depth in (1, 4, 10)]
    assert bounds == sorted(bounds)


def test_one_problem_serves_every_price():
    success, weight = (0.02, 0.3, 0.5, 0.9), (0.4, 0.3, 0.2, 0.1)
    shared = stopping_problem(success, weight, PROBLEM, depth=5)
    for price in (0.3, 0.01, 0.1):
        alone, again = solve_stopping(success, weight, price, PROBLEM, depth=5), shared.plan(price)
        assert again.value == alone.value
        np.testing.assert_array_equal(again.go_on, alone.go_on)


def test_nothing_to_learn_costs_nothing():
    bound = learner_bound([0.3], [1.0], PROBLEM, depth=10)
    assert bound.optimum == pytest.approx(1 - math.exp(-0.21 * 4), abs=1e-12)  # everybody gets R = 4 units
    assert bound.error == 0.0  # there is one pool only
    assert bound.regret == pytest.approx(0.0, abs=2e-3)  # whole units


def best_learner(success, weight, problem):
    """Utility a prompt of the best policy that learns the rates one unit at a time, by exact dynamic programming."""
    g, everybody = problem.responses_per_unit, range(problem.num_prompts)
    curve = [4 * p * (1 - p) * problem.saturation * problem.num_prompts / problem.budget for p in success]

    @cache
    def belief(units, hits):
        raw = [w * p**hits * (1 - p) ** (g * units - hits) for p, w in zip(success, weight, strict=True)]
        return [x / sum(raw) for x in raw]

    @cache
    def value(state, left):  # state: (units, hits) of every prompt, sorted: prompts are alike but for what they showed
        if not left:
            chances = [(belief(units, hits), units) for units, hits in state]
            return sum(x * (1 - math.exp(-c * u)) for chance, u in chances for x, c in zip(chance, curve, strict=True))
        found = 0.0
        for i in everybody:
            units, hits = state[i]
            if units < problem.horizon_exposure:
                go = 0.0
                for s in range(g + 1):
                    pairs = zip(belief(units, hits), success, strict=True)
                    of_outcome = sum(x * comb(g, s) * p**s * (1 - p) ** (g - s) for x, p in pairs)
                    after = (*state[:i], (units + 1, hits + s), *state[i + 1 :])
                    go += of_outcome * value(tuple(sorted(after)), left - 1)
                found = max(found, go)
        return found

    return value(((0, 0),) * problem.num_prompts, problem.budget) / problem.num_prompts


def mean_optimum(success, weight, problem):
    """E[OPT_M]/M over all pools, each prompt with each node."""
    total = 0.0
    for pool in product(range(len(success)), repeat=problem.num_prompts):
        rates = [success[node] * (1 - success[node]) for node in pool]
        total += math.prod(weight[node] for node in pool) * oracle.solve_static(rates, problem).value
    return total / problem.num_prompts


@pytest.mark.parametrize(
    ("num_prompts", "num_rounds", "budget", "g", "least"),
    [(1, 16, 4, 1, 0.0), (2, 8, 8, 4, 0.0095), (4, 12, 12, 1, 0.0369)],
)
def test_the_bound_is_below_the_least_regret_of_any_learner(num_prompts, num_rounds, budget, g, least):
    """With the infinite pool's dual in place of E[OPT_M]/M the bounds would be .0494, .0228 and .0532."""
    prior = ([0.02, 0.5], [0.5, 0.5])
    problem = AllocationProblem(
        num_prompts=num_prompts, num_rounds=num_rounds, budget=budget, capacity=1, responses_per_unit=g
    )
    optimum = mean_optimum(*prior, problem)
    exact = optimum - best_learner(*prior, problem)
    assert exact == pytest.approx(least, abs=5e-5)
    bound = learner_bound(*prior, problem)
    assert (bound.optimum, bound.error) == (pytest.approx(optimum, abs=1e-12), 0.0)
    assert bound.value >= optimum - exact - 1e-12
    assert bound.regret <= exact + 1e-12
    assert bound.regret > 0.8 * exact or num_prompts < 4  # not empty where the pool is no longer tiny


@pytest.mark.parametrize(("num_prompts", "budget", "weight"), [(3, 7, (0.2, 0.5, 0.3)), (4, 30, (0.7, 0.0, 0.3))])
def test_all_pools_are_worked_out_where_they_are_few(num_prompts, budget, weight):
    problem = AllocationProblem(num_prompts=num_prompts, num_rounds=10, budget=budget, capacity=3)
    bound = learner_bound((0.0, 0.1, 0.5), weight, problem, depth=3)
    assert bound.error == 0.0
    assert bound.optimum == pytest.approx(mean_optimum((0.0, 0.1, 0.5), weight, problem), abs=1e-12)


def test_drawn_pools_give_the_mean_optimum_within_their_error(monkeypatch):
    success, weight = (0.0, 0.1, 0.5, 0.97), (0.3, 0.3, 0.2, 0.2)
    problem = AllocationProblem(num_prompts=12, num_rounds=20, budget=50, capacity=5, max_units=2)
    exact = learner_bound(success, weight, problem, depth=2)  # 455 pools
    assert exact.error == 0.0
    misses, bounds = [], []
    for draw in range(60):
        monkeypatch.setattr(stopping, "_POOLS", 100)
        monkeypatch.setattr(stopping.seeding, "generator", lambda *_, seed=draw: np.random.default_rng(seed))
        drawn = learner_bound(success, weight, problem, depth=2)
        misses.append((drawn.optimum - exact.optimum) / drawn.error)
        bounds.append(drawn.optimum - stopping.MARGIN * drawn.error)
        assert drawn.value == exact.value
    assert abs(np.mean(misses)) < 4 / math.sqrt(60)
    assert 0.6 < np.std(misses) < 1.6
    assert np.mean(np.array(bounds) > exact.optimum) <= 0.05  # one in 200 is expected at most
    # The control variate: a plain mean over as many pools would be ten times less sure.
    rng = np.random.default_rng(0)
    pools = rng.choice(success, size=(100, 12), p=weight)
    plain = [oracle.solve_static(pool * (1 - pool), problem).value / 12 for pool in pools]
    assert drawn.error < np.std(plain, ddof=1) / 10 / 3


def test_the_bound_is_the_same_each_time():
    problem = AllocationProblem(num_prompts=50, num_rounds=20, budget=500, capacity=26)
    nodes = np.linspace(0.01, 0.99, 20), np.full(20, 0.05)
    assert learner_bound(*nodes, problem, 4) == learner_bound(*nodes, problem, 4)


@pytest.mark.parametrize(
    ("shape", "infinite", "finite"), [((0.3, 1), 0.00341, 0.00335), ((0.5, 0.5), 0.00292, 0.00287)]
)
def test_a_thousand_prompts_have_less_to_lose_than_infinitely_many(shape, infinite, finite):
    problem = AllocationProblem(
        num_prompts=1000, num_rounds=500, budget=250_000, capacity=516, max_units=2, responses_per_unit=4
    )
    nodes = stats.beta.ppf((np.arange(200) + 0.5) / 200, *shape), np.full(200, 1 / 200)
    bound = learner_bound(*nodes, problem, depth=64)
    assert 0 < bound.error < 4e-6
    assert bound.optimum - bound.value == pytest.approx(finite, abs=1e-5)
    assert bound.regret == pytest.approx(finite, abs=2e-5)
    larger = learner_bound(*nodes, replace(problem, num_prompts=10**6, budget=250_000_000, capacity=516_000), depth=64)
    assert larger.regret == pytest.approx(infinite, abs=1e-5)
    assert learner_bound(*nodes, problem).regret > 1.02 * bound.regret  # 128 units deep


@pytest.mark.parametrize("method", ["uniform", "cero", "cero_greedy", "resolve"])
def test_no_allocator_beats_the_bound_on_average(method):
    """Over 40 pools drawn from the prior, with three standard errors to spare."""
    bound = learner_bound(*COIN, PROBLEM, depth=10)
    values, optima = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        success = rng.choice(COIN[0], size=PROBLEM.num_prompts, p=COIN[1])
        allocator, ledger = make(method, PROBLEM, seed), BudgetLedger(PROBLEM)
        for _ in range(PROBLEM.num_rounds):
            allocation = allocator.allocate()
            ledger.spend(allocation)
            n = allocation.units * PROBLEM.responses_per_unit
            allocator.observe(allocation, Feedback(n, rng.binomial(n, success[allocation.prompts])))
            ledger.end_round(updated=True)
        rates = success * (1 - success)
        values.append((1 - np.exp(-rates * ledger.exposure_M)).mean())
        optima.append(oracle.solve_static(rates, PROBLEM).value / PROBLEM.num_prompts)
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert np.mean(values) <= bound.value + 3 * error
    assert abs(np.mean(optima) - bound.optimum) <= 3 * np.std(optima, ddof=1) / np.sqrt(len(optima))
    assert bound.regret > 0.01


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"success": [0.5, 1.5], "weight": [0.5, 0.5]}, "success.*leaves"),
        ({"success": [0.5], "weight": [0.5, 0.5]}, "does not match weight"),
        ({"success": [0.5], "weight": [-1.0]}, "weight.*no distribution"),
        ({"price": -0.1}, "price=-0.1 is negative"),
        ({"depth": 0}, "depth"),
    ],
)
def test_bad_input_is_named(given, message):
    with pytest.raises(InvalidValueError, match=message):
        solve_stopping(**({"success": [0.5], "weight": [1.0], "price": 0.1, "problem": PROBLEM} | given))
