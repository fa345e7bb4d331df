r"""The spelling of mathematical answers: delimiters, LaTeX variants and brackets.

`clean` keeps what a person would read, `tidy` settles the spelling so that variants of one answer look alike.
Pure string work.
"""

from __future__ import annotations

import re

_UNICODE = {
    r"-": "−–",
    r"\cdot ": "×·⋅",
    r"/": "÷",
    r"\pi ": "π",
    r"\theta ": "θ",
    r"\infty ": "∞",
    r"\sqrt ": "√",
    r"^\circ ": "°",
    r"\leq ": "≤",
    r"\geq ": "≥",
    r"\neq ": "≠",
    r"\approx ": "≈",
    r"\pm ": "±",
    r"\cup ": "∪",
    r"\in ": "∈",
    r"\emptyset ": "∅",
    r"\frac{1}{2}": "½",
    r"\frac{1}{4}": "¼",
    r"\frac{3}{4}": "¾",
    "^2": "²",
    "^3": "³",
    " ": "\u00a0\u2009\u202f",
    "'": "’",
    "$": "€£",
    ",": "、，",
    ".": "。",
}
_TRANSLATION = {ord(sign): latex for latex, signs in _UNICODE.items() for sign in signs}
_DOUBLED = re.compile(
    r"(?<!\\)\\\\(?=(?:d?frac|tfrac|sqrt|boxed|left|right|pi|le|leq|ge|geq|lt|gt|neq?|cdot|times|text|cup|infty|pm)"
    r"(?![A-Za-z]))"
)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{(?:align|equation|gather|displaymath)\*?\}")
_SIZE = re.compile(r"\\(?:left|right|[bB]igg?[lrm]?)(?![A-Za-z])\s*\.?|\\(?:displaystyle|limits|textstyle)\b")
_THOUSANDS_TEX = re.compile(r"(?<=\d)(?:\{,\}|,\\!|\\!,|\\,(?=\d{3}(?!\d)))\s*(?=\d)")
_SPACING = re.compile(r"(?<!\\)\\[,;:! ]|~|\\q?quad(?=[A-Za-z]_|\b)|\\hspace\*?\{[^{}]*\}|\\(?:\n|$)")
EQUALS = re.compile(r"(?<![<>!=])=")
MARKED_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|normal)?|mbox|hbox|mathrm|mathbf|mathit|mathsf|operatorname\*?|rm|bf)\s*"
    r"\{([^{}]*)\}"
)
_JOINERS = re.compile(r"^(?:,?\s*(?:and|or)|,|;)$", re.IGNORECASE)
_LETTER = re.compile(r"\(?([A-Za-z])\)?$")
_FRACTION = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_ARGUMENT = r"(?:\{(?:[^{}]|\{[^{}]*\})*\}|\\[A-Za-z]+|[^\s{}\\])"
_BARE_FRACTION = re.compile(rf"\\frac\s*({_ARGUMENT})\s*({_ARGUMENT})")
_BARE_ROOT = re.compile(r"\\sqrt\s*(\[[^\[\]]*\])?\s*(\\[A-Za-z]+|[^\s{}\\\[])")
_SINGLE = re.compile(r"([\^_])\s*\{\s*([A-Za-z0-9])\s*\}")
_DEGREES = re.compile(r"\s*\^\s*(?:\\circ(?![A-Za-z])|\{\s*\\circ\s*\})|\\degree\b")
_RELATIONS = (
    (r"\leqslant", r"\leq"),
    (r"\geqslant", r"\geq"),
    (r"\gt ", ">"),
    (r"\lt ", "<"),
    ("<=", r"\leq "),
    (">=", r"\geq "),
    ("!=", r"\neq "),
    ("==", "="),
    ("**", "^"),
    ("*", r"\cdot "),
)
_SHORT_RELATION = re.compile(r"\\(le|ge|ne)(?![A-Za-z])")
_ASCII_NAME = re.compile(
    r"(?<![\\A-Za-z])(sqrt|sin|cos|tan|sec|csc|cot|arcsin|arccos|arctan|ln|log|exp|pi|infinity|infty|inf|oo)"
    r"(?![A-Za-z])"
)
_ASCII_ROOT = re.compile(r"\\sqrt\(([^()]*)\)")
_INFINITIES = frozenset({"infinity", "infty", "inf", "oo"})
_WRAPPERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"), ('"', '"'))


def clean(text: str) -> str:
    """An answer without delimiters, boxes, emphasis and final stop, otherwise as it was written."""
    text = text.strip()
    before = None
    while text != before:
        before = text
        text = _unboxed(text)
        if text.endswith((".", ",", ";", ":")):
            text = text[:-1].rstrip()
        for left, right in _WRAPPERS:
            inside = text[len(left) : -len(right)]
            if (
                text.startswith(left)
                and text.endswith(right)
                and len(text) > len(left)
                and left not in inside
            ):
                text = inside.strip()
    return text


def bare_value(text: str) -> str:
    """An answer cleaned, and of a computation such as 12 + 3 = 15 the result."""
    text = clean(text)
    links = split(text, EQUALS)
    if len(links) > 1 and all(links) and not _LETTERS.search(_COMMANDS.sub("", text)):
        return clean(links[-1])
    return text


_LETTERS = re.compile(r"[A-Za-z,;<>]")
_COMMANDS = re.compile(r"\\(?:[dt]?frac|sqrt|cdot|times|left|right|pi|[!,;: ])(?![A-Za-z])")
_BOX = re.compile(r"\\(?:f?boxed|fbox)\s*\{")


def _unboxed(text: str) -> str:
    """`text` with every box of balanced braces replaced by its content."""
    at = 0
    while box := _BOX.search(text, at):
        end = matching(text, box.end() - 1)
        if end is None:
            break
        text = text[: box.start()] + text[box.end() : end] + text[end + 1 :]
        at = box.start()
    return text


def tidy(text: str) -> str:
    r"""An answer in settled spelling, with words kept apart as `\text{...}`."""
    if not text.isascii():
        text = text.translate(_TRANSLATION)
    text = clean(text)
    if "$" in text:
        text = _without_dollars(text)
    if "\\" in text or "{,}" in text:
        text = _tidy_latex(_THOUSANDS_TEX.sub("", text))
    if not text.isdecimal():
        text = _tidy_symbols(text)
    return " ".join(text.split())


def _without_dollars(text: str) -> str:
    """Drop delimiters; a single dollar sign in front of a number is a unit."""
    bare = text.replace("\\$", "$")
    if bare.count("$") == 1 and re.match(r"[-+]?\$", bare):
        return bare.replace("$", "") + r" \text{dollars}"
    return bare.replace("$", "")


def _tidy_latex(text: str) -> str:
    text = _DOUBLED.sub(r"\\", text)
    text = _ENVIRONMENT.sub(" ", text)
    text = _SIZE.sub("", text)
    text = _SPACING.sub(" ", text)
    text = MARKED_TEXT.sub(_text, text)
    text = _FRACTION.sub(r"\\frac", text)
    if "\\frac" in text:
        text = _BARE_FRACTION.sub(_braced_fraction, text)
    if "\\sqrt" in text:
        text = _BARE_ROOT.sub(r"\\sqrt\1{\2}", text)
    text = _DEGREES.sub(r" \\text{degrees}", text)
    text = _SHORT_RELATION.sub(r"\\\1q", text)
    return text.replace(r"\%", " \\text{percent}").replace(r"\times", r"\cdot").replace(r"\colon", ":")


def _text(found: re.Match[str]) -> str:
    content = found.group(1).strip()
    if _JOINERS.match(content):
        return " , "
    if letter := _LETTER.match(content):
        return f" {letter.group(1)} "
    return f" \\text{{{content}}}" if content else " "


def _braced_fraction(found: re.Match[str]) -> str:
    above, below = (part if part.startswith("{") else f"{{{part}}}" for part in found.groups())
    return f"\\frac{above}{below}"


def _tidy_symbols(text: str) -> str:
    text = text.replace("%", r" \text{percent}")
    for old, new in _RELATIONS:
        if old in text:
            text = text.replace(old, new)
    text = _ASCII_NAME.sub(_command, text)
    text = _ASCII_ROOT.sub(r"\\sqrt{\1}", text)
    if "{" in text:
        text = _SINGLE.sub(r"\1\2", text)
    return text


def _command(found: re.Match[str]) -> str:
    name = found.group(1)
    return r"\infty " if name in _INFINITIES else f"\\{name} " if name != "sqrt" else "\\sqrt"


# ---------------------------------------------------------------------------------------------------------
# Brackets

_BRACKET = re.compile(r"\\[{}]|\\(?:begin|end)\b|\\.|[()\[\]{}]", re.DOTALL)
_DEPTH = {"(": 1, "[": 1, "{": 1, r"\{": 1, r"\begin": 1, ")": -1, "]": -1, "}": -1, r"\}": -1, r"\end": -1}


def matching(text: str, start: int) -> int | None:
    """Where the bracket that opens at `start` closes: the first character of the closing one."""
    depth = 0
    for bracket in _BRACKET.finditer(text, start):
        depth += _DEPTH.get(bracket.group(), 0)
        if depth == 0:
            return bracket.start()
    return None


def max_depth(text: str) -> int:
    """How deep the brackets are nested."""
    depth = deepest = 0
    for bracket in _BRACKET.finditer(text):
        depth += _DEPTH.get(bracket.group(), 0)
        deepest = max(deepest, depth)
    return deepest


def split(text: str, separator: re.Pattern[str]) -> list[str]:
    """Cut `text` at the separators outside of all brackets."""
    spans = _nested_spans(text)
    pieces, done, index = [], 0, 0
    for found in separator.finditer(text):
        while index < len(spans) and spans[index][1] <= found.start():
            index += 1
        if index == len(spans) or found.start() <= spans[index][0]:
            pieces.append(text[done : found.start()].strip())
            done = found.end()
    return [*pieces, text[done:].strip()]


def _nested_spans(text: str) -> list[tuple[int, int]]:
    spans, depth, opened = [], 0, 0
    for bracket in _BRACKET.finditer(text):
        change = _DEPTH.get(bracket.group(), 0)
        if change > 0 and depth == 0:
            opened = bracket.start()
        depth += change
        if depth <= 0 and change < 0:
            spans.append((opened, bracket.end()))
            depth = 0
    if depth > 0:
        spans.append((opened, len(text) + 1))
    return spans
