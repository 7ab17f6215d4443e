r"""Whether two formulas are equal, by their values: math-verify's parser reads them, and sympy computes.

Values of formulas without variables are compared to 60 digits; formulas with variables at points that no one would
choose, negative ones among them, so that ``|x|`` is not x. What cannot be computed, math-verify compares by its rules.
Neither infinity nor nan is equal to a number.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

_SECONDS = 3  # limit on one parse and on one comparison
_MOST = 5_000  # exponents and factorials above are not computed
_ENOUGH = 3  # points at which formulas with variables have to agree
_DIGITS = 60

# Fractions with large primes: at no such point are two formulas equal by chance.
_POINTS = [(10007, 3511), (-7919, 2221), (1607, 2003), (27644437, 10000019), (-613, 1709), (3307, 911), (-4999, 1301)]


@lru_cache(maxsize=16384)
def formula(latex: str) -> Any:
    """The formula as sympy's object; None for what the parser does not read from its first to its last character."""
    return _in_time(_parse, latex)


def _in_time(function: Callable[..., Any], *given: Any) -> Any:
    """What a function gives; None where it fails, or takes too long."""
    from math_verify.errors import TimeoutException
    from math_verify.utils import timeout

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sympy's, on odd input
            return timeout(_SECONDS)(function)(*given)
    except (NameError, ImportError):
        raise
    except (Exception, TimeoutException):  # sympy raises nearly anything on odd input
        return None


def _parse(latex: str) -> Any:
    from latex2sympy2_extended import latex2sympy  # type: ignore[import-untyped]
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig  # type: ignore[import-untyped]

    found = latex2sympy(
        latex,
        is_real=True,
        convert_degrees=True,
        normalization_config=None,
        conversion_config=ConversionConfig(lowercase_symbols=False),
    )
    return found if found is not None and _is_small(found) else None


def equal(first: Any, second: Any) -> bool:
    """Whether two formulas, from ``formula``, have the same value wherever both have one."""
    return bool(_in_time(_equal, first, second))


def real(expression: Any) -> Fraction | None:
    """The value of a formula without variables to ``_DIGITS`` digits; None where it is no real number."""
    found: Fraction | None = _in_time(_real, expression)
    return found


def _real(expression: Any) -> Fraction | None:
    import sympy

    if not isinstance(expression, sympy.Expr) or expression.free_symbols or not _is_finite(expression):
        return None
    expression = _exact(expression).doit()
    if expression.is_Rational:
        return Fraction(int(expression.p), int(expression.q))
    value = _value(expression)
    if value is None or not value.is_real:
        return None
    found = Fraction(str(value))
    short = round(found, _DIGITS // 2)  # log 8 / log 2 is three
    return short if abs(found - short) <= abs(found) / 10 ** (_DIGITS - 10) else found


def _equal(first: Any, second: Any) -> bool:
    import sympy

    if isinstance(first, sympy.MatrixBase) or isinstance(second, sympy.MatrixBase):
        if not isinstance(first, sympy.MatrixBase) or not isinstance(second, sympy.MatrixBase):
            return False
        return first.shape == second.shape and all(
            _equal(a, b) for a, b in zip(first.flat(), second.flat(), strict=True)
        )
    if not isinstance(first, sympy.Expr) or not isinstance(second, sympy.Expr):
        return bool(first == second)
    if not (_is_finite(first) and _is_finite(second)):
        return bool(first.doit() == second.doit()) and not first.doit().has(sympy.nan, sympy.zoo)
    first, second = _exact(first), _exact(second)
    lazy = (sympy.Sum, sympy.Product, sympy.Integral, sympy.Limit, sympy.Derivative)
    first, second = (one.doit() if one.has(*lazy) else one for one in (first, second))
    variables = sorted(first.free_symbols | second.free_symbols, key=str)
    verdict = _same_function(first, second, variables) if variables else _same_number(first, second)
    return _by_math_verify(first, second) if verdict is None else verdict


def _exact(expression: Any) -> Any:
    """With fractions for decimals, and with the imaginary unit for i."""
    import sympy

    floats = expression.atoms(sympy.Float)
    if floats:
        expression = expression.xreplace({one: sympy.Rational(str(one)) for one in floats})
    if not expression.has(sympy.Sum, sympy.Product, sympy.Integral, sympy.Limit):
        expression = expression.xreplace({sympy.Symbol("i", real=True): sympy.I})
    return expression


def _same_number(first: Any, second: Any) -> bool | None:
    a, b = _value(first), _value(second)
    if a is None or b is None:
        return None
    if not _near(a, b):
        return False
    exact = first.doit(), second.doit()
    return not all(one.is_Rational for one in exact) or bool(exact[0] == exact[1])


def _same_function(first: Any, second: Any, variables: list[Any]) -> bool | None:
    """None where too few points tell."""
    import sympy

    complex_numbers = first.has(sympy.I) or second.has(sympy.I)
    agreed = 0
    for index in range(len(_POINTS)):
        point = {v: sympy.Rational(*_POINTS[(index + 2 * k) % len(_POINTS)]) + k // 3 for k, v in enumerate(variables)}
        a, b = _value(first.xreplace(point)), _value(second.xreplace(point))
        if a is None or b is None:
            continue
        if not complex_numbers:
            if not a.is_real and not b.is_real:
                continue  # a root or a logarithm of a negative number
            if not a.is_real or not b.is_real:
                return False
        if not _near(a, b):
            return False
        agreed += 1
    return True if agreed >= _ENOUGH else None


def _value(expression: Any) -> Any:
    """A number to ``_DIGITS`` digits; None where there is none."""
    import sympy

    value = expression.evalf(_DIGITS, maxn=4 * _DIGITS)
    if not value.is_number or value.has(sympy.nan, sympy.zoo, sympy.oo, sympy.Function, sympy.Symbol):
        return None
    real, imaginary = value.as_real_imag()
    if not (real.is_Float or real.is_Rational) or not (imaginary.is_Float or imaginary.is_Rational):
        return None
    size = max(abs(real), abs(imaginary))
    if abs(imaginary) <= sympy.Float(10) ** (-_DIGITS // 2) * size:
        return real
    if abs(real) <= sympy.Float(10) ** (-_DIGITS // 2) * size:
        return imaginary * sympy.I
    return value


def _near(a: Any, b: Any) -> bool:
    import sympy

    if a == b:
        return True
    noise = [one for one in (a, b) if one.is_Float and one._prec < _DIGITS]  # cancelled to nothing
    if noise and len(noise) < 2:
        other = b if noise[0] is a else a
        return bool(other == 0)
    size = max(abs(a), abs(b))
    return len(noise) == 2 or bool(abs(a - b) <= sympy.Float(10) ** (-_DIGITS // 2) * size)


def _by_math_verify(first: Any, second: Any) -> bool:
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    from math_verify.grader import sympy_expr_eq

    if {str(one) for one in first.free_symbols} != {str(one) for one in second.free_symbols}:
        return False
    return bool(sympy_expr_eq(first, second, 6, 15))


def _is_finite(expression: Any) -> bool:
    """Whether no infinity and no nan stands in an expression, bounds of intervals, sums, integrals and limits aside."""
    import sympy

    if not isinstance(expression, sympy.Basic):
        return True
    walk = sympy.preorder_traversal(expression)
    for part in walk:
        if isinstance(part, (sympy.Interval, sympy.Integral, sympy.Sum, sympy.Product, sympy.Limit)):
            walk.skip()
        elif part in (sympy.oo, -sympy.oo, sympy.zoo, sympy.nan):
            return False
    return True


def _is_small(expression: Any) -> bool:
    """Whether computing it ends soon: no towers of powers, no factorials of large numbers."""
    import sympy

    if not isinstance(expression, (sympy.Basic, sympy.MatrixBase)):
        return False
    parts = expression.flat() if isinstance(expression, sympy.MatrixBase) else [expression]
    return all(_size(part) is not None for part in parts)


def _size(expression: Any) -> float | None:
    """A bound on the absolute value of an expression's logarithm, base 10, roughly; None for one that is too large."""
    import math

    import sympy

    if isinstance(expression, sympy.Number):
        if not expression.is_finite or expression == 0:
            return 0.0
        digits = len(str(abs(int(expression)))) if abs(expression) >= 1 else 1 + len(str(int(abs(1 / expression))))
        return float(digits) if digits < _MOST else None
    if not expression.args:
        return 1.0
    sizes = [_size(one) for one in expression.args if isinstance(one, sympy.Basic)]
    if any(one is None for one in sizes):
        return None
    known = [one for one in sizes if one is not None]
    if isinstance(expression, (sympy.Pow, sympy.exp)):
        exponent = expression.exp
        if not exponent.free_symbols:
            bound = 10 ** min(_size(exponent) or 0.0, 12.0)
            if exponent.is_Number:
                bound = min(float(abs(exponent)), 1e12)
            size = bound * (known[0] if isinstance(expression, sympy.Pow) else 0.5)
            return size if size <= 10 * _MOST else None
    if isinstance(expression, (sympy.factorial, sympy.factorial2, sympy.binomial)):
        bound = max((10 ** min(one, 12.0) for one in known), default=1.0)
        if all(one.is_Number for one in expression.args):
            bound = max(float(abs(one)) for one in expression.args)
        return bound * math.log10(bound + 1) if bound <= _MOST else None
    return sum(known)


def same_relation(a: Any, b: Any, sign: str, c: Any, d: Any, other_sign: str) -> bool:
    r"""Whether ``a sign b`` is ``c other_sign d`` times a number: ``2x+4y=3`` and ``y=-x/2+3/4``.

    Args:
        a, b, c, d: formulas.
        sign, other_sign: one of ``= < > \le \ge \ne``.
    """
    return bool(_in_time(_same_relation, a, b, sign, c, d, other_sign))


def _same_relation(a: Any, b: Any, sign: str, c: Any, d: Any, other_sign: str) -> bool:
    import sympy

    first, second = _exact(a) - _exact(b), _exact(c) - _exact(d)
    if first.free_symbols != second.free_symbols or not first.free_symbols:
        return False
    variables = sorted(first.free_symbols, key=str)
    ratios = []
    for index in range(len(_POINTS)):
        point = {v: sympy.Rational(*_POINTS[(index + 2 * k) % len(_POINTS)]) + k // 3 for k, v in enumerate(variables)}
        p, q = _value(first.xreplace(point)), _value(second.xreplace(point))
        if p is None or q is None or not p.is_real or not q.is_real:
            continue
        if p == 0 or q == 0:
            return False
        ratios.append(p / q)
    if len(ratios) < _ENOUGH or not all(_near(ratios[0], one) for one in ratios):
        return False
    turned = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", "=": "=", r"\ne": r"\ne"}
    return sign in turned and other_sign == (sign if ratios[0] > 0 else turned[sign])
