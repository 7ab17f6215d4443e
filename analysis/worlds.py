"""What a run's world is called: the population in the simulator, task and model in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def world_title(info: Mapping[str, Any]) -> str:
    """Source and world of a run.json: ``Simulator: Beta(1, 1), static``, ``Training: arithmetic(hard), tiny``.

    A replica is named by the training that it was fitted to; its record has the population.
    """
    scenario = info["scenario"]
    if info["source"] == "llm":
        parts = [scenario.get("task"), scenario.get("model")]
    elif scenario.get("study") == "replica":
        parts = [f"replica of {info['experiment'].removeprefix('replica-')}"]  # its population is a line of digits
    else:
        rewards = scenario.get("rewards", "binary")
        parts = [population_title(scenario.get("population", "")), scenario.get("dynamics")]
        parts += [] if rewards == "binary" else [f"{rewards} rewards"]
    kind = {"sim": "Simulator", "llm": "Training"}.get(info["source"], str(info["source"]))
    return f"{kind}: {', '.join(str(part) for part in parts if part)}"


def population_title(text: str) -> str:
    """A population's text form as a panel title."""
    return text.replace("beta", "Beta").replace("point", "Point").replace("*", "·")
