"""Runs that kept their tables: which are comparable, and what they have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.layout import sizes
from analysis.select import population_title
from analysis.style import in_order, look
from cerolab.errors import RecordError
from cerolab.records import Run


def detailed_runs(infos: Mapping[str, Mapping[str, Any]], directory: Path, tables: Sequence[str]) -> dict[str, Run]:
    """Runs below ``directory`` that kept all ``tables``, by allocator with its options.

    They met the same prompts, coins and budget.

    Of several such groups it is the one with the most allocators, then the longest horizon, then the lowest seed.
    """
    groups: dict[str, dict[str, Run]] = {}
    for run_id in sorted(infos):
        info = dict(infos[run_id])
        if set(tables) <= set(info["detail"]) and all((directory / run_id / f"{t}.parquet").exists() for t in tables):
            key = json.dumps([info["problem"], info["scenario"], info["seed"]], sort_keys=True)
            run = Run(directory / run_id, info)
            groups.setdefault(key, {}).setdefault(run.label, run)
    if not groups:
        return {}

    def rank(key: str) -> tuple[int, int, int, str]:
        problem, _, seed = json.loads(key)
        return -len(groups[key]), -problem["num_rounds"], seed, key

    best = groups[min(groups, key=rank)]
    return {method: best[method] for method in in_order(best)}


def refuse_none(runs: Mapping[str, Run], figure: str) -> None:
    """Refuse to draw nothing."""
    if not runs:
        raise RecordError(f"{figure}: no run was given")


def run_label(name: str, run: Run) -> str:
    """Legend entry of a run: its name, or the allocator's display name where it is just the allocator's."""
    return look(name).name if name == run.label else name


def describe_runs(runs: Iterable[Run]) -> str:
    """Footer of a figure of single runs: sizes, world and seeds."""
    infos = [run.info for run in runs]
    settings = pd.DataFrame([{**info["problem"], "seed": info["seed"]} for info in infos])
    worlds = []
    for info in infos:
        scenario = info["scenario"]
        if "population" in scenario:
            worlds.append(f"{population_title(scenario['population'])}, {scenario.get('dynamics', 'static')}")
    world = " | ".join(dict.fromkeys(worlds))
    seeds = ", ".join(str(seed) for seed in sorted(settings["seed"].unique()))
    return f"{sizes(settings)}; seed {seeds}" + (f"; {world}" if world else "")
