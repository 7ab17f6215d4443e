"""``python -m sim.leaderboard``: every registered allocator in the same worlds, at equal responses."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from cerolab.records.files import write_text
from cerolab.tools.command_line import launch
from sim.engine_settings import EngineSettings
from sim.experiment.engine import plan_experiment, run_experiment
from sim.leaderboard_settings import QUICK, LeaderboardSettings

HELP = """Run every registered allocator in the same worlds, at equal responses, and rank them.

Static success rates of five shapes, a growing pool, drift, an abrupt shift, two ways of learning (one fitted to a real
training) and graded rewards. Under a seed all allocators meet the same prompts and the same luck. Finished runs are
skipped: a leaderboard that was stopped goes on where it was, and one with more seeds, scenarios or allocators does only
what is new. Ends with who wins where; `python -m analysis.leaderboard` prints all numbers.

Runs of allocators that are not built in never go among committed records: in a checkout they go to results/own, and the
committed runs of the others are read beside them.

Example: python -m sim.leaderboard --plugins my_allocator --allocators my_allocator
"""


def leaderboard(
    settings: Annotated[LeaderboardSettings, Parameter(name="*")] = LeaderboardSettings(),  # noqa: B008
    machines: Annotated[EngineSettings, Parameter(name="*")] = EngineSettings(),  # noqa: B008
    *,
    dry_run: bool = False,
    quiet: bool = False,
) -> None:
    """Run what is missing, then rank.

    Parameters
    ----------
    dry_run
        Say what would run, and stop; writes nothing.
    quiet
        No progress bar.
    """
    began, engine = time.perf_counter(), machines.choose()
    if dry_run:
        print(plan_experiment(settings))
        return
    done = run_experiment(settings, workers=machines.workers, quiet=quiet, engine=engine)
    _report(done.directory)
    Console().print(f"{done.num_runs} runs in {time.perf_counter() - began:.0f} s; records in {done.directory}")


def _report(directory: Path) -> None:
    """Ranks and sentences on the terminal, all tables as Markdown, and the figure."""
    from analysis.data.load import load_beside_committed
    from analysis.leaderboard import Summary
    from analysis.report.gallery import draw_sweep
    from analysis.tables.sweep_tables import to_rich

    runs = load_beside_committed(directory)
    console, summary = Console(), Summary(runs)
    write_text(directory / "summary.md", summary.markdown() + "\n")
    title = "Mean rank over scenarios, or of few of them the mean"
    console.print(to_rich(summary.overview, title), *summary.sentences, summary.solved, sep="\n")
    console.print(f"all numbers: {directory / 'summary.md'}")
    for path in draw_sweep(runs, directory / "figures"):
        if path.suffix == ".png":
            console.print(f"figure: {path}")


if __name__ == "__main__":
    launch(leaderboard, "python -m sim.leaderboard", HELP, quick_preset=QUICK)
