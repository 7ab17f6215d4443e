"""What single precision costs and saves: decisions, regret, bytes a prompt, and where its steps stall.

``make examples`` records the tables of docs/scale.md.

    python examples/precision.py
    python examples/precision.py --seeds 2 --horizons 50 --steps 1000 --prompts 20000
"""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import numpy as np
from tqdm import tqdm

from cerolab import Allocation, AllocationProblem, BudgetLedger, Feedback, make, optimum
from cerolab.estimators.posterior import Precision, float_type
from cerolab.records import provenance
from cerolab.records.files import write_json
from cerolab.regret import static_value
from cerolab.selection.dual_step import SlopeStep
from cerolab.tools.command_line import launch
from cerolab.tools.settings import FileToWrite, Horizon, PoolSize, Seeds, checked
from sim.experiment.memory import check_memory
from sim.worlds.populations import parse_population
from sim.worlds.rewards import Rewards

PRECISIONS: tuple[Precision, ...] = ("double", "single")
METHODS = ("cero", "cero_greedy", "resolve", "mopps", "uniform")


def of_the_sweep(num_prompts: int, num_rounds: int) -> AllocationProblem:
    """Half a unit a prompt and round."""
    budget = num_prompts * num_rounds // 2
    return _problem(num_prompts, num_rounds, budget)


def of_the_paper(num_prompts: int, num_rounds: int = 500) -> AllocationProblem:
    """The paper's ratios: 6.4 units a prompt in all."""
    budget = 64 * num_prompts // 10
    return _problem(num_prompts, num_rounds, budget)


def _problem(num_prompts: int, num_rounds: int, budget: int) -> AllocationProblem:
    capacity = max(2, -(-33 * budget // (32 * num_rounds)))
    return AllocationProblem(
        num_prompts=num_prompts,
        num_rounds=num_rounds,
        budget=budget,
        capacity=capacity,
        max_units=2,
        responses_per_unit=4,
    )


def side_by_side(num_rounds: int, seed: int) -> dict[str, float]:
    """One horizon of cero in both precisions, each on its own decisions, with the same prompts and coins."""
    problem = of_the_sweep(1000, num_rounds)
    success_M = parse_population("beta(0.5, 0.5)").draw(problem.num_prompts, seed)
    allocators = [make("cero", problem, seed, precision=precision) for precision in PRECISIONS]
    ledgers = [BudgetLedger(problem) for _ in PRECISIONS]
    coins = [Rewards("binary", problem, seed) for _ in PRECISIONS]
    parted, slope, price, spend = num_rounds, 0.0, 0.0, 0.0
    for k in range(num_rounds):
        double, single = (allocator.allocate() for allocator in allocators)
        if parted == num_rounds and not double.matches(single):
            parted = k
        for allocator, allocation, ledger, rewards in zip(allocators, (double, single), ledgers, coins, strict=True):
            ledger.spend(allocation)
            allocator.observe(allocation, rewards.draw(allocation, success_M))
            ledger.end_round(updated=True)
        price = max(price, abs(allocators[0].price - allocators[1].price))
        spend = max(spend, abs(ledgers[0].units - ledgers[1].units) / problem.budget)
        if parted == num_rounds:
            slope = max(slope, float(np.abs(allocators[0].slope_M - allocators[1].slope_M).max()))
    rate_M = success_M * (1.0 - success_M)
    best = optimum.solve_static(rate_M, problem).value
    regret = [(best - static_value(rate_M, ledger.exposure_M, problem)) / problem.num_prompts for ledger in ledgers]
    return {
        "regret_double": regret[0],
        "regret_difference": regret[1] - regret[0],
        "parted": parted,
        "slope_difference": slope,
        "price_difference": price,
        "spend_difference": spend,
    }


def left_alone(num_rounds: int, precision: Precision) -> float:
    """The slope, over its curvature, of a prompt without a visit for a horizon; from a half it rises towards 1."""
    problem = of_the_paper(1000, num_rounds)
    kind = float_type(precision)
    curvature_M = np.array([2 / 3], kind)
    slope_M, step = curvature_M / 2, SlopeStep(problem, num_rounds**-0.5, problem.max_slope, kind)
    nobody = Allocation.empty()
    for _ in range(num_rounds):
        step(slope_M, curvature_M, nobody)
    return float(slope_M[0]) / (2 / 3)


def bytes_a_prompt(name: str, num_prompts: int, precision: str) -> tuple[float, float]:
    """(bytes that an allocator keeps, bytes at the peak of a round), a prompt of the pool."""
    problem, rng = of_the_paper(num_prompts), np.random.default_rng(0)
    success_M = rng.random(num_prompts)
    options = {} if name == "uniform" else {"precision": precision}
    gc.collect()
    tracemalloc.start()
    allocator = make(name, problem, 0, **options)
    for k in range(4):
        if k == 3:
            tracemalloc.reset_peak()
        allocation = allocator.allocate()
        num_responses = allocation.units * problem.responses_per_unit
        successes = rng.binomial(num_responses, success_M[allocation.prompts])
        allocator.observe(allocation, Feedback(num_responses, successes))
    peak = tracemalloc.get_traced_memory()[1]
    del allocation, num_responses, successes
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return kept / num_prompts, peak / num_prompts


@checked
def main(
    *,
    seeds: Seeds = 10,
    horizons: tuple[Horizon, ...] = (500, 5000),
    steps: tuple[Horizon, ...] = (1_000, 10_000, 100_000, 1_000_000),
    prompts: PoolSize = 1_000_000,
    record: FileToWrite | None = None,
) -> None:
    """Print the three tables.

    Parameters
    ----------
    seeds
        Number of seeds.
    horizons
        Rounds K of the runs side by side.
    steps
        Rounds after which steps are looked at.
    prompts
        Of the pool whose memory is measured.
    record
        A JSON file to write every number to.
    """
    check_memory(prompts)
    code = provenance()
    decisions, stall, memory = [], [], []
    for num_rounds in horizons:
        found = [side_by_side(num_rounds, s) for s in tqdm(range(seeds), f"K = {num_rounds}", leave=False)]
        decisions += [{"num_rounds": num_rounds, "seed": seed, **one} for seed, one in enumerate(found)]
        print(f"cero, 1,000 prompts of Beta(1/2, 1/2), K = {num_rounds}, {seeds} seeds: mean, least, most")
        for field in found[0]:
            values = [one[field] for one in found]
            print(f"  {field:36}{np.mean(values):12.3g}{min(values):12.3g}{max(values):12.3g}")
    print("slope over curvature of a prompt left alone from 0.5 on, after K rounds: double, single")
    for num_rounds in steps:
        stall.append({"num_rounds": num_rounds, **{kind: left_alone(num_rounds, kind) for kind in PRECISIONS}})
        print(f"  {num_rounds:<12,}{stall[-1]['double']:12.6f}{stall[-1]['single']:12.6f}")
    print(f"bytes a prompt, {prompts:,} prompts: kept and peak in double, kept and peak in single")
    for name in METHODS:
        row: dict[str, Any] = {"method": name, "num_prompts": prompts}
        for kind in PRECISIONS:
            row[f"kept_{kind}"], row[f"peak_{kind}"] = bytes_a_prompt(name, prompts, kind)
        memory.append(row)
        print(f"  {name:12}" + "".join(f"{x:8.1f}" for x in list(row.values())[2:]))
    if record:
        tables = {"decisions": decisions, "stall": stall, "memory": memory}
        write_json(record, {"provenance": code, **tables})


if __name__ == "__main__":
    launch(main, "python examples/precision.py", (__doc__ or "").splitlines()[0])
