"""The pure loop for several seeds at once: each run is what ``experiment.loop`` makes of it, to the last bit."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np

from cerolab import utility
from cerolab.allocation import Wave
from cerolab.groups import mixed_groups
from cerolab.stack import LedgerStack, Stack
from cerolab.types import FloatArray, IntArray
from sim.experiment.loop import Outcome
from sim.worlds.rewards import Rewards


def simulate_stack(stack: Stack, success: FloatArray, rewards: Rewards, ledgers: LedgerStack) -> list[Outcome]:
    """Run a whole horizon of all rows on rates that never move; see ``sim.experiment.loop.simulate``.

    Args:
        stack: fresh.
        success: success rates [S * M], row by row.
        rewards: coins of all rows, see ``Rewards.end_to_end``.
        ledgers: fresh, of the same problem.

    Returns:
        One outcome a row; ``seconds`` are an equal share of the whole.
    """
    problem, num_rows = stack.problem, len(stack.rows)
    began = time.perf_counter()
    rate = rewards.variance(success)
    curvature = utility.curvature(rate, problem)
    tracks_value = not np.isnan(stack.predicted_value()[0])
    value, error, peak_gap = (np.zeros(num_rows) for _ in range(3))
    rounds_spent, groups, effective = (np.zeros(num_rows, np.int64) for _ in range(3))
    for k in range(problem.num_rounds):
        wave, own = stack.allocate()
        prompts, num_groups = wave.prompts, np.array([row.num_groups for row in own])
        row_of = np.repeat(np.arange(num_rows), num_groups)
        before, c = ledgers.exposure_M[prompts], curvature[prompts]
        ledgers.spend(wave, own)
        feedback = rewards.draw(wave, success)
        stack.observe(feedback)
        value += _row_sums(np.exp(-c * before) - np.exp(-c * (before + wave.units)), num_groups)
        groups += num_groups
        effective += np.bincount(row_of[mixed_groups(Wave(wave, feedback))], minlength=num_rows)
        rounds_spent += num_groups > 0
        spent = np.array([ledger.units for ledger in ledgers.ledgers])
        np.maximum(peak_gap, spent - (k + 1) * problem.mean_spend, out=peak_gap)
        ledgers.end_round(num_groups > 0)
        if tracks_value:
            error += np.abs(stack.predicted_value() - rate).reshape(num_rows, -1).mean(axis=1)
    seconds = (time.perf_counter() - began) / num_rows
    return [
        Outcome(
            value=float(value[row]),
            estimation_error=float(error[row]) / problem.num_rounds if tracks_value else float("nan"),
            rounds_spent=int(rounds_spent[row]),
            groups=int(groups[row]),
            effective_groups=int(effective[row]),
            peak_pacing_gap=float(peak_gap[row]) * problem.responses_per_unit,
            heldout_start=float("nan"),
            heldout_end=float("nan"),
            seconds=seconds,
        )
        for row in range(num_rows)
    ]


def _row_sums(numbers: FloatArray, lengths: IntArray) -> FloatArray:
    """Sums of the rows that lie end to end, each added up in the order in which it would be alone."""
    if lengths.min() == lengths.max():
        return numbers.reshape(lengths.size, -1).sum(axis=1)
    ends = np.cumsum(lengths).tolist()
    return np.array([numbers[start:end].sum() for start, end in pairwise([0, *ends])])
