"""What rollouts are worth to a learner: by hand, by brute force, and against allocators that learn."""

from __future__ import annotations

import math
from functools import cache
from math import comb

import numpy as np
import pytest

from cerolab import AllocationProblem, BudgetLedger, Feedback, make, oracle
from cerolab.errors import InvalidValueError
from cerolab.oracle import learner_bound, solve_stopping

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


def test_nothing_to_learn_costs_nothing():
    bound = learner_bound([0.3], [1.0], PROBLEM, depth=10)
    assert bound.optimum == pytest.approx(1 - math.exp(-0.21 * 4), abs=1e-6)  # everybody gets R = 4 units
    assert bound.regret == pytest.approx(0.0, abs=2e-3)  # whole units


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
    assert np.mean(optima) <= bound.optimum + 3 * np.std(optima, ddof=1) / np.sqrt(len(optima))
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
