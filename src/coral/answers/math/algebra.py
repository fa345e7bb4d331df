r"""What formulas mean, by Math-Verify. May never end: run it in a worker.

Math-Verify's parser reads a formula; decimals are made fractions first, so that nothing is rounded. `key` is
the value of what it finds: numbers to 28 digits, formulas at points on both sides of zero, sets and solutions
of inequalities in one unknown merged, equations up to a factor. What keys cannot tell of equations,
inequalities and systems, Math-Verify's comparison does (`are_one_relation`).
"""

from __future__ import annotations

import logging
import re
import zlib
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

from coral.answers.math.text import split

_DIGITS = 50
_KEY_DIGITS = 28
_POINTS = 4
_SIMPLE = 10**6
_MAX_BRACKETS = 60
_WARM_UP = r"""\frac{\sqrt{2}}{2}x^{2} (x-1)(x+1) [0,1)\cup(2,3] (0,1] x<2 1\leq|x|\leq2 a+b-c 3\pi
\cos^{2}{x} -\frac{1}{2}+\sqrt[3]{5} (1,-2,\frac{1}{2}) \begin{pmatrix}1&-2\\\frac{1}{2}&x\end{pmatrix}
\{1,2,-x\} (-\infty,3] e^{2\pi\cdot{i}} f(x)=x^{2}-1 n!+\binom{5}{2} x_{1}y-2xy \frac{x+1}{2y-3}
\ln(2)+\tan{x} 2\sqrt{13}-4\cdot3/2
\sum_{k=1}^{n}k^{2} \mathbb{R}\setminus\{0\} \sin(\pi)+\log_{2}(8) y=-2x+3"""


def warm_up() -> None:
    """Import sympy and Math-Verify and show the parser of what answers are made: it learns as it goes."""
    for formula in _WARM_UP.split():
        key(formula)


def are_one_relation(a: Any, b: Any) -> bool:
    """Whether Math-Verify finds two relations to be the same, whichever of them it takes for the gold one."""
    if not all(isinstance(part, str) and _RELATION_KEY.match(key(part)) for part in (a, b)):
        return False
    from math_verify import verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its alarm clock is off
    pairs = [(_parsed(a), _parsed(b)), (_parsed(b), _parsed(a))]
    return any(verify(gold, answer, timeout_seconds=None) for gold, answer in pairs)


# Reading ---------------------------------------------------------------------------------------------------

_RELATION_KEY = re.compile(r"[=!<A]")
_FLOAT = re.compile(r"(?<![\d.])(\d*)\.(\d+)")
_DEGREES = re.compile(r"(\([^()]*\)|\d+(?:\.\d+)?|\\[A-Za-z]+|[A-Za-z])\s*\^\{\\circ\}")
_ODD_ROOT = re.compile(r"\\sqrt\[(\d*[13579])\]\{-")
_SMALL_TOWER = re.compile(r"\^\{(\d)\^\{([0-4])\}\}")
_TOWER = re.compile(r"\^\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\^|\^\{[^{}]*\}\s*\^")
_HUGE = re.compile(r"\^\{[^{}]*\d{5,}|\d{4,}\s*\)?!|!\s*\)?!")
_COLON = re.compile(":")


def _is_costly(formula: str) -> bool:
    """Whether the numbers in a formula would have so many digits that nobody writes them down."""
    letters = re.search(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", "", formula))
    many = formula.count("{") + formula.count("(") + formula.count("\\") > _MAX_BRACKETS
    return bool(many or _HUGE.search(formula) or (not letters and _TOWER.search(formula)))


@lru_cache(maxsize=1_024)
def _parsed(formula: str) -> Any:
    """The sympy object that LaTeX stands for. Raises any `Exception` where it stands for none."""
    from antlr4 import PredictionMode
    from sympy import And, Or, Tuple

    for word, join in ((" and ", And), (" or ", Or)):
        if word in formula:
            return join(*map(_parsed, formula.split(word)))
    ratio = split(formula, _COLON)
    if len(ratio) > 1:
        first, second, *others = map(_parsed, ratio)
        return Tuple(second / first, *(other / first for other in others)) if others else first / second
    formula = _SMALL_TOWER.sub(lambda m: f"^{{{int(m[1]) ** int(m[2])}}}", formula)
    if _is_costly(formula):
        raise ValueError("too large")
    formula = _FLOAT.sub(lambda m: f"\\frac{{{int(m[1] + m[2])}}}{{{10 ** len(m[2])}}}", formula)
    formula = _ODD_ROOT.sub(r"-\\sqrt[\1]{", _DEGREES.sub(r"(\1\\cdot\\frac{\\pi}{180})", formula))
    try:
        return _reader(PredictionMode.SLL).parse(formula)
    except Exception:  # noqa: BLE001  ANTLR's manual: the fast prediction first, the full one where it fails
        return _reader(PredictionMode.LL).parse(formula)


@lru_cache(maxsize=2)
def _reader(prediction: Any) -> Any:
    """Math-Verify's parser, made to keep the case of letters and to take variables for real."""
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig, _Latex2Sympy

    class Reader(_Latex2Sympy):  # type: ignore[misc]
        def create_parser(self, latex: str) -> Any:
            parser = super().create_parser(latex)
            parser._interp.predictionMode = prediction  # noqa: SLF001
            return parser

    return Reader(is_real=True, config=ConversionConfig(lowercase_symbols=False))


# Keys ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4_096)
def key(formula: str) -> str:
    """The formula's value: equal for equal ones. In quotes the formula itself, where it has none."""
    try:
        return _key(_parsed(formula))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  neither parser nor sympy documents what it raises
        return f"'{formula}'"


def _key(meaning: Any) -> str:
    from sympy import FiniteSet, Interval, MatrixBase, S, Set, Tuple, Union
    from sympy.core.relational import Relational
    from sympy.logic.boolalg import BooleanFunction

    if isinstance(meaning, Interval):
        ends = "(["[not meaning.left_open], ")]"[not meaning.right_open]
        return f"{ends[0]}{_key(meaning.start)},{_key(meaning.end)}{ends[1]}"
    if isinstance(meaning, Tuple | MatrixBase):
        return f"{getattr(meaning, 'shape', '')}({','.join(map(_key, meaning))})"
    if isinstance(meaning, FiniteSet):  # Math-Verify's own kind keeps what is named twice
        members = sorted(map(_key, getattr(meaning, "_unsorted_args", meaning.args)))
        alone = len(members) == 1 and members[0] != "EmptySet"
        return members[0] if alone else f"{{{'; '.join(members)}}}"
    if isinstance(meaning, Set):
        if (merged := meaning.doit()) != meaning:
            return _key(merged)
        sets = sorted(map(_key, meaning.args)) if isinstance(meaning, Union) else [str(meaning)]
        return "|".join(sets).replace("Reals", "(-oo,oo)")
    if isinstance(meaning, BooleanFunction | Relational):
        if len(meaning.free_symbols) == 1 and getattr(meaning, "rel_op", "") != "==":
            return _key(_solutions(meaning))
        several = isinstance(meaning, BooleanFunction)
        return f"{meaning.func}{sorted(map(_key, meaning.args))}" if several else _relation_key(meaning)
    if meaning in {S.Infinity, S.NegativeInfinity}:
        return str(meaning)
    values = [_digits(value) for value in _values(meaning)]
    return ",".join(values) if len({*values}) > 1 else values[0]


def _solutions(condition: Any) -> Any:
    """The set that a condition on one variable describes; sympy is slow on what needs no solving."""
    from sympy import Abs, And, Intersection, Interval, Or, Union, oo

    if isinstance(condition, And | Or):
        return (Intersection if isinstance(condition, And) else Union)(*map(_solutions, condition.args))
    condition = condition.reversed if condition.rhs.has(Abs) or condition.rhs.is_Symbol else condition
    bound, sign = condition.rhs, condition.rel_op
    if isinstance(condition.lhs, Abs) and bound.is_nonnegative and sign[0] in "<>":  # |x| < 2: -2 < x < 2
        inside, join = condition.lhs.args[0], And if sign[0] == "<" else Or
        return _solutions(join(condition.func(inside, bound), condition.func(-bound, inside)))
    if not condition.lhs.is_Symbol or bound.free_symbols or sign == "!=":
        return condition.as_set()
    ends = (bound, oo) if sign[0] == ">" else (-oo, bound)
    return Interval(*ends, left_open=sign == ">", right_open=sign == "<")


def _relation_key(relation: Any) -> str:
    """Equations are the same up to a factor, inequalities up to a positive one."""
    sign = -1 if relation.rel_op[0] == ">" else 1
    values = _values(sign * (relation.lhs - relation.rhs))
    first = next(value for value in values if abs(value) > 10**-_KEY_DIGITS)
    scale = abs(first) if relation.rel_op[0] in "<>" else first
    return f"{relation.rel_op.replace('>', '<')}[{','.join(_digits(value / scale) for value in values)}]"


def _values(expression: Any) -> list[Any]:
    """The values at points that depend on the names of the variables alone; one value of a constant."""
    from sympy import I, Rational, cos
    from sympy.core.function import AppliedUndef

    expression = expression.subs({at: I for at in expression.free_symbols if at.name == "i"}).doit()
    for function in expression.atoms(AppliedUndef):  # f and g stand for two functions that nobody means
        arguments = sum(place * of for place, of in enumerate(function.args, 1))
        some = cos(arguments * Rational(zlib.crc32(str(function.func).encode()) % 997 + 1, 499))
        expression = expression.subs(function, some)
    values = []
    for point in range(_POINTS if expression.free_symbols else 1):
        codes = {symbol: zlib.crc32(f"{symbol}{point}".encode()) for symbol in expression.free_symbols}
        signs = {symbol: -1 if point == 1 or (point and code % 2) else 1 for symbol, code in codes.items()}
        at = {of: signs[of] * Rational(code % 9_973 + 1_001, 4_001) for of, code in codes.items()}
        value = expression.subs(at)
        value = value if value.is_Rational else value.evalf(_DIGITS, maxn=400)
        if not value.is_finite:
            raise ValueError("no value")
        values.append(value)
    return values


def _digits(number: Any) -> str:
    """A number in settled form: a fraction where it is one, 28 digits where it is not."""
    if number.is_Rational:
        return str(number)
    shown = []
    for part in number.as_real_imag():
        value = Fraction(str(part))
        simple = value.limit_denominator(_SIMPLE)
        near = abs(value) < _SIMPLE**2 and abs(simple - value) < Fraction(1, 10**_KEY_DIGITS)
        decimal = Decimal(value.numerator) / value.denominator
        shown.append(str(simple) if near else f"{decimal:.{_KEY_DIGITS - 1}e}")
    return shown[0] if shown[1] == "0" else "+i*".join(shown)
