"""A task's verifier as a reward function."""

from __future__ import annotations

import logging
import math
from typing import Any

from cerolab.integrations.trl.rewards import RewardError, RewardFunction, short
from cerolab.integrations.trl.time_limit import time_limit
from llm.tasks import Task

logger = logging.getLogger(__name__)


def graded_by(task: Task, on_bad_reward: str, seconds: float = 0.0) -> RewardFunction:
    """A reward function that grades one response after another by the task's verifier; a bad one leaves the others.

    Args:
        task: whose training question ``row`` is answered.
        on_bad_reward: as in ``guarded``, which still has to wrap it.
        seconds: that grading one response may take; 0 for no limit.
    """

    def correct(completions: list[Any], row: list[int], **_: Any) -> list[float]:
        rewards = []
        for completion, at in zip(completions, row, strict=True):
            text, reason = text_of(completion), ""
            try:
                with time_limit(seconds):
                    reward = float(task.verify(text, task.train[at]))
            except Exception as error:
                reward, reason = math.nan, f"{type(error).__name__}: {error}"
                if on_bad_reward == "error":
                    raise RewardError(f"{_of(task, at, text)}: {reason}") from error
            if not math.isfinite(reward):
                reason = reason or f"the reward is {reward}"
                logger.warning("%s: %s", _of(task, at, text), reason)
                if on_bad_reward == "error":
                    raise RewardError(f"{_of(task, at, text)}: {reason}")
            rewards.append(reward)
        return rewards

    return correct


def _of(task: Task, at: int, text: str) -> str:
    return f"response {short(text)} to prompt {at} ({short(task.train[at].prompt)})"


def text_of(completion: Any) -> str:
    """The text of a completion as TRL hands it to reward functions."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])
