r"""When two mathematical answers are the same.

`equivalent` compares two answers as one grades: a unit or a name may be missing. `canonical` gives the key of
an answer to one question: answers of one key are the same, an equivalence by construction. `same_text` and
`plain_key` are those parts of both that need no algebra and take microseconds. The others ask Math-Verify,
which may never return: call them through `coral.workers`. The decisions stand in `docs/grading.md`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from math import prod
from typing import NamedTuple

from coral.answers.math.text import clean
from coral.answers.math.tree import Part, parts
from coral.answers.quantities import DAY_HALVES, Number, begins_expansion, by_twelve, understood

_MAX_UNORDERED = 32
_SHORT_DENOMINATOR, _LONG = 1_000, 10
_IRRATIONAL = re.compile(r"-?\d\.\d+e[-+]\d+")
_DECIMAL_COMMA = re.compile(r"^(-?\d+)\.(\d+)$")
Formula = Callable[[str], str]


class _Item(NamedTuple):
    """A part as it is compared: its value as written, and in base units."""

    part: Part
    value: str
    base: str


@lru_cache(maxsize=8_192)
def _items(answer: str, formula: Formula) -> tuple[_Item, ...]:
    found = []
    for part in parts(answer):
        value, factor = part.value, part.unit.factor
        if part.unit.bases in DAY_HALVES:
            found.append(_Item(part, *(str(getattr(at, "value", at)) for at in (value, by_twelve(value)))))
        elif isinstance(value, Number):
            found.append(_Item(part, _number_key(value), _number_key(value.times(factor))))
        else:
            key = value if value[0] == "'" else formula(value)
            found.append(_Item(part, key, f"{key}*{factor}" if factor != 1 else key))
    return tuple(found)


def _number_key(number: Number) -> str:
    if len(number.digits) < _LONG:
        return str(number.value)
    simple = number.value.limit_denominator(_SHORT_DENOMINATOR)
    return str(simple if begins_expansion(number, simple) else number.value)


# Lenient: how an answer is graded --------------------------------------------------------------------------


def same_text(a: str, b: str) -> bool:
    """Whether two answers are the same by spelling and exact arithmetic. Never true for an empty one."""
    return _same(a, b, str)


def equivalent(a: str, b: str) -> bool:
    """Whether two answers mean the same. May hang on malicious input: call it through `coral.workers`."""
    from coral.answers.math import algebra

    if same_text(a, b) or _same(a, b, algebra.key):
        return True
    both = [part.value for text in (a, b) for part in parts(text)]
    return len(both) == 2 and algebra.are_one_relation(*both)


def _same(a: str, b: str, formula: Formula) -> bool:
    if a == b or not parts(a) or not parts(b):
        return a == b and bool(a.strip())
    x, y = (_items(text, formula) for text in sorted((a, b)))
    if len(x) != len(y):  # a set and its members, or 2.74 and 2,74
        sets = [_joined([item.value for item in items]) for items in (x, y)]
        texts = sorted((clean(a), clean(b)))
        return sets[0] == sets[1] or texts == [_DECIMAL_COMMA.sub(r"\1,\2", texts[1]), texts[1]]
    if all(_agree(p, q, formula) for p, q in zip(x, y, strict=True)):
        return True
    if not 1 < len(x) <= _MAX_UNORDERED or _named_apart(x) != _named_apart(y):
        return False
    left = list(y)  # solutions in any order: each has one of its own
    for item in x:
        found = next((at for at, other in enumerate(left) if _agree(item, other, formula)), None)
        if found is None:
            return False
        left.pop(found)
    return True


def _named_apart(items: tuple[_Item, ...]) -> bool:
    """Whether names tell the parts apart: "x = 3, y = 4" answers in an order, "x = 3, x = 4" does not."""
    names = {item.part.name for item in items}
    return len(names) > 1 and "" not in names


def _agree(a: _Item, b: _Item, formula: Formula) -> bool:
    one, other = a.part.unit, b.part.unit
    if a.part.name and b.part.name and a.part.name != b.part.name:
        return False
    if one.bases and other.bases:  # else one side leaves its unit out
        counted = {base for base, _ in one.bases} & {base for base, _ in other.bases}
        alike = one.measures == other.measures and (one.measures or counted)
        return bool(alike) and (a.base == b.base or (one.factor == other.factor and a.value == b.value))
    return a.value == b.value or _shows(a, b, formula) or _shows(b, a, formula)


def _shows(a: _Item, b: _Item, formula: Formula) -> bool:
    """Whether `a` is how a calculator shows `b`, or with its name is the equation that `b` is."""
    value, name, _ = a.part
    if isinstance(value, Number):
        irrational = _IRRATIONAL.fullmatch(b.value)
        return irrational is not None and begins_expansion(value, Fraction(b.value) + Fraction(1, 3 * 10**30))
    return bool(name) and b.value.startswith("==") and formula(f"{name}={value}") == b.value


# Strict: who agrees with whom ------------------------------------------------------------------------------


def plain_key(answer: str, question: str) -> str | None:
    """The key of an answer of numbers and words alone, None for others."""
    plain = all(isinstance(part.value, Number) or part.value[0] == "'" for part in parts(answer))
    return (_key(_items(answer, str), question) or f"'{answer}'") if plain else None


def canonical(answer: str, question: str) -> str:
    """An answer's key, equal for answers to one question that mean the same.

    What the question asks for need not be said: "5" is "5 cm" and "x = 5" where it asks for cm, or for x.
    """
    from coral.answers.math import algebra

    return _key(_items(answer, algebra.key), question) or f"'{answer}'"


def _key(items: tuple[_Item, ...], question: str) -> str:
    asked, apart, keys = understood(question), _named_apart(items), list[str]()
    for (value, name, unit), key, base in items:
        said = name if apart or not _mentions(question, name) else ""
        if not unit.bases:
            keys.append(f"{said}:{key}")
        elif not all(of in asked for of, _ in unit.bases):
            keys.append(f"{said}:{base} {unit.bases}")
        else:
            size = unit.factor / prod(asked[of] ** power for of, power in unit.bases)
            number = _number_key(value.times(size)) if isinstance(value, Number) else f"{key}*{size}"
            keys.append(f"{said}:{base if unit.factor == 1 == size else key if size == 1 else number}")
    return _joined(keys)


def _joined(keys: list[str]) -> str:
    return "{" + "; ".join(sorted(keys)) + "}" if len(keys) > 1 else "".join(keys)


def _mentions(question: str, name: str) -> bool:
    return re.search(rf"(?<![A-Za-z\\]){re.escape(name)}(?![A-Za-z])", question) is not None
