"""All figures that some runs have records for."""

from __future__ import annotations

from pathlib import Path

from analysis.data.load import Runs
from analysis.figures import OF_SETTING, OF_STUDY
from analysis.plotting.draw import FigureModule, save


def draw_setting(runs: Runs, folder: Path, vector: str = "svg") -> list[Path]:
    """Every figure of one setting, see ``load_setting``; returns the paths written."""
    drawn = {stem: figure for stem, figure in OF_SETTING.items() if not figure.missing(runs)}
    return [path for stem, figure in drawn.items() for path in save(figure, [runs], folder / stem, vector)]


def draw_sweep(runs: Runs, folder: Path, vector: str = "svg") -> list[Path]:
    """Every figure over the settings of a study, then those of one setting, of the richest that kept its tables."""
    written = []
    for stem, (figure, study) in OF_STUDY.items():
        of_study = runs.study(study)
        if of_study.infos and not figure.missing(of_study):
            written += save(figure, [of_study], folder / stem, vector)
    settings = by_richness(runs)
    for stem, figure in OF_SETTING.items():
        chosen = first_drawable(figure, settings)
        if chosen is not None:
            written += save(figure, [chosen], folder / stem, vector)
    return written


def by_richness(runs: Runs) -> list[Runs]:
    """The settings that kept tables: most allocators first, then the longest horizon, then the most seeds."""
    return sorted(
        (setting for setting in runs.settings() if setting.kept("rounds")),
        key=lambda one: (-one.frame["method"].nunique(), -one.problem["num_rounds"], -one.frame["seed"].nunique()),
    )


def first_drawable(figure: FigureModule, settings: list[Runs]) -> Runs | None:
    """The first setting that has what the figure needs."""
    return next((setting for setting in settings if not figure.missing(setting)), None)
