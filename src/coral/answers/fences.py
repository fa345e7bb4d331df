"""Code blocks of a message: fences of backticks or tildes, indented or quoted, closed or not.

Everything is one pass over the lines.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

_FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<mark>`{3,}|~{3,})(?P<info>.*)")
_OPENED_BEHIND_WORDS = re.compile(
    r".*[^\s`](?:[ \t]+(?P<apart>`{3,})[ \t]*(?:python3?|py3?)?|(?P<joined>`{3,})[ \t]*(?:python3?|py3?))"
    r"[ \t]*",
    re.IGNORECASE,
)
_IN_ONE_LINE = re.compile(
    r"[ \t]*(`{3,})(?:(?:python3?|py3?)\b)?[ \t]*(?P<code>[^`]*[^`\s])[ \t]*\1[ \t.]*", re.IGNORECASE
)
_BEGUN_BEHIND_TAG = re.compile(
    r"[ \t]*(?:python3?|py3?)[ \t]+(?P<code>(?:(?:async[ \t]+)?def|class|import|from)[ \t]+\w.*|@\w.*)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[ \t]*>[ \t]?")
_DEEPLY_QUOTED = re.compile(r"(?:[ \t]*>)+[ \t]?")
_INFO = re.compile(r"[ \t]*\{?\.?[\w+#.-]*[^`]*")
_DOCUMENT = {"markdown", "md"}
"""What a block may call itself that holds blocks of its own."""


@dataclass(frozen=True, slots=True)
class Block:
    """One code block.

    Attributes:
        code: without the fence's own indentation.
        tag: the first word behind the opening fence, in lower case.
        start, end: the lines of the message that it takes up, its fences included; `end` is the one behind.
        closed: it has its closing fence.
        quoted: its lines begin with the ">" of a quotation.
    """

    code: str
    tag: str
    start: int
    end: int
    closed: bool
    quoted: bool


def blocks(text: str) -> list[Block]:
    """All code blocks of a text, in order. A further opening fence within a block ends that one unclosed, but
    where it is part of it.
    """
    found: list[Block] = []
    opened: _Opened | None = None
    within = 0  # blocks of a document that are open
    lines = lines_of(text)
    for number, line in enumerate(lines):
        if opened is not None and opened.quoted and not _QUOTED.match(line):
            found.append(opened.block(lines, number, closed=False))
            opened = None
        if opened is None and (whole := _IN_ONE_LINE.fullmatch(line)) is not None:
            found.append(Block(whole["code"], "", number, number + 1, closed=True, quoted=False))
        elif opened is None:
            opened, within = _opening(line, number), 0
        elif opened.is_closed_by(line):
            if within:
                within -= 1
                continue
            found.append(opened.block(lines, number, closed=True))
            opened = None
        elif (other := _opening(line, number)) is not None and other.tag and opened.mark == other.mark:
            if opened.tag in _DOCUMENT or opened.holds(other):
                within += 1
                continue
            found.append(opened.block(lines, number, closed=False))
            opened = other
    if opened is not None:
        found.append(opened.block(lines, len(lines), closed=False))
    return [inner for block in found for inner in _unwrapped(block)]


def lines_of(text: str) -> list[str]:
    """The lines of a text as blocks count them."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


@dataclass(frozen=True, slots=True)
class _Opened:
    mark: str
    indent: str
    tag: str
    number: int
    quoted: bool
    head: str = ""
    """Code that stands behind the tag."""

    def is_closed_by(self, line: str) -> bool:
        """Whether a line is the closing fence, alone, before words, or behind the last line of the code."""
        if self.quoted:
            line = _DEEPLY_QUOTED.sub("", line, count=1)
        fence = _FENCE.fullmatch(line)
        if fence is None:
            return line.rstrip().endswith(self.mark) and line.count(self.mark) == 1
        if fence["mark"][0] != self.mark[0] or len(fence["mark"]) < len(self.mark):
            return False
        return re.fullmatch(r"\s*|[.,;:)]\s*|\s+\S+\s.*", fence["info"]) is not None

    def holds(self, other: _Opened) -> bool:
        """Whether an opening fence is part of this block, such as of a docstring: four columns further in."""
        return len(other.indent.expandtabs(4)) >= len(self.indent.expandtabs(4)) + 4

    def block(self, lines: list[str], end: int, *, closed: bool) -> Block:
        inside = lines[self.number + 1 : end]
        if closed and (last := lines[end].rstrip().removesuffix(self.mark)) and not _FENCE.match(lines[end]):
            inside = [*inside, last]
        if self.quoted:
            inside = [_QUOTED.sub("", line, count=1) for line in inside]
        inside = [self.indent + self.head, *inside] if self.head else inside
        code = "\n".join(line.removeprefix(self.indent) for line in inside)
        if self.indent and any(line.strip() and not line.startswith(self.indent) for line in inside):
            code = textwrap.dedent("\n".join(inside))
        return Block(
            code=code,
            tag=self.tag,
            start=self.number,
            end=end + closed,
            closed=closed,
            quoted=self.quoted,
        )


def _opening(line: str, number: int) -> _Opened | None:
    quoted = _QUOTED.match(line) is not None
    if quoted:
        line = _DEEPLY_QUOTED.sub("", line, count=1)
    if behind := _OPENED_BEHIND_WORDS.fullmatch(line):
        return _Opened(behind["apart"] or behind["joined"], "", "", number, quoted)
    fence = _FENCE.fullmatch(line)
    if fence is None or not _INFO.fullmatch(fence["info"]):
        return None
    word = re.match(r"[ \t]*\{?\.?([\w+#-]*)", fence["info"])
    tag = word[1].lower() if word else ""
    begun = _BEGUN_BEHIND_TAG.fullmatch(fence["info"])
    return _Opened(fence["mark"], fence["indent"], tag, number, quoted, begun["code"] if begun else "")


def _unwrapped(block: Block) -> list[Block]:
    """The blocks within a block that is a document, or begins with a fence; itself where it is none."""
    is_document = block.tag in _DOCUMENT or _FENCE.match(block.code.lstrip("\n")) is not None
    if not is_document or not (block.closed or block.tag in _DOCUMENT):
        return [block]
    return [
        Block(
            code=inner.code,
            tag=inner.tag,
            start=block.start,
            end=block.end,
            closed=inner.closed,
            quoted=block.quoted or inner.quoted,
        )
        for inner in blocks(block.code)
    ]
