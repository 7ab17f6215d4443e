"""Formulas: which texts are one from the first to the last character, and what the parser makes of them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from llm.grading import equality
from llm.grading.structure import bracketed, items

DOTS = re.compile(r"\\ldots")
ONLY_TEXT = re.compile(
    r"\\(?:ldots|angle|triangle|pmod|bmod|equiv|parallel|perp|forall|exists|prime)(?![a-zA-Z])"
    r"|'|\\(?:gcd|lcm)\s*\([^()]*[a-zA-Z]"
)
_NO_FORMULA = re.compile('[A-Za-z]{4,}|[0-9.]\\s+[0-9.]|[0-9]\\.[0-9]*\\.|["!?]{2,}|[@#&~]{2}')


@lru_cache(maxsize=16384)
def formula(text: str) -> Any:
    """The formula that a text is as a whole; None where there is none."""
    text = text.strip()
    if (
        not text
        or ONLY_TEXT.search(text)
        or re.search(r"\\(?:text|pm|mp)(?![a-z])|\\(?:overline|bar|dot)\{[0-9]", text)
    ):
        return None
    bare = re.sub(r"\\[a-zA-Z]+(?:\{(?:[a-z]?matrix|array|[A-Z]+)\*?\})?", "\N{SECTION SIGN}", text)
    if _NO_FORMULA.search(bare) or any(map(_is_word, re.findall("[A-Za-z]{3}", bare))):
        return None
    text = re.sub(r"(?<![A-Za-z}0-9)])\\text\{([A-Za-z])\}", r"\1", text)
    text = text.replace("^{\\circ}", "^\\circ ")
    text = re.sub(r"(?<![A-Za-z\\])I(?![A-Za-z])", r"\\tilde{I}", text)  # the parser's I is the imaginary unit
    text = re.sub(r"(?<=[0-9)])\s*(?=[({])", "\\\\cdot ", text) if not re.match(r"[a-zA-Z]\(", text) else text
    text = re.sub(r"\)\s*(?=[0-9])", ")\\\\cdot ", text)
    if bracketed(text) and len(items(bracketed(text)[1])) > 1:  # type: ignore[index]
        return None
    return equality.formula(text)


def _is_word(letters: str) -> bool:
    """Three letters in a row are a product where they are neighbours in the alphabet's usual groups."""
    groups = ("abcd", "xyzw", "pqrs", "klmn", "mnpq", "rst", "uvw", "ijk", "fgh", "ABCD", "XYZ", "PQRS", "KLMN", "EFGH")
    return len(set(letters)) < 3 or not any(set(letters) <= set(group) for group in groups)
