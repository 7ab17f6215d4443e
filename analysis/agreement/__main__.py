"""``python -m analysis.agreement TRAINING REPLICA``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.text import Text

from analysis.agreement.findings import CAUTION
from analysis.agreement.page import find_agreement
from analysis.command import says_errors
from analysis.data.load import load_setting
from analysis.tables.sweep_tables import to_rich
from cerolab.records.files import write_text
from cerolab.tools.command_line import start
from cerolab.tools.settings import FolderToFill

app = App(
    name="python -m analysis.agreement",
    help="Say whether simulator and training rank the allocators alike, and where they do not.",
    version_flags=[],
    help_epilogue="Example: python -m analysis.agreement results/llm/study-arithmetic-hard "
    "results/sim/replica-arithmetic-hard",
)


@app.default
@says_errors
def main(
    training: Annotated[Path, Parameter(help="Folder of the training experiment.")],
    replica: Annotated[Path, Parameter(help="Folder of its replica, made by python -m sim.replica.")],
    /,
    *,
    out: Annotated[FolderToFill | None, Parameter(help="Folder for page and figure.  [default: REPLICA]")] = None,
) -> int:
    """Print table and sentences, write them to OUT/agreement.md, and draw OUT/figures/agreement."""
    found = find_agreement(load_setting(training), load_setting(replica))
    folder = out or replica
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "agreement.md", found.markdown())
    written = found.draw(folder / "figures" / "agreement")
    console = Console()
    console.print(to_rich(found.table, "measured in training | predicted by the replica"))
    for heading, lines in found.sections.items():
        console.print(Text(heading, style="bold"))
        for line in lines:
            console.print(Text(f"- {line}"), soft_wrap=True)
    console.print(Text(CAUTION, style="italic"))
    console.print(Text(f"page: {folder / 'agreement.md'}"), soft_wrap=True)
    console.print(Text(f"figure: {written[0]}"), soft_wrap=True)
    return 0


if __name__ == "__main__":
    start(app)
