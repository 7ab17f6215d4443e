"""Figures and table of a training experiment: ``python -m analysis.training results/llm/train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import App, Parameter
from rich.console import Console, RenderableType
from rich.text import Text

from analysis.command import says_errors
from analysis.data.describe import describe
from analysis.data.load import Runs, load_beside_committed, one_setting
from analysis.data.methods import in_order, method_name
from analysis.figures import OF_SETTING
from analysis.report.gallery import draw_setting
from analysis.stats.heldout import BASELINE, compare_to_uniform
from analysis.tables.sweep_tables import to_markdown
from analysis.tables.training_tables import MEANING, readable, terminal_tables, training_summary
from cerolab.records.files import write_text
from cerolab.tools.command_line import start
from cerolab.tools.settings import FolderToFill

app = App(
    name="python -m analysis.training",
    help="Draw the figures of a training experiment, as PNG and SVG, and print and write its summary.",
    version_flags=[],
    help_epilogue="Example: python -m analysis.training results/llm/train --figures /tmp/figures",
)


def notes(runs: Runs) -> list[str]:
    """What a reader of the numbers should know: figures that are missing, and why; seeds, runs and code that differ."""
    found = [f"no figure {stem}: {lack}" for stem, figure in OF_SETTING.items() if (lack := figure.missing(runs))]
    seeds = runs.frame.groupby("method")["seed"].agg(set)
    single = [method_name(method) for method in in_order(seeds.index) if len(seeds[method]) == 1]
    if single:
        found.append(f"one seed, so no interval: {', '.join(single)}")
    if len({frozenset(of_method) for of_method in seeds}) > 1:
        taken = "; differences take those that Uniform has too" if runs.source == "sim" else ""
        found.append(f"the allocators have different seeds{taken}")
    uniform = compare_to_uniform(runs).get(BASELINE)
    if uniform is not None and np.isnan(uniform.reach.estimate):
        found.append("Uniform ends no higher than it began, so no responses are counted until its final accuracy")
    if runs.unfinished:
        found.append(f"not finished, left out: {', '.join(runs.unfinished)}")
    commits = {info["provenance"].get("commit") for info in runs.infos.values()}
    if len(commits) > 1:
        found.append(f"these runs come from {len(commits)} commits of the code")
    return found


def write_summary(runs: Runs, path: Path) -> None:
    """The summary as Markdown, with what its columns mean and ``notes``."""
    parts = [
        to_markdown(readable(training_summary(runs))),
        f"{runs.title}; {describe(runs)}. {MEANING}",
        "\n".join(f"- {note}" for note in notes(runs)),
    ]
    write_text(path, "\n\n".join(part for part in parts if part) + "\n")


def report_training(directory: Path, figures: Path) -> list[RenderableType]:
    """Draw the figures, write ``summary.md`` beside the runs, and return what to print about it."""
    runs = one_setting(load_beside_committed(directory))
    written = draw_setting(runs, figures)
    write_summary(runs, directory / "summary.md")
    lines = [f"note: {note}" for note in notes(runs)]
    lines += [f"summary: {directory / 'summary.md'}"]
    lines += [f"figure: {path}" for path in written if path.suffix == ".png"]
    table = terminal_tables(training_summary(runs), str(directory))
    return [table, *(Text(line) for line in lines)]


def print_report(directory: Path, figures: Path) -> None:
    """``report_training`` on the terminal; long paths are not broken."""
    console = Console()
    for line in report_training(directory, figures):
        console.print(line, soft_wrap=isinstance(line, Text))


@app.default
@says_errors
def main(
    directory: Annotated[Path, Parameter(help="Folder of the experiment: its runs, or their packed tables.")],
    /,
    *,
    figures: Annotated[
        FolderToFill | None, Parameter(help="Folder for the figures.  [default: DIRECTORY/figures]")
    ] = None,
) -> int:
    """Draw the figures of a training experiment, as PNG and SVG, and print and write its summary."""
    print_report(directory, figures or directory / "figures")
    return 0


if __name__ == "__main__":
    start(app)
