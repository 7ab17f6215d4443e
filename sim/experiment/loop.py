"""The pure loop: allocate, roll out, observe, for every round of the horizon."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from cerolab import utility
from cerolab.allocation import Allocation, Allocator, Feedback, Wave
from cerolab.groups import mixed_groups, whole_groups
from cerolab.ledger import BudgetLedger
from cerolab.records.rounds import RoundView
from cerolab.types import BoolArray, IntArray
from sim.worlds.lengths import Lengths
from sim.worlds.rewards import Rewards
from sim.worlds.success_path import Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        value: utility gained, sum over rounds of U(q_ik, z_ik) - U(q_ik, z_i,k-1).
        estimation_error: mean over rounds and prompts of |qhat after the round - q in the round| (e_stat, e_dyn);
            nan for methods without q-hat.
        rounds_spent: rounds that executed anything.
        groups, effective_groups: prompts of all rounds, and those of them whose rewards in the round were mixed.
        peak_pacing_gap: largest excess of the spend over an even pace, in responses.
        heldout_start, heldout_end: held-out accuracy, nan without learning.
        seconds: of the whole loop.
    """

    value: float
    estimation_error: float
    rounds_spent: int
    groups: int
    effective_groups: int
    peak_pacing_gap: float
    heldout_start: float
    heldout_end: float
    seconds: float


def simulate(
    allocator: Allocator,
    path: Path,
    rewards: Rewards,
    ledger: BudgetLedger,
    on_round: Callable[[RoundView], None] | None = None,
    lengths: Lengths | None = None,
) -> Outcome:
    """Run a whole horizon. Rounds after the budget is spent still count: duals and posterior go on.

    Args:
        allocator: fresh, for the ledger's problem.
        path: success rates, at its first round. Prompts that it brings later join ledger and allocator at the beginning
            of their round; what exposures are worth is that in the final pool, R = B/M, throughout.
        rewards: coins.
        ledger: fresh; refuses whatever the problem does not allow.
        on_round: called after every round, for records; costs two pool-wide predictions a round.
        lengths: of the responses; None counts no tokens.
    """
    problem = ledger.problem
    final = problem.grown(path.num_prompts - problem.num_prompts)
    began = time.perf_counter()
    value, error, peak_gap = 0.0, 0.0, 0.0
    rounds_spent = groups = effective = 0
    heldout_start = path.heldout_accuracy()
    tracks_value = not np.isnan(allocator.predicted_value()[0])
    rate_M = rewards.variance(path.success_M)
    curvature_M = utility.curvature(rate_M, final)
    for k in range(problem.num_rounds):
        if num_new := path.success_M.size - ledger.problem.num_prompts:
            ledger.extend(num_new)
            allocator.extend(num_new)
        success_M = path.success_M
        if on_round is not None:
            view = RoundView.before(allocator, ledger)
        waves: list[Wave] = []
        tokens: list[IntArray] = []
        seconds = [0.0, 0.0, 0.0]
        while True:
            clock = [time.perf_counter()]
            allocation = allocator.allocate()
            clock.append(time.perf_counter())
            prompts = allocation.prompts
            before = ledger.exposure_M[prompts]
            ledger.spend(allocation)
            feedback = rewards.draw(allocation, success_M)
            if lengths is not None:
                tokens.append(lengths.draw(allocation))
                ledger.count_tokens(int(tokens[-1].sum()))
                feedback = replace(feedback, num_tokens=tokens[-1])
            clock.append(time.perf_counter())
            allocator.observe(allocation, feedback)
            clock.append(time.perf_counter())
            seconds = [total + b - a for total, (a, b) in zip(seconds, pairwise(clock), strict=True)]
            c = curvature_M[prompts]
            value += float((np.exp(-c * before) - np.exp(-c * (before + allocation.units))).sum())
            waves.append(Wave(allocation, feedback))
            if allocation.last_wave:
                break
        spent = ledger.round_units
        rounds_spent += spent > 0
        whole = whole_groups(waves)
        groups += whole.allocation.num_groups
        effective += int(np.count_nonzero(mixed_groups(whole)))
        trained = allocator.training_mask(waves)
        ledger.end_round(updated=bool(trained.any()))
        peak_gap = max(peak_gap, ledger.units - (k + 1) * problem.mean_spend)
        if tracks_value:
            error += float(np.abs(allocator.predicted_value() - rate_M).mean())
        if on_round is not None:
            view.waves, view.trained, view.value = waves, trained, value
            view.tokens = np.concatenate(tokens) if tokens else None
            view.success_M, view.true_value_M = success_M, rate_M
            view.seconds |= dict(zip(("allocate", "rollout", "observe"), seconds, strict=True))
            on_round(view)
        path.advance(whole if trained.all() else whole_groups(_trained_waves(waves, trained)))
        if not path.fixed:
            rate_M = rewards.variance(path.success_M)
            curvature_M = utility.curvature(rate_M, final)
    return Outcome(
        value=value,
        estimation_error=error / problem.num_rounds if tracks_value else float("nan"),
        rounds_spent=rounds_spent,
        groups=groups,
        effective_groups=effective,
        peak_pacing_gap=peak_gap * problem.responses_per_unit,
        heldout_start=heldout_start,
        heldout_end=path.heldout_accuracy(),
        seconds=time.perf_counter() - began,
    )


def _trained_waves(waves: list[Wave], trained: BoolArray) -> list[Wave]:
    """The waves without the groups that are not trained on."""
    kept = []
    for (allocation, feedback), mask in zip(waves, _by_wave(waves, trained), strict=True):
        squares = feedback.reward_sq_sum
        kept.append(
            Wave(
                Allocation(allocation.prompts[mask], allocation.units[mask], allocation.last_wave),
                Feedback(
                    np.asarray(feedback.num_responses)[mask],
                    np.asarray(feedback.reward_sum)[mask],
                    None if squares is None else np.asarray(squares)[mask],
                ),
            )
        )
    return kept


def _by_wave(waves: list[Wave], per_group: BoolArray) -> list[BoolArray]:
    edges = np.cumsum([wave.allocation.num_groups for wave in waves])[:-1]
    return np.split(per_group, edges)
