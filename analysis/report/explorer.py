"""Charts to explore: drawn by Bokeh in the reader's browser, values under the pointer, allocators on and off."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from analysis.plotting.style import Look, look
from analysis.report.charts import Chart
from analysis.stats.curves import Curve

# Matplotlib's markers and lines in Bokeh's words.
_MARKERS = {
    "o": "circle",
    "s": "square",
    "^": "triangle",
    "v": "inverted_triangle",
    "D": "diamond",
    "X": "square_x",
    "P": "plus",
    "*": "star",
    "h": "hex",
    "H": "hex_dot",
    "8": "circle_dot",
    "p": "square_pin",
    "d": "diamond_dot",
    "<": "triangle_dot",
    ">": "triangle_pin",
    "x": "x",
    "+": "cross",
    "1": "y",
    "2": "asterisk",
    "3": "circle_y",
    "4": "circle_x",
}
_LINES = {"-": "solid", "--": "dashed", "-.": "dashdot", ":": "dotted"}
_DASHES = {"solid": [], "dashed": [6], "dashdot": [6, 3, 2, 3], "dotted": [2, 3]}  # pixels
_HEIGHT = 380  # pixels, of a chart; its legend is text of the page, which wraps where a picture's is cut
_FEW = 40  # points that large markers tell apart


def library() -> str:
    """Bokeh's script, to stand in the page."""
    from bokeh.resources import Resources

    return "\n".join(Resources(mode="inline", components=["bokeh"], log_level="error").js_raw)


def embedded(chart: Chart, name: str) -> dict[str, Any]:
    """The chart as JSON for ``Bokeh.embed.embed_item``; the same chart and name give the same JSON.

    Args:
        chart: what to draw.
        name: begins the ids of its parts, so that those of a page's charts differ.
    """
    from bokeh.embed import json_item

    item: dict[str, Any] = json_item(_plot(chart))  # type: ignore[assignment]
    del item["target_id"]
    return _renamed(item, name)


def _plot(chart: Chart) -> Any:
    from bokeh.models import DataRange1d, FixedTicker, HoverTool, NumeralTickFormatter
    from bokeh.plotting import figure

    kind: Literal["log", "linear"] = "log" if chart.logarithmic else "linear"
    plot = figure(
        height=_HEIGHT,
        sizing_mode="stretch_width",
        x_axis_label=chart.x_label,
        y_axis_label=chart.y_label,
        x_axis_type=kind,
        y_axis_type=kind,
        tools="pan,box_zoom,wheel_zoom,reset,save",
        active_drag=None,  # a finger on the chart scrolls the page
        active_scroll=None,
        toolbar_location="above",
    )
    plot.toolbar.logo = None
    points = [_draw(plot, method, found)[-1] for method, found in chart.curves.items()]
    values = [(chart.x_label, "@x{0,0.[00]}"), (chart.y_label, "@value"), ("95 % t-interval", "@interval")]
    plot.add_tools(HoverTool(renderers=points, tooltips=[("allocator", "@name"), *values]))
    # An interval over two seeds may be very wide: it runs out of the chart.
    plot.y_range = DataRange1d(renderers=points)
    if chart.logarithmic:
        horizons = sorted({float(x) for found in chart.curves.values() for x in found.x})
        plot.xaxis.ticker = plot.xgrid.ticker = FixedTicker(ticks=horizons)
        plot.yaxis.ticker = plot.ygrid.ticker = FixedTicker(ticks=_decades(chart.curves.values()))
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0.[00]")
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[00000]")
    return plot


def _draw(plot: Any, method: str, found: Curve) -> list[Any]:
    """Band, line and points, the points last."""
    from bokeh.models import ColumnDataSource

    style = look(method)
    ends = zip(found.low, found.high, strict=True)
    source = ColumnDataSource(
        {
            "x": found.x,
            "mean": found.mean,
            "low": found.low,
            "high": found.high,
            "name": [style.name] * found.x.size,
            "value": [f"{mean:.4g}" for mean in found.mean],
            "interval": ["one seed" if np.isnan(low) else f"{low:.4g} to {high:.4g}" for low, high in ends],
        }
    )
    size = 7 if found.x.size <= _FEW else 3
    of_method = {"source": source, "name": method}  # what the page's legend finds them by
    band = plot.varea("x", "low", "high", fill_color=style.colour, fill_alpha=0.13, **of_method)
    line = plot.line("x", "mean", color=style.colour, line_dash=_dash(style), line_width=_width(style), **of_method)
    marker = _MARKERS.get(style.marker, "circle")
    marks = plot.scatter("x", "mean", color=style.colour, marker=marker, size=size, **of_method)
    return [band, line, marks]


def legend(chart: Chart) -> list[dict[str, str]]:
    """Method, name, colour, width and dashes (as SVG has them) of every curve."""
    found = []
    for method in chart.curves:
        style = look(method)
        dash = _dash(style)
        lengths = _DASHES[dash] if isinstance(dash, str) else dash
        entry = {"method": method, "name": style.name, "colour": style.colour}
        found.append(entry | {"width": f"{_width(style):g}", "dash": " ".join(map(str, lengths))})
    return found


def _width(style: Look) -> float:
    return style.width + 0.5


def _decades(curves: Iterable[Curve]) -> list[float]:
    """1, 2, 5, 10, ... around the values of the curves."""
    values = [value for found in curves for value in found.extent]
    low, high = (math.floor(math.log10(end)) for end in (min(values), max(values)))
    return [factor * 10.0**power for power in range(low, high + 2) for factor in (1, 2, 5)]


def _dash(style: Look) -> str | list[int]:
    return _LINES[style.line] if isinstance(style.line, str) else [3 * length for length in style.line[1]]


def _renamed(item: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Ids counted from 0: Bokeh's go on from chart to chart, and would differ with what was drawn before."""
    names: dict[str, str] = {}

    def walk(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {inner: walk(of, inner) for inner, of in value.items()}
        if isinstance(value, (list, tuple)):
            return [walk(of) for of in value]
        if key in ("id", "root_id") and isinstance(value, str):
            return names.setdefault(value, f"{name}-{len(names)}")
        return value

    return {key: walk(value, key) for key, value in item.items()}
