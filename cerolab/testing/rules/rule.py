"""What a rule is, and the list of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from cerolab.testing.play import Scenario


class BrokenRuleError(AssertionError):
    """An allocator breaks a rule; the message says how."""


class Rule(NamedTuple):
    """One promise of an allocator.

    Attributes:
        name: short, for tests and tables.
        words: the promise.
        check: raises ``BrokenRuleError`` where a scenario shows that it is broken.
        once: one scenario is enough.
    """

    name: str
    words: str
    check: Callable[[Scenario], None]
    once: bool = False


RULES: dict[str, Rule] = {}
CheckT = TypeVar("CheckT", bound=Callable[[Scenario], None])


def rule(once: bool = False) -> Callable[[CheckT], CheckT]:
    """Decorator: puts a function on the list of rules, by its name; its docstring is the promise."""

    def put(check: CheckT) -> CheckT:
        name, words = check.__name__, (check.__doc__ or "").partition("\n")[0].removesuffix(".")
        RULES[name] = Rule(name, words, check, once)
        return check

    return put


def require(kept: bool, how: str) -> None:
    """Raise ``BrokenRuleError`` with ``how`` unless ``kept``."""
    if not kept:
        raise BrokenRuleError(how)
