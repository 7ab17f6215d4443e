"""``python -m llm.study``: the same training with several allocators and seeds, at equal responses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from pydantic import Field
from tqdm import tqdm

from cerolab.errors import CerolabError, InvalidValueError, UnknownNameError
from cerolab.records import read_infos, write_in_turn
from cerolab.records.own import committed_beside, writable
from cerolab.registry import import_plugins
from cerolab.tools.command_line import launch
from cerolab.tools.method import Method
from cerolab.tools.settings import CommandLineOnly, FolderName, NoRepeats, Seed, Settings
from cerolab.tools.workers import in_processes, worker_count
from llm.presets import PRESETS
from llm.setting_types import Text, from_text
from llm.settings import FOREIGN, TrainSettings

if TYPE_CHECKING:
    from llm.training.session import Session

HELP = """Compare allocators in real training: every method, seed and task, all with the same pool, the same start and
the same budget of responses.

Runs that are finished are skipped and a run that was stopped goes on from its last checkpoint, so that the same
command completes a study. Each run has one process and one CPU thread.

Example: python -m llm.study --methods uniform cero "oracle(recovery=8)" --seeds 3
"""
QUICK = {
    "name": "demo",
    "preset": "tiny",
    "tasks": ["arithmetic(broad)"],
    "methods": ["uniform", "cero"],
    "seeds": 1,
    "settings": {"num-heldout": 1000, "eval-every": 5, "eval-temperature": 1.0, "final-samples": 0},
}
# What the study itself sets.
_OWN = frozenset({"name", "out", "seed", "allocator", "task", "threads", "save_model", "plugins"})
_NOT_FROM_FILES = ("plugins", "trust_remote_code", "vllm_url", *FOREIGN)
Chain = tuple[TrainSettings, ...]  # runs that are done one after the other
METHODS = (
    "uniform",
    "oracle(recovery=8)",
    "cero",
    "random_matched",
    "cero_fixed",
    "cero_preset",
    "cero_greedy",
    "renew",
    "mopps",
)


@dataclass(frozen=True, kw_only=True)
class StudySettings(Settings):
    """What to compare.

    Parameters
    ----------
    name
        The study; runs go to OUT/llm/NAME-TASK.
    out
        Folder of all results.
    preset
        Preset of llm.train that every run starts from.
    tasks
        Pools to train on.
    methods
        Allocators; random_matched replays the cero run of the same seed, which is trained first.
    seeds
        Number of seeds, from 0.
    first_seed
        The first of them.
    plugins
        Modules to import first; they register allocators of your own.
    trl
        Any field of TRL's GRPOConfig, e.g. --trl.top-p 0.9.
    settings
        Any other setting of llm.train, e.g. --settings.learning-rate 1e-4.
    """

    name: FolderName = "study"
    out: Path = Path("results")
    preset: Text = "tiny-paper"
    tasks: Annotated[tuple[Text, ...], Field(min_length=1), NoRepeats] = ("arithmetic(broad)", "arithmetic(hard)")
    methods: Annotated[tuple[Text, ...], Field(min_length=1), NoRepeats] = METHODS
    seeds: Annotated[int, Field(ge=1, le=10_000)] = 5
    first_seed: Seed = 0
    plugins: Annotated[tuple[Text, ...], CommandLineOnly()] = ()
    trl: Annotated[dict[str, Any], CommandLineOnly(FOREIGN)] = field(default_factory=dict)
    settings: Annotated[dict[str, Any], CommandLineOnly(_NOT_FROM_FILES)] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what cannot be studied, before anything is loaded.

        Raises:
            CerolabError: names the setting, its value and what would be right.
        """
        if self.preset not in PRESETS:
            raise UnknownNameError("preset", self.preset, PRESETS)
        if len(set(map(self._name_of, self.tasks))) < len(self.tasks):
            raise InvalidValueError("tasks", list(self.tasks), "name one twice, spaces aside", "name each once")
        if self.trl and self.settings.get("trl"):
            raise InvalidValueError("settings.trl", self.settings["trl"], "stands beside trl", "give --trl alone")

    def directories(self) -> dict[str, Path]:
        """Folder of each task's experiment; where it has committed records and a method is not built in, one's own."""
        folders = {task: self.out / "llm" / self._name_of(task) for task in self.tasks}
        import_plugins(self.plugins)
        return {
            task: writable(folder, (not Method.parse(method).plugin for method in self.methods))
            for task, folder in folders.items()
        }

    def _name_of(self, task: str) -> str:
        return f"{self.name}-{re.sub('[^A-Za-z0-9]+', '-', task).strip('-')}"

    def chains(self) -> list[Chain]:
        """Runs to do, seed after seed; the runs of a chain are done one after the other.

        Raises:
            CerolabError: a setting that cannot be used.
        """
        self.check()
        given: dict[str, Any] = {
            **PRESETS[self.preset],
            **train_settings(self.settings),
            **({"trl": self.trl} if self.trl else {}),
            "threads": 1,
            "plugins": self.plugins,
            "save_model": False,
        }
        for name in ("name", "out"):  # the study's own
            given.pop(name, None)
        outs = {task: folder.parents[1] for task, folder in self.directories().items()}
        chains = []
        for seed in range(self.first_seed, self.first_seed + self.seeds):
            for task in self.tasks:
                runs = {
                    method: TrainSettings(
                        **{**given, "task": task, "seed": seed, "allocator": method},
                        name=self._name_of(task),
                        out=outs[task],
                    )
                    for method in self.methods
                }
                matched = [runs.pop(method) for method in self.methods if method.startswith("random_matched")]
                if matched and "cero" not in runs:
                    raise InvalidValueError("methods", self.methods, "lack cero", "random_matched replays its run")
                for method, run in runs.items():
                    run.check()
                    chains.append((run, *(matched if method == "cero" else [])))
        return chains


def train_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a training by their long names, in their types.

    Raises:
        CerolabError: no such setting, one that the study itself sets, or a text that it cannot be.
    """
    known = sorted({item.name for item in fields(TrainSettings)} - _OWN)
    typed: dict[str, Any] = {}
    for written, value in given.items():
        name = written.replace("-", "_")
        if name in _OWN:
            remedy = f"give --{written} of the study" if name in ("name", "out", "plugins") else "leave it out"
            raise InvalidValueError(f"settings.{written}", value, "is not of one run", remedy)
        if name == "trl" and isinstance(value, str):
            raise InvalidValueError(f"settings.{written}", value, "has a name of its own here", "give --trl.NAME VALUE")
        if name not in known:
            near = " or ".join(get_close_matches(name, known, n=2))
            remedy = f"did you mean {near}?" if near else "python -m llm.train --help lists them"
            raise InvalidValueError(f"settings.{written}", value, "is no setting of llm.train", remedy)
        typed[name] = from_text(TrainSettings, name, value, f"settings.{written}")
    return typed


def study(
    settings: Annotated[StudySettings, Parameter(name="*")] = StudySettings(),
    *,
    workers: int | None = None,
    quiet: bool = False,
) -> None:
    """Train what is missing, then draw and tabulate what there is.

    Parameters
    ----------
    workers
        Runs side by side; by default one a core.
    quiet
        No progress bar.
    """
    workers = worker_count(workers)
    asked = settings.chains()
    chains = _missing(asked)
    total = sum(map(len, chains))
    if done := sum(map(len, asked)) - total:
        tqdm.write(f"{done} of {total + done} runs are done already")
    if chains:
        _train(chains, min(workers, len(chains)), total, settings.name, quiet)
    _report(settings)


def _missing(chains: list[Chain]) -> list[Chain]:
    """Chains with a run that is not finished, in a folder or in the packed tables; the models are made on the way."""
    from llm.training.session import prepare, run_settings

    sessions: dict[str, Session] = {}
    finished: dict[str, set[str]] = {}
    places: dict[str, list[Path]] = {}
    left = []
    for chain in chains:
        task, directory = chain[0].task, chain[0].directory
        if task not in sessions:
            sessions[task] = prepare(chain[0])
            if sessions[task].contamination:
                tqdm.write(f"warning: {sessions[task].contamination}")
            places[task] = [place for place in (directory, committed_beside(directory)) if place and place.is_dir()]
            finished[task] = {run_id for place in places[task] for run_id in read_infos(place)}
        session, done = sessions[task], finished[task]
        weights = session.run.scenario["weights"]
        ids = [run_settings(run, run.allocator, session.problem, weights).run_id for run in chain]
        if not all(run_id in done for run_id in ids):
            replayed = any((place / ids[0]).is_dir() for place in places[task])  # else its groups are needed anew
            left.append(
                tuple(run for run, run_id in zip(chain, ids, strict=True) if run_id not in done or not replayed)
            )
    return left


def _train(chains: list[Chain], workers: int, total: int, name: str, quiet: bool) -> None:
    with tqdm(total=total, unit="run", disable=quiet, smoothing=0, dynamic_ncols=True, desc=name) as bar:
        try:
            with closing(in_processes(_train_chain, chains, workers, max_tasks_per_child=1)) as counts:
                for trained in counts:
                    bar.update(trained)
        except BrokenProcessPool:
            raise CerolabError(
                "a worker was killed (out of memory? lower --workers); the same command goes on with what is missing"
            ) from None


def _train_chain(chain: Chain) -> int:
    from llm.training.run import remove_checkpoints, run_training
    from llm.training.session import prepare

    for settings in chain:
        try:
            session = prepare(settings)
            if session.finished:
                remove_checkpoints(session)
            else:  # by another study at once, perhaps: then it is waited for
                write_in_turn(partial(run_training, session, quiet=True))
        except Exception as error:
            raise CerolabError(
                f"{settings.allocator} on {settings.task}, seed {settings.seed}: {type(error).__name__}: {error}"
            ) from error
    return len(chain)


def _report(settings: StudySettings) -> None:
    from analysis.training import print_report

    for directory in settings.directories().values():
        print_report(directory, directory / "figures")


if __name__ == "__main__":
    launch(study, "python -m llm.study", HELP, quick_preset=QUICK)
