"""Settings that are passed through to TRL, typed by its own config class as transformers' argument parser reads it."""

from __future__ import annotations

import math
from argparse import ArgumentError, ArgumentTypeError
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from functools import cache
from typing import Any, get_type_hints

from transformers import HfArgumentParser
from transformers.integrations import integration_utils as trackers
from trl import GRPOConfig

from cerolab.errors import InvalidValueError, UnknownNameError

# Settings of TRL that have a name of their own here; given twice, one of them would be ignored.
OURS = {
    "output_dir": "out",
    "seed": "seed",
    "num_generations": "responses_per_unit",
    "max_completion_length": "max_new_tokens",
    "temperature": "temperature",
    "learning_rate": "learning_rate",
    "lr_scheduler_type": "lr_schedule",
    "warmup_steps": "warmup_rounds",
    "adam_beta2": "adam_beta2",
    "weight_decay": "weight_decay",
    "max_grad_norm": "max_grad_norm",
    "loss_type": "loss",
    "scale_rewards": "scale_rewards",
    "beta": "kl",
    "epsilon": "clip_low",
    "epsilon_high": "clip_high",
    "delta": "dual_clip",
    "num_iterations": "num_iterations",
    "bf16": "bf16",
    "gradient_checkpointing": "gradient_checkpointing",
    "activation_checkpointing": "gradient_checkpointing",
    "report_to": "report_to",
    "logging_steps": "logging_rounds",
    "save_steps": "save_every",
    "max_steps": "num_rounds",
    "num_train_epochs": "num_rounds",
    "use_vllm": "engine",
    "vllm_mode": "engine",
    "vllm_server_base_url": "vllm_url",
    "vllm_gpu_memory_utilization": "vllm_memory",
}
# What TRL looks at only when the model is there, or in the first round.
_CHOICES: Mapping[str, Collection[str]] = {
    "importance_sampling_level": ("token", "sequence"),
    "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
    "vllm_importance_sampling_mode": ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask"),
}
_RANGES: Mapping[str, tuple[float, float]] = {  # both ends belong to it
    "top_p": (1e-6, 1.0),
    "min_p": (0.0, 1.0),
    "top_k": (0, math.inf),
    "repetition_penalty": (1e-6, math.inf),
}
_LONGEST = 150  # characters of a reason


def trl_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as TRL's class types them: ``{"top-p": "0.9"}`` is ``{"top_p": 0.9}``.

    Args:
        given: by name, with hyphens or underscores; values as text, or as a settings file has them.

    Raises:
        UnknownNameError: a value that is none of those that TRL knows.
        InvalidValueError: no setting of TRL, a value that it cannot be, or one that has a name of its own here.
    """
    typed: dict[str, Any] = {}
    for written, value in given.items():
        name = str(written).replace("-", "_")
        if name not in _kinds():
            near = " or ".join(f"trl.{known}" for known in get_close_matches(name, _kinds(), n=3))
            remedy = f"did you mean {near}?" if near else "see the documentation of TRL's GRPOConfig"
            raise InvalidValueError(f"trl.{written}", value, "is no setting of TRL's GRPOConfig", remedy)
        if name in OURS:
            own = OURS[name].replace("_", "-")
            raise InvalidValueError(f"trl.{written}", value, f"has a name of its own here, --{own}", f"give --{own}")
        if name in typed:
            raise InvalidValueError(f"trl.{written}", value, "is given with hyphens and with underscores", "give one")
        typed[name] = _typed(name, value)
        _check_range(name, typed[name])
    return typed


def check_trackers(names: Sequence[str]) -> None:
    """Refuse a tracker that transformers does not know, or whose package is not installed.

    Raises:
        UnknownNameError, InvalidValueError: names it and what to do.
    """
    there = trackers.get_available_reporting_integrations()
    for name in names:
        if name not in trackers.INTEGRATION_TO_CALLBACK:
            raise UnknownNameError("tracker report_to", name, trackers.INTEGRATION_TO_CALLBACK)
        if name not in there:
            remedy = f"install its package ({name.replace('_', '-')}), or use {', '.join(there) or 'none'}"
            raise InvalidValueError("report_to", name, "is not installed", remedy)


@cache
def _kinds() -> dict[str, Any]:
    hints = get_type_hints(GRPOConfig)
    return {item.name: hints[item.name] for item in fields(GRPOConfig) if item.init}


@cache
def _parser() -> HfArgumentParser:
    return HfArgumentParser(GRPOConfig, exit_on_error=False, add_help=False, allow_abbrev=False)


def _typed(name: str, value: Any) -> Any:
    kind = str(_kinds()[name])
    if value is None:
        if "None" not in kind:
            raise InvalidValueError(f"trl.{name}", value, "is nothing", "leave it out")
        return None
    if isinstance(value, Mapping):
        if "dict" not in kind:
            raise InvalidValueError(f"trl.{name}", value, "is a table", f"TRL takes {_readable(kind)}")
        return dict(value)
    if isinstance(value, (list, tuple)):
        if "list" not in kind:
            raise InvalidValueError(f"trl.{name}", value, "is a list", f"TRL takes {_readable(kind)}")
        return [one for item in value for one in _parsed(name, item)]
    return _parsed(name, value)


def _parsed(name: str, value: Any) -> Any:
    try:
        parsed = getattr(_parser().parse_args([f"--{name}={value}"]), name)
    except (ArgumentError, ArgumentTypeError, SystemExit) as error:
        reason = getattr(error, "message", str(error))[:_LONGEST]
        remedy = f"TRL takes {_readable(str(_kinds()[name]))}"
        raise InvalidValueError(f"trl.{name}", value, f"cannot be read ({reason})", remedy) from None
    if isinstance(parsed, float) and not math.isfinite(parsed):
        raise InvalidValueError(f"trl.{name}", value, "is not finite", "give a number")
    return parsed


def _readable(kind: str) -> str:
    return kind.removeprefix("<class '").removesuffix("'>").replace("typing.", "")


def _check_range(name: str, value: Any) -> None:
    if name in _CHOICES and value not in _CHOICES[name]:
        raise UnknownNameError(f"trl.{name}", value, _CHOICES[name])
    low, high = _RANGES.get(name, (-math.inf, math.inf))
    if name in _RANGES and value is not None and not low <= value <= high:
        raise InvalidValueError(f"trl.{name}", value, f"is outside [{low:g}, {high:g}]", "give a number in it")
