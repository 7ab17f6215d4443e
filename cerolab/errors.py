"""Errors that name the field, the value and what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import PurePath

_LONGEST = 200  # characters of a value that an error shows


def shown(value: object) -> str:
    """A value as errors show it: its repr, cut where it is long."""
    value = str(value) if isinstance(value, PurePath) else value
    text = repr(value[: 2 * _LONGEST] if isinstance(value, str | bytes) else value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 20]}...{text[-10:]}"


class CerolabError(ValueError):
    """Base of every error that cerolab raises for bad input or misuse."""


class InvalidValueError(CerolabError):
    """A setting or an array has a value that cannot be used.

    The message reads ``field=value problem; remedy``.
    """

    def __init__(self, field: str, value: object, problem: str, remedy: str):
        self.field, self.value, self.problem, self.remedy = field, value, problem, remedy
        super().__init__(f"{field}={shown(value)} {problem}; {remedy}")

    def __reduce__(self) -> tuple[type, tuple[str, object, str, str]]:
        return type(self), (self.field, self.value, self.problem, self.remedy)


class UnknownNameError(CerolabError):
    """A name that is not in a known list; the message lists the known ones and the nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        self.kind, self.name, self.known = kind, name, sorted(known)
        near = get_close_matches(str(name)[:_LONGEST], self.known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        super().__init__(f"unknown {kind} {shown(name)}{hint}; known: {', '.join(self.known) or 'none'}")

    def __reduce__(self) -> tuple[type, tuple[str, str, list[str]]]:
        return type(self), (self.kind, self.name, self.known)


class ProtocolError(CerolabError):
    """allocate() and observe() were called out of turn, or with an allocation that is not the last one."""


class AllocatorError(CerolabError):
    """The code of an allocator that is not built in raised, or returned what cannot be used; names file and line."""


class StateError(CerolabError):
    """A saved state belongs to another problem, method or schema version, or is damaged."""


class OverspendError(CerolabError):
    """An allocation would break the round capacity, a prompt's cap or the budget; nothing was spent."""


class SolverError(CerolabError):
    """A general solver failed or stopped early; the message names it and says how it ended."""

    def __init__(self, solver: str, status: str):
        self.solver, self.status = solver, status
        super().__init__(f"cvxpy's solver {solver} ended with {status!r}, not 'optimal'")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.solver, self.status)


class RecordError(CerolabError):
    """A run record is missing, foreign, damaged or of another schema version."""


class RunFinishedError(RecordError):
    """A run that was to be written is finished; a finished run is never written again."""


class RunTakenError(RecordError):
    """A run that was to be written is being written by another process."""
