"""The simulator's loop: prompts times rounds a second."""

import pytest

from cerolab import AllocationProblem, BudgetLedger
from cerolab.method import Method
from sim.experiment import Cell, Scenario
from sim.loop import simulate

ROUNDS = 200


@pytest.mark.parametrize("method", ["cero", "uniform", "cero_fixed", "cero_greedy"])
@pytest.mark.parametrize("num_prompts", [1000, 10_000])
def test_simulated_horizon(benchmark, method, num_prompts):
    problem = AllocationProblem(
        num_prompts=num_prompts,
        num_rounds=ROUNDS,
        budget=ROUNDS * num_prompts // 2,
        capacity=33 * num_prompts // 64,
        max_units=2,
        responses_per_unit=4,
    )
    cell = Cell(Scenario(population="beta(0.5, 0.5)"), problem, 0)

    def setup():
        path, rewards = cell.path(), cell.rewards()
        return (cell.allocator(Method(name=method), path, rewards), path, rewards, BudgetLedger(problem)), {}

    benchmark.pedantic(simulate, setup=setup, rounds=3, warmup_rounds=1)
    benchmark.extra_info["prompt_rounds"] = num_prompts * ROUNDS
