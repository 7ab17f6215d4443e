"""The least regret that any learner can have on static success rates: what not knowing them costs.

A bound for pools whose prompts are drawn one by one. ``Population.draw`` gives a mixture its exact shares, which makes
the mean optimum larger: by 0.0001 a prompt, 3 % of the bound, where three fifths of 1,000 prompts are hopeless or sure.
"""

from __future__ import annotations

from functools import lru_cache

from cerolab import AllocationProblem, optimum
from sim.worlds.populations import parse_population

_DEPTH = 128  # units of a prompt that are looked through; see ``optimum.learner_bound``


@lru_cache(maxsize=64)
def least_regret(population: str, problem: AllocationProblem) -> float:
    """Per prompt, on average over pools of the population, with binary rewards; about a second."""
    return optimum.learner_bound(*parse_population(population).nodes(), problem, _DEPTH).regret
