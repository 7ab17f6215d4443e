"""Resolve under a token budget against a naive version, and by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab import Allocation, AllocationProblem, make, optimum, utility
from cerolab.estimators.token_cost import expected_unit_tokens, first_within, round_tokens
from tests.reference.naive_resolve import NaiveTokenResolve
from tests.strategies import Luck, as_pairs, few_examples, one_wave, problems, success_rates

GRID, COST_GRID = 0.05, 0.5  # of the log price, of the log cost


def unit_plan(rates, allocator) -> np.ndarray:
    """Of equal gains it must be the allocator's own choice, since they may cost differently."""
    most = (allocator.problem.num_rounds - allocator.round_index) * allocator.problem.max_units
    curvature_M = utility.curvature(np.array(rates), allocator.problem)
    return optimum.largest_gains(curvature_M, allocator.exposure_M, most, allocator.remaining)[0]


@few_examples
@given(data=st.data())
def test_under_a_token_budget_it_does_what_its_naive_version_says(data):
    problem = data.draw(problems())
    most_tokens = data.draw(st.integers(4, 30))
    unit = most_tokens * problem.responses_per_unit
    tokens = data.draw(st.integers(unit, max(unit, unit * problem.budget // 2)))
    problem = replace(problem, token_budget=tokens, max_tokens=most_tokens)
    everybody = range(problem.num_prompts)
    prior, depth = data.draw(st.sampled_from([(1.0, 1.0), (0.4, 1.5)])), data.draw(st.integers(1, 3))
    allocator = make("resolve", problem, seed=1, prior=prior, depth=depth)
    naive = NaiveTokenResolve(
        problem.num_prompts, problem.num_rounds, problem.budget, problem.max_units,
        problem.responses_per_unit, problem.saturation, prior, depth,
    )  # fmt: skip
    luck = Luck(problem, data.draw(success_rates(problem.num_prompts)), 3)
    hits, counts, exposures, used = ([0] * problem.num_prompts for _ in range(4))
    while not allocator.done:
        left, remaining = problem.num_rounds - allocator.round_index, tokens - sum(used)
        q = [naive.rate(hits[i], counts[i]) for i in everybody]
        costs = naive.costs(used, exposures, unit)
        price = naive.plan(q, exposures, left, allocator.remaining)[1]
        dearer = [0.0] * problem.num_prompts
        if unit_plan(q, allocator) @ np.array(costs) > remaining:
            price = naive.token_price(q, exposures, costs, left, remaining)
            price *= sum(costs) / len(costs)
            dearer = [COST_GRID * round(math.log(w * len(costs) / sum(costs)) / COST_GRID) for w in costs]
        fast_plan, fast_price = allocator._plan()
        assert fast_price == pytest.approx(price, rel=1e-6, abs=1e-300)
        on_grid = round(math.log(fast_price) / GRID) * GRID if fast_price > 0 else -math.inf
        most = 2.0 ** math.floor(math.log2(left * problem.max_units))
        open_M = allocator._open(fast_price)
        for i in everybody:
            price_of_it = math.exp(on_grid + dearer[i])
            assert open_M[i] == naive.is_open(counts[i] // problem.responses_per_unit, hits[i], price_of_it, most)
        score_M = np.where(open_M, 2.0 * problem.horizon_exposure + 1.0 - np.array(exposures), fast_plan)
        order = sorted(everybody, key=lambda i: (-score_M[i], allocator.ties.rank_M[i]))
        planned = sum(fast_plan)
        mean = float(fast_plan @ np.array(costs)) / planned if planned else sum(costs) / len(costs)
        due = remaining / max(1, left - 2 * (math.ceil(unit / mean - 1e-9) - 1))
        paid = min(allocator.even_quota(), allocator.remaining, remaining // unit)
        wave = one_wave(allocator, luck)
        assert as_pairs(wave.allocation) == naive.served(order, costs, due, paid)
        for at, (i, units) in enumerate(as_pairs(wave.allocation)):
            exposures[i] += units
            counts[i] += units * problem.responses_per_unit
            hits[i] += int(wave.feedback.reward_sum[at])
            used[i] += int(wave.feedback.num_tokens[at])
    assert sum(used) == tokens - allocator.remaining_tokens <= tokens


PROBLEM = AllocationProblem(
    num_prompts=3, num_rounds=20, budget=60, capacity=6, max_units=2, responses_per_unit=4,
    token_budget=10_000, max_tokens=100,
)  # fmt: skip


def test_what_a_unit_is_expected_to_cost():
    nobody = np.zeros(3, np.int64)
    assert expected_unit_tokens(nobody, nobody, PROBLEM).tolist() == [400.0] * 3
    cost = expected_unit_tokens(np.array([400, 0, 2400]), np.array([10, 0, 10]), PROBLEM)  # means 10 and 60, pool 35
    assert cost.tolist() == pytest.approx([4 * (400 + 140) / 44, 4 * 35.0, 4 * (2400 + 140) / 44])
    assert (expected_unit_tokens(nobody, nobody + 1, PROBLEM) > 0).all()  # responses without a single token


def test_the_pace_of_tokens():
    assert round_tokens(1000, 10, 400.0, PROBLEM) == 100.0  # as long as they can be: even
    assert round_tokens(1000, 10, 200.0, PROBLEM) == 125.0  # two rounds early
    assert round_tokens(1000, 3, 40.0, PROBLEM) == 1000.0


def test_what_is_within_the_tokens_of_a_round():
    cost, wave = np.array([10.0, 100.0, 1.0]), Allocation([1, 0, 2], [2, 2, 1])
    for tokens, units in ((0.0, []), (99.0, []), (100.0, [1]), (219.0, [2, 1]), (220.5, [2, 2]), (221.0, [2, 2, 1])):
        assert first_within(wave, cost, tokens).units.tolist() == units
    assert first_within(Allocation.empty(), cost, 5.0).num_groups == 0


def test_of_two_prompts_with_the_same_record_the_one_with_short_responses_stays_open_at_a_higher_price():
    allocator = make("resolve", replace(PROBLEM, token_budget=6000), prior=(1.0, 1.0), depth=8)
    record = {"num_responses": np.full(3, 20.0), "reward_sum": np.full(3, 10.0), "exposure": np.full(3, 5)}
    spent = {"tokens": np.array([40, 2000, 400]), "remaining": 45, "remaining_tokens": 6000 - 2440, "round_index": 4}
    allocator.load_state_dict({**allocator.state_dict(), **record, **spent})
    allocator._plan()
    assert allocator._dearer_C.tolist() == [-30, 20, -10]  # costs of 34, 361 and 94 tokens, by half units of the log
    highest = [max(price for price in np.geomspace(1e-4, 1, 99) if allocator._open(price)[i]) for i in range(3)]
    assert highest[0] / highest[2] == pytest.approx(math.exp(1.0), rel=0.15)
    assert highest[2] / highest[1] == pytest.approx(math.exp(1.5), rel=0.15)
