"""The memory that an allocator keeps, found by looking: its arrays, and those of all that it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def held_arrays(allocator: Any) -> list[np.ndarray]:
    """Every array that can be reached from the allocator through our own objects and containers, each memory once.

    A view counts as the whole array that it keeps alive.
    """
    found: dict[int, np.ndarray] = {}
    seen: dict[int, Any] = {}  # the objects themselves, so that no id is given again
    left = [allocator]
    while left:
        thing = left.pop()
        if isinstance(thing, np.ndarray):
            while isinstance(thing.base, np.ndarray):
                thing = thing.base
            found[id(thing)] = thing
        elif id(thing) not in seen:
            seen[id(thing)] = thing
            left += _parts(thing)
    return list(found.values())


def state_bytes_per_prompt(allocator: Any) -> float:
    """Bytes of ``held_arrays`` over M."""
    return sum(array.nbytes for array in held_arrays(allocator)) / allocator.problem.num_prompts


def _parts(thing: Any) -> Iterator[Any]:
    """What a container or an object of cerolab holds."""
    if isinstance(thing, Mapping):
        yield from thing.values()
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from thing
    elif type(thing).__module__.partition(".")[0] == "cerolab":
        yield from getattr(thing, "__dict__", {}).values()
        for cls in type(thing).__mro__:
            slots = vars(cls).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                yield getattr(thing, name, None)
