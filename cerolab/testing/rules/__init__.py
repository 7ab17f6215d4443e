"""Every promise of an allocator, checked on a scenario; in the order in which they are shown."""

# ruff: noqa: I001
from cerolab.testing.rules import decisions, chance, learning, views, states
from cerolab.testing.rules.rule import RULES, BrokenRuleError, Rule

__all__ = ["RULES", "BrokenRuleError", "Rule", "chance", "decisions", "learning", "states", "views"]
