"""``python -m sim.regret_sweep``: measure the regret of rollout allocators against the exact offline optimum."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from cerolab.records.files import write_text
from cerolab.tools.command_line import launch
from cerolab.tools.settings import FolderToFill
from sim.engine_settings import EngineSettings
from sim.experiment.engine import plan_experiment, run_experiment
from sim.sweep_settings import QUICK, SweepSettings

HELP = """Measure the regret of rollout allocators against the exact offline optimum.

Five studies, each over all seeds: "horizon" (regret against the number of rounds K), "pool" (against the pool size
M), "drift" (against the total variation V_K of moving success rates), "small_drift" (the same on pools so small that
cvxpy finds the optimum itself and not a bound on it) and "dynamics" (success rates that rise with training). The
optimum of static rates has a closed form; in one seed of each such cell cvxpy solves it too (--optimum). Finished
runs are skipped: a sweep that was stopped goes on where it was, and one with more seeds, horizons or allocators does
only what is new. Ends with a summary table and figures.

Example: python -m sim.regret_sweep --name mine --allocators cero "cero(forgetting=0.9)" uniform --horizons 100 1000
"""


def regret_sweep(
    settings: Annotated[SweepSettings, Parameter(name="*")] = SweepSettings(),  # noqa: B008
    machines: Annotated[EngineSettings, Parameter(name="*")] = EngineSettings(),  # noqa: B008
    *,
    figures: FolderToFill | None = None,
    dry_run: bool = False,
    quiet: bool = False,
) -> None:
    """Run the sweep, then draw it.

    Parameters
    ----------
    figures
        Folder of the figures; by default OUT/sim/NAME/figures.
    dry_run
        Say what would run, and how large its tables would be, and stop; writes nothing.
    quiet
        No progress bar.
    """
    began, engine = time.perf_counter(), machines.choose()
    if dry_run:
        print(plan_experiment(settings, settings.detail))
        return
    done = run_experiment(settings, settings.detail, machines.workers, quiet, engine)
    _report(done.directory, figures or done.directory / "figures")
    Console().print(f"{done.num_runs} runs in {time.perf_counter() - began:.0f} s; records in {done.directory}")


def _report(directory: Path, figures: Path) -> None:
    """Summary table on the terminal and as Markdown, and the figures."""
    from analysis.data.load import load_beside_committed
    from analysis.data.results import results_frame
    from analysis.report.gallery import draw_sweep
    from analysis.tables.offline import offline_check
    from analysis.tables.sweep_tables import sweep_summary, to_markdown, to_rich

    runs = load_beside_committed(directory)
    summary = sweep_summary(results_frame(runs))
    console = Console()
    checked = offline_check(runs)
    write_text(directory / "summary.md", "\n\n".join(filter(None, [to_markdown(summary), checked])) + "\n")
    shown = summary[summary["study"].isin(["horizon", "dynamics"])]
    console.print(to_rich(summary if shown.empty else shown, title="Regret against the offline optimum"))
    if checked:
        console.print(checked)
    console.print(f"all studies: {directory / 'summary.md'}")
    commits = {info["provenance"]["commit"] for info in runs.infos.values()}
    if len(commits) > 1:
        console.print(f"note: these runs come from {len(commits)} commits of the code; a new --name measures one")
    for path in draw_sweep(runs, figures):
        if path.suffix == ".png":
            console.print(f"figure: {path}")


if __name__ == "__main__":
    launch(regret_sweep, "python -m sim.regret_sweep", HELP, quick_preset=QUICK)
