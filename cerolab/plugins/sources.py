"""What code an allocator that is not built in is made of: its modules, each with a digest of its source.

Results of such an allocator change when its files do, and no commit of cerolab says so. Run records therefore hold
these digests among their settings. They name modules, never paths: the same file has the same digest in every folder.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

_DIGITS = 16  # of a digest, hexadecimal
_COMMITTED = frozenset({"cerolab", "sim", "llm", "analysis"})  # a record's commit says what these were
_INSTALLED = frozenset({"site-packages", "dist-packages"})  # folders of installed packages


def is_built_in(cls: type) -> bool:
    """Whether a class is one of cerolab's own."""
    return _root(cls.__module__) == "cerolab"


@cache
def sources(cls: type) -> dict[str, str]:
    """Digest by module of the code that a class is made of; empty for one of cerolab's own.

    These are the modules of the class, of its bases and of its ``Options``, and all that they import, one after the
    other, as far as it is the user's own: the standard library, cerolab and installed packages are left out, except
    the package that the class itself is from. Files that code reads as data are not seen.

    Args:
        cls: the allocator's class.
    """
    if is_built_in(cls):
        return {}
    classes = [*cls.__mro__, *getattr(cls, "Options", object).__mro__]
    own = sorted({c.__module__ for c in classes} - set(sys.stdlib_module_names))
    own = [name for name in own if _root(name) not in (*_COMMITTED, *sys.stdlib_module_names) or name == "__main__"]
    packages = {_root(name) for name in own}
    found: dict[str, str] = {}
    waiting = own
    while waiting:
        name = waiting.pop()
        if name in found or not _is_users(name, packages):
            continue
        code = _source(name)
        if code is None:
            found[name] = _digest(*(_compiled(c) for c in classes if c.__module__ == name))
            continue
        found[name] = _digest(code)
        waiting += _imports(name, code)
    return dict(sorted(found.items()))


def _root(module: str) -> str:
    return module.partition(".")[0]


def _is_users(name: str, packages: set[str]) -> bool:
    """Whether a module is the user's own code, or of one of ``packages``."""
    root = _root(name)
    if root in packages:
        return True
    if root in _COMMITTED or root in sys.stdlib_module_names:
        return False
    origin = _origin(root)
    return origin is not None and not _INSTALLED.intersection(origin.parts)


def _spec(name: str) -> Any:
    module = sys.modules.get(name)
    try:
        return getattr(module, "__spec__", None) or (find_spec(name) if name != "__main__" else None)
    except (ImportError, ValueError, AttributeError):
        return None


def _origin(name: str) -> Path | None:
    """A module's file, or the folder of a package without ``__init__``; None where there is neither."""
    spec, module = _spec(name), sys.modules.get(name)
    file = getattr(module, "__file__", None) or (spec.origin if spec is not None and spec.has_location else None)
    if file is None:
        places = list(getattr(spec, "submodule_search_locations", None) or ())
        file = places[0] if places else None
    return None if file is None else Path(file).resolve()


def _source(name: str) -> bytes | None:
    """The bytes of a module's file; None where it has none, as in an interactive session."""
    spec = _spec(name)
    text = getattr(getattr(spec, "loader", None), "get_source", lambda _: None)
    try:
        code = text(name) if spec is not None else None
    except (ImportError, OSError, SyntaxError):
        code = None
    if code is not None:
        return str(code).encode()
    origin = _origin(name)
    if origin is None or (spec is None and name != "__main__"):
        return None
    if origin.is_dir():
        return b""  # a package without __init__
    return origin.read_bytes() if origin.is_file() else None


def _imports(name: str, code: bytes) -> Iterator[str]:
    """Names of the modules that a module imports, with the packages that they are in."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):  # compiled
        return
    spec = _spec(name)
    is_package = getattr(spec, "submodule_search_locations", None) is not None
    package = name if is_package else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            targets = [base, *(f"{base}.{alias.name}" for alias in node.names if f"{base}.{alias.name}" in sys.modules)]
        else:
            continue
        for target in targets:
            parts = target.split(".")
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))
    parts = name.split(".")
    yield from (".".join(parts[:end]) for end in range(1, len(parts)))


def _compiled(cls: type) -> bytes:
    """What a class does, where its source is not to be had: the instructions of its functions."""
    found = [value for _, value in sorted(vars(cls).items()) if isinstance(value, FunctionType)]
    return b"\n".join(_instructions(function.__code__) for function in found)


def _instructions(code: CodeType) -> bytes:
    constants = [_instructions(c) if isinstance(c, CodeType) else _constant(c) for c in code.co_consts]
    return b"\n".join([code.co_code, repr(code.co_names).encode(), *constants])


def _constant(value: object) -> bytes:
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value).encode()  # sets have no order


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:_DIGITS]
