"""The parts of an answer: items of a list, a pair of brackets, the sides of a relation, the unit behind a number."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from llm.grading.notation import FUNCTIONS, closing

_OPEN, _CLOSE = "([{", ")]}"
_RELATION = re.compile(r"\\(?:le|ge|ne|approx|in|equiv|to|subset|subseteq|sim)(?![a-zA-Z])|<=|>=|!=|[<>=]")
_SIGN = {"<=": r"\le", ">=": r"\ge", "!=": r"\ne"}
_SEPARATOR = re.compile(r"[,;]\s*(?:and|or)(?![a-zA-Z])|[,;]|(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])|\\quad")

_UNITS = {
    "mm": "millimet", "cm": "centimet", "dm": "decimet", "m": "met", "km": "kilomet", "in": "inch", "ft": "foot",
    "yd": "yard", "mi": "mile", "mg": "milligram", "g": "gram", "kg": "kilogram", "lb": "pound", "oz": "ounce",
    "ml": "millilit", "mL": "millilit", "L": "lit", "l": "lit", "s": "second", "sec": "second", "min": "minute",
    "h": "hour", "hr": "hour", "J": "joule", "N": "newton", "W": "watt", "kW": "kilowatt", "Hz": "hertz",
    "mph": "mile/hour", "kmph": "kilomet/hour", "kph": "kilomet/hour", "feet": "foot", "inches": "inch",
    "meter": "met", "metre": "met", "centimeter": "centimet", "centimetre": "centimet", "kilometer": "kilomet",
    "kilometre": "kilomet", "millimeter": "millimet", "millimetre": "millimet", "liter": "lit", "litre": "lit",
    "milliliter": "millilit", "inch": "inch", "foot": "foot", "yard": "yard", "mile": "mile", "gram": "gram",
    "kilogram": "kilogram", "pound": "pound", "ounce": "ounce", "second": "second", "minute": "minute", "hour": "hour",
    "day": "day", "week": "week", "month": "month", "year": "year", "dollar": "dollar", "cent": "cent",
    "euro": "euro", "degree": "degree", "radian": "radian", "rad": "radian", "deg": "degree", "USD": "dollar",
    "joule": "joule", "newton": "newton", "watt": "watt",
}  # fmt: skip
_WORD_UNIT = re.compile(
    r"(?P<core>.*?[0-9A-Za-z)}\]|!%.])\s*"
    r"(?P<unit>(?:(?:\\text\{[^{}]*\}|(?<![A-Za-z\\{])[A-Za-z]{2,}(?![A-Za-z{(])\.?)(?:\^\{-?[0-9]\})?[\s/.\-]*"
    r"|(?<=[\s/])(?:per|a|an|of|sq\.?)\s+|(?<=/)\s*[a-zA-Z](?:\^\{-?[0-9]\})?(?![a-zA-Z]))+)$",
    re.DOTALL,
)


class Relation(NamedTuple):
    """Texts with relation signs between them, ``1 < x < 2``: three sides and two signs."""

    sides: tuple[str, ...]
    signs: tuple[str, ...]


def at_top(text: str, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    """Matches that stand in no bracket of any kind and in no words."""
    found: list[re.Match[str]] = []
    depth = position = 0
    while position < len(text):
        if text.startswith("\\text{", position):
            position = closing(text, position + 5) + 1
            continue
        match = pattern.match(text, position) if depth == 0 else None
        if match and match.end() > position:
            found.append(match)
            position = match.end()
        elif text[position] == "\\" and text[position + 1 : position + 2] in ("{", "}"):
            depth += 1 if text[position + 1] == "{" else -1
            position += 2
        elif text.startswith("\\langle", position) or text.startswith("\\rangle", position):
            depth += 1 if text[position + 1] == "l" else -1
            position += 7
        elif text.startswith("\\begin", position) or text.startswith("\\end", position):
            depth += 1 if text[position + 1] == "b" else -1
            position += 4
        else:
            depth += (text[position] in _OPEN) - (text[position] in _CLOSE)
            position += 1
    return found


def split_at(text: str, matches: list[re.Match[str]]) -> list[str]:
    """The texts between matches."""
    starts = [0, *(match.end() for match in matches)]
    ends = [*(match.start() for match in matches), len(text)]
    return [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]


def items(text: str) -> list[str]:
    """What commas, semicolons, "and" and "or" separate; the text itself where there is one item."""
    return split_at(text, at_top(text, _SEPARATOR))


def relation(text: str) -> Relation:
    """Sides and signs; one side and no sign for what is no relation."""
    matches = at_top(text, _RELATION)
    return Relation(tuple(split_at(text, matches)), tuple(_SIGN.get(m.group(), m.group()) for m in matches))


def bracketed(text: str) -> tuple[str, str, str] | None:
    r"""Opening, inside and closing of a text that is one pair of brackets: ``(1,2]``, ``\{1,2\}``."""
    for start, end, kind in (("\\{", "\\}", "{}"), ("\\langle", "\\rangle", "()")):
        if text.startswith(start) and text.endswith(end) and len(text) >= len(start) + len(end):
            inside = text[len(start) : -len(end)]
            if _is_balanced(inside):
                return kind[0], inside.strip(), kind[1]
    if len(text) >= 2 and text[0] in "([" and text[-1] in ")]" and not text.endswith("\\)"):
        inside = text[1:-1]
        if _is_balanced(inside):
            return text[0], inside.strip(), text[-1]
    return None


def _is_balanced(text: str) -> bool:
    """Whether no bracket in it closes what was opened outside; half-open intervals may stand inside."""
    depth = position = 0
    while position < len(text):
        if text[position] == "\\" and position + 1 < len(text):
            step = {"{": 1, "}": -1}.get(text[position + 1], 0)
            position += 2
        else:
            step = (text[position] in _OPEN) - (text[position] in _CLOSE)
            position += 1
        depth += step
        if depth < 0:
            return False
    return depth == 0


def is_name(text: str) -> bool:
    r"""Whether a side of an equation only names what follows: ``x``, ``f(x)``, ``\text{Area}``, ``A\cap B``."""
    bare = re.sub(r"\\text\{[^{}]*\}|\\[a-zA-Z]+|_\{[^{}]*\}|_.", "", text)
    if re.search(r"\\(?:sqrt|pi|infty|log|ln|sin|cos|tan|cdot|times|sum|int|lim|binom|pm|max|min)(?![a-zA-Z])", text):
        return False
    if "\\text" in text:
        return bool(re.fullmatch(r"(?:\\text\{[^{}]*\}\s*)+[A-Z]{0,4}", text))
    if re.match(r"\\frac\{d", text):
        return bool(re.fullmatch(r"\\frac\{d\^?\{?2?\}?[a-zA-Z]\}\{d[a-zA-Z](\^\{2\})?\}", text))
    letters = bool(re.search(r"[A-Za-z]", text)) and "\\frac" not in text
    return letters and bool(re.fullmatch(r"[A-Za-z(){}|', ]*", bare))


def split_unit(text: str) -> tuple[str, str]:
    r"""The text without the unit behind it, and the unit: ``15\text{ cm}^{2}``, ``18 apples per day``."""
    unit = ""
    match = re.match(r"(.*?)\s*\^\{\\circ\}\s*(?:\\text\{)?([CF]?)\}?$", text, re.DOTALL)
    if match and match.group(1) and not re.search(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])", text):
        return match.group(1), "degree" + match.group(2)
    text = re.sub(
        r"(?<=[0-9])\s*(?:\^\{\s*(?:\\text\{)?(?:st|nd|rd|th)\}?\s*\}|(?:st|nd|rd|th)|\\text\{(?:st|nd|rd|th)\})$",
        "",
        text,
    )
    match = _WORD_UNIT.fullmatch(text)
    if match and _is_value(match.group("core")) and not _says_more(match.group("unit")):
        text, unit = match.group("core").strip(), match.group("unit").strip()
    if unit.startswith("-") or unit.endswith("-"):
        unit = unit.strip("-")
    return text, _canonical_unit(unit)


def _is_value(core: str) -> bool:
    """Whether a unit may stand behind it: digits, or letters that are no words."""
    bare = re.sub(r"\\[a-zA-Z]+", "", core)
    return bool(core) and not re.search(r"[A-Za-z]{3,}", bare) and "\\text" not in core


_MORE = frozenset(
    [
        "if",
        "for",
        "when",
        "where",
        "otherwise",
        "with",
        "such",
        "that",
        "let",
        "not",
        "is",
        "are",
        "to",
        "from",
        "no",
        "none",
        "only",
        "infinitely",
        "or",
        "and",
        "but",
        "maybe",
        "perhaps",
    ]
)


def _says_more(unit: str) -> bool:
    """Whether words are no unit but a condition, or another answer."""
    return any(word in _MORE for word in re.findall(r"[a-z]+", unit)) or bool(
        set(re.findall(r"[a-zA-Z]+", re.sub(r"\\text", "", unit)))
        & (FUNCTIONS - {"min", "max", "sec"} | {"i", "pi", "sqrt"})
    )


def _canonical_unit(unit: str) -> str:
    """The same text for the same unit of measurement; empty for things that are counted, and for none."""
    unit = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", unit)
    square = {"square": "2", "sq": "2", "cubic": "3", "cu": "3"}
    parts: list[str] = []
    power, below = "", False
    for word in re.findall(r"[A-Za-z]+|\^\{?-?[0-9]\}?|/", unit):
        if word in square:
            power = square[word]
        elif word.startswith("^"):
            if parts:
                exponent = re.sub(r"[^-0-9]", "", word)
                parts[-1] = parts[-1].split("^")[0] + (f"^{exponent}" if exponent != "1" else "")
        elif word in ("per", "/", "a", "an"):
            below = True
        else:
            name = _UNITS.get(word) or _UNITS.get(word.lower()) or _UNITS.get(re.sub(r"e?s$", "", word.lower()))
            name = name or _UNITS.get(re.sub(r"s$", "", word.lower()), "")
            if not name:
                return ""
            parts.append(("/" if below else "") + name + (f"^{power}" if power else ""))
            power, below = "", False
    return " ".join(parts)


def matched(first: list[str], second: list[str], same: Callable[[str, str], bool]) -> bool:
    """Whether every text of one list has a partner of its own in the other."""
    if len(first) != len(second):
        return False
    left = list(second)
    for one in first:
        partner = next((k for k, other in enumerate(left) if one == other), None)
        if partner is None:
            partner = next((k for k, other in enumerate(left) if same(one, other)), None)
        if partner is None:
            return False
        del left[partner]
    return True
