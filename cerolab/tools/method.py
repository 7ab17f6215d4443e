"""An allocator as text, the same on command lines, in settings files and in records: ``cero(price=0.3)``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from cerolab.errors import InvalidValueError, UnknownNameError
from cerolab.plugins.sources import sources
from cerolab.registry import allocator_class
from cerolab.tools.plain_yaml import read_yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """An allocator by name, with its options as JSON-ready values.

    ``random_matched`` takes the method to match as ``{"matches": "cero"}`` and is given that method's schedule in the
    same cell; ``oracle`` is given the true rates.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def plugin(self) -> dict[str, str]:
        """Digest by module of all code that is not built in, also of a matched method; see ``plugins.sources``."""
        matched = self.options.get("matches")
        own = dict(sources(allocator_class(self.name)))
        return own | (Method.parse(matched).plugin if isinstance(matched, str) else {})

    @classmethod
    def parse(cls, text: str) -> Method:
        """From the text form ``cero`` or ``cero(catch_up=true, prior=[2, 2])``.

        Raises:
            InvalidValueError: not of that form.
            UnknownNameError: no such allocator or option; lists the known ones.
        """
        name, bracket, rest = text.strip().partition("(")
        options: Any = {}
        if bracket:
            try:
                options = read_yaml("{" + rest.removesuffix(")").replace("=", ": ") + "}")
            except ValueError:
                options = None
            if not rest.endswith(")") or not isinstance(options, dict) or None in options.values():
                raise InvalidValueError(
                    "allocator", text, "is not of the form name(option=value, ...)", "write cero(catch_up=true), say"
                )
        known = [option.name for option in fields(allocator_class(name).Options)] + ["matches"]
        for option in options:
            if option not in known:
                raise UnknownNameError(f"option of {name!r}", option, known)
        return cls(name=name, options=options)
