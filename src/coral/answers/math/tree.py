r"""The structure of a written mathematical answer: numbers, words, lists, tuples, intervals, expressions.

`structure` turns an answer as people write it ("x = \dfrac12 \text{ cm}", "$1,000", "(1, 2]") into a small
tree whose spelling is settled. What two different expressions mean is the matter of `math.algebra`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from coral.answers.math.numbers import Number, read_number
from coral.answers.math.text import EQUALS, MARKED_TEXT, matching, max_depth, split, tidy
from coral.answers.math.units import magnitude, read_unit

MAX_CHARS = 2_000
"""Longer texts are no answer; they equal only themselves."""

_MAX_DEPTH = 40
_SIMPLE = re.compile(r"-?(?:\d{1,99}(?:\.\d{1,99}|/\d{1,99})?|\\frac\{\d{1,99}\}\{\d{1,99}\})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Words:
    """Text that has no value: only its letters count."""

    text: str


@dataclass(frozen=True, slots=True)
class Expression:
    """LaTeX whose value is for a computer algebra system to say. `relation`: an equation or inequality."""

    latex: str
    relation: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Several parts. `brackets` is what encloses them: "()", "[)", "{}" for sets and bare lists.

    A union of sets has "|", a ratio ":".
    """

    brackets: str
    parts: tuple[Part, ...]

    @property
    def ordered(self) -> bool:
        return self.brackets not in {"{}", "|"}


@dataclass(frozen=True, slots=True)
class Part:
    r"""A value with the name it is given ("x" in `x = 5`) and its unit ("cm"); both may be empty."""

    body: Number | Words | Expression | Group
    name: str = ""
    unit: str = ""


Body = Number | Words | Expression | Group


@lru_cache(maxsize=8_192)
def structure(text: str) -> Part | None:
    """The tree of an answer; None if nothing is left of it."""
    if _SIMPLE.fullmatch(text) and (number := read_number(text)):
        return Part(number)
    if len(text) > MAX_CHARS:
        return Part(Words(text))
    tidied = tidy(text)
    if max_depth(tidied) > _MAX_DEPTH:
        return Part(Words(tidied))
    return _part(tidied) if tidied else None


# ---------------------------------------------------------------------------------------------------------
# Structure

_UNION = re.compile(r"\\cup(?![A-Za-z])")
_COMMA = re.compile(r"[,;]+\s*(?:(?:and|or)\b)?|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])")
_COLON = re.compile(r"(?<![\\:]):(?![:=])")
_THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,])")
_PLUS_MINUS = re.compile(r"\\pm(?![A-Za-z])")
_OPENERS = (("(", 1), ("[", 1), (r"\{", 2), ("{", 1))


def _part(text: str) -> Part:
    """The tree of settled text."""
    name, text = _named(text)
    if not text.startswith(("(", "[", "{", "\\")):  # there "1,000" is two things
        text = _THOUSANDS.sub(lambda found: found.group().replace(",", ""), text)
    pieces = [piece for piece in split(text, _COMMA) if piece]
    if len(pieces) > 1:
        if name:  # "x = 1, y = 2" and "x = 1, 2"
            pieces[0] = f"{name}={pieces[0]}"
        return Part(_unordered(pieces))
    text = pieces[0] if pieces else text
    number, unit = _number_and_unit(text)
    if number is not None:
        return Part(number, name, unit)
    value, unit = _split_unit(text)
    return Part(_body(value), name, unit)


def _unordered(pieces: list[str]) -> Group:
    parts: list[Part] = []
    for piece in pieces:
        part = _part(piece)
        several = isinstance(part.body, Group) and part.body.brackets == "{}" and "\\pm" in piece
        parts.extend(part.body.parts if several and isinstance(part.body, Group) else (part,))
    return Group("{}", tuple(parts))


def _body(text: str) -> Body:
    unions = split(text, _UNION)
    if len(unions) > 1:
        return Group("|", tuple(_part(piece) for piece in unions))
    enclosed = _enclosed(text)
    if enclosed is not None:
        return enclosed
    if ":" in text and len(ratio := split(text, _COLON)) > 1 and all(ratio):
        return Group(":", tuple(_part(piece) for piece in ratio))
    if len(_PLUS_MINUS.findall(text)) == 1 and not _is_relation(text):
        signs = [_part(_PLUS_MINUS.sub(sign, text).removeprefix("+").strip()) for sign in ("+", "-")]
        return Group("{}", tuple(signs))
    return _leaf(text)


def _enclosed(text: str) -> Body | None:
    """What brackets around the whole text hold, or None if there are none."""
    for opener, width in _OPENERS:
        if text.startswith(opener):
            end = matching(text, 0)
            closer = text[end:] if end is not None else ""
            if closer not in {")", "]", "}", r"\}"}:
                return None
            return _group(opener[-1] + closer[-1], text[width:end].strip())
    return None


def _group(brackets: str, content: str) -> Body | None:
    pieces = split(content, _COMMA)
    if brackets == "{}":
        return _unordered([piece for piece in pieces if piece]) if len(pieces) > 1 else _single(content)
    if len(pieces) > 1 and all(pieces):
        return Group(brackets, tuple(_part(piece) for piece in pieces))
    return _single(content) if brackets == "()" else None


def _single(content: str) -> Body | None:
    """One thing in round or curly brackets is that thing: (5), {5}, (A)."""
    inner = _part(content) if content else None
    return inner.body if inner and not inner.name and not inner.unit else None


# A quantity's name: x, x_1, f(x), \theta, AB, (p, q), \angle ABC, V_1 : V_2, \frac{AO}{BO}
_ATOM = (
    r"(?:\\angle\s*)?(?:[A-Za-z]|[A-Z]{2,3}|\\(?:alpha|beta|gamma|delta|theta|phi|lambda|mu|omega|rho|sigma|tau))"
    r"(?:_(?:\w|\{\w+\}))?'*"
)
_NAME = re.compile(
    rf"\s*({_ATOM}(?:\(\s*[a-z](?:\s*,\s*[a-z])*\s*\))?|\(\s*{_ATOM}(?:\s*,\s*{_ATOM})+\s*\)|{_ATOM}\s*:\s*{_ATOM}"
    rf"|\\frac\{{{_ATOM}\}}\{{{_ATOM}\}})\s*(?:=|\\in(?![A-Za-z])|\\approx(?![A-Za-z]))(?!=)"
)
_APPROX = re.compile(r"\\approx(?![A-Za-z])")


def _named(text: str) -> tuple[str, str]:
    """Split "x = 5" into name and value. Of a chain "x = 2 + 3 = 5" the last link is the value."""
    found = _NAME.match(text)
    if not found or not text[found.end() :].strip():
        return "", text
    value = text[found.end() :].strip()
    exact = _APPROX.split(value)[0].strip() or value
    if "," not in value and ";" not in value and not _INEQUALITY.search(exact):
        value = split(exact, EQUALS)[-1] or value
    elif _is_relation(re.split(r"[,;]", value)[0]):
        return "", text
    return re.sub(r"\s+", "", found.group(1)), value


_INEQUALITY = re.compile(r"[<>]|\\(?:leq|geq|neq|equiv|approx|subset\w*)(?![A-Za-z])")


def _is_relation(text: str) -> bool:
    return _INEQUALITY.search(text) is not None or len(split(text, EQUALS)) > 1


_TRAILING_TEXT = re.compile(r"\\text\{([^{}]*)\}\s*(\^\s*[23])?\s*$")


def _split_unit(text: str) -> tuple[str, str]:
    r"""Split "6\pi \text{ cm}^2" into value and unit."""
    unit = ""
    while (found := _TRAILING_TEXT.search(text)) and text[: found.start()].strip():
        unit = f"{found.group(1)}{(found.group(2) or '').replace(' ', '')} {unit}"
        text = text[: found.start()].strip()
    return text, read_unit(unit)


_BARE_UNIT = re.compile(r"(.*[\d}).])\s*((?<![A-Za-z\\])[A-Za-z][A-Za-z .'-]*(?:\^[23])?)$")


def _number_and_unit(text: str) -> tuple[Number | None, str]:
    """A plain number with whatever unit follows it: "2.5 million", "64 square feet", "18 apples"."""
    text, unit = _split_unit(text)
    if (number := read_number(text)) is not None:
        return _scaled(number, unit)
    found = _BARE_UNIT.match(text)
    if found and (number := read_number(found.group(1).strip())) is not None:
        words = read_unit(found.group(2))
        if words and not re.fullmatch(r"[A-Za-z]|(?:mod|base|[ap]\.?m\.?)\b.*", found.group(2).strip()):
            return _scaled(number, f"{words} {unit}".strip())
        if words in _LETTER_UNITS:
            return number, words
    return None, ""


_LETTER_UNITS = frozenset({"m", "g", "l", "s"})


def _scaled(number: Number, unit: str) -> tuple[Number, str]:
    first, _, rest = unit.partition(" ")
    factor = magnitude(first)
    return (Number(number.value * factor), rest) if factor else (number, unit)


# ---------------------------------------------------------------------------------------------------------
# Leaves

_PROSE = re.compile(r"(?<![\\A-Za-z])(?:[A-Za-z]{4,}|[A-Za-z]*[aeiouAEIOU][A-Za-z]*)(?![A-Za-z])")
_NOT_PROSE = re.compile(r"\\(?:begin|end)\{\w+\}|\\[A-Za-z]+|(?<![A-Za-z])[A-Za-z]{1,2}(?![A-Za-z])")
_WORD_LIKE = frozenset({"no", "on", "or", "is", "am", "pm", "if", "up"})


def _leaf(text: str) -> Number | Words | Expression:
    if (number := read_number(text)) is not None:
        return number
    bare = MARKED_TEXT.sub(r"\1", text).strip()
    if re.fullmatch(r"[A-Za-z]", bare):
        return Expression(bare)
    if "\\text" in text or _has_prose(text) or re.fullmatch(r"-?\d+_(?:\d+|\{\d+\})", text):
        return Words(" ".join(re.findall(r"[^\s.,;:()\"'{}]+", bare.lower())))
    return Expression(re.sub(r"\s+", "", text) if "\\" not in text else _tight(text), _is_relation(text))


def _has_prose(text: str) -> bool:
    return text.lower() in _WORD_LIKE or _PROSE.search(_NOT_PROSE.sub(" ", text)) is not None


def _tight(text: str) -> str:
    r"""Without the spaces that no command needs: `\sqrt{2} + x` is `\sqrt{2}+x`, `\pi r` stays."""
    text = re.sub(r"\s+(?![A-Za-z])", "", text)
    return re.sub(r"(\\[A-Za-z]+)?\s+", lambda found: f"{found.group(1)} " if found.group(1) else "", text)
