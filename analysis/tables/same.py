"""When a file says the same as the one that another machine made of the same records.

Machines round exponentials, logarithms and matrix products otherwise in the last bit, so bytes may differ where nothing
else does (``docs/reproducibility.md``). Numbers are the same within a tolerance, also on both sides of a rounding
border; pictures where every small part of them looks the same; all else to the letter.
"""

from __future__ import annotations

import csv
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
from matplotlib.image import imread

from cerolab.rounding import SLACK, written

COUNTS = ("num_seeds",)  # columns of a table of numbers that say nothing of how large the others are
_NUMBER = re.compile(r"-?[0-9](?:[0-9,]*[0-9])?(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?")
_TILE = 32  # pixels
_GREY = 4.0  # levels of 255, root mean square over a tile; a marker that moved by a pixel makes about 35


def same_file(one: Path, other: Path) -> bool:
    """Whether two files of the same name say the same; a PDF does, as its picture is compared as PNG."""
    if one.read_bytes() == other.read_bytes() or one.suffix == ".pdf":
        return True
    if one.suffix == ".png":
        return same_picture(one, other)
    first, second = (path.read_text(encoding="utf-8") for path in (one, other))
    return same_numbers(first, second) if one.suffix == ".csv" else same_text(first, second)


def same_numbers(one: str, other: str) -> bool:
    """Whether two CSV files have the same cells, numbers to one in 10^9 of the largest of their row."""
    first, second = (list(csv.DictReader(text.splitlines())) for text in (one, other))
    return len(first) == len(second) and all(
        list(row) == list(there) and all(_same_cell(row[name], there[name], _largest(row)) for name in row)
        for row, there in zip(first, second, strict=True)
    )


def same_text(one: str, other: str) -> bool:
    """Whether two texts have the same words, whole numbers, and decimals to one unit of the last place printed."""
    first, second = (text.replace("$-$", "-").replace("\N{MINUS SIGN}", "-") for text in (one, other))
    if _NUMBER.split(first) != _NUMBER.split(second):
        return False
    return all(map(_same_printed, _NUMBER.findall(first), _NUMBER.findall(second)))


def same_picture(one: Path, other: Path) -> bool:
    """Whether two pictures are of one size and alike in every tile of 32 x 32 pixels."""
    first, second = (255.0 * imread(path)[..., :3] for path in (one, other))
    if first.shape != second.shape:
        return False
    square = np.square(first - second).mean(axis=2)
    rows, columns = (np.arange(0, length, _TILE) for length in square.shape)
    tiles = np.add.reduceat(np.add.reduceat(square, rows, axis=0), columns, axis=1)
    return float(tiles.max()) <= _GREY**2 * _TILE**2


def row_written(row: dict[str, object]) -> dict[str, object]:
    """A row of a table with its numbers as they are written: all to the twelfth digit of the largest.

    They are in one unit: means, their spread, and differences of them, which are no more exact than the means.
    """
    numbers = {name: x for name, x in row.items() if isinstance(x, float) and name not in COUNTS}
    like = max((abs(x) for x in numbers.values() if np.isfinite(x)), default=0.0)
    return row | {name: written(x, like) for name, x in numbers.items()}


def _same_cell(one: str, other: str, largest: float) -> bool:
    first, second = _number(one), _number(other)
    if one == other or first is None or second is None:
        return one == other
    return abs(first - second) <= SLACK * largest


def _largest(row: dict[str, str]) -> float:
    numbers = [_number(text) for name, text in row.items() if name not in COUNTS]
    return max((abs(x) for x in numbers if x is not None and np.isfinite(x)), default=0.0)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _same_printed(one: str, other: str) -> bool:
    if one == other or "." not in one + other:
        return one == other
    first, second = (Decimal(text.replace(",", "")) for text in (one, other))
    unit = max(Decimal(1).scaleb(int(x.as_tuple().exponent)) for x in (first, second))
    return abs(first - second) <= unit
