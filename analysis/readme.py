"""The generated numbers of README.md and of pages below docs: ``python -m analysis.readme``.

A block stands between ``<!-- generated:NAME -->`` and ``<!-- /generated -->``; what is between them is rewritten from
committed records, so that no number there is typed by hand. ``--check`` compares as ``analysis.tables.same.same_text``
does: another machine may round the last printed digit of a decimal the other way.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from analysis.command import says_errors
from analysis.data.describe import describe
from analysis.data.load import load_runs, load_setting
from analysis.data.results import results_frame
from analysis.leaderboard import Summary
from analysis.tables import benchmark_tables, example_tables
from analysis.tables.offline import offline_check
from analysis.tables.paper_tables import mechanisms
from analysis.tables.resolve_targets import bars_table
from analysis.tables.same import same_text
from analysis.tables.sweep_tables import MEANING, sweep_summary, to_markdown
from analysis.tables.training_tables import MEANING as TRAINING_MEANING
from analysis.tables.training_tables import readable, training_summary
from cerolab.errors import RecordError, UnknownNameError
from cerolab.records.files import write_text
from cerolab.tools.command_line import start

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("benchmarks", "resolve", "scale")))

_OPENING = "<!-- generated:"
_BLOCK = re.compile(r"<!-- generated:(?P<name>[\w-]+) -->\n(?P<body>.*?)<!-- /generated -->", re.DOTALL)

app = App(
    name="python -m analysis.readme",
    help="Rewrite the generated blocks of README.md and docs from the committed records.",
    version_flags=[],
)


def regret_table(results: Path) -> str:
    """The study "horizon" of the regret sweep at the largest K that all its allocators share."""
    directory = results / "sim" / "regret_sweep"
    _need(directory, "python -m sim.regret_sweep")
    sweep = load_runs(directory)
    runs = sweep.study("horizon")
    if not runs.infos:
        raise RecordError(f"{directory}: no run of the study 'horizon'; make them with `python -m sim.regret_sweep`")
    summary = sweep_summary(results_frame(runs))
    horizons = ", ".join(f"{horizon:,}" for horizon in sorted(summary["num_rounds"].unique()))
    meaning = f"{MEANING} The figure has CERO's slope to K = 10,000. {offline_check(sweep)}".rstrip()
    return f"{to_markdown(summary)}\n\nAt K = {horizons} rounds; {describe(runs)}. {meaning}"


def leaderboard(results: Path) -> str:
    """All tables of the leaderboard, and in sentences who wins where."""
    directory = results / "sim" / "leaderboard"
    _need(directory, "python -m sim.leaderboard")
    return Summary(load_runs(directory)).markdown()


def bars(results: Path) -> str:
    """What `resolve` was to reach on fixed rates."""
    directories = {rounds: results / "sim" / f"bars_K{rounds}" for rounds in (50, 500)}
    for directory in directories.values():
        _need(directory, "make bars")
    return bars_table({rounds: load_runs(directory) for rounds, directory in directories.items()})


def mechanism(results: Path) -> str:
    """The mechanism that the paper reports beside the simulator's at its scale and that of our trainings."""
    directory = results / "sim" / "paper_scale"
    _need(directory, "python -m sim.paper_scale")
    trainings = [load_setting(folder) for folder in sorted((results / "llm").glob("study-*"))]
    return mechanisms([load_setting(directory), *trainings]).markdown.rstrip()


def training(results: Path) -> str:
    """One table a pool of the committed study of real training."""
    directories = sorted((results / "llm").glob("study-*"))
    if not directories:
        raise RecordError(f"{results / 'llm'}: no study; make it with `python -m llm.study`")
    parts = []
    for directory in directories:
        found = load_setting(directory)
        table = to_markdown(readable(training_summary(found)))
        parts.append(f"{directory.name}:\n\n{table}\n\n{found.title}; {describe(found)}.")
    return "\n\n".join([*parts, TRAINING_MEANING])


BLOCKS: dict[str, Callable[[Path], str]] = {
    "regret_table": regret_table,
    "leaderboard": leaderboard,
    "bars": bars,
    "mechanism": mechanism,
    "benchmarks": benchmark_tables.goals,
    "scaling": benchmark_tables.scaling,
    "oracle": benchmark_tables.oracle,
    "ratios": benchmark_tables.ratios,
    "training": training,
    "precision_memory": example_tables.precision_memory,
    "precision_decisions": example_tables.precision_decisions,
    "precision_stall": example_tables.precision_stall,
    "token_budget": example_tables.token_budget,
}


def rewritten(text: str, results: Path) -> str:
    """A page's text with every generated block made anew from the records below ``results``.

    Raises:
        RecordError: a block is not closed, or its records are missing or damaged; names the file and how to make it.
        UnknownNameError: a block of an unknown name.
    """
    found = list(_BLOCK.finditer(text))
    if len(found) != text.count(_OPENING) or any(_OPENING in block["body"] for block in found):
        raise RecordError(
            "a generated block is not closed, or its first line is not of its own; "
            "write '<!-- generated:NAME -->', a line break, and '<!-- /generated -->' after it"
        )

    def make(block: re.Match[str]) -> str:
        name = block["name"]
        if name not in BLOCKS:
            raise UnknownNameError("generated block", name, BLOCKS)
        return f"{_OPENING}{name} -->\n{BLOCKS[name](results)}\n<!-- /generated -->"

    return _BLOCK.sub(make, text)


def _need(path: Path, command: str) -> None:
    if not path.exists():
        raise RecordError(f"{path} does not exist; make it with `{command}`")


@app.default
@says_errors
def main(
    *pages: Annotated[Path, Parameter(help="The files to rewrite.", show_default=False)],
    check: Annotated[bool, Parameter(help="Change nothing; fail if a page is not up to date.", negative="")] = False,
    results: Annotated[Path, Parameter(help="Folder of the records.", show_default=False)] = ROOT / "results",
) -> int:
    """Rewrite the generated blocks of README.md and docs from the committed records."""
    stale = False
    for page in pages or PAGES:
        _need(page, f"git checkout {page.name}")
        text = page.read_text(encoding="utf-8")
        made = rewritten(text, results)
        if made == text or (check and same_text(made, text)):
            print(f"{page} is up to date")
        elif check:
            print(f"{page} is not up to date with the records; run `python -m analysis.readme`", file=sys.stderr)
            stale = True
        else:
            write_text(page, made)
            print(f"rewrote {page}")
    return 1 if stale else 0


if __name__ == "__main__":
    start(app)
