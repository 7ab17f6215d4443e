"""The contract of an allocator as a test that its author can run.

    from cerolab.testing import check_allocator
    check_allocator("my_allocator")  # raises, and names every broken rule

On the command line: ``python -m cerolab check my_allocator --plugins my_allocator.py``.
"""

from cerolab.testing.check import Report, Result, check_allocator, report_on
from cerolab.testing.rules import RULES, BrokenRuleError, Rule

__all__ = ["RULES", "BrokenRuleError", "Report", "Result", "Rule", "check_allocator", "report_on"]
