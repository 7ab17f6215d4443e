"""``python -m llm.train``: GRPO in which an allocator decides which prompts get rollouts."""

from __future__ import annotations

import os
from typing import Annotated

from cyclopts import Parameter, validators
from rich.console import Console
from rich.table import Table

from cerolab.integrations.trl.processes.launcher import is_first
from cerolab.records import read_run
from cerolab.tools.command_line import launch
from llm.presets import PRESETS
from llm.settings import TrainSettings

HELP = f"""Train a language model by GRPO under one fixed budget of rollouts.

An allocator decides each round which prompts get a group of responses and how large it is: uniform, cero and its
ablations, or your own. Without options it trains a model of 0.8 M parameters for a few minutes on two cores. A run
that was stopped goes on from its last checkpoint when the same command is given again.

Presets: {", ".join(PRESETS)}.

Example: python -m llm.train --preset tiny-paper --allocator uniform --seed 1
"""


def train(
    settings: Annotated[TrainSettings, Parameter(name="*")] = TrainSettings(),  # noqa: B008
    *,
    dry_run: bool = False,
    processes: Annotated[int, Parameter(validator=validators.Number(gte=0, lte=100_000))] = 0,
    gpu_memory: Annotated[float, Parameter(validator=validators.Number(gte=0, lte=100_000))] = 0.0,
    quiet: bool = False,
) -> None:
    """Train, evaluate and record one run.

    Parameters
    ----------
    dry_run
        Print what would run, and stop; loads no weights and fetches nothing.
    processes
        That the dry run is for; 0 takes those that the launcher started.
    gpu_memory
        GiB of each GPU that the dry run is for; 0 looks at this machine.
    quiet
        No progress bar.
    """
    console = Console()
    if dry_run:
        os.environ["HF_HUB_OFFLINE"] = "1"  # a plan fetches nothing; read when the hub's client is imported
    settings.check()
    if dry_run:
        from llm.training.plan import plan

        table = Table(title=f"{settings.allocator}, seed {settings.seed}", show_header=False)
        for name, text in plan(settings, processes, gpu_memory).items():
            table.add_row(name, text)
        console.print(table)
        return
    from llm.training.run import remove_checkpoints, run_training
    from llm.training.session import prepare

    session = prepare(settings)
    if session.contamination and is_first():
        console.print(f"warning: {session.contamination}", style="yellow", markup=False, soft_wrap=True)
    if session.finished:
        console.print(f"this run is finished already: {session.directory}")
        remove_checkpoints(session)
    else:
        run_training(session, quiet)
    if not is_first():  # the first process reports; only it knows when the record is whole
        return
    results = read_run(session.directory).info["results"]
    told = [f"{results['responses']:,} responses", f"{results['updates']} updates"]
    if results["heldout_end"] is not None:
        told.append(f"held-out accuracy {results['heldout_start']:.4f} -> {results['heldout_end']:.4f}")
    if results["effective_group_rate"] is not None:
        told.append(f"effective groups {results['effective_group_rate']:.3f}")
    console.print(f"{session.run.method}: {', '.join(told)}; records in {session.directory}")


if __name__ == "__main__":
    launch(train, "python -m llm.train", HELP, presets=PRESETS)
