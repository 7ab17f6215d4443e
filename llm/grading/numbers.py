"""Numbers as they are written: thousands, fractions, mixed numbers, per cents, repeating decimals, units aside."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from llm.grading.structure import bracketed, split_unit

_NUMBER = re.compile(r"([-+]?)\s*((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)")
_GROUPED = re.compile(r"[0-9]{1,3}(?:[ '][0-9]{3})+|[0-9]{1,3}(?:\.[0-9]{3}){2,}")
_PLACES = 6  # a decimal that is rounded has six places
_DIGITS = 4  # and four digits at least
_DOUBLE = 15  # digits that a program computes with
_MIXED = re.compile(r"(-?)\s*([0-9]+)[\s-]+([0-9]+)\s*/\s*([0-9]+)")


@lru_cache(maxsize=65536)
def number(text: str) -> Fraction | None:
    """The value of a text that is one number, thousands, fraction, mixed number or per cent, unit aside; else None."""
    bare = _bare(text)
    return None if bare is None else _value(bare)


@lru_cache(maxsize=65536)
def places(text: str) -> int | None:
    """How many digits a decimal number has behind its point, unit aside; None for what is no decimal number."""
    match = _NUMBER.fullmatch(_bare(text) or "")
    return len(match.group(2).partition(".")[2]) or None if match else None


def _bare(text: str) -> str | None:
    """Without currency, unit, per cent and brackets; None where a unit changes the value, or the text is long."""
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
    return text


def _value(text: str) -> Fraction | None:
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
    """Whether one is a decimal number that is the other, rounded to as many places as are written.

    Six places and four digits are the fewest; fewer that are written end in zeros that are not. For a number that has
    no more places than that, nothing but itself is right: 3.0000004 is not 3, and 1.5 not 1.5000003.

    Args:
        gold, given: as they are written.
        a, b: their values.
    """
    first, second = places(gold), places(given)
    return _stands_for(a, first, b, second) or _stands_for(b, second, a, first)


def _stands_for(decimal: Fraction, written: int | None, value: Fraction, others: int | None) -> bool:
    """Whether a decimal number of so many places is a value, rounded; ``others``: places of the value, if written."""
    if written is None or (written < _PLACES and others is not None):
        return False
    unit = Fraction(1, 10 ** max(written, _PLACES))
    error = abs(decimal - value)
    if (value / unit).denominator == 1:
        return error == 0
    rounding = max(unit / 2, abs(value) / 10**_DOUBLE)  # of what a program computed the last digit may be off
    return error <= rounding and error * 10**_DIGITS <= min(abs(decimal), abs(value))
