"""Looking into an allocator: what its attributes are, whether they changed, what it sorts."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from types import FrameType
from typing import Any

import numpy as np

_TURNS = ("_pending", "_step", "_open_round")  # what the base class keeps of whose turn it is
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
    """Report what within the block orders numbers of which some are nan, by the line that does it."""
    outer = sys.getprofile()

    def look(frame: FrameType, event: str, called: Any) -> None:
        array = getattr(called, "__self__", None) if event == "c_call" else None
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or called.__name__ not in _SORTS:
            return
        if np.isnan(array).any():
            users = frame
            while users.f_back is not None and "numpy" in users.f_code.co_filename:
                users = users.f_back
            report(f"{called.__name__}() of nan at {users.f_code.co_filename}, line {users.f_lineno}")

    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(outer)


def with_nan(allocator: Any) -> list[str]:
    """Names of the attributes that are arrays or numbers with nan in them."""
    found = []
    for name, value in vars(allocator).items():
        if isinstance(value, (float, np.floating, np.ndarray)):
            array = np.asarray(value)
            if array.dtype.kind == "f" and np.isnan(array).any():
                found.append(name)
    return found
