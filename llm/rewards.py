"""Guarding reward functions: one that fails is an error, or a counted and logged skip; never a silent zero."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from cerolab.errors import CerolabError

logger = logging.getLogger(__name__)
RewardFunction = Callable[..., Any]
LogMetric = Callable[[str, float], None]


class RewardError(CerolabError):
    """A reward function raised, returned the wrong number of rewards, or graded a response with no finite number."""


def guarded(functions: Any, on_bad_reward: str) -> list[Any]:
    """The reward functions, each wrapped; reward models (``nn.Module`` or names) pass as they are.

    Args:
        functions: one, or a list, as TRL takes them.
        on_bad_reward: "error" raises ``RewardError``; "skip" leaves the responses ungraded (None), logs the reason
            and counts them as ``rewards/<name>/bad``.
    """
    given = list(functions) if isinstance(functions, (list, tuple)) else [functions]
    return [_guard(f, on_bad_reward) if callable(f) and not isinstance(f, nn.Module) else f for f in given]


def _guard(function: RewardFunction, on_bad_reward: str) -> RewardFunction:
    name = getattr(function, "__name__", type(function).__name__)

    def fail(what: str, cause: BaseException | None) -> None:
        if on_bad_reward == "error":
            raise RewardError(
                f"reward function {name!r} {what}; mend it, or train with on_bad_reward='skip'"
            ) from cause
        logger.warning("reward function %r %s: left ungraded", name, what)

    def checked(rewards: Any, completions: Sequence[Any], log_metric: LogMetric) -> list[Any]:
        if rewards is None or not hasattr(rewards, "__len__") or len(rewards) != len(completions):
            size = len(rewards) if hasattr(rewards, "__len__") else f"{rewards!r} instead of"
            fail(f"returned {size} rewards for {len(completions)} completions", None)
            log_metric(f"rewards/{name}/bad", float(len(completions)))
            return [None] * len(completions)
        values = [None if reward is None else float(reward) for reward in rewards]  # None: does not apply
        bad = [i for i, value in enumerate(values) if value is not None and not math.isfinite(value)]
        if bad:
            fail(f"graded {len(bad)} completions with {values[bad[0]]}, the first being {completions[bad[0]]!r}", None)
            for i in bad:
                values[i] = None
        log_metric(f"rewards/{name}/bad", float(len(bad)))
        return values

    def now(*, completions: Sequence[Any], log_metric: LogMetric, **given: Any) -> list[Any]:
        try:
            rewards = function(completions=completions, log_metric=log_metric, **given)
        except Exception as error:
            fail(f"raised {type(error).__name__}: {error}", error)
            rewards = [math.nan] * len(completions)
        return checked(rewards, completions, log_metric)

    async def later(*, completions: Sequence[Any], log_metric: LogMetric, **given: Any) -> list[Any]:
        try:
            rewards = await function(completions=completions, log_metric=log_metric, **given)
        except Exception as error:
            fail(f"raised {type(error).__name__}: {error}", error)
            rewards = [math.nan] * len(completions)
        return checked(rewards, completions, log_metric)

    asynchronous = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )
    wrapped: RewardFunction = later if asynchronous else now
    wrapped.__name__ = name
    return wrapped
