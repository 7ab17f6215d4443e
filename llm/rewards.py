"""Guarding reward functions: one that fails or hangs is an error, or a counted and logged skip; never a silent zero."""

from __future__ import annotations

import inspect
import logging
import math
from asyncio import wait_for
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from cerolab.errors import CerolabError
from llm.prompting import text_of
from llm.tasks import Task
from llm.time_limit import TooSlowError, time_limit

logger = logging.getLogger(__name__)
_LONGEST = 200  # characters of a prompt or a response in a message
RewardFunction = Callable[..., Any]
LogMetric = Callable[[str, float], None]


class RewardError(CerolabError):
    """A reward function raised, took too long, returned a wrong number of rewards, or one that is not finite."""


def guarded(functions: Any, on_bad_reward: str, seconds: float = 0.0) -> list[Any]:
    """The reward functions, each wrapped; reward models (``nn.Module`` or names) pass as they are.

    Args:
        functions: one, or a list, as TRL takes them.
        on_bad_reward: "error" raises ``RewardError``; "skip" leaves the responses ungraded (None), logs the reason
            and counts them as ``rewards/<name>/bad``.
        seconds: that a call may take; 0 for no limit.
    """
    given = list(functions) if isinstance(functions, (list, tuple)) else [functions]
    return [_guard(f, on_bad_reward, seconds) if callable(f) and not isinstance(f, nn.Module) else f for f in given]


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
    return f"response {_short(text)} to prompt {at} ({_short(task.train[at].prompt)})"


def _guard(function: RewardFunction, on_bad_reward: str, seconds: float) -> RewardFunction:
    name = getattr(function, "__name__", type(function).__name__)

    def fail(what: str, cause: BaseException | None) -> None:
        if on_bad_reward == "error":
            raise RewardError(
                f"reward function {name!r} {what}; mend it, or train with on_bad_reward='skip'"
            ) from cause
        logger.warning("reward function %r %s: left ungraded", name, what)

    def failed(error: Exception, completions: Sequence[Any], given: Mapping[str, Any]) -> list[float]:
        if isinstance(error, RewardError):  # it names the prompt itself
            fail(f"fails on {error}", error)
        prompts = given.get("prompts") or []
        distinct = list(dict.fromkeys(_short(prompt) for prompt in prompts))
        shown = f" to {len(distinct)} prompts, the first being {distinct[0]}" if distinct else ""
        fail(f"raised {type(error).__name__}: {error}, on {len(completions)} responses{shown}", error)
        return [math.nan] * len(completions)

    def checked(rewards: Any, completions: Sequence[Any], log_metric: LogMetric, given: Mapping[str, Any]) -> list[Any]:
        if rewards is None or not hasattr(rewards, "__len__") or len(rewards) != len(completions):
            size = len(rewards) if hasattr(rewards, "__len__") else f"{rewards!r} instead of"
            fail(f"returned {size} rewards for {len(completions)} completions", None)
            log_metric(f"rewards/{name}/bad", float(len(completions)))
            return [None] * len(completions)
        values = [None if reward is None else float(reward) for reward in rewards]  # None: does not apply
        bad = [i for i, value in enumerate(values) if value is not None and not math.isfinite(value)]
        if bad:
            first, prompts = bad[0], given.get("prompts") or []
            to = f" to prompt {_short(prompts[first])}" if len(prompts) == len(completions) else ""
            fail(
                f"graded {len(bad)} completions with {values[first]}, the first being {_short(completions[first])}{to}",
                None,
            )
            for i in bad:
                values[i] = None
        log_metric(f"rewards/{name}/bad", float(len(bad)))
        return values

    def now(*, completions: Sequence[Any], log_metric: LogMetric, **given: Any) -> list[Any]:
        try:
            with time_limit(seconds):
                rewards = function(completions=completions, log_metric=log_metric, **given)
        except Exception as error:
            rewards = failed(error, completions, given)
        return checked(rewards, completions, log_metric, given)

    async def later(*, completions: Sequence[Any], log_metric: LogMetric, **given: Any) -> list[Any]:
        try:
            rewards = await wait_for(function(completions=completions, log_metric=log_metric, **given), seconds or None)
        except TimeoutError as error:
            late = TooSlowError(f"no answer after {seconds:g} s") if seconds else error
            rewards = failed(late, completions, given)
        except Exception as error:
            rewards = failed(error, completions, given)
        return checked(rewards, completions, log_metric, given)

    asynchronous = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )
    wrapped: RewardFunction = later if asynchronous else now
    wrapped.__name__ = name
    return wrapped


def _short(value: Any) -> str:
    """A prompt or a response in a message: one line, not too long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
