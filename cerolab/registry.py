"""Allocators by name: ``make("cero", problem, seed=0, forgetting=0.9)``."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cerolab.errors import CerolabError, InvalidValueError, UnknownNameError
from cerolab.problem import AllocationProblem

if TYPE_CHECKING:
    from cerolab.base import BaseAllocator

    AllocatorClass = TypeVar("AllocatorClass", bound=type[BaseAllocator[Any]])

_BUILT_IN = (
    "cero",
    "cero_fixed",
    "cero_greedy",
    "cero_preset",
    "coba",
    "dual_mirror_descent",
    "knapsack",
    "mopps",
    "oracle",
    "random_matched",
    "renew",
    "resolve",
    "uniform",
    "vip",
)
_REGISTERED: dict[str, type[BaseAllocator[Any]]] = {}


def register(cls: AllocatorClass) -> AllocatorClass:
    """Class decorator that makes an allocator known under its ``name``.

    Raises:
        CerolabError: the name is taken by another class.
    """
    known = _REGISTERED.get(cls.name)
    if (known is not None and known.__qualname__ != cls.__qualname__) or (
        cls.name in _BUILT_IN and not cls.__module__.startswith("cerolab.")
    ):
        raise CerolabError(f"an allocator named {cls.name!r} is registered already; choose another name")
    _REGISTERED[cls.name] = cls
    return cls


def available() -> tuple[str, ...]:
    """Names of all registered allocators, sorted."""
    return tuple(sorted({*_BUILT_IN, *_REGISTERED}))


def allocator_class(name: str) -> type[BaseAllocator[Any]]:
    """The class behind a name.

    Raises:
        UnknownNameError: lists the known names.
    """
    if name in _BUILT_IN:
        importlib.import_module(f"cerolab.allocators.{name}")
    if name not in _REGISTERED:
        raise UnknownNameError("allocator", name, available())
    return _REGISTERED[name]


def make(name: str, problem: AllocationProblem, seed: int = 0, **options: Any) -> BaseAllocator[Any]:
    """A fresh allocator.

    Args:
        name: one of ``available()``.
        problem: sizes and budget.
        seed: seeds tie-breaking and the method's own draws, nothing else.
        **options: fields of the class's ``Options``.

    Raises:
        UnknownNameError: no such allocator, or no such option; lists the known ones.
        InvalidValueError: an option's value cannot be used.
    """
    cls = allocator_class(name)
    known = [field.name for field in fields(cls.Options)]
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of {name!r}", option, known)
    return cls(problem, seed, cls.Options(**options))


def import_plugins(plugins: Sequence[str]) -> None:
    """Import modules that register allocators.

    Raises:
        InvalidValueError: a module cannot be imported; names it and where it was looked for.
    """
    for module in plugins:
        try:
            importlib.import_module(module)
        except ImportError as error:
            remedy = f"start in the folder that holds it ({Path.cwd()} is searched), or put it on PYTHONPATH"
            raise InvalidValueError("plugins", module, f"cannot be imported: {error}", remedy) from None
