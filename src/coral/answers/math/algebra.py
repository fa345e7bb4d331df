r"""What two mathematical expressions mean, by sympy and Math-Verify. May never end: run it in a worker.

Decimals are rewritten as fractions before anything is parsed, so that no float arithmetic takes part. Scalars
are compared by their value: constants to 30 digits, formulas at points on both sides of zero. Equations,
inequalities, sets and matrices go to Math-Verify.
"""

from __future__ import annotations

import logging
import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

from coral.answers.math.numbers import Number, begins_expansion
from coral.answers.math.tree import Body, Expression, Group, Part

_DIGITS = 50
_AGREEING_DIGITS = 30
_MIN_POINTS = 3
_SAMPLES = ("0.7390851", "-1.3247179", "2.2360679", "-0.4142135", "3.6055512", "-2.6457513", "0.1428571")
_ALGEBRA_ERRORS: tuple[type[Exception], ...] = (
    *(ArithmeticError, AttributeError, LookupError, NotImplementedError, RecursionError),
    *(TypeError, ValueError),
)
"""What sympy raises on expressions it cannot handle; it documents no narrower set."""


def warm_up() -> None:
    """Import sympy and Math-Verify and let them build their parser."""
    _parsed("x+1")
    same_value(Expression(r"\sqrt{2}x"), Expression(r"x\sqrt{2}"))
    same_value(Expression("x<2", relation=True), Expression("2>x", relation=True))


def same_value(a: Body, b: Body) -> bool:
    """Whether two values that are not both groups are the same. Symmetric."""
    if a == b:
        return True
    if isinstance(a, Number) and isinstance(b, Number):
        return a.value == b.value or begins_expansion(a, b.value) or begins_expansion(b, a.value)
    if isinstance(a, Group) or isinstance(b, Group):
        return _is_solution_set(a, b) or _is_solution_set(b, a)
    x, y = _latex(a), _latex(b)
    if x is None or y is None or _is_relation(a) != _is_relation(b) or _is_costly(x) or _is_costly(y):
        return False
    if _is_relation(a):
        return _verified(x, y)
    return _same_scalar(x, y, [part for part in (a, b) if isinstance(part, Number)])


def _is_relation(body: Body) -> bool:
    return isinstance(body, Expression) and body.relation


def _is_solution_set(relation: Body, group: Body) -> bool:
    """Whether an inequality says the same as an interval or union of intervals: -2 <= x <= 7 and [-2, 7]."""
    if not isinstance(relation, Expression) or not relation.relation or not isinstance(group, Group):
        return False
    if group.brackets not in {"()", "[]", "[)", "(]", "|"}:
        return False
    interval = _latex(group)
    if interval is None or _is_costly(interval) or _is_costly(relation.latex):
        return False
    return _verify(_parsed(relation.latex), _parsed(interval))


# ---------------------------------------------------------------------------------------------------------
# Back to LaTeX

_FLOAT = re.compile(r"(?<![\d.])(\d*)\.(\d+)")
_BARE_NAME = re.compile(r"(?<![\\A-Za-z])(?:exp|log|ln)\(")


def _latex(body: Body) -> str | None:
    """LaTeX that a parser reads exactly; None for words and for what no parser is asked about."""
    if isinstance(body, Number):
        return _fraction(body.value)
    if isinstance(body, Expression):
        latex = body.latex.replace(r"\text{degrees}", r"\cdot\frac{\pi}{180}").replace(
            r"\text{percent}", "/100"
        )
        return None if r"\text" in latex else _FLOAT.sub(_exact, latex)
    if isinstance(body, Group) and body.brackets in {"()", "[]", "[)", "(]"}:
        parts = [_part_latex(part) for part in body.parts]
        return f"{body.brackets[0]}{','.join(map(str, parts))}{body.brackets[1]}" if all(parts) else None
    if isinstance(body, Group) and body.brackets == "|":
        parts = [_part_latex(part) for part in body.parts]
        return r"\cup ".join(map(str, parts)) if all(parts) else None
    return None


def _part_latex(part: Part) -> str | None:
    return None if part.name or part.unit else _latex(part.body)


def _fraction(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    sign = "-" if value < 0 else ""
    return f"{sign}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def _exact(found: re.Match[str]) -> str:
    whole, decimals = found.groups()
    return f"\\frac{{{int(whole + decimals)}}}{{{10 ** len(decimals)}}}"


# ---------------------------------------------------------------------------------------------------------
# Guards

_TOWER = re.compile(r"\^\s*\{?[^{}]*\^")
_BIG_EXPONENT = re.compile(r"\^\s*\{?\s*\(?-?\d{5,}")
_BIG_FACTORIAL = re.compile(r"\d{4,}\s*\)?!|!\s*\)?\s*!")
_MAX_DEPTH = 60
_MAX_COMMANDS = 400


def _is_costly(latex: str) -> bool:
    """Whether the numbers in an expression would have so many digits that nobody writes them down."""
    if latex.count("{") > _MAX_COMMANDS or latex.count("(") > _MAX_DEPTH or latex.count("\\") > _MAX_COMMANDS:
        return True
    return any(pattern.search(latex) for pattern in (_BIG_EXPONENT, _BIG_FACTORIAL)) or _is_tower(latex)


def _is_tower(latex: str) -> bool:
    """Powers of powers of numbers alone: 9^{9^9}. Those of variables (e^{x^2}) cost nothing."""
    return _TOWER.search(latex) is not None and not re.search(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", "", latex))


# ---------------------------------------------------------------------------------------------------------
# Algebra


@lru_cache(maxsize=1_024)
def _parsed(latex: str) -> Any:
    """The sympy object that LaTeX stands for, None if it cannot be read."""
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig, NormalizationConfig, latex2sympy

    try:
        return latex2sympy(
            latex,
            is_real=True,
            normalization_config=NormalizationConfig(boxed="none"),
            conversion_config=ConversionConfig(lowercase_symbols=False),
        )
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  what the parser raises on bad LaTeX is `Exception` itself, among others
        return None


def _verified(a: str, b: str) -> bool:
    """Math-Verify's verdict. It takes gold and answer differently, so either order may show them equal."""
    x, y = _parsed(a), _parsed(b)
    return _verify(x, y) or _verify(y, x)


def _verify(gold: Any, answer: Any) -> bool:
    from math_verify import verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its alarm clock is off
    return gold is not None and answer is not None and bool(verify(gold, answer, timeout_seconds=None))


def _same_scalar(a: str, b: str, numbers: list[Number]) -> bool:
    from sympy import Expr

    x, y = _parsed(a), _parsed(b)
    if x is None or y is None:
        return False
    if not isinstance(x, Expr) or not isinstance(y, Expr):
        return _verify(x, y) or _verify(y, x)
    try:
        equal = _same_at_samples(_evaluable(x), _evaluable(y), numbers)
    except _ALGEBRA_ERRORS:
        equal = None
    return _verified(a, b) if equal is None else equal


def _evaluable(expression: Any) -> Any:
    from sympy import I

    imaginary = {symbol: I for symbol in expression.free_symbols if symbol.name == "i"}
    done = expression.doit()
    return done.subs(imaginary) if imaginary else done


def _same_at_samples(x: Any, y: Any, numbers: list[Number]) -> bool | None:
    """Whether two expressions agree wherever both are finite; None if that cannot be said."""
    from sympy.core.function import AppliedUndef

    if x == y:
        return True
    if x.atoms(AppliedUndef) or y.atoms(AppliedUndef):
        return None
    symbols = sorted(x.free_symbols | y.free_symbols, key=str)
    if not symbols:
        return _same_constant(x, y, numbers)
    agreed = 0
    for shift in range(len(_SAMPLES)):
        point = _sample(symbols, shift)
        values = [_finite(expression.subs(point)) for expression in (x, y)]
        if None in values:
            continue
        if not _close(*values):
            return False
        agreed += 1
    return True if agreed >= _MIN_POINTS else None


def _sample(symbols: list[Any], shift: int) -> dict[Any, Any]:
    from sympy import Rational

    return {
        symbol: Rational(_SAMPLES[(shift + 2 * index) % len(_SAMPLES)]) + Rational(index, 7)
        for index, symbol in enumerate(symbols)
    }


def _same_constant(x: Any, y: Any, numbers: list[Number]) -> bool | None:
    left, right = _finite(x), _finite(y)
    if left is None or right is None:
        return None
    return _close(left, right) or any(_shows(number, value) for number in numbers for value in (left, right))


def _shows(decimal: Number, value: Any) -> bool:
    """Whether a decimal of ten or more digits is how a calculator shows an irrational constant."""
    if value.is_real is False or abs(value) > 10**20:
        return False
    return begins_expansion(decimal, Fraction(str(value.round(40))) + Fraction(1, 3 * 10**41))


def _finite(expression: Any) -> Any:
    """The value to 50 digits, None if it is infinite, undefined or not a number."""
    value = expression.evalf(_DIGITS, maxn=400)
    return value if value.is_number and value.is_finite else None


def _close(x: Any, y: Any) -> bool:
    from sympy import Float

    scale = max(abs(x), abs(y))
    return bool(scale == 0 or abs(x - y) <= scale * Float(10, _DIGITS) ** -_AGREEING_DIGITS)
