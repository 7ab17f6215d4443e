"""Open prompts: those of which one more unit, with all that may be learned from it, is worth more than its price.

An optimal stopping problem of each prompt's own (``optimum.solve_stopping``). Under one prior and one price it depends
on (units, successes) alone, so that one table serves the whole pool.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy.special import betaincinv

from cerolab import optimum
from cerolab.estimators.posterior import Prior
from cerolab.problem import AllocationProblem
from cerolab.types import BoolArray, FloatArray, IntArray

PRICE_STEP = 0.05  # of the log price: the problem is solved anew when the price has moved by about that
_NODES = 128  # of the prior, at its quantiles
_MOST_STATES = 400  # responses that are looked through


def open_prompts(
    responses: IntArray,
    successes: IntArray,
    dearer: FloatArray | None,
    prior: Prior,
    price: float,
    problem: AllocationProblem,
    depth: int,
    further: int,
    ratio: float = 1.0,
) -> BoolArray:
    """Which prompts, or kinds of prompts, are open.

    Args:
        responses, successes: [C] seen so far.
        dearer: [C] ``PRICE_STEP`` steps by which their units cost more than the mean one; None where all cost the same.
        prior: of the success rates.
        price: of a mean unit, in utility; 0 where units are free.
        problem: for g and the utility.
        depth: units that are looked through; at most 400 responses are.
        further: units that a prompt can still get.
        ratio: variance of the rewards over that of coins, 1 for binary ones.
    """
    g = problem.responses_per_unit
    depth = max(1, min(depth, _MOST_STATES // g))
    # A power of two, so that it changes seldom; a find must still have rounds left to pay.
    most = 2.0 ** math.floor(math.log2(further))
    if ratio != 1.0:  # graded rewards vary less: the utility of p(1 - p) that theirs is, one factor for the pool
        factor = math.exp(round(math.log(max(ratio, 1e-3)) / PRICE_STEP) * PRICE_STEP)
        problem = replace(problem, saturation=problem.saturation * factor)
    step = 0 if price <= 0 else round(math.log(price) / PRICE_STEP)
    units = np.rint(responses / g).astype(np.int64)
    steps = np.zeros(units.size) if dearer is None else dearer
    found: BoolArray = np.zeros(units.size, np.bool_)
    for more in np.unique(steps):
        table = _go_on(prior, step + int(more) if price > 0 else None, problem, depth, most)
        at = np.minimum(units, table.shape[0] - 1), np.minimum(successes, table.shape[1] - 1)
        found |= (steps == more) & (units < table.shape[0]) & table[at]
    return found


@lru_cache(maxsize=256)
def _go_on(prior: Prior, price_step: int | None, problem: AllocationProblem, depth: int, most: float) -> BoolArray:
    """``StoppingPlan.go_on`` for a Beta prior and a price on a grid (None: units are free)."""
    price = 0.0 if price_step is None else math.exp(price_step * PRICE_STEP)
    return _stopping(prior, problem, depth, most).plan(price).go_on


@lru_cache(maxsize=8)
def _stopping(prior: Prior, problem: AllocationProblem, depth: int, most: float) -> optimum.StoppingProblem:
    a, b = (min(part, 1e4) for part in prior)
    nodes = betaincinv(a, b, (np.arange(_NODES) + 0.5) / _NODES)
    return optimum.stopping_problem(nodes, np.full(_NODES, 1.0 / _NODES), problem, depth, most_units=most)
