"""The settings that runs fall into, those of one world together, each with its verdict and what sets it apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.data.describe import plain
from analysis.data.load import Runs, experiment_names
from analysis.data.select import in_natural_order
from analysis.data.worlds import population_title, world_title
from analysis.figures import OF_STUDY
from analysis.stats import tally
from analysis.stats.verdict import Verdict, find_case, judge

_SHORT = {
    "num_prompts": "M",
    "num_rounds": "K",
    "max_units": "N_max",
    "responses_per_unit": "g",
    "budget": "B",
    "capacity": "C",
    "saturation": "λ",
}
_STUDIES = list(dict.fromkeys(study for _, study in OF_STUDY.values()))


@dataclass(frozen=True, eq=False)
class World:
    """Settings of one world: a study of one population, or trainings of one model on one task.

    Attributes:
        title: what they share.
        settings: their runs, in order of what differs.
        labels: what sets each apart; "" where there is one.
        verdicts: one a setting.
    """

    title: str
    settings: Sequence[Runs]
    labels: Sequence[str]
    verdicts: Sequence[Verdict]

    @property
    def headline(self) -> str:
        """The claim in a few short sentences."""
        return self.verdicts[0].headline if len(self.verdicts) == 1 else tally.headline(self.verdicts)

    @property
    def summary(self) -> list[str]:
        """Over several settings, how each allocator stands; else nothing."""
        if len(self.verdicts) == 1:
            return []
        alone = [label for label, verdict in zip(self.labels, self.verdicts, strict=True) if not verdict.contrasts]
        return [*tally.lines(self.verdicts), *([f"Nothing to compare where {'; '.join(alone)}."] if alone else [])]


def find_worlds(settings: Iterable[Runs], judged: Callable[[], object] = lambda: None) -> list[World]:
    """The settings judged, those of a world together, trainings first, then the simulator's studies.

    A world that two experiments have the same runs of is a world in each of them: none is counted twice.

    Args:
        settings: their runs.
        judged: called after each setting.
    """
    groups: dict[tuple[Any, ...], list[Runs]] = {}
    every = list(settings)
    parted = {_world(runs) for runs in every if runs.apart}
    names = experiment_names(every)
    for runs in every:
        *place, title = _world(runs)
        if (*place, title) in parted:
            title += f"; {', '.join(dict.fromkeys(names[folder] for folder in runs.folders.values()))}"
        groups.setdefault((*place, title), []).append(runs)
    found = []
    for key in sorted(groups):
        ordered = sorted(groups[key], key=_place)
        title = key[-1] if len(ordered) > 1 else setting_title(ordered[0])
        cases = []
        for runs in ordered:
            cases.append(find_case(runs))
            judged()
        found.append(World(title, ordered, setting_labels(ordered), judge(cases)))
    return found


def by_experiment(runs: Runs) -> Iterator[tuple[str, Runs]]:
    """The name and the runs of each experiment; of two of one name that have the same runs, each by its folder."""
    for name in dict.fromkeys(info["experiment"] for info in runs.infos.values()):
        own = runs.only(run_id for run_id, info in runs.infos.items() if info["experiment"] == name)
        if not any(one.apart for one in own.settings()):
            yield name, own
            continue
        for folder, of_folder in experiment_names([own]).items():
            yield of_folder, own.only(run_id for run_id, place in own.folders.items() if place == folder)


def setting_title(runs: Runs) -> str:
    """The world of one setting, with the study that it belongs to."""
    study = runs.scenario.get("study") if runs.source == "sim" else None
    apart = f"; {runs.apart}" if runs.apart else ""
    return f"{runs.title.removesuffix(apart)}, study {study}{apart}" if study else runs.title


def setting_labels(settings: Sequence[Runs]) -> list[str]:
    """What sets each setting apart, ``K = 500, B = 2,000``; "" where there is one."""
    flat = [{**runs.problem, **runs.scenario} for runs in settings]
    keys = [key for key in dict.fromkeys(key for one in flat for key in one) if _differs(one.get(key) for one in flat)]
    return [", ".join(f"{_SHORT.get(key, key)} = {shown(one.get(key))}" for key in keys) for one in flat]


def shown(value: Any) -> str:
    """A setting's value as people write it."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return plain(value)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _differs(values: Iterable[Any]) -> bool:
    return len({json.dumps(value, sort_keys=True) for value in values}) > 1


def _world(runs: Runs) -> tuple[Any, ...]:
    """Sorts, and ends with the title."""
    if runs.source != "sim":
        return False, 0, world_title(next(iter(runs.infos.values())))
    scenario = runs.scenario
    study, rewards = str(scenario.get("study", "")), str(scenario.get("rewards", "binary"))
    parts = [population_title(str(scenario.get("population", "")))]
    parts += [] if rewards == "binary" else [f"{rewards} rewards"]
    parts += [f"study {study}"] if study else []
    return True, _STUDIES.index(study) if study in _STUDIES else -1, f"Simulator: {', '.join(parts)}"


def _place(runs: Runs) -> tuple[Any, ...]:
    dynamics = in_natural_order(str(runs.scenario.get("dynamics", "")))
    return dynamics, runs.problem["num_prompts"], runs.problem["num_rounds"]
