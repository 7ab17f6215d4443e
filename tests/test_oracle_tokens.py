"""Optima under a token budget, against cvxpy, against each other and by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab import AllocationProblem, utility
from cerolab.errors import InvalidValueError
from cerolab.optimum import largest_gains_per_token, solve_static_continuous, solve_static_tokens

PROBLEM = AllocationProblem(
    num_prompts=40, num_rounds=30, budget=600, capacity=40, max_units=2, token_budget=40_000, max_tokens=400
)
SEEDS = st.integers(0, 10**6)


def drawn(seed: int, problem: AllocationProblem = PROBLEM):
    rng = np.random.default_rng(seed)
    rate = rng.uniform(0.0, 0.25, problem.num_prompts) * (rng.random(problem.num_prompts) < 0.8)
    return rate, rng.uniform(1.0, 400.0, problem.num_prompts)


@pytest.mark.parametrize("tokens", [500, 40_000, 200_000, 10**8])
def test_it_is_the_optimum_that_cvxpy_finds(tokens):
    import cvxpy as cp

    problem = replace(PROBLEM, token_budget=tokens)
    rate, cost = drawn(3)
    c = utility.curvature(rate, problem)
    x = cp.Variable(c.size, nonneg=True)  # in units
    rows = [x <= problem.horizon_exposure, (cost / tokens) @ x <= 1.0]
    programme = cp.Problem(cp.Maximize(cp.sum(1 - cp.exp(-cp.multiply(c, x)))), rows)
    programme.solve(solver=cp.CLARABEL)
    found = solve_static_tokens(rate, cost, problem)
    assert found.value == pytest.approx(programme.value, rel=1e-6)
    assert found.upper_bound == pytest.approx(programme.value, rel=1e-6)
    if found.multiplier > 0:
        assert found.multiplier * tokens == pytest.approx(float(rows[1].dual_value), rel=1e-3)


@given(seed=SEEDS, tokens=st.integers(400, 10**6))
def test_it_spends_the_tokens_and_its_bound_closes(seed, tokens):
    problem = replace(PROBLEM, token_budget=tokens)
    rate, cost = drawn(seed)
    found = solve_static_tokens(rate, cost, problem)
    assert ((found.exposure >= 0) & (found.exposure <= problem.horizon_exposure)).all()
    assert cost @ found.exposure <= tokens * (1 + 1e-9)
    assert found.gap == pytest.approx(0.0, abs=1e-9 * max(found.value, 1e-9))
    if found.multiplier > 0:
        assert cost @ found.exposure == pytest.approx(tokens, rel=1e-9)


@given(seed=SEEDS, cost=st.integers(1, 90))
def test_with_equal_costs_it_is_water_filling_on_units(seed, cost):
    rate, _ = drawn(seed)
    found = solve_static_tokens(rate, np.full(40, cost), replace(PROBLEM, token_budget=600 * cost))
    units = solve_static_continuous(rate, replace(PROBLEM, token_budget=None, max_tokens=None))
    assert found.exposure == pytest.approx(units.exposure, rel=1e-9, abs=1e-9)
    assert found.value == pytest.approx(units.value, rel=1e-12)


@given(seed=SEEDS)
def test_no_whole_units_within_the_tokens_are_worth_more(seed):
    problem = AllocationProblem(num_prompts=3, num_rounds=3, budget=9, capacity=3, token_budget=700, max_tokens=400)
    rate, cost = drawn(seed, problem)
    c = utility.curvature(rate, problem)
    plans = (np.array(units) for units in itertools.product(range(4), repeat=3))
    best = max(float(utility.value(c, units).sum()) for units in plans if cost @ units <= 700)
    assert best <= solve_static_tokens(rate, cost, problem).upper_bound + 1e-12


@given(seed=SEEDS, tokens=st.integers(1, 10**6), most=st.integers(1, 40))
def test_the_largest_gains_are_those_above_one_threshold_and_meet_the_tokens(seed, tokens, most):
    rate, cost = drawn(seed)
    c = utility.curvature(rate, PROBLEM)
    start = np.random.default_rng(seed).integers(0, 20, c.size)
    units, log_price = largest_gains_per_token(c, start, most, cost, float(tokens))

    def gain(level):  # of the next unit, a token
        return -np.expm1(-c) * np.exp(-c * (start + level)) / cost

    price = np.exp(log_price)
    taken, more = units > 0, (units < most) & (c > 0)
    assert (gain(units - 1)[taken] >= price * (1 - 1e-9)).all()
    assert (gain(units)[more] <= price * (1 + 1e-9)).all()
    assert ((units >= 0) & (units <= most)).all()
    if np.isfinite(log_price):
        assert abs(cost @ units - tokens) <= 0.5 * cost.sum() + 1e-6  # each rounded by half a unit at most
    else:
        assert price == 0.0
        assert (units[c > 0] == most).all()


def test_costs_and_problems_that_do_not_fit_are_refused():
    rate, cost = drawn(0)
    with pytest.raises(InvalidValueError, match="token_budget=None is missing"):
        solve_static_tokens(rate, cost, replace(PROBLEM, token_budget=None, max_tokens=None))
    for bad in (cost[1:], np.append(cost[1:], 0.0), np.append(cost[1:], np.nan)):
        with pytest.raises(InvalidValueError, match="unit_tokens"):
            solve_static_tokens(rate, bad, PROBLEM)
