"""``python -m llm.study``: the same training with several allocators and seeds, at equal responses."""

from __future__ import annotations

import re
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from tqdm import tqdm

from cerolab.cli import launch
from cerolab.errors import CerolabError, InvalidValueError, UnknownNameError
from cerolab.method import Method
from cerolab.records import read_infos, write_in_turn
from cerolab.records.own import committed_beside, writable
from cerolab.registry import import_plugins
from cerolab.workers import in_processes, worker_count
from llm.presets import PRESETS
from llm.settings import TrainSettings

if TYPE_CHECKING:
    from llm.session import Session

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
class StudySettings:
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
    settings
        Any other setting of llm.train, e.g. --settings.learning-rate 1e-4.
    """

    name: str = "study"
    out: Path = Path("results")
    preset: str = "tiny-paper"
    tasks: tuple[str, ...] = ("arithmetic(broad)", "arithmetic(hard)")
    methods: tuple[str, ...] = METHODS
    seeds: int = 5
    first_seed: int = 0
    plugins: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

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
            UnknownNameError: no such preset or setting.
        """
        if self.preset not in PRESETS:
            raise UnknownNameError("preset", self.preset, PRESETS)
        known = [item.name for item in fields(TrainSettings)]
        for name in self.settings:
            if name == "plugins":
                raise InvalidValueError("settings.plugins", self.settings[name], "is not of one run", "give --plugins")
            if name.replace("-", "_") not in known:
                raise UnknownNameError("setting", name, known)
        if self.seeds < 1:
            raise InvalidValueError("seeds", self.seeds, "is below 1", "use 5, say")
        given: dict[str, Any] = {
            **PRESETS[self.preset],
            **{name.replace("-", "_"): _typed(name.replace("-", "_"), value) for name, value in self.settings.items()},
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


def _typed(name: str, value: Any) -> Any:
    """A setting given as text in the type of its default."""
    default = getattr(TrainSettings(), name)
    if not isinstance(value, str) or isinstance(default, str) or default is None:
        return value
    try:
        return {"true": True, "false": False}[value.lower()] if isinstance(default, bool) else type(default)(value)
    except (KeyError, ValueError, TypeError):
        raise InvalidValueError(
            f"settings.{name}", value, f"is no {type(default).__name__}", f"the default is {default!r}"
        ) from None


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
    from llm.session import prepare, run_settings

    sessions: dict[str, Session] = {}
    finished: dict[str, set[str]] = {}
    places: dict[str, list[Path]] = {}
    left = []
    for chain in chains:
        task, directory = chain[0].task, chain[0].directory
        if task not in sessions:
            sessions[task] = prepare(chain[0])
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
    from llm.run import remove_checkpoints, run_training
    from llm.session import prepare

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
