"""One token budget, three ways to spend it: resolve planned by tokens, resolve planned by responses, and uniform.

A rollout costs its length. Resolve planned by responses runs first, on B units; the tokens that it needed are then the
token budget of the other two. All meet the same prompts, rewards and lengths, and have the same utility: four times
the units, so that B does not bind, at four times the saturation.

    python examples/token_budget.py --seeds 5 --lengths "lognormal(200, 0.5, 2)"

``make examples`` records the table of docs/resolve.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from cerolab import AllocationProblem, BudgetLedger, make, optimum
from cerolab.records import provenance
from cerolab.records.files import write_json
from cerolab.tools.command_line import launch
from cerolab.tools.settings import FileToWrite, Seeds, checked
from sim.experiment.loop import simulate
from sim.worlds.dynamics import StaticPath
from sim.worlds.lengths import Lengths
from sim.worlds.populations import parse_population
from sim.worlds.rewards import Rewards

BY_RESPONSES = AllocationProblem(
    num_prompts=300, num_rounds=60, budget=6000, capacity=110, max_units=2, responses_per_unit=4
)
MAX_TOKENS = 1024
MORE = 4  # times the units


def compare(population: str, lengths: str, seed: int) -> dict[str, float]:
    """Value of each at equal tokens, the bound that knows rates and lengths, and the tokens' share that is unspent."""
    success_M = parse_population(population).draw(BY_RESPONSES.num_prompts, seed)

    def run(name: str, problem: AllocationProblem) -> tuple[float, BudgetLedger]:
        ledger, rewards = BudgetLedger(problem), Rewards("binary", problem, seed)
        cost = Lengths(lengths, success_M, problem.responses_per_unit, MAX_TOKENS, seed)
        return simulate(make(name, problem, seed), StaticPath(success_M), rewards, ledger, lengths=cost).value, ledger

    by_responses, spent = run("resolve", BY_RESPONSES)
    problem = replace(
        BY_RESPONSES,
        budget=MORE * BY_RESPONSES.budget,
        saturation=MORE * BY_RESPONSES.saturation,
        capacity=min(MORE * BY_RESPONSES.capacity, BY_RESPONSES.num_prompts * BY_RESPONSES.max_units),
        token_budget=spent.tokens,
        max_tokens=MAX_TOKENS,
    )
    g = problem.responses_per_unit
    cost_M = g * Lengths(lengths, success_M, g, MAX_TOKENS, seed).expected()
    bound = optimum.solve_static_tokens(success_M * (1 - success_M), cost_M, problem).upper_bound
    by_tokens, ledger = run("resolve", problem)
    return {
        "bound": bound,
        "resolve by tokens": by_tokens,
        "resolve by responses": by_responses,
        "uniform": run("uniform", problem)[0],
        "unspent share": (ledger.remaining_tokens or 0) / spent.tokens,
    }


@checked
def main(
    *,
    seeds: Seeds = 5,
    population: str = "beta(0.5, 0.5)",
    lengths: tuple[str, ...] = ("lognormal(200, 0.5, 2)",),
    record: FileToWrite | None = None,
) -> None:
    """Print the means over seeds, and how often planning by tokens is ahead.

    Parameters
    ----------
    seeds
        Number of seeds.
    population
        How success rates are spread.
    lengths
        How long responses are, see sim/worlds/lengths.py.
    record
        A JSON file to write every number to.
    """
    code = provenance()
    parse_population(population)  # what cannot be is refused before the first run
    for text in lengths:
        Lengths(text, np.zeros(1), 1, MAX_TOKENS, 0)
    rows: list[dict[str, Any]] = []
    for text in lengths:
        found = [compare(population, text, seed) for seed in tqdm(range(seeds), text, leave=False)]
        rows += [{"lengths": text, "seed": seed, **one} for seed, one in enumerate(found)]
        print(f"{text}, means over {seeds} seeds")
        for name in found[0]:
            values = [one[name] for one in found]
            print(f"  {name:22}{np.mean(values):9.3f}  from {min(values):.3f} to {max(values):.3f}")
        ahead = [one["resolve by tokens"] - one["resolve by responses"] for one in found]
        print(
            f"  by tokens - by responses: {np.mean(ahead):+.3f}, ahead in {np.sum(np.array(ahead) > 0)} of {len(ahead)}"
        )
    if record:
        settings = {"population": population, "max_tokens": MAX_TOKENS, **BY_RESPONSES.to_dict()}
        write_json(record, {"provenance": code, "settings": settings, "rows": rows})


if __name__ == "__main__":
    launch(main, "python examples/token_budget.py", (__doc__ or "").splitlines()[0])
