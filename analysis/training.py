"""Figures and table of a training experiment: ``python -m analysis.training results/llm/train``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import App, Parameter
from rich.console import Console, RenderableType
from rich.text import Text

from analysis import style
from analysis.figures import accuracy, against_uniform, effective_groups, mean_pacing
from analysis.heldout import BASELINE, accuracy_points, compare_to_uniform
from analysis.layout import describe_training
from analysis.load_training import Training, load_training
from analysis.tables import to_markdown
from analysis.training_tables import readable, terminal_tables, training_summary
from cerolab.errors import CerolabError
from cerolab.records.files import write_text

_FIGURES = {
    "accuracy": accuracy,
    "effective_groups": effective_groups,
    "pacing": mean_pacing,
    "against_uniform": against_uniform,
}
_MEANING = (
    "Means over seeds ± half of a 95 % t-interval. Against Uniform: difference of the final accuracy in percentage "
    "points, paired by seed. "
    "Responses to Uniform's accuracy: where the mean curve first reaches Uniform's final accuracy, and the share of "
    "Uniform's responses that this is. Updates: rounds that changed the policy. Minutes: without evaluations."
)

app = App(
    name="python -m analysis.training",
    help="Draw the figures of a training experiment, as PNG and SVG, and print and write its summary.",
    version_flags=[],
    help_epilogue="Example: python -m analysis.training results/llm/train --figures /tmp/figures",
)


def draw_training(directory: Path, figures: Path, training: Training | None = None) -> list[Path]:
    """Draw every figure for which the experiment has runs into ``figures``; returns the paths written.

    Who has read the records already passes them as ``training``.

    Raises:
        RecordError: no finished run, unlike runs, or a damaged record; names the file or the runs.
    """
    training = load_training(directory) if training is None else training
    written = []
    for stem, figure in _FIGURES.items():
        if not figure.missing(training):
            written += style.save(figure.draw(training), figures / stem)
    return written


def notes(training: Training) -> list[str]:
    """What a reader of the numbers should know: figures that are missing, and why; seeds, runs and code that differ."""
    found = [f"no figure {stem}: {lack}" for stem, figure in _FIGURES.items() if (lack := figure.missing(training))]
    seeds = training.runs.groupby("method")["seed"].agg(set)
    single = [style.look(method).name for method in style.in_order(seeds.index) if len(seeds[method]) == 1]
    if single:
        found.append(f"one seed, so no interval: {', '.join(single)}")
    if len({frozenset(of_method) for of_method in seeds}) > 1:
        found.append("the allocators have different seeds; differences take those that Uniform has too")
    uniform = compare_to_uniform(accuracy_points(training)).get(BASELINE)
    if uniform is not None and np.isnan(uniform.share):
        found.append("Uniform ends no higher than it began, so no responses are counted until its final accuracy")
    if training.unfinished:
        found.append(f"not finished, left out: {', '.join(training.unfinished)}")
    commits = {info["provenance"].get("commit") for info in training.infos.values()}
    if len(commits) > 1:
        found.append(f"these runs come from {len(commits)} commits of the code")
    return found


def write_summary(training: Training, path: Path) -> None:
    """The summary as Markdown, with what its columns mean and ``notes``."""
    parts = [
        to_markdown(readable(training_summary(training))),
        f"{describe_training(training, bands=False)} {_MEANING}",
        "\n".join(f"- {note}" for note in notes(training)),
    ]
    write_text(path, "\n\n".join(part for part in parts if part) + "\n")


def report_training(directory: Path, figures: Path) -> list[RenderableType]:
    """Draw the figures, write ``summary.md`` beside the runs, and return what to print about it."""
    training = load_training(directory)
    written = draw_training(directory, figures, training)
    write_summary(training, directory / "summary.md")
    lines = [f"note: {note}" for note in notes(training)]
    lines += [f"summary: {directory / 'summary.md'}"]
    lines += [f"figure: {path}" for path in written if path.suffix == ".png"]
    table = terminal_tables(training_summary(training), str(directory))
    return [table, *(Text(line) for line in lines)]


def print_report(directory: Path, figures: Path) -> None:
    """``report_training`` on the terminal; long paths are not broken."""
    console = Console()
    for line in report_training(directory, figures):
        console.print(line, soft_wrap=isinstance(line, Text))


@app.default
def main(
    directory: Annotated[Path, Parameter(help="Folder of the experiment: its runs, or their packed tables.")],
    /,
    *,
    figures: Annotated[Path | None, Parameter(help="Folder for the figures.  [default: DIRECTORY/figures]")] = None,
) -> int:
    """Draw the figures of a training experiment, as PNG and SVG, and print and write its summary."""
    try:
        print_report(directory, figures or directory / "figures")
    except CerolabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(app())
