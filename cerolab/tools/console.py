"""``python -m cerolab``: commands about allocators."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.markup import escape

from cerolab import __version__
from cerolab.registry import import_plugins
from cerolab.testing import Result, report_on
from cerolab.tools.method import Method

app = App(
    name="python -m cerolab",
    help="Commands about allocators.",
    version=__version__,
    help_format="plaintext",
)


@app.command
def check(
    allocator: str,
    /,
    *,
    plugins: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative_iterable=())] = (),
) -> int:
    """Check that an allocator keeps the contract: each rule with its result, exit status 1 if one is broken.

    Example: python -m cerolab check least_visited --plugins examples/least_visited.py

    Parameters
    ----------
    allocator
        Its name, options in brackets: "least_visited(bonus=2)".
    plugins
        Modules or files to import first, which register it.
    """
    import_plugins(plugins)
    method, console = Method.parse(allocator), Console()

    def show(result: Result) -> None:
        mark = "[green]kept[/]  " if result.broken is None else "[bold red]broken[/]"
        console.print(f"{mark}  {escape(result.rule.words)}", soft_wrap=True)
        if result.broken is not None:
            console.print(f"        {escape(result.broken)}", soft_wrap=True, highlight=False)

    report = report_on(method.name, after_rule=show, **method.options)
    num_broken = len(report.broken)
    told = (
        f"breaks {num_broken} of {len(report.results)} rules"
        if num_broken
        else f"keeps all {len(report.results)} rules"
    )
    console.print(f"{escape(allocator)} {told}", style="bold")
    return 1 if num_broken else 0
