"""Lists and mappings that are written as texts, as in csv files: in the notation of Python, numpy or JSON."""

from __future__ import annotations

import ast
import io
import itertools
import re
import tokenize
from typing import Any

import msgspec


def as_list(value: Any) -> list[Any] | None:
    """A list, or a text that holds one."""
    if isinstance(value, str) and value.strip()[:1] in {"[", "("}:
        value = literal(value)
    return list(value) if isinstance(value, list | tuple) else None


def literal(text: str) -> Any:
    """What a text holds; None where it is in none of the notations."""
    whole = _with_commas(text.strip())
    for python in (whole, _ARRAY.sub(r"\1", whole)):
        try:
            return ast.literal_eval(python)
        except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last: nested too deep
            pass
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


_ARRAY = re.compile(r"\barray ?\( ?(\[.*?\])(?: ?, ?dtype ?= ?\w+)? ?\)", re.DOTALL)
"""How pandas writes a list within a mapping: `array(['a', 'b'], dtype=object)`."""


def _with_commas(text: str) -> str:
    """The text with a comma between texts side by side, as numpy lists them: Python takes those for one."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text.replace("\n", " ")).readline))
    except (tokenize.TokenError, SyntaxError):
        return text
    pairs = list(itertools.pairwise(tokens))
    if not any(one.type == other.type == tokenize.STRING for one, other in pairs):
        return text
    return " ".join(
        f"{one.string}," if one.type == other.type == tokenize.STRING else one.string for one, other in pairs
    )
