"""What the course of a training comes to: four curves, the same from its records and from a simulation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cerolab import BudgetLedger
from cerolab.groups import mixed_groups
from cerolab.records.rounds import RoundView
from cerolab.tools.method import Method
from cerolab.types import FloatArray, IntArray
from sim.experiment.cell import Cell
from sim.experiment.loop import simulate
from sim.replica.recorded import Recorded

Curves = dict[str, FloatArray]
_WINDOWS = 20  # of the horizon, over which groups and rewards are counted
_COUNTS = ["groups", "effective_groups", "responses", "reward_sum"]
_SCORES = ["avg_at_n", "pass_at_n"]


def evaluated_rounds(recorded: Recorded) -> IntArray:
    """[E] rounds completed at the evaluations that every uniform run has."""
    runs = recorded.evals.groupby("round")["run_id"].nunique()
    return np.sort(runs.index[runs == len(recorded.uniform)].to_numpy())


def recorded_curves(recorded: Recorded) -> Curves:
    """The curves of the uniform runs, see ``simulated_curves``."""
    every = range(recorded.problem.num_rounds)
    counts = recorded.rounds.groupby("round")[_COUNTS].sum().reindex(every, fill_value=0)
    scores = recorded.evals.groupby("round")[_SCORES].mean().loc[evaluated_rounds(recorded)]
    return _curves(counts.to_numpy(np.float64), scores.to_numpy())


def simulated_curves(cells: Sequence[Cell], evaluations: IntArray, pass_samples: int) -> Curves:
    """The curves of the uniform allocator in these cells, means over them.

    Args:
        cells: of one scenario and problem.
        evaluations: [E] rounds completed at the evaluations.
        pass_samples: n of pass@n.

    Returns:
        accuracy, pass: [E - 1] gain of held-out accuracy and of pass@n since the first evaluation; gains, since what
        is held out differs. reward, effective: [W] mean reward of the responses, and share of the groups with mixed
        rewards, in each of up to 20 equal parts of the horizon.
    """
    runs = [_uniform(cell, evaluations, pass_samples) for cell in cells]
    return _curves(np.sum([counts for counts, _ in runs], axis=0), np.mean([scores for _, scores in runs], axis=0))


def _uniform(cell: Cell, evaluations: IntArray, pass_samples: int) -> tuple[FloatArray, FloatArray]:
    """One run of uniform: ``_COUNTS`` by round [K, 4] and ``_SCORES`` by evaluation [E, 2]."""
    path, rewards = cell.path(), cell.rewards()
    counts, scores = [], []

    def evaluate() -> None:
        success = path.heldout_success
        scores.append((success.mean(), np.mean(1.0 - (1.0 - success) ** pass_samples)))

    def keep(view: RoundView) -> None:
        if view.index in evaluations:
            evaluate()  # the policy moves only after this
        (wave,) = view.waves  # uniform's only one
        n, s = np.asarray(wave.feedback.num_responses), np.asarray(wave.feedback.reward_sum)
        counts.append((n.size, np.count_nonzero(mixed_groups(wave)), n.sum(), s.sum()))

    simulate(cell.allocator(Method(name="uniform"), path, rewards), path, rewards, BudgetLedger(cell.problem), keep)
    if evaluations[-1] >= cell.problem.num_rounds:
        evaluate()
    return np.array(counts, np.float64), np.array(scores)


def _curves(counts: FloatArray, scores: FloatArray) -> Curves:
    parts = np.linspace(0, len(counts), min(_WINDOWS, len(counts)), endpoint=False).astype(int)
    groups, mixed, responses, reward = np.add.reduceat(counts, parts).T
    accuracy, passed = (scores[1:] - scores[0]).T
    return {"accuracy": accuracy, "pass": passed, "reward": reward / responses, "effective": mixed / groups}
