"""Types of the settings of training, study and evaluation, with their ranges; ``tools.settings`` checks them."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, get_origin, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from cerolab.errors import InvalidValueError
from cerolab.tools.settings import one_of, refusal

_MOST = 10**9  # of what is counted; more would be a slip of the finger
_FROM_TEXT = ConfigDict(allow_inf_nan=False, arbitrary_types_allowed=True)


def _text(text: str) -> str:
    if not text or len(text) > 4000 or "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise InvalidValueError("", text, "is no text to work with", "give 1 to 4,000 characters of Unicode")
    return text


Count = Annotated[int, Field(ge=0, le=_MOST)]
Positive = Annotated[int, Field(ge=1, le=_MOST)]
Questions = Annotated[int, Field(ge=0, le=10**7)]  # all of them are held in memory
Above0 = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Text = Annotated[str, AfterValidator(_text)]
DType = Annotated[str, one_of("dtype", ("float32", "bfloat16"))]


def from_text(kind: type, name: str, value: Any, field: str) -> Any:
    """A setting of a dataclass that came as text; what is no text stays as it is, to be checked with the rest.

    Args:
        kind: the dataclass.
        name: of its field.
        value: e.g. "1e-4", "true"; never rounded.
        field: what errors call it.

    Raises:
        CerolabError: the text is nothing that the setting can be.
    """
    if not isinstance(value, str):
        return value
    hint, adapter = _lenient(kind, name)
    try:
        return adapter.validate_python((value,) if get_origin(hint) is tuple else value)
    except ValidationError as error:
        raise refusal(field, value, hint, error) from None


@cache
def _lenient(kind: type, name: str) -> tuple[Any, TypeAdapter[Any]]:
    hint = get_type_hints(kind, include_extras=True)[name]
    while get_origin(hint) is Annotated and get_origin(hint.__origin__) is tuple:
        hint = hint.__origin__
    return hint, TypeAdapter(hint, config=_FROM_TEXT)
