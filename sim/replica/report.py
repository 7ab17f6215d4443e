"""The replica on the terminal: the fit, and what it predicts beside what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cerolab.records import method_label, read_infos
from sim.replica.fit import FIT_FILE
from sim.replica.recorded import Recorded

_COLUMNS = {"heldout_end": "accuracy at end, %", "effective_group_rate": "effective groups, %"}


def print_replica(directory: Path, recorded: Recorded, fit: Mapping[str, Any]) -> None:
    """Print the fit and, for every allocator, the numbers of training and replica, means over seeds."""
    learning, console = fit["learning"], Console()
    misfit = ", ".join(f"{kind} {100 * miss:.2f}" for kind, miss in learning["misfit"].items())
    for line in (
        f"fitted to {len(fit['uniform_runs'])} uniform runs of {fit['training']}:",
        f"population {fit['population']['text']}",
        f"dynamics {learning['text']}",
        f"misfit in percentage points, root mean square: {misfit}; "
        f"{learning['loss']:.0f} noise variances at {learning['num_points']} points",
    ):
        console.print(line, soft_wrap=True, highlight=False)
    replicated: dict[str, list[Mapping[str, Any]]] = {}
    for info in read_infos(directory).values():
        replicated.setdefault(method_label(info["method"], info["options"]), []).append(info["results"])
    table = Table("allocator", title=f"{recorded.experiment}: measured, and predicted by its replica")
    for heading in ("seeds", *_COLUMNS.values()):
        table.add_column(heading, justify="right")
    for label, measured in recorded.results.items():
        predicted = replicated.get(label, [])
        pairs = [(str(len(measured)), str(len(predicted)))]
        pairs += [(_mean(measured, column), _mean(predicted, column)) for column in _COLUMNS]
        table.add_row(label, *(" | ".join(pair) for pair in pairs))
    console.print(table)
    console.print(f"fit: {directory / FIT_FILE}", soft_wrap=True)


def _mean(results: Iterable[Mapping[str, Any]], column: str) -> str:
    known = [result[column] for result in results if result.get(column) is not None]
    return f"{100.0 * sum(known) / len(known):.2f}" if known else ""
