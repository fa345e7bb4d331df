r"""The parts of an answer: quantities, words, and formulas that Math-Verify is asked about.

`parts` takes an answer as people write it apart ("x = \dfrac12 \text{ cm}", "3 red, 2 blue"): lists by their
commas, values from names and units. What brackets enclose stays one formula.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from coral.answers.math.text import EQUALS, MAX_CHARS, settle, split
from coral.answers.quantities import NONE, Number, Unit, read_amount, read_number, split_unit


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


@lru_cache(maxsize=8_192)
def parts(text: str) -> tuple[Part, ...]:
    """The values of an answer; none if nothing is left of it."""
    if _SIMPLE.fullmatch(text) and (number := read_number(text)):
        return (Part(number),)
    settled = settle(text) if len(text) <= MAX_CHARS else text
    if len(settled) > MAX_CHARS:
        return (Part(f"'{text}'"),)
    if found := _SET.fullmatch(settled):
        settled = found[1]
    elif not settled.startswith(("(", "[", "{", "\\")):  # there "1,000" is two things
        settled = _THOUSANDS.sub(lambda found: re.sub("[ ,]", "", found[0]), settled)
    pieces = [piece for piece in split(settled, _COMMA) if piece]
    if len(pieces) > 1 and read_amount(settled):  # 1 hour and 30 minutes
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
    value, unit = read_amount(text) or split_unit(text)
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
_APPROX_FIRST = re.compile(rf"^{_APPROX.pattern}\s*")


def _named(text: str) -> tuple[str, str]:
    """Split "x = 5" into name and value. Of a chain "x = 2 + 3 = 5" the last link is the value."""
    text = _APPROX_FIRST.sub("", text)
    found = _NAME.match(text)
    value = _APPROX.split(text[found.end() :])[0].strip() if found else ""
    if found and value and not INEQUALITY.search(value):
        return re.sub(r"\s+", "", found[1]), split(value, EQUALS)[-1] or value
    links = split(text, EQUALS)
    return "", links[-1] if len(links) > 2 and read_number(links[-1]) else text


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
    if (number := read_number(bare)) is not None or re.fullmatch(r"[A-Za-z]", bare):
        return number or bare
    if "\\text" in text or bare.lower() in _WORD_LIKE or _PROSE.search(_NOT_PROSE.sub(" ", text)):
        return f"'{' '.join(_IN_WORDS.findall(bare.lower()))}'"
    tight = re.sub(r"(\\[A-Za-z]+)?\s+(?![A-Za-z])", lambda found: found[1] or "", text)
    tight = re.sub(r"(\\[A-Za-z]+ )|\s+", lambda found: found[1] or "", tight)
    if "\\cup" in tight and not re.search(r"\\(?:cap|setminus)", tight):
        tight = r"\cup ".join(sorted(split(tight, _UNION)))
    other = "'" in tight or _NO_FORMULA.search(tight)
    return f"'{tight}'" if other else tight
