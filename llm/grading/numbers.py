"""Numbers as they are written: thousands, fractions, mixed numbers, per cents, repeating decimals, units aside."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from llm.grading.structure import bracketed, split_unit

_NUMBER = re.compile(r"([-+]?)\s*((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)")
_GROUPED = re.compile(r"[0-9]{1,3}(?:[ '][0-9]{3})+|[0-9]{1,3}(?:\.[0-9]{3}){2,}")
_MIXED = re.compile(r"(-?)\s*([0-9]+)[\s-]+([0-9]+)\s*/\s*([0-9]+)")


@lru_cache(maxsize=65536)
def number(text: str) -> Fraction | None:
    """The value of a text that is one number, thousands, fraction, mixed number or per cent, unit aside; else None."""
    if len(text) > 400:
        return None
    text = text.strip()
    text = re.sub(r"^(?:\\text\{(?:Rs\.?|USD|EUR)\}|Rs\.?|[$€£¥₹])\s*", "", text)
    text = re.sub(r"^-\s*[$€£¥₹]\s*", "-", text)
    if re.search(r"[A-Za-z°^]", text):
        core, unit = split_unit(text)
        if unit.startswith("degree"):
            return None
        text = core
    text = re.sub(r"\s*(?:%|\\text\{\s*(?:percent|per cent)\s*\}|percent)$", "", text)
    while (pair := bracketed(text)) and pair[0] == "(" and "," not in text and _NUMBER.match(pair[1]):
        text = pair[1]
    repeating = re.fullmatch(r"(-?)([0-9]*)\.([0-9]{0,40})\\(?:overline|bar)\{([0-9]{1,40})\}", text)
    if repeating:
        minus, whole, fixed, cycle = repeating.groups()
        numerator = int(whole + fixed + cycle) - int(whole + fixed or 0)
        value = Fraction(numerator, 10 ** len(fixed) * (10 ** len(cycle) - 1))
        return -value if minus else value
    mixed = _MIXED.fullmatch(text) or re.fullmatch(r"(-?)\s*([0-9]+)\s*\\frac\{([0-9]+)\}\{([0-9]+)\}", text)
    if mixed:
        minus, whole, above, below = mixed.groups()
        if not 0 < int(above) < int(below):
            return None
        value = int(whole) + Fraction(int(above), int(below))
        return -value if minus else value
    fraction = re.fullmatch(r"([-+]?)\s*\\frac\{\s*(-?[0-9.,]+)\s*\}\{\s*(-?[0-9.,]+)\s*\}", text)
    if fraction is None:
        fraction = re.fullmatch(r"([-+]?)\s*([0-9][0-9.,]*)\s*/\s*([0-9][0-9.,]*)", text)
    if fraction:
        above_value, below_value = _simple(fraction.group(2)), _simple(fraction.group(3))
        if above_value is None or not below_value:
            return None
        return above_value / below_value * (-1 if fraction.group(1) == "-" else 1)
    return _simple(text)


def _simple(text: str) -> Fraction | None:
    sign, digits = ("-", text[1:].strip()) if text[:1] == "-" else ("", text)
    if _GROUPED.fullmatch(digits) and digits[0] != "0":
        return Fraction(sign + re.sub(r"[ '.]", "", digits))
    match = _NUMBER.fullmatch(text)
    if not match or (match.group(2).startswith("0") and "," in match.group(2)):
        return None
    try:
        return Fraction(match.group(1) + match.group(2).replace(",", "").rstrip("."))
    except ValueError:
        return None


def is_percent_of(gold: str, given: str, a: Fraction, b: Fraction) -> bool:
    """50 % is a half where one says per cent and the other does not."""
    first, second = ("%" in text or "percent" in text for text in (gold, given))
    return first != second and (a == 100 * b if first else b == 100 * a)


def is_rounding(gold: str, given: str, a: Fraction, b: Fraction) -> bool:
    """Whether one is the other to six places or more, four digits at least."""
    if "." not in gold and "." not in given:
        return False
    return abs(a - b) <= Fraction(1, 2_000_000) and abs(a - b) * 10_000 <= min(abs(a), abs(b))
