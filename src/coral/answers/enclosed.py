r"""Answers in a form of their own: `\boxed{B}`, `<answer>B</answer>`, `{"answer": "B"}`, GLM's box tokens.

Every function reads a text once, from left to right.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple


class Enclosed(NamedTuple):
    """Where an answer and its marks stand, and what stands between the marks."""

    start: int
    end: int
    content: str


_MAX_CONTENT = 300
"""Characters above which a tag or field holds a message rather than an answer."""


def find(text: str) -> list[Enclosed]:
    """All enclosed answers of a text, in order."""
    found = boxes(text)
    if ("<" in text or "[" in text) and _has_tag(text.lower()):
        found += _tagged(text)
    if any(colon in text for colon in ('":', "':", '" :')):
        found += _fields(text)
    found.sort()
    return found


_BOX_MARKS = ("\\boxed", "\\fbox")
_BOX = r"\\{1,2}f?boxed\s{0,9}\{|\\{1,2}fbox\s{0,9}\{"
_BOX_PART = re.compile(rf"({_BOX})|\\[{{}}\\]|[{{}}]")


def boxes(text: str) -> list[Enclosed]:
    r"""Every `\boxed{...}` with balanced braces that stands in no other; a torn one does not count."""
    starts = [at for mark in _BOX_MARKS if (at := text.find(mark)) >= 0]
    if not starts:
        return []
    open_: list[tuple[int, int] | None] = []
    whole: list[Enclosed] = []
    for part in _BOX_PART.finditer(text, max(0, min(starts) - 1)):
        brace = part.group()
        if part.group(1):
            open_.append((part.start(), part.end()))
        elif brace == "{":
            open_.append(None)
        elif brace == "}" and open_:
            box = open_.pop()
            if box is not None:
                while whole and whole[-1].start > box[0]:
                    whole.pop()
                whole.append(Enclosed(box[0], part.end(), text[box[1] : part.start()].strip()))
    return whole


def _has_tag(lower: str) -> bool:
    return any(mark in lower for mark in _TAG_MARKS)


_TAG_MARKS = ("answer>", "answer]", "<ans>", "[ans]", "<final>", "[final]", "choice>", "letter>", "_of_box|")
_TAG = re.compile(
    r"[<\[](?P<close>/?)(?:(?:final|correct|my|your)?[ _-]?answer(?:[ _-]?(?:choice|letter))?|ans|final)\s?"
    r"[>\]]|<\|(?P<edge>begin|end)_of_box\|>",
    re.IGNORECASE,
)


def _tagged(text: str) -> list[Enclosed]:
    """`<answer>B</answer>`, `[ANSWER]B[/ANSWER]`, `<|begin_of_box|>B<|end_of_box|>`.

    The last may lack its end: a server leaves out the text it stops at.
    """
    found: list[Enclosed] = []
    opened: re.Match[str] | None = None
    for tag in _TAG.finditer(text):
        if not (tag.group("close") or tag.group("edge") == "end"):
            opened = tag
        elif opened is not None:
            found.append(Enclosed(opened.start(), tag.end(), text[opened.end() : tag.start()].strip()))
            opened = None
    if opened is not None:
        found.append(Enclosed(opened.start(), len(text), text[opened.end() :].strip()))
    return [each for each in found if 0 < len(each.content) <= _MAX_CONTENT]


_NAME = r"(?:(?:my|the|your|final|correct|best|chosen|selected|predicted)[ _-]?){0,2}(?:answer|choice|option)"
_FIELD = re.compile(
    rf"""(?P<quote>["']){_NAME}(?:[ _-]?(?:letter|choice|option|label|value))?(?P=quote)"""
    rf"""\s{{0,20}}:\s{{0,20}}"""
    rf"""(?:"(?P<double>(?:[^"\\\n]|\\.){{0,{_MAX_CONTENT}}})"|'(?P<single>[^'\n]{{0,{_MAX_CONTENT}}})'"""
    r"""|(?P<bare>-?\d[\d.eE+-]{0,40}|true|false|null|\[\s{0,9}"[^"\n]{0,100}"\s{0,9}\]))""",
    re.IGNORECASE,
)


def _fields(text: str) -> list[Enclosed]:
    """`"answer": "B"` of a JSON object, in whatever text it stands."""
    return [Enclosed(field.start(), field.end(), _value(field)) for field in _FIELD.finditer(text)]


def _value(field: re.Match[str]) -> str:
    bare, single = field.group("bare"), field.group("single")
    if single is not None:
        return single.strip()
    if bare is not None:
        return _WORDS.get(bare.lower()) or bare.strip("[] \t\r\n").strip('"')
    if _LATEX.search(field.group("double")):
        return str(field.group("double")).strip()
    try:
        return str(json.loads(f'"{field.group("double")}"', strict=False)).strip()
    except ValueError:
        return str(field.group("double")).strip()


_LATEX = re.compile(r"(?<!\\)\\(?!n[A-Z])[A-Za-z]{2}")
"""A command that is not escaped as JSON asks: what its author meant is the text as it stands."""
_WORDS = {"true": "yes", "false": "no", "null": "not sure"}
