"""A legend under its panel, in columns and lines that fit the panel's share of the figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Bbox, ScaledTranslation, blended_transform_factory

from analysis.data.text import wrapped

_BELOW = 0.48  # inches, under the panel's lower edge
_MARGIN = 0.15  # inches, of the panel's share of the figure, left free
_POINT = 1.0 / 72.0  # inches
_SLACK = 1.03  # glyphs on a screen's grid are a little wider than their outlines


class Plan(NamedTuple):
    """How entries are laid out: labels cut into lines, columns, and the lines of the longest column."""

    labels: list[str]
    columns: int
    num_lines: int


class LegendBelow(Legend):
    """Centred under the panel's share of the figure's width, where long names have the most room.

    The layout gives it its height, and lets the panel be as wide as without it.

    Attributes:
        num_lines: that its longest column has.
    """

    num_lines: int = 0

    @classmethod
    def put(cls, axes: Axes, columns: int) -> None:
        """Make it the legend of the panel, in at most so many columns; nothing where the panel has no labels."""
        handles, labels = axes.get_legend_handles_labels()
        if not labels:
            return
        figure, grid, place = axes.get_figure(root=True), axes.get_gridspec(), axes.get_subplotspec()
        assert figure is not None
        assert grid is not None
        assert place is not None
        middle = (place.colspan.start + 0.5) / grid.ncols
        plan = fitting(labels, figure.get_figwidth() / grid.ncols - 2 * _MARGIN, columns)
        down = ScaledTranslation(0.0, -_BELOW, figure.dpi_scale_trans)
        legend = cls(
            axes,
            handles,
            plan.labels,
            ncols=plan.columns,
            loc="upper center",
            bbox_to_anchor=(middle, 0.0),
            bbox_transform=blended_transform_factory(figure.transFigure, axes.transAxes + down),
            borderaxespad=0.0,
        )
        legend.num_lines = plan.num_lines
        axes.legend_ = legend

    def get_tightbbox(self, renderer: RendererBase | None = None) -> Bbox:
        """Its height, and the panel's width."""
        found, axes = super().get_tightbbox(renderer), self.axes
        if found is None:
            return axes.bbox.frozen()
        return Bbox.from_extents(axes.bbox.x0, found.y0, axes.bbox.x1, found.y1)


def fitting(labels: Sequence[str], room: float, most_columns: int) -> Plan:
    """The columns that make the legend lowest, labels that are too long for theirs cut into lines.

    Args:
        labels: in the order of the legend.
        room: inches.
        most_columns: never more; the most of equally low ones are taken.
    """
    plans = [_plan(labels, room, columns) for columns in range(1, min(most_columns, len(labels)) + 1)]
    return min(plans, key=lambda plan: (plan.num_lines, -plan.columns))


def text_width(text: str, size: float | None = None) -> float:
    """Inches of a line of text, of ``size`` points or the legend's."""
    font = FontProperties(size=size or rcParams["legend.fontsize"])
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) * _POINT * _SLACK


def _plan(labels: Sequence[str], room: float, columns: int) -> Plan:
    em = rcParams["legend.fontsize"] * _POINT
    beside = em * (rcParams["legend.handlelength"] + rcParams["legend.handletextpad"])
    between = em * rcParams["legend.columnspacing"]
    free = room - columns * beside - (columns - 1) * between - 2 * em * rcParams["legend.borderpad"]
    dealt = _columns(labels, columns)
    rooms = _shared([max(map(text_width, column)) for column in dealt], free)
    cut = [[_cut(label, width) for label in column] for column, width in zip(dealt, rooms, strict=True)]
    lines = max(sum(label.count("\n") + 1 for label in column) for column in cut)
    return Plan([label for column in cut for label in column], columns, lines)


def _shared(widest: Sequence[float], free: float) -> list[float]:
    """What each column gets: what it needs, but where all need more than is there the widest share what is left."""
    rooms = list(widest)
    for left, place in enumerate(sorted(range(len(widest)), key=lambda place: widest[place])):
        rooms[place] = min(widest[place], free / (len(widest) - left))
        free -= rooms[place]
    return rooms


def _columns(labels: Sequence[str], columns: int) -> list[list[Any]]:
    """As Matplotlib deals them."""
    return [column.tolist() for column in np.array_split(np.array(labels, dtype=object), columns) if column.size]


def _cut(label: str, room: float) -> str:
    width = text_width(label)
    return wrapped(label, int(len(label) * room / width)) if width > room else label
