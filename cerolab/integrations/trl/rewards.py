"""Guarding reward functions: one that fails or hangs is an error, or a counted and logged skip; never a silent zero."""

from __future__ import annotations

import logging
import math
from asyncio import wait_for
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

import torch
from torch import Tensor, nn
from trl.trainer.utils import get_callable_name, is_async_callable

from cerolab.errors import CerolabError
from cerolab.integrations.trl.time_limit import TooSlowError, time_limit

logger = logging.getLogger(__name__)
_LONGEST = 200  # characters of a prompt or a response in a message
_GREATEST = torch.finfo(torch.float32).max  # TRL keeps rewards in float32
RewardFunction = Callable[..., Any]
LogMetric = Callable[[str, float], None]


class RewardError(CerolabError):
    """A reward function raised, took too long, returned a wrong number of rewards, or one that is no finite number."""


def guarded(functions: Any, on_bad_reward: str, seconds: float = 0.0) -> list[Any]:
    """The reward functions, each wrapped under TRL's name; reward models (``nn.Module`` or names) pass as they are.

    Args:
        functions: one, or a list, as TRL takes them.
        on_bad_reward: "error" raises ``RewardError``; "skip" leaves the responses ungraded (None), logs the reason
            and counts them as ``rewards/<name>/bad``.
        seconds: that a call may take; 0 for no limit.
    """
    given = list(functions) if isinstance(functions, (list, tuple)) else [functions]
    return [_guard(f, on_bad_reward, seconds) if callable(f) and not isinstance(f, nn.Module) else f for f in given]


def renamed(functions: Sequence[Any], names: Sequence[str]) -> list[str]:
    """Names that differ: of two reward functions "correct" the second is "correct_2", in TRL's logs as in ours.

    TRL would log the mean of both under one name, twice as many rows in its table, and know no more which is which.

    Args:
        functions: as ``guarded`` returned them; they take the names, which their messages show.
        names: TRL's.
    """
    found: list[str] = []
    for function, name in zip(functions, names, strict=True):
        number, distinct = 2, name
        while distinct in found or (distinct != name and distinct in names):
            number, distinct = number + 1, f"{name}_{number}"
        if distinct != name:
            logger.warning("two reward functions are called %r: one of them is logged as %r", name, distinct)
        if not isinstance(function, nn.Module):
            function.__name__ = distinct
        found.append(distinct)
    return found


def ungrade_models(rewards_NF: Tensor, functions: Sequence[Any], names: Sequence[str], on_bad_reward: str) -> None:
    """Make nan of what reward models returned that is not finite, in place.

    Args:
        rewards_NF: float [N, F], of all processes.
        functions, names: of the columns.
        on_bad_reward: as in ``guarded``.

    Raises:
        RewardError: names the model ("error").
    """
    for column, (function, name) in enumerate(zip(functions, names, strict=True)):
        bad_N = ~rewards_NF[:, column].isfinite()
        if isinstance(function, nn.Module) and bool(bad_N.any()):
            first = rewards_NF[bad_N, column][0].item()
            _fail(name, f"graded {int(bad_N.sum())} responses with {first}", on_bad_reward)
            rewards_NF[bad_N, column] = torch.nan


def _fail(name: str, what: str, on_bad_reward: str, cause: BaseException | None = None) -> None:
    if on_bad_reward == "error":
        raise RewardError(f"reward function {name!r} {what}; mend it, or train with on_bad_reward='skip'") from cause
    logger.warning("reward function %r %s: left ungraded", name, what)


def _listed(rewards: Any) -> list[Any] | None:
    """One reward after the other; None where that is not what was returned."""
    unordered = isinstance(rewards, (str, bytes, Mapping, Set))
    try:
        return None if unordered else list(rewards)
    except TypeError:
        return None


def _number(reward: Any) -> float:
    """A reward as a number that float32 can hold; nan for anything else, text too."""
    try:
        value = reward.item() if hasattr(reward, "item") else reward
        number = math.nan if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return math.nan
    return number if abs(number) <= _GREATEST else math.nan


def _guard(function: RewardFunction, on_bad_reward: str, seconds: float) -> RewardFunction:
    def fail(what: str, cause: BaseException | None) -> None:
        _fail(wrapped.__name__, what, on_bad_reward, cause)

    def failed(error: Exception, completions: Sequence[Any], given: Mapping[str, Any]) -> list[float]:
        if isinstance(error, RewardError):  # it names the prompt itself
            fail(f"fails on {error}", error)
        prompts = given.get("prompts") or []
        distinct = list(dict.fromkeys(short(prompt) for prompt in prompts))
        shown = f" to {len(distinct)} prompts, the first being {distinct[0]}" if distinct else ""
        fail(f"raised {type(error).__name__}: {error}, on {len(completions)} responses{shown}", error)
        return [math.nan] * len(completions)

    def checked(output: Any, completions: Sequence[Any], log_metric: LogMetric, given: Mapping[str, Any]) -> list[Any]:
        rewards, metric = _listed(output), f"rewards/{wrapped.__name__}/bad"
        if rewards is None or len(rewards) != len(completions):
            size = f"{short(output)} instead of" if rewards is None else len(rewards)
            fail(f"returned {size} rewards for {len(completions)} completions", None)
            log_metric(metric, float(len(completions)))
            return [None] * len(completions)
        values = [None if reward is None else _number(reward) for reward in rewards]  # None: does not apply
        bad = [i for i, value in enumerate(values) if value is not None and math.isnan(value)]
        if bad:
            first, prompts = bad[0], given.get("prompts") or []
            to = f" to prompt {short(prompts[first])}" if len(prompts) == len(completions) else ""
            fail(
                f"graded {len(bad)} completions with no finite number but {short(rewards[first])}, the first being "
                f"{short(completions[first])}{to}",
                None,
            )
            for i in bad:
                values[i] = None
        log_metric(metric, float(len(bad)))
        return values

    def now(*, completions: Sequence[Any], log_metric: LogMetric, **given: Any) -> list[Any]:
        try:
            with time_limit(seconds):
                rewards = function(completions=completions, log_metric=log_metric, **given)
                rewards = list(rewards) if isinstance(rewards, Iterator) else rewards  # it may fail on the way
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

    wrapped: RewardFunction = later if is_async_callable(function) else now
    wrapped.__name__ = get_callable_name(function)
    return wrapped


def short(value: Any) -> str:
    """A prompt or a response in a message: one line, not too long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
