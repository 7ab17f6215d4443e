"""Turns the rounds of a simulated run into the tables of the run record."""

from __future__ import annotations

import numpy as np

from cerolab.allocation import Feedback, FloatArray, IntArray
from cerolab.records import RunWriter
from cerolab.records.schema import NUM_BINS
from sim.dynamics import Path
from sim.loop import RoundView, mixed_groups
from sim.rewards import Rewards


class Recorder:
    """Appends to the rounds, groups and evals tables; pass it to ``simulate`` as ``on_round``.

    Held-out accuracy, where there is any, is evaluated before the first round and 50 times over the horizon.
    """

    def __init__(self, writer: RunWriter, rewards: Rewards, path: Path):
        self._writer = writer
        self._rewards = rewards
        self._path = path
        self._tables = writer.settings.detail
        self._every = max(1, int(writer.settings.problem["num_rounds"]) // 50)
        self._evaluate(0, 0)

    def _evaluate(self, rounds: int, responses: int) -> None:
        accuracy = self._path.heldout_accuracy()
        if "evals" in self._tables and not np.isnan(accuracy):
            self._writer.append(
                "evals",
                {
                    "round": rounds,
                    "responses_spent": responses,
                    "suite": "heldout",
                    "problem": "all",
                    "samples": 0,
                    "avg_at_n": accuracy,
                    "pass_at_n": float("nan"),
                },
            )

    def __call__(self, view: RoundView) -> None:
        """Record one round."""
        prompts = np.concatenate([wave.allocation.prompts for wave in view.waves])
        units = np.concatenate([wave.allocation.units for wave in view.waves])
        responses = np.concatenate([np.asarray(wave.feedback.num_responses, np.int64) for wave in view.waves])
        reward_sum = np.concatenate([np.asarray(wave.feedback.reward_sum, np.float64) for wave in view.waves])
        variance = np.concatenate([_unbiased_variance(wave.feedback) for wave in view.waves])
        mixed = np.concatenate([mixed_groups(wave) for wave in view.waves])
        true_rate = self._rewards.variance(view.success_M[prompts])
        if "groups" in self._tables:
            self._writer.append(
                "groups",
                {
                    "round": np.full(prompts.size, view.index),
                    "wave": np.repeat(np.arange(len(view.waves)), [w.allocation.num_groups for w in view.waves]),
                    "prompt": prompts,
                    "units": units,
                    "responses": responses,
                    "reward_sum": reward_sum,
                    "reward_mean": reward_sum / np.maximum(responses, 1),
                    "reward_variance": variance,
                    "predicted_success": view.predicted_success_M[prompts],
                    "predicted_value": view.predicted_value_M[prompts],
                    "true_success": view.success_M[prompts],
                    "exposure_before": view.exposure_before_M[prompts],
                    "tokens": np.zeros(prompts.size, np.int64),
                    "trained": view.trained,
                },
            )
        if (view.index + 1) % self._every == 0:
            self._evaluate(view.index, view.ledger.responses - int(responses.sum()))
        if "rounds" in self._tables:
            self._writer.append(
                "rounds",
                {
                    "round": view.index,
                    "price": view.price,
                    "virtual_units": view.virtual_units,
                    "units": int(units.sum()),
                    "remaining_units": view.ledger.remaining,
                    "waves": len(view.waves),
                    "groups": prompts.size,
                    "effective_groups": int(np.count_nonzero(mixed)),
                    "trained_groups": int(np.count_nonzero(view.trained)),
                    "responses": int(responses.sum()),
                    "reward_sum": float(reward_sum.sum()),
                    "tokens": 0,
                    "updated": bool(view.trained.any()),
                    "predicted_value_mean": _mean(view.predicted_value_M[prompts]),
                    "observed_value_mean": _mean(variance[~np.isnan(variance)]),
                    "true_value_mean": _mean(true_rate),
                    "value": view.value,
                    "pool_histogram": histogram(view.predicted_success_M)[None, :],
                    "seconds_allocate": view.seconds[0],
                    "seconds_rollout": view.seconds[1],
                    "seconds_train": 0.0,
                    "seconds_observe": view.seconds[2],
                },
            )


def histogram(predicted_success_M: FloatArray) -> IntArray:
    """int64 [NUM_BINS]: prompts by predicted success rate in equal bins of [0, 1]; all 0 where there is none."""
    known = predicted_success_M[~np.isnan(predicted_success_M)]
    bins = np.minimum((known * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    return np.bincount(bins, minlength=NUM_BINS)


def _unbiased_variance(feedback: Feedback) -> FloatArray:
    """Unbiased reward variance of each group; nan for groups of one response."""
    n = np.asarray(feedback.num_responses, np.float64)
    total = np.asarray(feedback.reward_sum, np.float64)
    squares = total if feedback.reward_sq_sum is None else np.asarray(feedback.reward_sq_sum, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(n > 1, (squares - total**2 / n) / (n - 1), np.nan)


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else float("nan")
