"""Settings of a declared type and range, checked by pydantic; nothing is rounded, and no text is taken for a number."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Annotated, Any, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from cerolab.errors import InvalidValueError

MOST = 10**9  # of what is counted; more would be a slip of the finger


def _no_controls(text: str) -> str:
    if "\0" in text:
        raise InvalidValueError("", text, "has a null character in it", "leave it out")
    return text


def _folder_name(text: str) -> str:
    if text.startswith(".") or not text.isprintable() or set(text) & {*"/\\"}:
        raise InvalidValueError("", text, "is no name of a folder", "use letters, digits, spaces, hyphens and dots")
    return text


Count = Annotated[int, Field(ge=0, le=MOST)]
Positive = Annotated[int, Field(ge=1, le=MOST)]
Units = Annotated[int, Field(ge=1, le=10**12)]
Questions = Annotated[int, Field(ge=0, le=10**7)]  # all of them are held in memory
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy and torch both take
Above0 = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Text = Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_no_controls)]
FolderName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_folder_name)]

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_LONGEST = 100  # characters of a value that a message shows
_WORDS = {
    "greater_than_equal": ("is below {ge:.15g}", "give {ge:.15g} or more"),
    "greater_than": ("is not above {gt:g}", "give more than {gt:g}"),
    "less_than_equal": ("is above {le:.15g}", "give {le:.15g} or less"),
    "less_than": ("is not below {lt:.15g}", "give less than {lt:.15g}"),
    "literal_error": ("is none of {expected}", "choose one of them"),
    "string_too_short": ("is empty", "write it out, or leave the setting out"),
    "string_too_long": ("is too long", "give at most {max_length} characters"),
    "too_short": ("is empty", "name at least one"),
}


@cache
def _adapters(kind: type) -> dict[str, TypeAdapter[Any]]:
    hints = get_type_hints(kind, include_extras=True)
    return {item.name: TypeAdapter(hints[item.name], config=_STRICT) for item in fields(kind)}


def check_declared(settings: Any) -> None:
    """Refuse a setting that is not of its declared type, or out of its declared range.

    Args:
        settings: a dataclass whose types say what is allowed, e.g. ``Annotated[int, Field(ge=1)]``.

    Raises:
        InvalidValueError: names the setting, its value and what would be right.
    """
    for name, adapter in _adapters(type(settings)).items():
        _validated(adapter, name, getattr(settings, name), name)


def from_text(kind: type, name: str, value: Any, field: str) -> Any:
    """A setting of a dataclass that came as text; what is no text stays as it is and is checked with the rest.

    Raises:
        InvalidValueError: the text is nothing that the setting can be; names ``field``.
    """
    if not isinstance(value, str):
        return value
    adapter = _adapters(kind)[name]
    given: Any = (value,) if str(get_type_hints(kind)[name]).startswith("tuple") else value
    return _validated(adapter, field, given, field, strict=False)


def _validated(adapter: TypeAdapter[Any], name: str, value: Any, field: str, strict: bool = True) -> Any:
    try:
        return adapter.validate_python(value, strict=strict)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem, remedy = _WORDS.get(first["type"], ("is of the wrong kind", _asked_for(first["msg"])))
        context = first.get("ctx", {})
        if isinstance(cause := context.get("error"), InvalidValueError):
            raise InvalidValueError(field, _shown(value), cause.problem, cause.remedy) from None
        raise InvalidValueError(field, _shown(value), problem.format(**context), remedy.format(**context)) from None


def _asked_for(message: str) -> str:
    """Pydantic's "Input should be a valid integer" as "give a valid integer"."""
    return message.replace("Input should be", "give").replace("{", "(").replace("}", ")")


def _shown(value: Any) -> Any:
    """The value, cut where it is long."""
    text = value if isinstance(value, str) else repr(value)
    return value if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
