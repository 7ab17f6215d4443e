"""Allocators by name: ``make("cero", problem, seed=0, forgetting=0.9)``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, TypeVar

from cerolab.errors import AllocatorError, CerolabError, InvalidValueError, UnknownNameError
from cerolab.plugins.hooks import raised_at
from cerolab.plugins.sources import is_built_in
from cerolab.problem import AllocationProblem

if TYPE_CHECKING:
    from cerolab.allocator import BaseAllocator

    AllocatorClass = TypeVar("AllocatorClass", bound=type[BaseAllocator[Any]])

_BUILT_IN = (
    "cero",
    "cero_fixed",
    "cero_greedy",
    "cero_preset",
    "coba",
    "dapo",
    "dual_mirror_descent",
    "greso",
    "hora",
    "knapsack",
    "mopps",
    "oracle",
    "random_matched",
    "reinforce_ada",
    "reinforce_ada_est",
    "renew",
    "resolve",
    "speed",
    "uniform",
    "vip",
)
_REGISTERED: dict[str, type[BaseAllocator[Any]]] = {}
ENTRY_POINTS = "cerolab.allocators"  # the group by which installed packages name modules that register allocators


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
    """Names of all allocators, built in, registered, and named by installed packages; sorted."""
    return tuple(sorted({*_BUILT_IN, *_REGISTERED, *_installed()}))


def allocator_class(name: str) -> type[BaseAllocator[Any]]:
    """The class behind a name.

    Raises:
        UnknownNameError: lists the known names.
        CerolabError: a package's entry point cannot be imported, or does not register the allocator that it names.
    """
    if name in _BUILT_IN:
        importlib.import_module(f"cerolab.allocators.{name}")
    elif name not in _REGISTERED:
        _import_installed(name)
    return _REGISTERED[name]


def _import_installed(name: str) -> None:
    """Import the module that an installed package names for an allocator."""
    module = _installed().get(name)
    if module is None:
        raise UnknownNameError("allocator", name, available())
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:
        why = raised_in(error) or str(error)
        raise CerolabError(f"allocator {name!r}: entry point {module!r} cannot be imported: {why}") from error
    if name not in _REGISTERED:
        raise CerolabError(f"allocator {name!r}: entry point {module!r} registers no allocator of that name")


def _installed() -> dict[str, str]:
    """Module by allocator's name, of installed packages; a built-in name stays built in."""
    found = metadata.entry_points(group=ENTRY_POINTS)
    return {point.name: point.module for point in found if point.name not in _BUILT_IN}


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
        AllocatorError: a class that is not built in raised something else; names file and line.
    """
    cls = allocator_class(name)
    known = [field.name for field in fields(cls.Options)]
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of {name!r}", option, known)
    try:
        return cls(problem, seed, cls.Options(**options))
    except CerolabError:
        raise
    except Exception as error:
        if is_built_in(cls):
            raise
        given = ", ".join(f"{key}={value!r}" for key, value in options.items()) or "no options"
        raise AllocatorError(
            f"{name}: making it with {given} raised {type(error).__name__}: {error} ({raised_at(error)})"
        ) from error


def import_plugins(plugins: Sequence[str]) -> None:
    """Import modules that register allocators, by name or as files: ``my_allocator``, ``folder/my_allocator.py``.

    Raises:
        InvalidValueError: a module cannot be imported; names it and where it was looked for.
    """
    for plugin in plugins:
        if not plugin.strip():
            raise InvalidValueError("plugins", plugin, "names no module", "give the name of one, or leave it out")
        module = plugin_module(plugin)
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:
            if place := raised_in(error):
                raise InvalidValueError("plugins", plugin, f"cannot be imported: {place}", "mend it there") from None
            remedy = f"start in the folder that holds it ({Path.cwd()} is searched), or put it on PYTHONPATH"
            raise InvalidValueError("plugins", plugin, f"cannot be imported: {error}", remedy) from None


def raised_in(error: BaseException) -> str:
    """File, line and words of an error that a module raised while it was imported; empty where none was found."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen importlib")]
    own = [frame for frame in frames if frame.filename not in (__file__, importlib.__file__)]
    return f"{own[0].filename}, line {own[0].lineno}: {type(error).__name__}: {error}" if own else ""


def plugin_module(plugin: str) -> str:
    """The module of a plugin; the folder of one that is given as a file is put on Python's path.

    Raises:
        InvalidValueError: there is no such file, or Python has another module of its name.
    """
    if not plugin.endswith(".py"):
        return plugin
    file = Path(plugin).resolve()
    if not file.is_file():
        raise InvalidValueError("plugins", plugin, "does not exist", "give a file, or the name of a module")
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    known = getattr(sys.modules.get(file.stem), "__file__", None)
    if file.stem in sys.modules and (known is None or Path(known).resolve() != file):
        raise InvalidValueError("plugins", plugin, f"has the name of a module, {known or file.stem}", "rename it")
    return file.stem
