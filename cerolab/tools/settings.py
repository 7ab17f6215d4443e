"""Settings of commands: what each may be is declared beside its type, and checked before any work.

A setting's type is a plain one, or one with a range, ``Annotated[int, Field(ge=1, le=100)]``; ``Settings`` checks all
of them when it is made, whether from a command line, from a settings file or in Python. Nothing is rounded or guessed:
2.0 is no whole number, "2" no number, and nan none at all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, wraps
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, cast, get_args, get_origin, get_type_hints

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from cerolab.checks import FOLDER_NAME, LONGEST_FOLDER_NAME
from cerolab.errors import CerolabError, InvalidValueError, UnknownNameError

P = ParamSpec("P")
T = TypeVar("T")
_LONGEST_NAME = LONGEST_FOLDER_NAME // 2  # typed by a user: folders may be named after it and something else
_PLAIN = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)

Seeds = Annotated[int, Field(ge=1, le=100_000)]  # how many
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # one
PoolSize = Annotated[
    int, Field(ge=1, le=100_000_000_000)
]  # M; sim.experiment.memory says what this machine has room for
Horizon = Annotated[int, Field(ge=1, le=10_000_000)]  # K
Units = Annotated[int, Field(ge=1, le=1_000_000)]  # of a prompt, or responses of a unit
Workers = Annotated[int, Field(ge=1, le=10_000)]  # side by side
Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class CommandLineOnly:
    """Marks a setting that no settings file may hold, since it runs code or speaks to another machine.

    Of a setting that is itself a mapping, e.g. of options of a library, ``names`` are the keys that no file may hold.
    """

    names: tuple[str, ...] = ()


def one_of(kind: str, known: Collection[str]) -> AfterValidator:
    """A text among known ones; any other is an ``UnknownNameError`` that says which come near."""

    def check(name: str) -> str:
        if name not in known:
            raise UnknownNameError(kind, name, known)
        return name

    return AfterValidator(check)


def _no_repeats(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise InvalidValueError("", values, "names something twice", "name each once")
    return values


NoRepeats = AfterValidator(_no_repeats)  # of tuples


def _folder_name(name: str) -> str:
    if len(name) > _LONGEST_NAME or not re.fullmatch(FOLDER_NAME, name):
        remedy = f"use up to {_LONGEST_NAME} letters, digits, '.', '_' and '-', a letter or digit first"
        raise InvalidValueError("", name, "cannot be a folder name", remedy)
    return name


FolderName = Annotated[str, AfterValidator(_folder_name)]  # of an experiment


def _folder_to_fill(folder: Path) -> Path:
    there = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), Path())
    if not there.is_dir() or not os.access(there, os.W_OK):
        remedy = "give another place"
        raise InvalidValueError("", str(folder), f"cannot be made: {there} is no folder, or is closed to you", remedy)
    return folder


def _file_to_write(file: Path) -> Path:
    if file.is_dir():
        raise InvalidValueError("", str(file), "is a folder", "give a file")
    if not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
        remedy = "make it, or give another place"
        raise InvalidValueError(
            "", str(file), f"cannot be written: {file.parent} is no folder that can be written", remedy
        )
    return file


FolderToFill = Annotated[Path, AfterValidator(_folder_to_fill)]  # made where it is missing; known bad before any work
FileToWrite = Annotated[Path, AfterValidator(_file_to_write)]


class Settings:
    """Base of frozen dataclasses whose fields are checked by their declared types when one is made.

    Raises:
        InvalidValueError: a value of another type or out of range; names field and value, and says what would be right.
        UnknownNameError: a text that is not among the known ones.
    """

    def __post_init__(self) -> None:
        for name, (hint, adapter) in _types(cast(Any, type(self))).items():
            object.__setattr__(self, name, _checked(name, getattr(self, name), hint, adapter))


def checked(run: Callable[P, T]) -> Callable[P, T]:
    """Decorator that checks a function's arguments by their declared types, as ``Settings`` does."""

    @wraps(run)
    def call(*args: P.args, **given: P.kwargs) -> T:
        bound = signature(run).bind(*args, **given)
        for name, (hint, adapter) in _types(run).items():
            if name in bound.arguments:
                bound.arguments[name] = _checked(name, bound.arguments[name], hint, adapter)
        return run(*bound.args, **bound.kwargs)

    return call


def refusal(field: str, value: Any, hint: Any, error: ValidationError) -> CerolabError:
    """Pydantic's complaint about a field in our words."""
    first = error.errors()[0]
    cause, part = first.get("ctx", {}).get("error"), first["input"] if first["loc"] else value
    if isinstance(cause, InvalidValueError):
        return InvalidValueError(field, part, cause.problem, cause.remedy)
    if isinstance(cause, CerolabError):
        return cause
    if first["type"] == "literal_error" and isinstance(part, str):
        return UnknownNameError(field, part, [str(one) for one in _literals(hint)])
    return InvalidValueError(field, part, *_in_words(first["type"], first["msg"], hint))


@cache
def _types(of: Any) -> dict[str, tuple[Any, TypeAdapter[Any]]]:
    """The type of every field or parameter, and what checks it; other settings check themselves."""
    hints = get_type_hints(of, include_extras=True)
    names = [field.name for field in fields(of)] if is_dataclass(of) else list(signature(of).parameters)
    own = [name for name in names if not is_dataclass(getattr(hints[name], "__origin__", hints[name]))]
    return {name: (hints[name], TypeAdapter(hints[name], config=_PLAIN)) for name in own}


def _checked(field: str, value: Any, hint: Any, adapter: TypeAdapter[Any]) -> Any:
    """``value`` if it fits the type; lists become tuples, NumPy's numbers plain ones."""
    for text in value if isinstance(value, tuple | list) else (value,):
        if isinstance(text, str | Path) and "\0" in str(text):
            raise InvalidValueError(field, text, "has a zero byte", "leave it out")
    try:
        return adapter.validate_python(_plain(value, hint))
    except ValidationError as error:
        raise refusal(field, value, hint, error) from None


def _in_words(kind: str, message: str, hint: Any) -> tuple[str, str]:
    """(what is wrong, what would be right)."""
    bounds = _bounds(hint)
    noun = "a whole number" if int in _plain_types(hint) else "a number"
    remedy = f"give {noun}{_range(bounds)}"
    match kind:
        case "int_type" | "int_from_float" | "int_parsing" | "int_parsing_size":
            return "is no whole number", remedy
        case "float_type" | "float_parsing" | "finite_number":
            return "is no finite number", remedy
        case "greater_than_equal":
            return f"is below {_text(bounds['ge'])}", remedy
        case "greater_than":
            return f"is not above {_text(bounds['gt'])}", remedy
        case "less_than_equal":
            return f"is above {_text(bounds['le'])}", remedy
        case "less_than":
            return f"is not below {_text(bounds['lt'])}", remedy
        case "string_too_short":
            return "is empty", "give a text"
        case "string_type":
            return "is no text", "give a text"
        case "too_short":
            return "names nothing", "name at least one"
    return "cannot be used", message[0].lower() + message[1:]


def _range(bounds: Mapping[str, float]) -> str:
    """`` from 1 to 100``, `` above 0``: as it follows "a number"."""
    low = (
        f" from {_text(bounds['ge'])}" if "ge" in bounds else f" above {_text(bounds['gt'])}" if "gt" in bounds else ""
    )
    if "le" in bounds:
        return f"{low or ' of'} {'to' if 'ge' in bounds else 'up to'} {_text(bounds['le'])}"
    if "lt" in bounds:
        return f"{low} {'and ' if low else ''}below {_text(bounds['lt'])}"
    return f" of {_text(bounds['ge'])} or more" if "ge" in bounds else low


def _text(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def _bounds(hint: Any) -> dict[str, float]:
    """ge, gt, le, lt of a type, or of its parts."""
    found: dict[str, float] = {}
    for note in getattr(hint, "__metadata__", ()):
        for one in getattr(note, "metadata", (note,)):
            found |= {name: getattr(one, name) for name in ("ge", "gt", "le", "lt") if hasattr(one, name)}
    for part in get_args(hint):
        found = {**_bounds(part), **found}
    return found


def _plain_types(hint: Any) -> set[Any]:
    """The types that a type is made of."""
    parts = get_args(hint)
    return set.union(*map(_plain_types, parts)) if parts else {hint}


def _literals(hint: Any) -> list[Any]:
    """The values that a type's ``Literal`` allows."""
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [value for part in get_args(hint) for value in _literals(part)]


def _plain(value: Any, hint: Any) -> Any:
    """Lists where tuples are wanted, NumPy's numbers and arrays: as plain Python has them."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, list) and _has_tuple(hint):
        return tuple(value)
    return value


def _has_tuple(hint: Any) -> bool:
    return get_origin(hint) is tuple or any(map(_has_tuple, get_args(hint)))
