"""``python -m sim.replica``: fit a simulated world to the uniform runs of a training, and run every allocator in it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

from cerolab.errors import InvalidValueError
from cerolab.records import claim_directory
from cerolab.records.own import is_committed
from cerolab.registry import allocator_class, import_plugins
from cerolab.tools.command_line import launch
from cerolab.tools.settings import CommandLineOnly, FolderName, Horizon, NoRepeats, Seeds, Workers, checked
from sim.experiment.cell import Cell, Scenario
from sim.experiment.engine import run_cells
from sim.replica.fit import keep_fit, kept_fit, make_fit
from sim.replica.recorded import read_recorded
from sim.replica.report import print_replica

HELP = """Would the simulator have told what a training found?

Fits a population of prompts and the way in which success rates rise to the uniform runs of a recorded training, and to
nothing else. Then simulates every allocator that was trained, with the same options, the same problem and as many
seeds: their curves are predictions. Records go to OUT/sim/replica-NAME, the fit to fit.json there. Run it again when
more has been trained: the fit stays, and only what is missing is simulated.

Example: python -m sim.replica results/llm/study-arithmetic-hard
"""
DETAIL = ("rounds", "evals")
_LEAST_SEEDS = 5


@checked
def replica(
    training: Path,
    /,
    *,
    name: FolderName | None = None,
    out: Path = Path("results"),
    seeds: Seeds | None = None,
    window: Horizon | None = None,
    refit: bool = False,
    plugins: Annotated[tuple[str, ...], NoRepeats, CommandLineOnly()] = (),
    workers: Workers | None = None,
    quiet: bool = False,
) -> None:
    """Fit, simulate what is missing, and print the predictions beside what was measured.

    Parameters
    ----------
    training
        Folder of a training experiment, with groups, rounds and evals of its uniform runs.
    name
        Name of the experiment; by default "replica-" and the training's name without "study-".
    out
        Folder of all results.
    seeds
        Number of seeds; by default as many as a method was trained with, and at least 5.
    window
        First rounds from which the population is fitted; by default a fiftieth of the horizon.
    refit
        Fit anew, and drop the runs that were simulated under the old fit.
    plugins
        Modules to import first; they register allocators of your own.
    workers
        Processes; by default one a core.
    quiet
        No progress bar.
    """
    import_plugins(plugins)
    recorded = read_recorded(training)
    for method in recorded.methods.values():
        allocator_class(method.name)  # one that is not known is refused before the fit
    directory = out / "sim" / (name or f"replica-{recorded.experiment.removeprefix('study-')}")
    for method in recorded.methods.values():
        if method.plugin and is_committed(directory):
            problem = f"is committed, and {method.name} is not built in"
            raise InvalidValueError("name", directory.name, problem, "choose another --name")
    claim_directory(directory, {"training": recorded.experiment, "problem": recorded.problem.to_dict()})
    fit = None if refit else kept_fit(directory, recorded)
    if fit is None:
        fit = make_fit(recorded, window, quiet)
        for path in _run_folders(directory):
            shutil.rmtree(path)
        keep_fit(directory, fit)
    scenario = Scenario(
        population=fit["population"]["text"],
        dynamics=fit["learning"]["text"],
        study="replica",
        oracle_every=recorded.scenario.get("oracle_every", 1),
    )
    seeds = seeds or max(recorded.num_seeds, _LEAST_SEEDS)
    methods = list(recorded.methods.values())
    cells = [(Cell(scenario, recorded.problem, seed), methods) for seed in range(seeds)]
    run_cells(cells, directory, DETAIL, workers=workers, plugins=plugins, quiet=quiet)
    print_replica(directory, recorded, fit)


def _run_folders(directory: Path) -> list[Path]:
    """Folders of the runs of an experiment, finished or not."""
    return [record.parent for record in directory.glob("*/run.json")]


if __name__ == "__main__":
    launch(replica, "python -m sim.replica", HELP)
