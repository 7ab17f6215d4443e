"""One way to draw every figure: its panels for one setting or for several side by side, heading and footer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.describe import describe
from analysis.data.load import Runs
from analysis.plotting import style
from analysis.plotting.layout import make_panels, make_room, set_heading
from cerolab.errors import RecordError

BANDS = "Lines: mean over seeds; bands: 95 % t-interval."


class Panel(NamedTuple):
    """A panel: what it shows beyond the figure's caption, how it is painted, and its height in inches."""

    title: str
    paint: Callable[[Axes], None]
    height: float = 4.3


class FigureModule(Protocol):
    """A module of ``analysis.figures``.

    Attributes:
        CAPTION: what is drawn.
        NOTE: for the footer; ``BANDS`` in it becomes a word on the missing interval where there is one seed.
        PANELS_A_ROW: panels side by side, 2 where the module says nothing.
    """

    CAPTION: str
    NOTE: str

    def missing(self, runs: Runs) -> str:
        """What the runs lack to be drawn; nothing: ""."""

    def panels(self, runs: Runs) -> list[Panel]:
        """The panels of one setting, of a sweep of them for figures over settings; ``missing`` said nothing."""


def draw(figure: FigureModule, settings: Sequence[Runs]) -> Figure:
    """The figure's panels for every setting, one setting after the other.

    Raises:
        RecordError: a setting lacks what the figure needs; names the folder and what is missing.
    """
    for runs in settings:
        if lack := figure.missing(runs):
            folder = next(iter(runs.folders.values()))
            raise RecordError(f"{folder}: no figure {figure.CAPTION!r}: {lack}")
    found = [(runs, panel) for runs in settings for panel in figure.panels(runs)]
    several = len(settings) > 1
    titles = ["\n".join(filter(None, [runs.title if several else "", panel.title])) for runs, panel in found]
    with style.applied():
        made, axes = make_panels(
            titles, height=max(panel.height for _, panel in found), columns=getattr(figure, "PANELS_A_ROW", 2)
        )
        for place, (_, panel) in zip(axes, found, strict=True):
            panel.paint(place)
        make_room(made, axes)
        set_heading(made, figure.CAPTION, footer(figure, settings))
    return made


def save(figure: FigureModule, settings: Sequence[Runs], stem: Path, vector: str = "svg") -> list[Path]:
    """Draw into ``stem.png`` and the vector file beside it; returns the paths."""
    return style.save(draw(figure, settings), stem, vector)


def footer(figure: FigureModule, settings: Sequence[Runs]) -> str:
    """What is behind the figure: each setting's world, sizes, seeds and budget, then the figure's own note."""
    worlds = [f"{runs.title}; {describe(runs)}." for runs in settings]
    seeds = max(int(runs.frame.groupby("method")["seed"].nunique().max()) for runs in settings)
    note = figure.NOTE if seeds > 1 else figure.NOTE.replace(BANDS, "One seed: no interval.")
    return "\n".join(worlds) + f" {note}".rstrip()
