"""Sets of real numbers: intervals, unions, solved inequalities, and what they have in common."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from llm.grading import equality
from llm.grading.formulas import formula
from llm.grading.structure import at_top, bracketed, is_name, items, relation, split_at

_SET_SIGN = re.compile(r"\\(?:cup|setminus|cap)(?![a-zA-Z])")


def same_set(gold: str, given: str) -> bool | None:
    """Sets of numbers by their members; None where neither or only one is one."""
    variables = _variable(gold), _variable(given)
    if all(variables) and variables[0] != variables[1]:
        return False  # x > 5 is not y > 5
    a, b = set_of(gold), set_of(given)
    if a is None or b is None:
        if (a is not None and _is_plainly_set(gold)) or (b is not None and _is_plainly_set(given)):
            a, b = a if a is not None else set_of(gold, pairs=True), b if b is not None else set_of(given, pairs=True)
        if a is None or b is None:
            return None
    if a == b:
        return True
    first, second = _pieces(a), _pieces(b)
    if first is None or second is None or len(first) != len(second):
        return False
    return all(
        p[2:] == q[2:] and equality.equal(p[0], q[0]) and equality.equal(p[1], q[1])
        for p, q in zip(first, second, strict=True)
    )


def _variable(text: str) -> str:
    """The letter that an inequality, or a membership, is about; empty for none and for several."""
    found = {
        side.strip() for part in items(text) for side in relation(part).sides if re.fullmatch(r"\s*[a-zA-Z]\s*", side)
    }
    return found.pop() if len(found) == 1 and relation(items(text)[0]).signs else ""


def _is_plainly_set(text: str) -> bool:
    return bracketed(text) is None or bracketed(text)[0] != "{" or "|" in text or ":" in text  # type: ignore[index]


def _pieces(numbers: Any) -> list[tuple[Any, Any, bool, bool]] | None:
    """Start, end and which ends are open, of every interval and point in order."""
    import sympy

    found = []
    for one in numbers.args if isinstance(numbers, sympy.Union) else [numbers]:
        if isinstance(one, sympy.Interval):
            found.append((one.start, one.end, bool(one.left_open), bool(one.right_open)))
        elif isinstance(one, sympy.FiniteSet):
            found += [(point, point, False, False) for point in one.args]
        else:
            return None
    try:
        return sorted(found, key=lambda piece: (float(piece[0]), float(piece[1])))
    except (TypeError, ValueError):
        return None


@lru_cache(maxsize=16384)
def set_of(text: str, pairs: bool = False) -> Any:
    r"""The set of real numbers that an interval, a union or a solved inequality says; None for other texts.

    Args:
        text: e.g. ``(-\infty,3]``, ``x\le3``, ``1<x<2``, ``\{x\mid x>0\}``, ``\mathbb{R}\setminus\{0\}``.
        pairs: whether ``(1,2)``, which may be a point, is an interval, and ``\{1,2\}`` a set of numbers.
    """
    import sympy

    text = text.strip()
    signs = at_top(text, _SET_SIGN)
    if signs:
        whole = None
        for sign, part in zip(["", *(s.group() for s in signs)], split_at(text, signs), strict=True):
            one = set_of(_relation_value(part), pairs=True)
            if one is None:
                return None
            whole = one if whole is None else (
                sympy.Union(whole, one) if sign == "\\cup"
                else sympy.Intersection(whole, one) if sign == "\\cap" else whole - one
            )  # fmt: skip
        return whole
    if text == "\\mathbb{R}":
        return sympy.Interval(-sympy.oo, sympy.oo)
    if text == "\\emptyset":
        return sympy.S.EmptySet
    parts = items(text)
    if len(parts) > 1:
        if (
            "\\text{and}" in text
            or re.search(r"(?<![a-zA-Z])and(?![a-zA-Z])", text)
            or not all(relation(p).signs for p in parts)
        ):
            return None
        found = [_solved(part) for part in parts]
        variables = {one[0] for one in found if one}
        if not all(found) or len(variables) != 1:
            return None
        if all(one is not None and isinstance(one[1], sympy.Complement) for one in found):
            return sympy.Intersection(*(one[1] for one in found if one))
        if re.search(r"(?<![a-zA-Z])or(?![a-zA-Z])", text) or "\\text{or}" in text:
            return sympy.Union(*(one[1] for one in found if one))
        return None
    sides, relation_signs = relation(text)
    if len(relation_signs) == 1 and relation_signs[0] in (r"\in", "=") and is_name(sides[0]):
        return set_of(sides[1], pairs=relation_signs[0] == r"\in")
    if relation_signs:
        solved = _solved(text)
        return solved[1] if solved else None
    pair = bracketed(text)
    if pair is None:
        return None
    opening, inside, close = pair
    if opening == "{":
        builder = split_at(inside, at_top(inside, re.compile(r"\||:")))
        if len(builder) == 2 and re.fullmatch(r"[a-z](?:\s*\\in\s*\\mathbb\{R\})?", builder[0]):
            solved = _solved(builder[1])
            return solved[1] if solved and solved[0] == builder[0][0] else None
        if not pairs:
            return None
        numbers = [formula(part) for part in items(inside)]
        return None if not numbers or any(n is None or n.free_symbols for n in numbers) else sympy.FiniteSet(*numbers)
    ends = items(inside)
    if len(ends) != 2:
        return None
    low, high = (formula(end) for end in ends)
    unbounded = low == -sympy.oo or high == sympy.oo
    if low is None or high is None or not (pairs or unbounded or opening + close in ("[)", "(]")):
        return None
    return _interval(low, high, opening == "(", close == ")")


def _relation_value(text: str) -> str:
    sides, signs = relation(text)
    return sides[-1] if signs and set(signs) <= {"=", r"\in"} and is_name(sides[0]) else text


def _interval(low: Any, high: Any, left_open: bool, right_open: bool) -> Any:
    import sympy

    if getattr(low, "free_symbols", True) or getattr(high, "free_symbols", True):
        return None
    try:
        low, high = low.doit(), high.doit()
        found = sympy.Interval(low, high, left_open, right_open)
        return found if isinstance(found, (sympy.Interval, sympy.FiniteSet)) else None
    except (TypeError, ValueError, AttributeError):
        return None


def _solved(text: str) -> tuple[str, Any] | None:
    r"""Variable and set of a solved inequality: ``x<3``, ``3\ge x``, ``1<x\le2``, ``x\ne2``, ``x=1``."""
    import sympy

    sides, signs = relation(text)
    turned = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", r"\ne": r"\ne", "=": "="}
    if not signs or not set(signs) <= set(turned) or len(signs) > 2:
        return None
    variable = re.compile(r"[a-zA-Z]|\\(?:theta|alpha|beta|lambda|mu|phi)")
    if len(signs) == 2:
        middle = sides[1].strip()
        down = set(signs) <= {">", r"\ge"}
        if not variable.fullmatch(middle) or not (down or set(signs) <= {"<", r"\le"}):
            return None
        (low, first), (high, last) = ((sides[0], signs[0]), (sides[2], signs[1]))
        if down:
            (low, first), (high, last) = (high, last), (low, first)
        one, other = formula(low), formula(high)
        found = None if one is None or other is None else _interval(one, other, first in "<>", last in "<>")
        return None if found is None else (middle, found)
    name, value, sign = sides[0].strip(), sides[1].strip(), signs[0]
    if not variable.fullmatch(name):
        name, value, sign = value, name, turned[sign]
    bound = formula(value)
    if not variable.fullmatch(name) or bound is None or not isinstance(bound, sympy.Expr) or bound.free_symbols:
        return None
    if sign == "=":
        return None
    if sign == r"\ne":
        return name, sympy.Complement(sympy.S.Reals, sympy.FiniteSet(bound.doit()))
    found = _interval(-sympy.oo, bound, True, sign == "<") if sign in ("<", r"\le") else _interval(
        bound, sympy.oo, sign == ">", True
    )  # fmt: skip
    return None if found is None else (name, found)
