"""Evaluating at the start of rounds, and a record that is on disk before a checkpoint is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer


class EvaluateBeforeRounds(TrainerCallback):
    """Calls ``evaluate`` before round 0 and before every round that ``every`` divides; 0 before round 0 only.

    A run that is resumed there evaluates there again, with the same result.
    """

    def __init__(self, trainer: AllocatedGRPOTrainer, every: int, evaluate: Callable[[], None]):
        self._trainer, self._every, self._evaluate = trainer, every, evaluate

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Where a round is about to start."""
        round_index, inside = divmod(state.global_step, self._trainer.steps_per_round)
        if not inside and (round_index % self._every == 0 if self._every else round_index == 0):
            self._evaluate()


class FlushBeforeCheckpoints(TrainerCallback):
    """Calls ``flush`` at the end of a step that a checkpoint follows; TRL takes one at the end of training too.

    Add it after the trainer is made, so that the step's round is recorded by then.
    """

    def __init__(self, flush: Callable[[], None]):
        self._flush = flush

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Where a checkpoint is about to be taken."""
        if control.should_save:
            self._flush()
