"""Rational numbers as they are written in answers, read without evaluating anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Number:
    """An exact rational number. `digits` is how it was written if that was a plain decimal."""

    value: Fraction
    digits: str = ""


_D = r"(?:\d+\.?\d*|\.\d+)"
_DECIMAL = re.compile(rf"({_D})(?:[eE]([+-]?\d{{1,3}}))?$")
_REPEATING = re.compile(r"(\d*)\.(\d*)\\(?:overline|bar)\{(\d+)\}$")
_POWER_OF_TEN = re.compile(rf"({_D})\\cdot10\^\{{?([+-]?\d{{1,3}})\}}?$")
_RATIO = re.compile(
    rf"(?:\\frac\{{\s*([+-]?{_D})\s*\}}\{{\s*([+-]?{_D})\s*\}}|({_D})\s*/\s*(?:\(\s*([+-]?{_D})\s*\)|({_D})))$"
)
_MIXED = re.compile(r"(\d+)(?:\s*\\frac\{(\d+)\}\{(\d+)\}|\s+(?:and\s+)?(\d+)\s*/\s*(\d+))$")
_MAX_DIGITS = 400


def read_number(text: str) -> Number | None:
    """The number that settled text spells out, without evaluating anything."""
    text = text.strip()
    if len(text) > _MAX_DIGITS or not any(map(str.isdigit, text[:20])):
        return None
    sign, text = (-1, text[1:].strip()) if text[0] == "-" else (1, text.removeprefix("+").strip())
    decimal = _DECIMAL.match(text)
    if decimal:
        return Number(sign * Fraction(text.rstrip(".")), "" if decimal.group(2) else decimal.group(1))
    values = (read(text) for read in (_mixed, _ratio, _repeating, _power_of_ten))
    return next((Number(sign * value) for value in values if value is not None), None)


_MIN_FLOAT_DIGITS = 10


def begins_expansion(decimal: Number, value: Fraction) -> bool:
    """Whether `decimal` is how a calculator shows `value`: ten or more digits of an endless expansion.

    0.3333333333 is 1/3, and 0.333 is not. Numbers with an end (1/8) have to be given exactly.
    """
    fraction = decimal.digits.partition(".")[2]
    if len(decimal.digits.replace(".", "").lstrip("0")) < _MIN_FLOAT_DIGITS or not fraction or _ends(value):
        return False
    return abs(decimal.value - value) < Fraction(1, 10 ** len(fraction))


def _ends(value: Fraction) -> bool:
    """Whether the decimal expansion ends: no prime but 2 and 5 in the denominator."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _mixed(text: str) -> Fraction | None:
    found = _MIXED.match(text)
    if not found:
        return None
    whole, *rest = (int(digits) for digits in found.groups() if digits)
    above, below = rest
    return whole + Fraction(above, below) if 0 < above < below else None


def _ratio(text: str) -> Fraction | None:
    found = _RATIO.match(text)
    if not found:
        return None
    above, below = (Fraction(digits.rstrip(".")) for digits in found.groups() if digits)
    return above / below if below else None


def _repeating(text: str) -> Fraction | None:
    found = _REPEATING.match(text)
    if not found:
        return None
    whole, fixed, period = found.groups()
    value = Fraction(int((whole or "0") + fixed), 10 ** len(fixed))
    return value + Fraction(int(period), 10 ** len(fixed) * (10 ** len(period) - 1))


def _power_of_ten(text: str) -> Fraction | None:
    found = _POWER_OF_TEN.match(text.replace(" ", ""))
    return Fraction(found.group(1).rstrip(".")) * Fraction(10) ** int(found.group(2)) if found else None
