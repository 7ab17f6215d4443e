"""How every figure looks: one colour, marker and line style per allocator, and one way to save."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib import style as mpl_style
from matplotlib.figure import Figure

from analysis.data.methods import method_name
from cerolab.records.files import write_atomically

REFERENCE = "#777777"  # reference lines and footers


class Look(NamedTuple):
    """How an allocator is drawn: the same in every figure, and told apart in black and white by marker and line."""

    name: str
    colour: str
    marker: str
    line: str | tuple[int, tuple[int, ...]]
    width: float = 1.3


# CERO's own study has the colours of Okabe and Ito (2008) but yellow, which is too faint on paper; the peers have those
# of Paul Tol's schemes for the colour-blind, and as many as they are they need their markers and lines.
_LOOKS: dict[str, tuple[Any, ...]] = {  # colour, marker, line, width
    "cero": ("#0072B2", "o", "-", 2.2),
    "uniform": ("#E69F00", "s", "--"),
    "cero_fixed": ("#009E73", "^", "-."),
    "cero_preset": ("#CC79A7", "v", (0, (5, 1, 1, 1, 1, 1))),
    "cero_greedy": ("#D55E00", "D", (0, (3, 1, 1, 1))),
    "cero(catch_up=true)": ("#332288", "X", (0, (4, 2))),
    "resolve": ("#EE3377", "H", (0, (8, 2)), 1.8),
    "renew": ("#0E7C7B", "8", (0, (8, 2, 2, 2)), 1.8),
    "dual_mirror_descent": ("#6699CC", "p", (0, (6, 2))),
    "mopps": ("#44AA99", "d", (0, (5, 1))),
    "knapsack": ("#999933", "<", (0, (6, 1, 2, 1))),
    "coba": ("#AA4499", ">", (0, (3, 2))),
    "vip": ("#117733", "x", (0, (7, 1, 1, 1))),
    "dapo": ("#661100", "+", (0, (2, 2))),
    "speed": ("#CC6677", "1", (0, (4, 1, 2, 1))),
    "greso": ("#997700", "2", (0, (3, 1, 1, 1, 1, 1))),
    "hora": ("#004488", "3", (0, (10, 2))),
    "reinforce_ada": ("#BB5566", "4", (0, (1, 2))),
    "reinforce_ada_est": ("#884488", "|", (0, (1, 1, 5, 1))),
    "random_matched": ("#56B4E9", "P", (0, (1, 1))),
    "oracle": ("#000000", "*", ":"),
    "oracle(recovery=8)": ("#882255", "h", (0, (2, 1))),
}
# For allocators that are not listed: darker colours of Paul Tol's "muted" scheme, and markers that CERO itself has not.
_SPARE_COLOURS = ("#332288", "#882255", "#999933", "#44AA99", "#AA4499", "#117733", "#661100", "#CC6677")
_SPARE_MARKERS = ("X", "p", "h", "<", ">", "d", "8")
_SPARE_LINES = ("-", "--", "-.", ":")

_SETTINGS = {
    "font.family": "DejaVu Sans",  # comes with Matplotlib: the same on every machine
    "font.size": 9,
    "text.parse_math": False,  # names are the users'; a dollar sign is one
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "legend.columnspacing": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.markersize": 4.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "cerolab",  # the same ids in every drawing
    "svg.fonttype": "path",
}


def applied() -> AbstractContextManager[None]:
    """These settings on Matplotlib's defaults, for the length of a ``with`` block; a user's own stay untouched."""
    return mpl_style.context(["default", _SETTINGS])


def look(method: str) -> Look:
    """The look of an allocator; one that is not listed gets its own, fixed by its name."""
    if method in _LOOKS:
        return Look(method_name(method), *_LOOKS[method])
    digest = hashlib.sha256(method.encode()).digest()
    return Look(
        method_name(method),
        _SPARE_COLOURS[digest[0] % len(_SPARE_COLOURS)],
        _SPARE_MARKERS[digest[1] % len(_SPARE_MARKERS)],
        _SPARE_LINES[digest[2] % len(_SPARE_LINES)],
    )


def save(figure: Figure, stem: Path, vector: str = "svg") -> list[Path]:
    """Write ``stem.png`` (150 dots an inch) and a vector file; the same figure gives the same bytes.

    Args:
        figure: from ``analysis.plotting.draw.draw``.
        stem: path without a suffix.
        vector: "svg" or "pdf".
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    png, drawing = Path(f"{stem}.png"), Path(f"{stem}.{vector}")
    undated = {"svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None, "Creator": None, "Producer": None}}
    with applied():
        write_atomically(png, lambda file: figure.savefig(file, format="png", dpi=150, metadata={"Software": None}))
        figure.set_layout_engine("none")  # the layout is found; finding it again is half of the time
        write_atomically(drawing, lambda file: figure.savefig(file, format=vector, metadata=undated[vector]))
    return [png, drawing]
