"""Words around numbers, and names cut into lines."""

from __future__ import annotations

import textwrap


def counted(number: int, what: str) -> str:
    """``1 seed``, ``2,000 runs``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def wrapped(name: str, width: int) -> str:
    """The name in lines of at most so many characters, a word that is longer cut."""
    return "\n".join(textwrap.wrap(name, max(width, 1))) or name
