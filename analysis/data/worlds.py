"""What a run's world is called: the population in the simulator, task and model in training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NUMBER = re.compile(r"\d*\.\d{2,}")


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


def scenario_title(scenario: Mapping[str, Any]) -> str:
    """A simulated world in few words, ``Beta(1, 1), drift(1)``: numbers with two digits, what is usual left out."""
    parts = [population_title(scenario["population"])]
    parts += [] if scenario["dynamics"] == "static" else [scenario["dynamics"]]
    parts += [] if scenario["rewards"] == "binary" else [f"{scenario['rewards']} rewards"]
    return _NUMBER.sub(lambda found: f"{float(found[0]):.2g}", ", ".join(parts))


def population_title(text: str) -> str:
    """A population's text form as a panel title."""
    return text.replace("beta", "Beta").replace("point", "Point").replace("*", "·")
