"""Plain numbers from user input, or an error that names the field."""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any

from cerolab.errors import InvalidValueError

FOLDER_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"  # of an experiment, a run and whatever else folders are named after
LONGEST_FOLDER_NAME = 200  # characters; file systems stop at 255 bytes


def whole_number(field: str, value: Any, least: int | None = None) -> int:
    """``value`` as an int; NumPy's integers count, booleans do not.

    Raises:
        InvalidValueError: no whole number, or below ``least``.
    """
    remedy = "give a whole number" + (f" >= {least}" if least is not None else "")
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise InvalidValueError(field, value, "is not an integer", remedy) from None
    if least is not None and number < least:
        raise InvalidValueError(field, value, "is not positive" if least == 1 else f"is below {least}", remedy)
    return number


def real_number(field: str, value: Any, low: float, high: float, remedy: str, low_open: bool = False) -> float:
    """``value`` as a float in [low, high], or (low, high] with ``low_open``; NumPy's numbers count, booleans do not.

    Raises:
        InvalidValueError: no finite number, or outside.
    """
    finite = not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
    number = float(value) if finite else math.nan
    if not low <= number <= high or (low_open and number == low):
        if math.isinf(high):
            wanted = "positive finite number" if low_open else "finite number >= 0"
            raise InvalidValueError(field, value, f"is not a {wanted}", remedy)
        interval = f"{'(' if low_open else '['}{low:g}, {high:g}]"
        raise InvalidValueError(field, value, f"is outside {interval}", remedy)
    return number
