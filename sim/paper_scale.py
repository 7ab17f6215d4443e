"""``python -m sim.paper_scale``: the paper's schedule on a synthetic pool, measured beside the published mechanism."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from cerolab import AllocationProblem
from cerolab.records import claim_directory
from cerolab.tools.command_line import launch
from cerolab.tools.method import Method
from cerolab.tools.settings import FolderName, Seeds, Workers, checked
from sim.experiment.cell import Cell, Scenario
from sim.experiment.engine import run_cells
from sim.experiment.offline import OfflineSettings

HELP = """Reproduce the mechanism of the CERO paper at its own scale.

M = 8,960 prompts, K = 500 rounds, B = 64,000 units of g = 4 responses, C = 132, N_max = 2, on static success rates.
CERO, uniform and random-matched CERO meet the same prompts and the same luck. Prints the measured values beside the
published ones (arXiv 2606.05606, sec. 6: real training of a 1.5B model) and draws pacing, exposure and selection.
"""

METHODS = (Method(name="cero"), Method(name="uniform"), Method(name="random_matched"))


@checked
def paper_scale(
    offline: Annotated[OfflineSettings, Parameter(name="*")] = OfflineSettings(),  # noqa: B008
    *,
    population: str = "beta(0.5, 0.5)",
    seeds: Seeds = 5,
    name: FolderName = "paper_scale",
    out: Path = Path("results"),
    workers: Workers | None = None,
    quiet: bool = False,
) -> None:
    """Run the paper's schedule.

    Parameters
    ----------
    population
        How success rates are spread, e.g. "beta(1, 1)".
    seeds
        Number of seeds; the first one keeps every group, for the pictures.
    name
        Name of the experiment; records go to OUT/sim/NAME.
    out
        Folder of all results.
    workers
        Processes; by default one a core.
    quiet
        No progress bar.
    """
    from analysis.data.load import load_setting
    from analysis.report.gallery import draw_setting
    from analysis.tables.offline import offline_check
    from analysis.tables.paper_tables import mechanisms
    from analysis.tables.sweep_tables import to_rich

    problem = AllocationProblem(
        num_prompts=8960, num_rounds=500, budget=64_000, capacity=132, max_units=2, responses_per_unit=4
    )
    directory = out / "sim" / name
    scenario = Scenario(population=population, study="paper_scale")
    cells = [(Cell(scenario, problem, seed, optimum_by=offline.optimum_by(seed)), METHODS) for seed in range(seeds)]
    fixed = {"population": scenario.population, "problem": problem.to_dict(), **offline.offline_fixed()}
    claim_directory(directory, fixed)
    run_cells(cells[:1], directory, ("rounds", "groups", "pool"), workers=1, quiet=quiet)
    run_cells(cells[1:], directory, ("rounds", "pool"), workers=workers, quiet=quiet)
    runs = load_setting(directory)
    table = mechanisms([runs])
    console = Console()
    console.print(to_rich(table.cells, "The mechanism of CERO"), table.caption, offline_check(runs), sep="\n")
    for path in draw_setting(runs, directory / "figures"):
        if path.suffix == ".png":
            console.print(f"figure: {path}")


if __name__ == "__main__":
    launch(paper_scale, "python -m sim.paper_scale", HELP)
