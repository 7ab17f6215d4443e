"""What identifies a run: its settings, and the run id that follows from them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cerolab.checks import FOLDER_NAME, LONGEST_FOLDER_NAME
from cerolab.errors import RecordError, shown


def method_label(method: str, options: Mapping[str, Any]) -> str:
    """A method with its options as short text: ``cero``, ``cero(catch_up=true, price=0.3)``; ``sim`` reads it too."""
    if not options:
        return method
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in sorted(options.items())}
    return f"{method}({', '.join(f'{key}={text}' for key, text in texts.items())})"


def plugin_version(plugin: Mapping[str, str]) -> str:
    """A few digits that stand for all of an allocator's code; empty for a built-in one."""
    text = json.dumps(plugin, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:6] if plugin else ""


def differing_keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of the settings in which two sets of them differ, sorted; one that is missing counts as None."""
    return [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Everything that determines a run's outcome, JSON-ready.

    Attributes:
        source: "sim" or "llm".
        experiment: name of the sweep or study; one path component.
        method, options: the allocator and its options.
        problem: ``AllocationProblem.to_dict()``.
        seed: the run's seed.
        scenario: population, dynamics, rewards and lengths in the simulator; task and model in training.
        detail: names of the tables that the run writes.
        plugin: digest by module of the allocator's code where it is not built in, see ``cerolab.plugins.sources``.
    """

    source: str
    experiment: str
    method: str
    problem: dict[str, Any]
    seed: int
    options: dict[str, Any] = field(default_factory=dict)
    scenario: dict[str, Any] = field(default_factory=dict)
    detail: tuple[str, ...] = ()
    plugin: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("source", "experiment", "method"):
            value = getattr(self, name)
            if len(value) > LONGEST_FOLDER_NAME or not re.fullmatch(FOLDER_NAME, value):
                remedy = f"use up to {LONGEST_FOLDER_NAME} letters, digits, '.', '_' and '-', a letter or digit first"
                raise RecordError(f"{name}={shown(value)} cannot be a folder name; {remedy}")

    def to_dict(self) -> dict[str, Any]:
        """The settings as they stand in run.json; "plugin" is left out of those of a built-in allocator."""
        settings: dict[str, Any] = {
            "source": self.source,
            "experiment": self.experiment,
            "method": self.method,
            "options": self.options,
            "problem": self.problem,
            "seed": self.seed,
            "scenario": self.scenario,
            "detail": list(self.detail),
        }
        return settings | ({"plugin": dict(self.plugin)} if self.plugin else {})

    @property
    def run_id(self) -> str:
        """Deterministic, readable, unique: method, sizes, seed and a digest of all settings."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        sizes = f"M{self.problem['num_prompts']}-K{self.problem['num_rounds']}"
        return f"{self.method}-{sizes}-s{self.seed}-{digest}"
