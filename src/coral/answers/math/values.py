r"""The parts of a mathematical answer, and when two answers are the same.

An answer as people write it ("x = \dfrac12 \text{ cm}", "3 red, 2 blue") is taken apart at its commas, and
values from names and units; what brackets enclose stays one formula.

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

from coral.answers import quantities
from coral.answers.math.text import EQUALS, MAX_CHARS, clean, settle, split
from coral.answers.quantities import NONE, Number, Unit

# Parts -----------------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """A value of an answer (a plain number, LaTeX, or words in quotes), its name and its unit."""

    value: Number | str
    name: str = ""
    unit: Unit = NONE


INEQUALITY = re.compile(r"[<>]|\\(?:leq|geq|neq|equiv|approx|subset\w*)(?![A-Za-z])")
_SIMPLE = re.compile(r"-?(?:\d{1,99}(?:\.\d{1,99}|/\d{1,99})?|\\frac\{\d{1,99}\}\{\d{1,99}\})", re.ASCII)
_COMMA = re.compile(r"[,;]+\s*(?:(?:and|or)\b)?|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])")
_THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,])|(?<![\d,. ])\d{1,3}(?: \d{3})+(?![\d, ])")
_MARKED = re.compile(r"\\text\{([^{}]*)\}")
_SET = re.compile(r"\\?\{([^{}|:]*,[^{}|:]*?)\\?\}")
_SINGLE = re.compile(r"\(([^(),:]+)\)|\\?\{(?!\\emptyset)([^{},:]+?)\\?\}")  # (5), {5}, (A)
_SUCH_THAT = re.compile(r"\\\{\s*[A-Za-z]\s*(?:\\in\s*\\mathbb\{R\}\s*)?[|:](.+)\\\}")
_ALL = ("all real numbers", "all reals", "the real numbers", "real numbers")
_NONE = ("no solution", "no solutions", "no real solution", "no real solutions", "empty set", "the empty set")
_MEANINGS = dict.fromkeys(_ALL, r"\mathbb{R}") | dict.fromkeys((*_NONE, r"\{ \}", r"\{\}"), r"\emptyset")
_MEANINGS |= dict.fromkeys(("dne", "does not exist"), "'undefined'")


@lru_cache(maxsize=8_192)
def parts(text: str) -> tuple[Part, ...]:
    """The values of an answer; none if nothing is left of it."""
    if _SIMPLE.fullmatch(text) and (number := quantities.read_number(text)):
        return (Part(number),)
    settled = settle(text) if len(text) <= MAX_CHARS else text
    if len(settled) > MAX_CHARS:
        return (Part(f"'{text}'"),)
    if found := _SET.fullmatch(settled):
        settled = found[1]
    elif not settled.startswith(("(", "[", "{", "\\")):  # there "1,000" is two things
        settled = _THOUSANDS.sub(lambda found: re.sub("[ ,]", "", found[0]), settled)
    pieces = [piece for piece in split(settled, _COMMA) if piece]
    if len(pieces) > 1 and quantities.read_amount(settled):  # 1 hour and 30 minutes
        pieces = [settled]
    if len(pieces) > 1 and all(map(INEQUALITY.search, pieces)):
        return (Part((" and " if " and " in settled else " or ").join(pieces)),)
    if all(piece[0] == "(" for piece in pieces):  # a point that is named twice is still one
        pieces = list(dict.fromkeys(piece.replace(" ", "") for piece in pieces))
    signs = [("+", "-") if piece.count(r"\pm") == 1 else (r"\pm",) for piece in pieces]
    return tuple(
        _part(piece.replace(r"\pm", sign)) for piece, each in zip(pieces, signs, strict=True) for sign in each
    )


def _part(text: str) -> Part:
    name, text = _named(text)
    words = _MARKED.sub(r"\1", text).strip().lower()
    if words in _MEANINGS:
        return Part(_MEANINGS[words], name)
    if condition := _SUCH_THAT.fullmatch(text):
        return Part(condition[1].strip())
    if single := _SINGLE.fullmatch(text):
        text = (single[1] or single[2]).strip()
    value, unit = quantities.read_amount(text) or quantities.split_unit(text)
    return Part(_leaf(value) if isinstance(value, str) else value, name, unit)


# A quantity's name: x, x_1, f(x), \theta, AB, (p, q), \angle ABC, V_1 : V_2, \frac{AO}{BO}, \text{Area}
_QUANTITY = (
    r"(?:\\angle\s*)?(?:[A-Za-z]|[A-Z]{2,3}|\\(?:alpha|beta|gamma|delta|theta|phi|lambda|mu|omega|rho|sigma|tau)"
    r"|\\text\{[^{}]*\}|[A-Za-z][a-z]{2,})\s*(?:_\{\w+\})?'*"
)
_NAME = re.compile(
    rf"({_QUANTITY}(?:\([\w\s,]*\))?|\(\s*{_QUANTITY}(?:\s*,\s*{_QUANTITY})+\s*\)|{_QUANTITY}\s*:\s*{_QUANTITY}"
    rf"|\\frac\{{{_QUANTITY}\}}\{{{_QUANTITY}\}})\s*(?:=|\\in(?![A-Za-z])|\\approx(?![A-Za-z]))(?!=)"
)
_APPROX = re.compile(r"\\approx(?![A-Za-z])")


def _named(text: str) -> tuple[str, str]:
    """Split "x = 5" into name and value. Of a chain "x = 2 + 3 = 5" the last link is the value."""
    text = text.removeprefix(r"\approx ")
    found = _NAME.match(text)
    value = _APPROX.split(text[found.end() :])[0].strip() if found else ""
    if found and value and not INEQUALITY.search(value):
        return re.sub(r"\s+", "", found[1]), split(value, EQUALS)[-1] or value
    links = split(text, EQUALS)
    return "", links[-1] if len(links) > 2 and quantities.read_number(links[-1]) else text


_PROSE = re.compile(r"[A-Za-z]{4,}|^[^\d\\^_=+*/<>|-]*[aeiouAEIOU][^\d\\^_=+*/<>|-]*$")
_NOT_PROSE = re.compile(r"\\(?:begin|end)\{\w+\}|\\[A-Za-z]+|(?<![A-Za-z])[A-Za-z]{1,2}(?![A-Za-z])")
_IN_WORDS = re.compile(r"[^\s.,;:()\"{}]+")
_WORD_LIKE = frozenset({"no", "on", "or", "is", "am", "pm", "if", "up"})
_NO_FORMULA = re.compile(r"^-?\d+_\{\d+\}$|^\d\d?:[0-5]\d$|(?<!matrix\})\^\{T\}")
"""Numerals of other bases, times, transposes: Math-Verify reads A^T as A."""
_UNION = re.compile(r"\\cup(?![A-Za-z])")


def _leaf(text: str) -> Number | str:
    """A number, one letter, LaTeX without needless spaces, or words in quotes."""
    bare = _MARKED.sub(r"\1", text).strip()
    if (number := quantities.read_number(bare)) is not None or re.fullmatch(r"[A-Za-z]", bare):
        return number or bare
    if "\\text" in text or bare.lower() in _WORD_LIKE or _PROSE.search(_NOT_PROSE.sub(" ", text)):
        return f"'{' '.join(_IN_WORDS.findall(bare.lower()))}'"
    tight = re.sub(r"(\\[A-Za-z]+)\s+(?=[A-Za-z])|\s+", lambda m: f"{m[1]} " if m[1] else "", text)
    if "\\cup" in tight and not re.search(r"\\(?:cap|setminus)", tight):
        tight = r"\cup ".join(sorted(split(tight, _UNION)))
    other = "'" in tight or _NO_FORMULA.search(tight)
    return f"'{tight}'" if other else tight


# Items -----------------------------------------------------------------------------------------------------

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
        if part.unit.bases in quantities.DAY_HALVES:
            found.append(
                _Item(part, *(str(getattr(at, "value", at)) for at in (value, quantities.by_twelve(value))))
            )
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
    return str(simple if quantities.begins_expansion(number, simple) else number.value)


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
        if (found := next((other for other in left if _agree(item, other, formula)), None)) is not None:
            left.remove(found)
    return not left


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
        return irrational is not None and quantities.begins_expansion(
            value, Fraction(b.value) + Fraction(1, 3 * 10**30)
        )
    return bool(name) and b.value.startswith("==") and formula(f"{name}={value}") == b.value


# Strict: who agrees with whom ------------------------------------------------------------------------------


def plain_key(answer: str, question: str) -> str | None:
    """The key of an answer of numbers and words alone, None for others."""
    plain = all(isinstance(part.value, Number) or part.value[0] == "'" for part in parts(answer))
    return _key(answer, question, str) if plain else None


def canonical(answer: str, question: str) -> str:
    """An answer's key, equal for answers to one question that mean the same.

    What the question asks for need not be said: "5" is "5 cm" and "x = 5" where it asks for cm, or for x.
    """
    from coral.answers.math import algebra

    return _key(answer, question, algebra.key)


def _key(answer: str, question: str, formula: Formula) -> str:
    items = _items(answer, formula)
    asked, apart, keys = quantities.understood(question), _named_apart(items), list[str]()
    for (value, name, unit), key, base in items:
        asked_for = re.search(rf"(?<![A-Za-z\\]){re.escape(name)}(?![A-Za-z])", question)
        said = "" if asked_for and not apart else name
        if not unit.bases:
            keys.append(f"{said}:{key}")
        elif not all(of in asked for of, _ in unit.bases):
            keys.append(f"{said}:{base} {unit.bases}")
        else:
            size = unit.factor / prod(asked[of] ** power for of, power in unit.bases)
            number = _number_key(value.times(size)) if isinstance(value, Number) else f"{key}*{size}"
            keys.append(f"{said}:{base if unit.factor == 1 == size else key if size == 1 else number}")
    return _joined(keys) or f"'{answer}'"


def _joined(keys: list[str]) -> str:
    return "{" + "; ".join(sorted(keys)) + "}" if len(keys) > 1 else "".join(keys)
