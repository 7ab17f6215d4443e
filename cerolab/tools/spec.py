"""Short text for scenarios: ``name(1, 0.5)``, the same on the command line, in files and in records."""

from __future__ import annotations

import re
from typing import NamedTuple

from cerolab.errors import InvalidValueError

_NAME = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE)


class Call(NamedTuple):
    """A parsed ``name(argument, ...)``."""

    name: str
    arguments: tuple[str, ...]

    def numbers(self, field: str, least: int, most: int) -> tuple[float, ...]:
        """The arguments as numbers.

        Raises:
            InvalidValueError: not numbers, or not ``least`` to ``most`` of them.
        """
        try:
            values = tuple(float(argument) for argument in self.arguments)
        except ValueError:
            raise InvalidValueError(field, str(self), "has an argument that is no number", "give numbers") from None
        if not least <= len(values) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise InvalidValueError(field, str(self), f"has {len(values)} arguments", f"give {wanted}")
        return values

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.arguments)})" if self.arguments else self.name


def parse_call(field: str, text: str) -> Call:
    """Split ``name(argument, ...)``; parentheses may be left out.

    Raises:
        InvalidValueError: not of that form.
    """
    name, bracket, rest = (part.strip() for part in text.partition("("))
    arguments = rest.removesuffix(")").strip()
    whole = rest.endswith(")") and "\n" not in arguments if bracket else True
    if not whole or not _NAME.fullmatch(name):
        raise InvalidValueError(field, text, "is not of the form name(argument, ...)", "write beta(0.5, 0.5), say")
    return Call(name.lower(), tuple(part.strip() for part in arguments.split(",")) if arguments else ())
