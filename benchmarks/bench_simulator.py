"""The simulator: prompts times rounds a second beside a loop in plain Python, and seeds at once beside one by one."""

import random

import pytest

from benchmarks.yardstick import Yardstick
from cerolab import AllocationProblem, BudgetLedger
from cerolab.tools.method import Method
from sim.experiment.cell import Cell, Scenario
from sim.experiment.loop import simulate
from sim.experiment.runs import simulate_cells
from tests.reference.naive_cero import NaiveCero

ROUNDS = 200
SEEDS = 10


def plain_loop(cell):
    """The same horizon prompt by prompt, without NumPy; returns the units it spent."""
    problem, rng = cell.problem, random.Random(0)
    success = cell.success_M.tolist()
    sizes = ("num_prompts", "num_rounds", "budget", "capacity", "max_units", "responses_per_unit")
    allocator = NaiveCero(**{name: getattr(problem, name) for name in sizes})
    for _ in range(problem.num_rounds):
        wave = allocator.allocate()
        responses = [units * problem.responses_per_unit for _, units in wave]
        drawn = [sum(rng.random() < success[i] for _ in range(n)) for (i, _), n in zip(wave, responses, strict=True)]
        allocator.observe(drawn, responses)
    return problem.budget - allocator.remaining


def cells(num_prompts, seeds):
    problem = AllocationProblem(
        num_prompts=num_prompts,
        num_rounds=ROUNDS,
        budget=ROUNDS * num_prompts // 2,
        capacity=33 * num_prompts // 64,
        max_units=2,
        responses_per_unit=4,
    )
    return [Cell(Scenario(population="beta(0.5, 0.5)"), problem, seed) for seed in range(seeds)]


@pytest.mark.parametrize("method", ["cero", "uniform", "cero_fixed", "cero_greedy"])
@pytest.mark.parametrize("num_prompts", [1000, 10_000])
def test_simulated_horizon(benchmark, method, num_prompts):
    (cell,) = cells(num_prompts, 1)
    problem = cell.problem
    beside_plain = method == "cero"
    plain = Yardstick("the same loop in plain Python", lambda: plain_loop(cell))
    ledgers = []

    def setup():
        if beside_plain:
            plain.time()
        path, rewards = cell.path(), cell.rewards()
        ledgers[:] = [BudgetLedger(problem)]
        return (cell.allocator(Method(name=method), path, rewards), path, rewards, ledgers[0]), {}

    benchmark.pedantic(simulate, setup=setup, rounds=3, warmup_rounds=1)
    benchmark.extra_info |= {"method": method, "num_prompts": num_prompts, "prompt_rounds": num_prompts * ROUNDS}
    if beside_plain:
        assert plain.last == pytest.approx(ledgers[0].units, rel=0.02)  # other coins, the same work
        plain.note(benchmark, f"simulator with {method}, M = {num_prompts:,}")


@pytest.mark.parametrize("method", ["cero", "uniform"])
@pytest.mark.parametrize("num_prompts", [100, 300, 1000, 3000])
def test_seeds_at_once(benchmark, method, num_prompts):
    """Ten seeds in one pass, as ``task.stack_tasks`` has them up to 1,000 prompts; with 3,000 little is won."""
    chosen, parsed = cells(num_prompts, SEEDS), Method(name=method)

    def run(cell):
        path, rewards, ledger = cell.path(), cell.rewards(), BudgetLedger(cell.problem)
        return simulate(cell.allocator(parsed, path, rewards), path, rewards, ledger).value

    def run_at_once():
        outcomes, *_ = simulate_cells(chosen, parsed)
        return [outcome.value for outcome in outcomes]

    alone = Yardstick("the same one by one", lambda: [run(cell) for cell in chosen])
    values = benchmark.pedantic(run_at_once, setup=alone.time, rounds=7, warmup_rounds=1)
    assert values == alone.last  # to the last bit
    benchmark.extra_info |= {
        "method": method,
        "num_prompts": num_prompts,
        "seeds": SEEDS,
        "prompt_rounds": num_prompts * ROUNDS * SEEDS,
    }
    alone.note(benchmark, f"{SEEDS} seeds of {method} at once, M = {num_prompts:,}")
