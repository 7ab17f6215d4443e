"""One round as a loop saw it, and its rows in the run record: the same for simulator and training."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cerolab.allocation import Allocator, Feedback, Wave
from cerolab.groups import mixed_groups, whole_groups
from cerolab.ledger import BudgetLedger
from cerolab.records.schema import NUM_BINS
from cerolab.records.writer import RunWriter
from cerolab.types import BoolArray, FloatArray, IntArray

PHASES = ("allocate", "rollout", "train", "observe")


@dataclass(slots=True)
class RoundView:
    """What a recorder may look at after a round; the arrays are those of the loop, not copies.

    Attributes:
        index: the round, from 0.
        price: normalised budget price before the round, nan where the method has none.
        virtual_units: of the virtual allocation; None where the method has none: then the executed ones are recorded.
        predicted_success_M, predicted_value_M: [M] before the round.
        exposure_before_M: units before the round.
        ledger: after the round.
        waves: its waves.
        trained: bool [groups, in wave order], those that the policy is trained on.
        success_M, true_value_M: true success rates and reward variances [M] in the round; None in training.
        value: utility gained up to here; nan in training.
        tokens: int64 [groups, in wave order] generated; None in a simulation without lengths.
        seconds: by phase, see ``PHASES``.
    """

    index: int
    price: float
    virtual_units: int | None
    predicted_success_M: FloatArray
    predicted_value_M: FloatArray
    exposure_before_M: IntArray
    ledger: BudgetLedger
    waves: list[Wave] = field(default_factory=list)
    trained: BoolArray = field(default_factory=lambda: np.empty(0, np.bool_))
    success_M: FloatArray | None = None
    true_value_M: FloatArray | None = None
    value: float = float("nan")
    tokens: IntArray | None = None
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))

    @classmethod
    def before(cls, allocator: Allocator, ledger: BudgetLedger) -> RoundView:
        """What is known before the round's first decision; costs two pool-wide predictions."""
        metrics = allocator.metrics()
        virtual = metrics.get("virtual_units")
        return cls(
            index=ledger.round_index,
            price=metrics.get("price", float("nan")),
            virtual_units=None if virtual is None else int(virtual),
            predicted_success_M=allocator.predicted_success(),
            predicted_value_M=allocator.predicted_value(),
            exposure_before_M=ledger.exposure_M.copy(),
            ledger=ledger,
        )


def append_round(writer: RunWriter, view: RoundView) -> None:
    """The round's rows in the tables ``groups`` and ``rounds``, where the run keeps them."""
    prompts = np.concatenate([wave.allocation.prompts for wave in view.waves])
    units = np.concatenate([wave.allocation.units for wave in view.waves])
    responses = units * view.ledger.problem.responses_per_unit
    reward_sum = np.concatenate([np.asarray(wave.feedback.reward_sum, np.float64) for wave in view.waves])
    graded = np.concatenate([np.asarray(wave.feedback.num_responses, np.float64) for wave in view.waves])
    variance = np.concatenate([_unbiased_variance(wave.feedback) for wave in view.waves])
    whole = whole_groups(view.waves)
    tokens = np.zeros(prompts.size, np.int64) if view.tokens is None else view.tokens
    unknown = np.full(prompts.size, np.nan)
    if "groups" in writer.settings.detail:
        writer.append(
            "groups",
            {
                "round": np.full(prompts.size, view.index),
                "wave": np.repeat(np.arange(len(view.waves)), [w.allocation.num_groups for w in view.waves]),
                "prompt": prompts,
                "units": units,
                "responses": responses,
                "reward_sum": reward_sum,
                "reward_mean": reward_sum / np.maximum(graded, 1),
                "reward_variance": variance,
                "predicted_success": view.predicted_success_M[prompts],
                "predicted_value": view.predicted_value_M[prompts],
                "true_success": unknown if view.success_M is None else view.success_M[prompts],
                "exposure_before": view.exposure_before_M[prompts],
                "tokens": tokens,
                "trained": view.trained,
            },
        )
    if "rounds" in writer.settings.detail:
        executed = int(units.sum())
        writer.append(
            "rounds",
            {
                "round": view.index,
                "price": view.price,
                "virtual_units": executed if view.virtual_units is None else view.virtual_units,
                "units": executed,
                "remaining_units": view.ledger.remaining,
                "waves": len(view.waves),
                "groups": whole.allocation.num_groups,
                "effective_groups": int(np.count_nonzero(mixed_groups(whole))),
                "trained_groups": np.unique(prompts[view.trained]).size,
                "responses": int(responses.sum()),
                "reward_sum": float(reward_sum.sum()),
                "tokens": int(tokens.sum()),
                "updated": bool(view.trained.any()),
                "predicted_value_mean": _mean(view.predicted_value_M[prompts]),
                "observed_value_mean": _mean(variance[~np.isnan(variance)]),
                "true_value_mean": _mean(unknown if view.true_value_M is None else view.true_value_M[prompts]),
                "value": view.value,
                "pool_histogram": histogram(view.predicted_success_M)[None, :],
                **{f"seconds_{phase}": view.seconds[phase] for phase in PHASES},
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
