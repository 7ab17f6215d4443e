"""Rounding to what floating-point arithmetic guarantees, so that nothing hangs on the last bit.

Two machines of the same kind agree on sums, products and roots to the last bit, but not on exponentials, logarithms,
powers and matrix products: their vector units and libraries round these otherwise. So what is compared is rounded
before: scores that are equal in mathematics are equal then, and a rule decides between them, not the machine. And what
is written down and compared later keeps twelve digits; see ``docs/reproducibility.md``.
"""

from __future__ import annotations

import math

import numpy as np

from cerolab.types import FloatArray

DIGITS = 12  # of a number that is written
SLACK = 1e-9  # of a number, where it is compared with one that it may equal
_BITS = 40  # of the largest of numbers that are compared; twelve digits


def comparable(values: FloatArray) -> FloatArray:
    """The values, each to the place that is twelve digits below the first one of the largest; -inf stays.

    One place for all: what is a difference of larger numbers is no more exact than these.
    """
    largest = float(np.abs(values, where=np.isfinite(values), out=np.zeros(values.shape)).max(initial=0.0))
    if largest == 0.0:
        return values
    place = math.frexp(largest)[1] - _BITS
    rounded: FloatArray = np.ldexp(np.rint(np.ldexp(values, -place)), place)
    return rounded


def written(value: float, like: float | None = None) -> float:
    """A number with twelve significant digits; as many decimals as ``like`` has then, if that is given.

    Args:
        value: nan and infinities stay what they are.
        like: the largest of the numbers that ``value`` is a difference of, or that it tells the spread of.
    """
    if like is None or abs(like) <= abs(value) or not (math.isfinite(value) and math.isfinite(like)):
        return float(f"{value:.{DIGITS}g}")
    return round(value, DIGITS - 1 - math.floor(math.log10(abs(like)))) + 0.0
