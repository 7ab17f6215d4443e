"""Looking into an allocator: what its attributes are, whether they changed, what it sorts."""

from __future__ import annotations

import builtins
import sys
import sysconfig
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from types import FrameType
from typing import Any

import numpy as np

_TURNS = ("_pending", "_step", "_open_round")  # what the base class keeps of whose turn it is
_ORDERS = ("sorted", "max", "min")  # of Python
_LIBRARIES = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))
_SORTS = ("sort", "argsort", "partition", "argpartition", "argmax", "argmin", "max", "min")


def attributes(allocator: Any) -> dict[str, Any]:
    """Copies of all that an allocator holds, hidden or not."""
    return {name: deepcopy(value) for name, value in vars(allocator).items() if name not in _TURNS}


def changed(before: Mapping[str, Any], allocator: Any) -> list[str]:
    """Names of the attributes that are not what they were."""
    now = {name: value for name, value in vars(allocator).items() if name not in _TURNS}
    return [
        name
        for name in sorted({*before, *now})
        if name not in before or name not in now or not same(before[name], now[name])
    ]


def same(one: Any, other: Any) -> bool:
    """Whether two plain values are equal all the way down; nan is itself, generators are compared by their state.

    Other objects pass: they may hold scratch memory, and what else they hold shows in what is decided.
    """
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        if one.dtype.kind == "O":
            return one.shape == other.shape and same(one.tolist(), other.tolist())
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    if isinstance(one, np.random.Generator):
        return same(one.bit_generator.state, other.bit_generator.state)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one == other or (one != one and other != other)
    if isinstance(one, (str, bytes, int, complex, np.generic, set, frozenset, deque)):
        return bool(one == other)
    return True


@contextmanager
def watched(report: Callable[[str], None]) -> Iterator[None]:
    """Report what within the block orders numbers of which some are nan, by the line that does it.

    Seen are NumPy's sorts and extremes, ``np.lexsort``, lists' ``sort`` and Python's ``sorted``, ``max`` and ``min``,
    with or without a key; not what compares number with number in a loop of its own.
    """
    outer, own = sys.getprofile(), {name: getattr(builtins, name) for name in _ORDERS}

    def tell(what: str, frame: FrameType | None) -> None:
        while frame is not None and frame.f_back is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
            frame = frame.f_back
        report(f"{what}() of nan" + (f" at {frame.f_code.co_filename}, line {frame.f_lineno}" if frame else ""))

    def look(frame: FrameType, event: str, called: Any) -> None:
        if event == "call" and frame.f_code.co_name == "lexsort" and "numpy" in frame.f_code.co_filename:
            if any(map(_has_nan, frame.f_locals["keys"])):  # NumPy asks this of every call, before it sorts
                tell("lexsort", frame.f_back)
        elif event == "c_call" and called.__name__ in _SORTS:
            ordered = getattr(called, "__self__", None)
            if isinstance(ordered, (np.ndarray, list)) and _has_nan(ordered):
                tell(called.__name__, frame)

    def looking(name: str) -> Callable[..., Any]:
        def order(*given: Any, key: Callable[[Any], Any] | None = None, **named: Any) -> Any:
            frame = sys._getframe(1)

            def looked(value: Any) -> Any:
                value = value if key is None else key(value)
                if _has_nan(value):
                    tell(name, frame)
                return value

            return own[name](*given, key=looked, **named)

        return order

    for name in _ORDERS:
        setattr(builtins, name, looking(name))
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(outer)
        for name, function in own.items():
            setattr(builtins, name, function)


def _has_nan(value: Any) -> bool:
    """Whether a number is nan, or one of an array, a list or a tuple."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f" and bool(np.isnan(value).any())
    if isinstance(value, (list, tuple)):
        return any(_has_nan(one) for one in value)
    return isinstance(value, (float, np.floating)) and bool(value != value)


def with_nan(allocator: Any) -> list[str]:
    """Names of the attributes that are arrays or numbers with nan in them."""
    found = []
    for name, value in vars(allocator).items():
        if isinstance(value, (float, np.floating, np.ndarray)):
            array = np.asarray(value)
            if array.dtype.kind == "f" and np.isnan(array).any():
                found.append(name)
    return found
