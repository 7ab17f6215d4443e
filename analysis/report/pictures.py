"""The figures of the page: which settings are drawn, and each figure as an image that stands in the page itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from analysis.data.load import Runs
from analysis.figures import OF_SETTING, OF_STUDY
from analysis.plotting import style
from analysis.plotting.draw import FigureModule, draw, footer
from analysis.report.gallery import by_richness
from analysis.report.settings import by_experiment, setting_title
from cerolab.errors import RecordError

MOST_SETTINGS = 4  # of simulator and of training, that get the figures of one setting
_WIDE = 700  # pixels
_LARGEST_SVG = 800_000  # bytes; larger drawings are shown as PNG


@dataclass(frozen=True)
class Picture:
    """A figure for the page.

    Attributes:
        stem: its name in ``analysis.figures``.
        caption: what is drawn.
        note: what is behind it: world, sizes, seeds, how to read it.
        image: a data address.
        width, height: in pixels of a screen.
    """

    stem: str
    caption: str
    note: str
    image: str
    width: int
    height: int

    @property
    def wide(self) -> bool:
        """Whether it has panels side by side."""
        return self.width > _WIDE


@dataclass(frozen=True)
class Gallery:
    """The pictures of one setting or of the studies of one experiment.

    Attributes:
        title: setting or experiment.
        pictures: in the order of ``analysis.figures``.
        lacking: figures that are not drawn, and why.
    """

    title: str
    pictures: Sequence[Picture]
    lacking: Sequence[str] = ()


def richest(runs: Runs) -> tuple[list[Runs], list[Runs]]:
    """Settings that get figures of their own, and those that kept tables but do not; of each source the richest."""
    chosen, left = [], []
    for source in ("llm", "sim"):
        ranked = by_richness(runs.only(run_id for run_id, info in runs.infos.items() if info["source"] == source))
        chosen += ranked[:MOST_SETTINGS]
        left += ranked[MOST_SETTINGS:]
    return chosen, left


def num_figures(runs: Runs, drawn: Sequence[Runs]) -> int:
    """How often the galleries of these runs, and of these settings, call ``done``."""
    return sum(1 for _ in _studies(runs)) + len(drawn) * len(OF_SETTING)


def study_galleries(runs: Runs, done: Callable[[], object] = lambda: None) -> list[Gallery]:
    """The figures over the settings of each sweep's studies, a gallery a sweep; calls ``done`` after each figure."""
    found: dict[str, tuple[list[Picture], list[str]]] = {}
    for experiment, stem, figure, of_study in _studies(runs):
        drawn, lacking = found.setdefault(experiment, ([], []))
        try:
            lack = figure.missing(of_study)
        except RecordError as error:  # unlike runs that a mean would mix
            lack = str(error)
        if lack:
            lacking.append(f"{figure.CAPTION}: {lack}")
        else:
            drawn.append(picture(stem, figure, of_study))
        done()
    return [Gallery(f"Studies of {experiment}", *parts) for experiment, parts in found.items()]


def _studies(runs: Runs) -> Iterator[tuple[str, str, FigureModule, Runs]]:
    """(experiment, stem, figure, runs) of every figure over the settings of a study that was run."""
    for experiment, own in by_experiment(runs):
        for stem, (figure, study) in OF_STUDY.items():
            of_study = own.study(study)
            if of_study.infos:
                yield experiment, stem, figure, of_study


def setting_galleries(settings: Iterable[Runs], done: Callable[[], object] = lambda: None) -> list[Gallery]:
    """Every figure that each setting has tables for; calls ``done`` after each."""
    galleries = []
    for runs in settings:
        drawn, reasons = [], []
        for stem, figure in OF_SETTING.items():
            if lack := figure.missing(runs):
                reasons.append(f"{figure.CAPTION}: {lack}")
            else:
                drawn.append(picture(stem, figure, runs))
            done()
        galleries.append(Gallery(setting_title(runs), drawn, reasons))
    return galleries


def picture(stem: str, figure: FigureModule, runs: Runs) -> Picture:
    """The figure without heading and footer, which are text of the page."""
    made = draw(figure, [runs])
    made.suptitle("")
    made.supxlabel("")
    with style.applied():
        drawing = io.BytesIO()
        made.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
        kind = "svg+xml"
        if drawing.tell() > _LARGEST_SVG:
            drawing, kind = io.BytesIO(), "png"
            made.savefig(drawing, format="png", dpi=150, metadata={"Software": None})
    data = base64.b64encode(drawing.getvalue()).decode("ascii")
    width, height = (round(96 * inches) for inches in made.get_size_inches())
    return Picture(stem, figure.CAPTION, footer(figure, [runs]), f"data:image/{kind};base64,{data}", width, height)
