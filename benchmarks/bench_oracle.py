"""The exact optimum: a million prompts, and against a general convex solver at two thousand."""

from functools import partial

import numpy as np
import pytest

from cerolab import AllocationProblem, oracle

RATES = {
    "beta": lambda rng, count: rng.beta(0.5, 0.5, count),
    "clustered": lambda rng, count: rng.choice([0.0, 0.1, 0.5, 1.0], count),
    "equal": lambda rng, count: np.full(count, 0.3),
}


@pytest.mark.parametrize("kind", RATES)
def test_integer_oracle_million(benchmark, kind):
    problem = AllocationProblem(
        num_prompts=10**6, num_rounds=500, budget=64 * 10**6, capacity=132_000, max_units=2, responses_per_unit=4
    )
    p = RATES[kind](np.random.default_rng(0), 10**6)
    best = benchmark.pedantic(oracle.solve_static, (p * (1 - p), problem), rounds=3, warmup_rounds=1)
    benchmark.extra_info["relative_gap"] = best.gap / best.value


SOLVERS = {
    "continuous": (oracle.solve_static_continuous, 50),
    "integer": (oracle.solve_static, 50),
    "continuous cvxpy": (oracle.solve_static_cvxpy, 5),
    "integer cvxpy": (partial(oracle.solve_static_cvxpy, integer=True), 1),
}


@pytest.mark.parametrize("solver", SOLVERS)
def test_oracle_two_thousand(benchmark, solver):
    problem = AllocationProblem(
        num_prompts=2000, num_rounds=500, budget=500_000, capacity=1032, max_units=2, responses_per_unit=4
    )
    p = np.random.default_rng(0).beta(0.5, 0.5, 2000)
    solve, rounds = SOLVERS[solver]
    best = benchmark.pedantic(solve, (p * (1 - p), problem), rounds=rounds, warmup_rounds=min(3, rounds - 1))
    benchmark.extra_info["value"] = best.value
