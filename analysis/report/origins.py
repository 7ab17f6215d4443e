"""Where the numbers come from: settings, seeds, code, versions, machine and dates, as tables of text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.data.load import Runs
from analysis.data.methods import in_order, method_name
from analysis.report.settings import setting_title, shown
from cerolab.records import method_label

_UNKNOWN = "not recorded"


@dataclass(frozen=True, eq=False)
class Origin:
    """Of the runs of one source.

    Attributes:
        title: simulator or training.
        shared: settings that are the same in all runs, by name.
        settings: one row a setting: what it is, and the settings that differ.
        allocators: one row an allocator: its options, all options with their defaults, and its seeds.
        versions: one row a state of code and machine: runs, commit, versions, machine, first and last date.
    """

    title: str
    shared: Mapping[str, str]
    settings: pd.DataFrame
    allocators: pd.DataFrame
    versions: pd.DataFrame


def origins(settings: Sequence[Runs]) -> list[Origin]:
    """One for training and one for the simulator, as far as there are runs of each."""
    titles = {"llm": "Training", "sim": "Simulator"}
    found = []
    for source, title in titles.items():
        own = [runs for runs in settings if runs.source == source]
        if own:
            infos = [info for runs in own for info in runs.infos.values()]
            shared, table = _settings(own)
            found.append(Origin(title, shared, table, _allocators(infos), _versions(infos)))
    return found


def notes(runs: Runs) -> list[str]:
    """What a reader should know before trusting the numbers: runs left out, code that differs or was changed."""
    found = []
    if runs.unfinished:
        found.append(f"Not finished, left out: {', '.join(runs.unfinished)}.")
    origin = [info["provenance"] for info in runs.infos.values()]
    commits = {str(of.get("commit")) for of in origin}
    if len(commits) > 1:
        found.append(f"The runs come from {len(commits)} commits of the code.")
    changed = sum(bool(of.get("dirty")) for of in origin)
    if changed:
        found.append(f"{changed} of {len(origin)} runs were made by code with changes that were not committed.")
    return found


def _settings(settings: Sequence[Runs]) -> tuple[dict[str, str], pd.DataFrame]:
    flat = [{key: shown(value) for key, value in {**one.problem, **one.scenario}.items()} for one in settings]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    differing = [key for key in keys if len({one.get(key) for one in flat}) > 1]
    shared = {key: flat[0][key] for key in keys if key not in differing}
    rows = [
        {"setting": setting_title(runs)}
        | {key: one.get(key, "") for key in differing}
        | {"experiment": ", ".join(dict.fromkeys(info["experiment"] for info in runs.infos.values()))}
        | {"seeds": _seeds(runs.frame["seed"]), "runs": f"{len(runs.infos):,}"}
        for runs, one in zip(settings, flat, strict=True)
    ]
    return shared, pd.DataFrame(rows)


def _allocators(infos: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    by_method: dict[str, list[Mapping[str, Any]]] = {}
    for info in infos:
        by_method.setdefault(method_label(info["method"], info["options"]), []).append(info)
    rows = []
    for method in in_order(by_method):
        own = by_method[method]
        resolved = [info.get("resolved_options", info["options"]) for info in own]
        options = {key: {shown(of.get(key)) for of in resolved} for key in resolved[0]}
        texts = [f"{key} = {_one_of(values)}" for key, values in options.items()]
        seeds = _seeds(info["seed"] for info in own)
        rows.append([method_name(method), method, ", ".join(texts), seeds, f"{len(own):,}"])
    return pd.DataFrame(rows, columns=["allocator", "method", "all options", "seeds", "runs"])


def _versions(infos: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Equal states of code and machine are one row, the first begun first."""
    states: dict[str, list[Mapping[str, Any]]] = {}
    for info in sorted(infos, key=lambda info: str(info["started"])):
        states.setdefault(json.dumps(info["provenance"], sort_keys=True), []).append(info)
    rows = []
    for own in states.values():
        origin = own[0]["provenance"]
        rows.append(
            {
                "commit": str(origin.get("commit") or _UNKNOWN)[:12],
                "uncommitted changes": {True: "yes", False: "no"}.get(origin.get("dirty"), _UNKNOWN),
                "versions": _pairs(origin.get("versions")),
                "machine": _pairs(origin.get("machine")),
                "first begun": _time(own[0]["started"]),
                "last finished": _time(max(str(info["finished"] or "") for info in own)),
                "runs": f"{len(own):,}",
            }
        )
    return pd.DataFrame(rows)


def _time(text: str | None) -> str:
    return (text or _UNKNOWN).replace("T", " ").replace("+00:00", " UTC")


def _pairs(values: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{key} {value}" for key, value in (values or {}).items()) or _UNKNOWN


def _one_of(values: Iterable[str]) -> str:
    found = sorted(set(values))
    return found[0] if len(found) == 1 else f"{len(found)} different"


def _seeds(seeds: Iterable[int]) -> str:
    """``0 to 9``; those that are not one range, one by one."""
    found = sorted(set(seeds))
    if len(found) > 2 and found[-1] - found[0] == len(found) - 1:
        return f"{found[0]} to {found[-1]}"
    return ", ".join(str(seed) for seed in found)
