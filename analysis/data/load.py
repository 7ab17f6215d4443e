"""Run records of simulator and training alike: found, checked, and read as data frames when asked for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from analysis.data.text import counted
from analysis.data.worlds import world_title
from cerolab.errors import RecordError
from cerolab.records import PACKED_FILE, method_label, read_infos, read_rows, read_run
from cerolab.records.own import committed_beside
from cerolab.records.reader import is_partial
from cerolab.records.settings import differing_keys, plugin_version

RUN = ["run_id", "method", "seed"]  # in front of every table
PROBLEM = ("num_prompts", "num_rounds", "budget", "capacity", "max_units", "responses_per_unit", "saturation")


@dataclass(frozen=True, eq=False, repr=False)
class Runs:
    """Finished runs, sorted by run id.

    Attributes:
        infos: run.json of each, by run id.
        folders: the experiment that each stands in, by run id.
        unfinished: ids of the runs beside them that are running, were stopped or failed.
        apart: the experiment that ``settings`` parted these runs from another one by; "" where it did not need to.
    """

    infos: Mapping[str, Mapping[str, Any]]
    folders: Mapping[str, Path]
    unfinished: tuple[str, ...] = ()
    apart: str = ""
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def __repr__(self) -> str:
        """``Runs(2,160 runs of 6 allocators, seeds 0 to 9, in 66 settings; results/sim/regret_sweep)``."""
        if not self.infos:
            return "Runs(none)"
        places = list(dict.fromkeys(str(folder) for folder in self.folders.values()))
        others = f" and {len(places) - 1} other folders" if len(places) > 1 else ""
        methods, seeds = self.frame["method"].nunique(), self.frame["seed"].nunique()
        parts = [
            counted(len(self.infos), "run") + f" of {counted(methods, 'allocator')}",
            counted(seeds, "seed"),
            counted(len(self._grouped()), "setting"),
            *([f"{len(self.unfinished)} not finished"] if self.unfinished else []),
        ]
        return f"Runs({', '.join(parts)}; {places[0]}{others})"

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A row a run: ``RUN`` (method with its options where it has any), options as JSON, source and ``PROBLEM``."""
        rows = [run_row(self, run_id, {"problem": PROBLEM}) for run_id in self.infos]
        return pd.DataFrame(rows, columns=[*RUN, "options", "source", *PROBLEM])

    def table(self, name: str) -> pd.DataFrame:
        """A table of the record of all runs that kept it, each row behind its run's ``RUN``; without rows if none did.

        Raises:
            RecordError: a file is missing or damaged, or a number in it is nan that must be known; names file and
                column.
        """
        if name not in self._tables:
            rows = pa.concat_tables([read_rows(folder, name, ids) for folder, ids in self._by_folder().items()])
            lengths = {str(count["values"]): count["counts"] for count in rows["run_id"].value_counts().to_pylist()}
            heads = self.frame.set_index("run_id").loc[list(lengths), RUN[1:]].reset_index()
            # The rows of a run stand together: repeating is much faster than joining on a million ids.
            front = heads.loc[heads.index.repeat(list(lengths.values()))].reset_index(drop=True)
            self._tables[name] = pd.concat([front, rows.drop_columns(["run_id"]).to_pandas()], axis=1)
        return self._tables[name]

    def kept(self, name: str) -> bool:
        """Whether any run kept this table, without reading it."""
        return any(
            (folder / f"{name}.parquet").exists()
            or any(name in self.infos[i]["detail"] and (folder / i / f"{name}.parquet").exists() for i in ids)
            for folder, ids in self._by_folder().items()
        )

    def only(self, run_ids: Iterable[str]) -> Runs:
        """Some of these runs."""
        wanted = set(run_ids)
        chosen = [run_id for run_id in self.infos if run_id in wanted]
        infos, folders = {i: self.infos[i] for i in chosen}, {i: self.folders[i] for i in chosen}
        return Runs(infos, folders, self.unfinished, self.apart)

    def study(self, name: str) -> Runs:
        """The runs of a study of a sweep."""
        return self.only(run_id for run_id, info in self.infos.items() if info["scenario"].get("study") == name)

    def settings(self) -> list[Runs]:
        """Split into runs that may be compared: of one source, problem and scenario, hence of unlike method and seed.

        Where two experiments have the same method and seed in a setting, it is a setting in each of them, ``apart``.
        Simulator first, then by title and size.
        """
        groups, names = self._grouped(), experiment_names([self])
        found = []
        for key in sorted(groups):
            whole = self.only(groups[key])
            twice = whole.frame.duplicated(["method", "seed"]).any() and len(whole._by_folder()) > 1
            found += whole._parted(names) if twice else [whole]
        return found

    def _grouped(self) -> dict[tuple[Any, ...], list[str]]:
        """Run ids by source, problem and scenario; the keys sort."""
        groups: dict[tuple[Any, ...], list[str]] = {}
        for run_id, info in self.infos.items():
            sizes = [info["problem"].get(size, 0) for size in ("num_prompts", "num_rounds")]
            texts = [_text(info[part]) for part in ("problem", "scenario")]
            key = (info["source"] != "sim", world_title(info), *sizes, *texts)
            groups.setdefault(key, []).append(run_id)
        return groups

    def _parted(self, names: Mapping[Path, str]) -> list[Runs]:
        """The runs of each experiment."""
        parts = sorted(self._by_folder().items(), key=lambda part: names[part[0]])
        return [replace(self.only(ids), apart=names[folder]) for folder, ids in parts]

    @property
    def problem(self) -> dict[str, Any]:
        """The allocation problem; that of the first run where they differ."""
        return dict(next(iter(self.infos.values()))["problem"])

    @property
    def scenario(self) -> dict[str, Any]:
        """The world of the runs: population, or task and model; that of the first run where they differ."""
        return dict(next(iter(self.infos.values()))["scenario"])

    @property
    def source(self) -> str:
        """``sim`` or ``llm``."""
        return str(next(iter(self.infos.values()))["source"])

    @property
    def title(self) -> str:
        """The world as the title of a panel; where there are several, the source alone. Ends with ``apart``, if any."""
        titles = {world_title(info) for info in self.infos.values()}
        title = titles.pop() if len(titles) == 1 else world_title(next(iter(self.infos.values()))).partition(":")[0]
        return f"{title}; {self.apart}" if self.apart else title

    def where(self, run_id: str) -> Path:
        """Where a run's record stands: its own folder, or a row of the packed table."""
        folder = self.folders[run_id]
        own = folder / run_id / "run.json"
        return own if own.exists() else folder / PACKED_FILE / run_id

    def _by_folder(self) -> dict[Path, list[str]]:
        found: dict[Path, list[str]] = {}
        for run_id, folder in self.folders.items():
            found.setdefault(folder, []).append(run_id)
        return found


def experiment_names(every: Iterable[Runs]) -> dict[Path, str]:
    """What to call the experiment in each folder: its name, or the folder where two have the same name."""
    names = {folder: str(runs.infos[run_id]["experiment"]) for runs in every for run_id, folder in runs.folders.items()}
    twice = {name for name, times in Counter(names.values()).items() if times > 1}
    return {folder: str(folder) if name in twice else name for folder, name in names.items()}


def load_runs(*paths: Path | str) -> Runs:
    """Every finished run at or below the paths: runs, experiments with their packed files, folders of experiments.

    A path may be a glob pattern. Runs of an experiment that are not finished are left out and named in ``unfinished``.

    Raises:
        RecordError: a path does not exist or has no finished run, a run named by itself is not finished, or a record
            is damaged or foreign; names the file.
    """
    infos: dict[str, Mapping[str, Any]] = {}
    folders: dict[str, Path] = {}
    unfinished: list[str] = []
    for path in _expanded(paths):
        found = 0
        for folder, name in _experiments(path):
            loaded = read_infos(folder) if name is None else {name: read_run(folder / name).info}
            found += len(loaded)
            for run_id, info in loaded.items():
                if run_id in folders and folders[run_id].resolve() != folder.resolve():
                    raise RecordError(
                        f"{folders[run_id]} and {folder} both hold run {run_id}: the same settings run twice, or one "
                        "is a copy of the other; give one of them"
                    )
                infos[run_id], folders[run_id] = info, folder
            unfinished += _unfinished(folder) if name is None else ()
        if not found:
            raise RecordError(
                f"{path}: no finished run in it (neither run.json nor {PACKED_FILE}); "
                "give the folder of a run or of an experiment, results/sim/regret_sweep say"
            )
    infos = _told_apart(infos)
    ordered = sorted(infos)
    return Runs({i: infos[i] for i in ordered}, {i: folders[i] for i in ordered}, tuple(dict.fromkeys(unfinished)))


def load_setting(*paths: Path | str) -> Runs:
    """``load_runs`` for runs that may be compared with one another, of several methods and seeds.

    Raises:
        RecordError: as ``load_runs``, and where runs differ in their problem or scenario, or two have the same method
            and seed; names the runs and in what they differ.
    """
    return one_setting(load_runs(*paths))


def one_setting(runs: Runs) -> Runs:
    """``runs`` themselves, if they may be compared with one another; raises as ``load_setting``."""
    first, *others = runs.infos
    for run_id in others:
        here, there = (
            {"source": info["source"], **info["problem"], **info["scenario"]}
            for info in (runs.infos[first], runs.infos[run_id])
        )
        differ = [f"{key} ({here.get(key)!r} and {there.get(key)!r})" for key in differing_keys(here, there)]
        if differ:
            raise RecordError(
                f"{runs.folders[run_id]}: runs {first} and {run_id} differ in {', '.join(differ)}; "
                f"{_part(runs, first, run_id)}"
            )
    refuse_twice(runs)
    return runs


def load_beside_committed(directory: Path) -> Runs:
    """The runs of an experiment, and beside one's own (``results/own``) the committed ones of the same worlds.

    Raises:
        RecordError: as ``load_runs``.
    """
    committed = committed_beside(directory)
    if committed is None:
        return load_runs(directory)
    both = load_runs(directory, committed)
    worlds = {_world(info) for run_id, info in both.infos.items() if both.folders[run_id] == directory}
    return both.only(run_id for run_id, info in both.infos.items() if _world(info) in worlds)


def _world(info: Mapping[str, Any]) -> tuple[Any, ...]:
    return _text(info["problem"]), _text(info["scenario"]), info["seed"]


def _told_apart(infos: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The runs with the version of its code in a method's name, ``mine@3f2a1b``, where there are several of it."""
    versions: dict[str, dict[str, str]] = {}  # by label and run
    for run_id, info in infos.items():
        version = plugin_version(info.get("plugin", {})) or "unknown"
        versions.setdefault(method_label(info["method"], info["options"]), {})[run_id] = version
    found = dict(infos)
    for of_label in versions.values():
        if len(set(of_label.values())) > 1:
            for run_id, version in of_label.items():
                found[run_id] = {**infos[run_id], "method": f"{infos[run_id]['method']}@{version}"}
    return found


def refuse_twice(runs: Runs) -> None:
    """Refuse two runs of one setting with the same method and seed: a mean over seeds would count them twice."""
    twice = runs.frame[runs.frame.duplicated(["method", "seed"], keep=False)]
    if not twice.empty:
        one, other = twice.sort_values(["method", "seed"])["run_id"].iloc[:2]
        raise RecordError(
            f"{runs.folders[one]}: runs {one} and {other} have the same method and seed; {_part(runs, one, other)}"
        )


def _part(runs: Runs, one: str, other: str) -> str:
    """What to do about two runs that no mean may mix."""
    here, there = runs.folders[one], runs.folders[other]
    return "put them in experiments of their own" if here == there else f"give {here} or {there}, one at a time"


def run_row(runs: Runs, run_id: str, parts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The columns of one run, flat: what it was, then those that ``parts`` names of each part of its record."""
    info = runs.infos[run_id]
    row = {
        "run_id": run_id,
        "method": method_label(info["method"], info["options"]),
        "seed": info["seed"],
        "options": _text(info["options"]),
        "source": info["source"],
    }
    for part, columns in parts.items():
        for column in columns:
            if column not in info[part]:
                raise RecordError(
                    f"{runs.where(run_id)}: {part}.{column} is missing; "
                    "was it written by a sweep or training of this version?"
                )
            row[column] = info[part][column]
    return row


def _expanded(paths: Sequence[Path | str]) -> Iterator[Path]:
    for given in paths:
        path = Path(given)
        if path.exists() or not set("*?[") & set(str(given)):
            yield path
            continue
        matches = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))
        if not matches:
            raise RecordError(f"{path}: no path matches this pattern")
        yield from (match for match in matches if match.is_dir())


def _experiments(path: Path) -> Iterator[tuple[Path, str | None]]:
    """(experiment, run id; None for all its runs) at or below a path."""
    if (path / "run.json").exists():
        yield path.parent, path.name
        return
    found = {path} if (path / PACKED_FILE).exists() else set()
    found |= {file.parent for file in path.rglob(PACKED_FILE)}
    found |= {file.parent.parent for file in path.rglob("run.json") if not is_partial(file.parent)}
    yield from ((folder, None) for folder in sorted(found))


def _unfinished(folder: Path) -> list[str]:
    records = [file.parent for file in sorted(folder.glob("*/run.json")) if not is_partial(file.parent)]
    infos = [read_run(path, unfinished=True).info for path in records]
    return [info["run_id"] for info in infos if info["status"] != "finished"]


def _text(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)
