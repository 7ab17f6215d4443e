r"""Whether two answers say the same: text for text, part for part, and formula for formula.

A text is taken apart into lists, tuples, sets, intervals, relations and units, and what remains are formulas, which are
read as a whole or not at all. What cannot be read is compared as text: its case counts, and so do its spaces.
"""

from __future__ import annotations

import re
from datetime import time
from fractions import Fraction
from functools import lru_cache
from typing import Any

from llm.grading import equality
from llm.grading.formulas import DOTS, ONLY_TEXT, formula
from llm.grading.notation import FUNCTIONS, UnreadableError, plain
from llm.grading.numbers import is_percent_of, is_rounding, number, places
from llm.grading.sets import same_set, set_of
from llm.grading.structure import (
    at_top,
    bracketed,
    is_name,
    items,
    matched,
    relation,
    split_at,
    split_unit,
)

_MOST_ITEMS = 200
# What sympy raises on odd input; a name that is missing is no odd input.
_ODD = (ArithmeticError, AttributeError, LookupError, NotImplementedError, RecursionError, TypeError, ValueError)
_BASE = re.compile(r"(?:\\text\{)?([0-9A-F]*[0-9][0-9A-F]*)\}?\s*_\{(?:\\text\{)?\(?(\w+)\)?\}?\}")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?\s*(?:\\text\{\s*)?([aApP]\.?\s?[mM]\.?)?\}?")
_CHOICE = re.compile(r"\(?([A-J])\)?")
_CHOICE_AND_MORE = re.compile(r"(?:\(([A-J])\)|([A-J])[).:])\s*(\S.*)", re.DOTALL)
_WORDS = re.compile(r"(?:\\text\{[^{}]*\}|[A-Za-z0-9'.,&/\-\s]|(?<=\w)-(?=\w))+")
_BASES = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
          "ten": "10", "twelve": "12", "sixteen": "16"}  # fmt: skip
_ANSWER_IS = re.compile(
    r"^(?:\\text\{\s*(?:final |the )?answer\s*(?:is)?\s*[:=]?\s*\}|(?:final |the )?answer\s*(?:is|[:=]))\s*[:=]?\s*",
    re.IGNORECASE,
)
_NO_SOLUTION = {"no solution", "no solutions", "empty set", "the empty set", "no real solution", "no real solutions"}
_ALL_REALS = {"all real numbers", "all reals", "the set of all real numbers", "all real numbers x"}
_KNOWN = frozenset(
    ["frac", "sqrt", "cdot", "times", "div", "pi", "infty", "le", "ge", "ne", "in", "cup", "cap", "emptyset",
     "mathbb", "text", "circ", "pm", "mp", "sum", "int", "lim", "binom", "ldots", "alpha", "beta", "gamma", "delta",
     "epsilon", "varepsilon", "theta", "lambda", "mu", "nu", "rho", "sigma", "tau", "phi", "varphi", "psi", "omega",
     "Delta", "Gamma", "Omega", "Phi", "Sigma", "overline", "overrightarrow", "vec", "hat", "angle", "triangle",
     "perp", "parallel", "equiv", "pmod", "bmod", "approx", "to", "forall", "exists", "setminus", "prime", "begin",
     "end", "lfloor", "rfloor", "lceil", "rceil", "langle", "rangle", "Vert", "not", "sim", "subset", "subseteq",
     "partial", "mathcal"]
) | FUNCTIONS  # fmt: skip


@lru_cache(maxsize=65536)
def canonical(text: str) -> str:
    """One way of writing an answer; empty for what has none."""
    try:
        found = plain(text)
    except UnreadableError:
        return ""
    found = _outer(found)
    found = re.sub(r"(?<=[0-9)}])\s*\([a-z]{3,}[a-z ]*\)$", "", found)  # "3 (three)"
    found = re.sub(r"^(?:\\approx|=)\s*", "", found)
    found = re.sub(r"^(?:The )?[Ss]olutions?(?: set)? (?:is|are)\s*:?\s*", "", found)
    found = _ANSWER_IS.sub("", found)
    if found.lower().strip() in _ALL_REALS or _spoken(found) in _ALL_REALS:
        return "\\mathbb{R}"
    if _spoken(found) in _NO_SOLUTION or re.fullmatch(r"\\\{\s*\\\}", found):
        return "\\emptyset"
    return found


def _outer(text: str) -> str:
    """Without braces around all of it."""
    while text.startswith("{") and text.endswith("}") and bracketed(f"\\{text[:-1]}\\}}"):
        text = text[1:-1].strip()
    return text


def is_readable(answer: str) -> bool:
    """Whether responses can be compared with an answer: it is understood from its first to its last character.

    Else it is at least a few words, or a formula of known commands with dots in it, that are compared as text.
    """
    text = canonical(answer)
    try:
        return bool(text) and (_is_understood(text) or _is_text(text))
    except _ODD:
        return False


@lru_cache(maxsize=65536)
def is_understood(text: str) -> bool:
    """Whether a text is an answer that is more than words: a number, a formula, a set, a choice."""
    found = canonical(text)
    try:
        return bool(found) and _is_understood(found)
    except _ODD:
        return False


@lru_cache(maxsize=65536)
def are_same(answer: str, given: str) -> bool:
    """Whether a text says the same as an answer."""
    gold, text = canonical(answer), canonical(given)
    try:
        return bool(gold and text) and (_as_text(gold) == _as_text(text) or _same(gold, text))
    except _ODD:
        return False


def _is_text(text: str) -> bool:
    spoken = _spoken(text)
    words = bool(spoken) and len(spoken) <= 80 and bool(re.search(r"[a-zA-Z]{2,}|^[a-z]$", spoken))
    commands = set(re.findall(r"\\([a-zA-Z]+)", text))
    return words or (bool(ONLY_TEXT.search(text)) and commands <= _KNOWN and len(text) <= 200)


def _is_understood(text: str) -> bool:
    name, sign, rest = text.partition("=")
    parts = [text] if sign and is_name(name) and number(rest) is not None else items(text)
    if len(parts) > 1:
        return number(text) is not None or (all(parts) and all(map(_is_understood, parts)))
    if number(text) is not None or _BASE.fullmatch(text) or _TIME.fullmatch(text):
        return True
    if DOTS.search(text):
        return False
    both = _plus_minus(text)
    if both:
        return all(map(_is_understood, both))
    if set_of(text) is not None:
        return True
    pair = bracketed(text)
    if pair:
        return bool(pair[1]) and all(map(_is_understood, items(pair[1])))
    choice = _CHOICE_AND_MORE.fullmatch(text)
    if choice:
        return True
    sides, signs = relation(text)
    if signs and is_name(sides[0]) and set(signs) <= {"=", r"\approx", r"\in"}:
        return _is_understood(sides[-1])
    if _ratio(text):
        return True
    core, _ = split_unit(text)
    if signs:
        return len(signs) <= 2 and all(formula(side) is not None for side in sides)
    return formula(core) is not None


def _as_text(text: str) -> str:
    """Spaces that mean nothing left out: those between digits, and between words, stay."""
    if spoken := _spoken(text):
        return spoken
    apart = re.sub(r"(\\[a-zA-Z]+)\s+(?=[a-zA-Z])", "\\1\N{OPEN BOX}", text)  # "\\pi r" is no command "\\pir"
    return re.sub(r"(?<![0-9.])\s+|\s+(?![0-9.])", "", apart)


def _spoken(text: str) -> str:
    """Words in small letters, dressed as text or not; empty for a formula, whose case counts."""
    if not _WORDS.fullmatch(text):
        return ""
    words = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text)
    words = " ".join(words.split()).strip(" .,")
    if not re.search(r"[A-Za-z]{2,}", words):
        return words if "\\text" in text else ""
    long = re.findall(r"[A-Za-z]+", words)
    told = any(len(one) >= 3 and not one.isupper() for one in long) or words.lower() in ("yes", "no", "no.", "yes.")
    named = any(len(one) >= 4 for one in long)
    if not (told or named or "\\text" in text):
        return ""
    return words.lower() if told or named else words


def _same(gold: str, given: str) -> bool:
    """Whether two texts in canonical form say the same."""
    a, b = number(gold), number(given)
    if a is not None and b is not None:
        if re.search("[A-Za-z]", gold) and re.search("[A-Za-z]", given):
            units = split_unit(gold)[1], split_unit(given)[1]
            if all(units) and units[0] != units[1]:
                return False
        return a == b or is_percent_of(gold, given, a, b) or is_rounding(gold, given, a, b)
    for special in (_same_base, _same_time, _same_choice):
        verdict = special(gold, given)
        if verdict is not None:
            return verdict
    if DOTS.search(gold) or DOTS.search(given):
        return False
    if (_spoken(gold) and not re.search("[0-9]", gold)) or _is_prose(given):
        return _spoken(gold) == _spoken(given) != ""
    gold_parts, given_parts = _parts(gold), _parts(given)
    if len(gold_parts) > _MOST_ITEMS or len(given_parts) > _MOST_ITEMS:
        return False
    sets = same_set(gold, given)
    if sets is not None:
        return sets
    if len(gold_parts) > 1 or len(given_parts) > 1 or bracketed(gold) or bracketed(given):
        return _same_parts(gold, given, gold_parts, given_parts)
    return _same_leaf(gold, given)


def _is_prose(text: str) -> bool:
    """Whether a text has words that no unit explains."""
    core = split_unit(text)[0]
    bare = re.sub(r"\\text\{[^{}]*\}\s*[:=]?", "", core, count=1) if relation(core).signs else core
    return bool(re.search(r"(?<![A-Za-z\\{])[A-Za-z]{4,}(?![A-Za-z}])", re.sub(r"\\[a-zA-Z]+", " ", bare)))


# What only looks like a formula


def _same_base(gold: str, given: str) -> bool | None:
    """Number and base, where an answer names its base; left out, the base is the answer's."""
    first, second = _BASE.fullmatch(gold), _BASE.fullmatch(given)
    if not first and not second:
        return None
    if first and second:
        bases = [_BASES.get(one.group(2).lower(), one.group(2)) for one in (first, second)]
        return first.group(1).lstrip("0") == second.group(1).lstrip("0") and bases[0] == bases[1]
    digits = (first or second).group(1)  # type: ignore[union-attr]
    other = re.sub(r"^\\text\{(.*)\}$", r"\1", given if first else gold)
    return digits.lstrip("0") == other.lstrip("0")


def _clock(text: str) -> tuple[time, str] | None:
    match = _TIME.fullmatch(text)
    if not match or int(match.group(1)) > 24 or int(match.group(2)) > 59 or int(match.group(3) or 0) > 59:
        return None
    return time(int(match.group(1)) % 24, int(match.group(2)), int(match.group(3) or 0)), (match.group(4) or "")[
        :1
    ].lower()


def _same_time(gold: str, given: str) -> bool | None:
    """Times of the day; of those without a.m. or p.m. that may be ratios in lowest terms, none are times."""
    first, second = _clock(gold), _clock(given)
    if first is None:
        return None
    sides = [int(one) for one in gold.split(":")[:2]] if not first[1] and gold.count(":") == 1 else None
    if sides and sides[1] and Fraction(*sides).denominator == sides[1] and not (second and second[1]):
        return None
    if second is None:
        return False
    if first[1] and second[1] and first[1] != second[1]:
        return False
    hours = [(clock.hour % 12 + 12 * (half == "p")) if half else clock.hour for clock, half in (first, second)]
    if bool(first[1]) != bool(second[1]) and (first[0] if second[1] else second[0]).hour <= 12:
        hours = [hour % 12 for hour in hours]
    return hours[0] == hours[1] and first[0].minute == second[0].minute and first[0].second == second[0].second


def _same_choice(gold: str, given: str) -> bool | None:
    """A letter that chooses, with or without what it chooses."""
    first, second = _CHOICE.fullmatch(gold), _CHOICE.fullmatch(given)
    if first and second:
        return first.group(1) == second.group(1)
    more = _CHOICE_AND_MORE.fullmatch(given)
    if first and more:
        return first.group(1) == (more.group(1) or more.group(2))
    more = _CHOICE_AND_MORE.fullmatch(gold)
    if more:
        if second:
            return second.group(1) == (more.group(1) or more.group(2))
        other = _CHOICE_AND_MORE.fullmatch(given)
        if other and (other.group(1) or other.group(2)) != (more.group(1) or more.group(2)):
            return False
        return _same(more.group(3), other.group(3) if other else given)
    return None


def _ratio(text: str) -> list[str]:
    """Terms of a ratio, ``3:4``; none for what is no ratio."""
    text = re.sub(r"(?<=\d)\s+to\s+(?=\d)", ":", text)
    terms = split_at(text, at_top(text, re.compile(":")))
    return terms if len(terms) > 1 and all(formula(term) is not None for term in terms) else []


# Lists, tuples, sets, intervals


def _plus_minus(text: str) -> list[str]:
    r"""Both values of ``1\pm\sqrt2``; none without the sign."""
    if not re.search(r"\\(?:pm|mp)(?![a-zA-Z])", text):
        return []
    plus = re.sub(r"\\pm(?![a-zA-Z])\s*", "+", re.sub(r"\\mp(?![a-zA-Z])\s*", "-", text))
    minus = re.sub(r"\\pm(?![a-zA-Z])\s*", "-", re.sub(r"\\mp(?![a-zA-Z])\s*", "+", text))
    name = re.match(r"([^=]*=)\s*\+", plus)
    plus = f"{name.group(1)} {plus[name.end() :]}" if name else plus.removeprefix("+")
    return [re.sub(r"([(,])\s*\+", r"\1", plus), minus]


def _parts(text: str) -> list[str]:
    r"""Items of a list without brackets; ``\pm`` makes two."""
    name, sign, rest = text.partition("=")
    if number(rest if sign and is_name(name) else text) is not None:
        return [text]
    parts = items(text)
    return [both for part in parts for both in (_plus_minus(part) if not bracketed(part) else []) or [part]]


def _named(parts: list[str]) -> tuple[list[str], list[str]]:
    """Names before the equals signs of the parts, empty for none, and what stands behind them."""
    names, values = [], []
    for part in parts:
        sides, signs = relation(part)
        named = len(signs) >= 1 and set(signs) <= {"=", r"\in", r"\approx"} and is_name(sides[0])
        names.append(_as_text(sides[0]) if named else "")
        values.append(sides[-1] if named else part)
    return names, values


def _same_parts(gold: str, given: str, gold_parts: list[str], given_parts: list[str]) -> bool:
    gold_names, gold_values = _named(gold_parts)
    given_names, given_values = _named(given_parts)
    if len(gold_parts) == len(given_parts) == 1 and gold_names != given_names and all((*gold_names, *given_names)):
        return False  # x = ... is not y = ...
    letters, other_letters = (
        {re.sub(r"_.*", "", name) for name in names if name} for names in (gold_names, given_names)
    )
    if len(letters) == len(other_letters) == 1 and not _same_name(letters.pop(), other_letters.pop()):
        return False
    first, second = _collection(gold_names, gold_values), _collection(given_names, given_values)
    if first is None or second is None:
        return False
    (kind, names, parts), (other_kind, other_names, other_parts) = first, second
    if names and other_names:
        return matched([f"{a}={b}" for a, b in zip(names, parts, strict=True)],
                       [f"{a}={b}" for a, b in zip(other_names, other_parts, strict=True)], _same_leaf)  # fmt: skip
    if names or other_names:
        if (other_kind if names else kind) != "()" or (names or other_names) != sorted(names or other_names):
            return False
        return len(parts) == len(other_parts) and all(map(_same, parts, other_parts))
    if kind in ("list", "{}") and other_kind in ("list", "{}"):
        if "{}" in (kind, other_kind):
            parts, other_parts = list(dict.fromkeys(parts)), list(dict.fromkeys(other_parts))
        return matched(parts, other_parts, _same)
    if "{}" in (kind, other_kind):
        return False
    if kind != other_kind and ("list" not in (kind, other_kind) or {"[)", "(]"} & {kind, other_kind}):
        return False  # a half-open interval is no list
    return len(parts) == len(other_parts) > 0 and all(map(_same, parts, other_parts))


def _collection(names: list[str], values: list[str]) -> tuple[str, list[str], list[str]] | None:
    r"""Kind, names and parts: of ``x=1, y=2``, ``x=1,2``, ``(1,2)``, ``\{1,2\}``, ``[1,2]``, ``1,2``."""
    if not all(values):
        return None
    if len(values) == 1:
        both = _plus_minus(values[0]) if not bracketed(values[0]) else []
        if both:
            return "list", [], both
        pair = bracketed(values[0])
        if pair is None:
            return "list", [], values
        parts = [one for part in items(pair[1]) for one in _plus_minus(part) or [part]]
        kind = pair[0] + pair[2]
        if len(parts) == 1 and kind == "()":
            return "list", [], parts
        return kind, [], parts
    letters = {re.sub(r"_.*", "", name) for name in names if name}
    if len(letters) <= 1:  # of one variable: values, "x = 1, 2" and "x_1 = 1, x_2 = 2" too
        return "list", [], values
    if not all(names) or len(set(names)) < len(names):
        return None
    return "list", names, values


# Formulas and relations


def _same_leaf(gold: str, given: str) -> bool:
    """One relation or one formula on either side, with or without a name before it and a unit behind it."""
    if _as_text(gold) == _as_text(given):
        return True
    gold_name, gold_value = _unnamed(gold)
    given_name, given_value = _unnamed(given)
    if gold_name and given_name and not _same_name(gold_name, given_name):
        return _same_equation(gold, given)
    if not gold_name and relation(gold).signs:
        return _same_equation(gold, given)
    if not given_name and relation(given).signs:
        sides, signs = relation(given)
        if gold_name and set(signs) == {"="} and _has_variables(gold_value):
            return _same_equation(gold, given)
        if set(signs) <= {"=", r"\approx"} and not _has_variables(sides[0]):
            return _same_value(gold_value, sides[-1]) or (
                signs[-1] == r"\approx" and _same_value(gold_value, sides[-2])
            )
        if set(signs) == {"="} and not gold_name and _has_variables(gold_value) and len(signs) >= 1:
            return _same_value(gold_value, sides[-1]) and _same_value(sides[0], sides[-1])
        return False
    return _same_value(gold_value, given_value)


def _has_variables(text: str) -> bool:
    found = formula(text)
    return found is None or bool(getattr(found, "free_symbols", True))


def _unnamed(text: str) -> tuple[str, str]:
    """The name before an equals sign, and the value behind the last one."""
    sides, signs = relation(text)
    if not signs or not set(signs) <= {"=", r"\approx", r"\in"} or not is_name(sides[0]):
        return "", text
    value = sides[-1]
    if signs[-1] == r"\approx" and len(sides) > 2:
        value = sides[-2]
    return sides[0], value


def _same_name(first: str, second: str) -> bool:
    """Whether two names before values may be of the same thing: the same letter, or words for a letter."""
    if _as_text(first) == _as_text(second):
        return True
    return (
        "\\text" in first
        or "\\text" in second
        or bool(re.search("[A-Za-z]{3,}", re.sub(r"\\[a-z]+", "", first + " " + second)))
    )


def _same_value(gold: str, given: str) -> bool:
    if number(gold) is not None and number(given) is not None:
        return _same(gold, given)
    if bracketed(gold) or bracketed(given) or len(items(gold)) > 1 or len(items(given)) > 1:
        gold_parts, given_parts = items(gold), items(given)
        if (len(gold_parts), len(given_parts)) != (1, 1) or _collection([""], [gold]) != ("list", [], [gold]):
            inner = _same_parts(gold, given, gold_parts, given_parts)
            if inner:
                return True
    ratio, other = _ratio(gold), _ratio(given)
    if ratio and other:
        return _same_ratio(ratio, other)
    if (ratio and len(ratio) > 2) or (other and len(other) > 2):
        return False
    if ratio or other:
        gold, given = (f"({t[0]})/({t[1]})" if t else text for t, text in ((ratio, gold), (other, given)))
    (core, unit), (given_core, given_unit) = split_unit(gold), split_unit(given)
    if unit and given_unit and unit != given_unit:
        return False
    if not unit and not given_unit and not re.search(r"[a-zA-Z]", re.sub(r"\\[a-zA-Z]+", "", gold)):
        given_core = re.sub(r"(?<=[0-9)}])\s+[mgshLlNJW]$", "", given_core)
    for percent, bare in (("%", "%"), ("\\text{percent}", "%")):
        core, given_core = core.replace(percent, bare), given_core.replace(percent, bare)
    first_percent, second_percent = core.endswith("%"), given_core.endswith("%")
    a, b = formula(core.rstrip("%")), formula(given_core.rstrip("%"))
    if a is None or b is None:
        return False
    if equality.equal(a, b) or _is_rounded(core, given_core, a, b):
        return True
    if first_percent != second_percent:
        a, b = a / 100 if first_percent else a, b / 100 if second_percent else b
        core, given_core = "" if first_percent else core, "" if second_percent else given_core
        return equality.equal(a, b) or _is_rounded(core, given_core, a, b)
    if "degree" in (unit, given_unit) and unit != given_unit:
        import sympy

        turn = sympy.pi / 180
        return equality.equal(a * turn if unit else a, b * turn if given_unit else b)
    return _same_constant(a, b)


def _is_rounded(gold: str, given: str, a: Any, b: Any) -> bool:
    """Whether one of two formulas is written as a decimal number, and is the other rounded."""
    if places(gold) is None and places(given) is None:
        return False
    first, second = (
        number(text) if places(text) is not None else equality.real(one) for text, one in ((gold, a), (given, b))
    )
    return first is not None and second is not None and is_rounding(gold, given, first, second)


def _same_constant(a: Any, b: Any) -> bool:
    """Equal when the constant of integration is c in one and C in the other."""
    import sympy

    big, small = sympy.Symbol("C", real=True), sympy.Symbol("c", real=True)
    first: set[Any] = getattr(a, "free_symbols", set())
    second: set[Any] = getattr(b, "free_symbols", set())
    if len(first) < 2 or len(first) != len(second):
        return False
    if any(sympy.diff(one, constant) not in (0, 1) for one in (a, b) for constant in (big, small)):
        return False
    if big in first and small not in first and small in second and big not in second:
        return equality.equal(a, b.xreplace({small: big}))
    if small in first and big not in first and big in second and small not in second:
        return equality.equal(a, b.xreplace({big: small}))
    return False


def _same_ratio(first: list[str], second: list[str]) -> bool:
    a, b = [formula(term) for term in first], [formula(term) for term in second]
    if len(a) != len(b) or any(term is None for term in (*a, *b)):
        return False
    return all(equality.equal(a[0] * q, b[0] * p) for p, q in zip(a[1:], b[1:], strict=True))


def _same_equation(gold: str, given: str) -> bool:
    """Whether one equation, or inequality, is a multiple of the other."""
    (sides, signs), (other_sides, other_signs) = relation(gold), relation(given)
    if len(signs) != 1 or len(other_signs) != 1:
        return False
    if is_name(sides[0]) and not _has_variables(sides[1]):
        return False  # solved for a number, and the other is not
    a, b, c, d = (formula(side) for side in (*sides, *other_sides))
    return all(one is not None for one in (a, b, c, d)) and equality.same_relation(a, b, signs[0], c, d, other_signs[0])
