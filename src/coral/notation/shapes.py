"""The shapes in which records hold choices: a list, a mapping, a text, or a field for each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from string import ascii_uppercase
from typing import Any, NamedTuple

from coral.notation import lists


class Listed(NamedTuple):
    """The choices of one record, what the data call them, if they do, and the fields that hold one each.

    Attributes:
        marks: which are right, as the data say it of each choice.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()


_PLACE = r"(?:([A-Za-z])|(\d{1,2}))"
_COLUMN = {
    "choices": re.compile(rf"(?:(?:options?|choice|answer|ending|sol|op)[_ -]?)?{_PLACE}", re.IGNORECASE),
    "wrong": re.compile(
        rf"(?:distractor|(?:wrong|incorrect|false)(?:[_ -]?(?:answer|choice|option))?)[_ -]?{_PLACE}",
        re.IGNORECASE,
    ),
}


def columns(names: tuple[str, ...], part: str) -> tuple[str, ...]:
    """Fields such as `A`, `B`, `C`, `option_a`, `choice1`, `ending0`, from the first one on without a gap.

    Args:
        part: choices, or wrong: such as `distractor1`, `incorrect_answer_1`.
    """
    families: dict[str, dict[int, str]] = {}
    for name in names:
        found = _COLUMN[part].fullmatch(name)
        if found and (found[1] or not name.isdecimal()):
            place = ascii_uppercase.index(found[1].upper()) if found[1] else int(found[2])
            families.setdefault(name[: found.start(found.lastindex or 0)].lower(), {})[place] = name
    for family in families.values():
        start = min(family)
        run = [family[place] for place in range(start, start + len(family)) if place in family]
        if start <= 1 and len(run) == len(family) >= 2:
            return tuple(run)
    return ()


_TEXTS = ("text", "texts", "value", "content", "option", "choice", "choices", "answer")
_LABELS = ("label", "labels", "key", "letter", "id", "name")
_MARKS = ("is_correct", "correct", "is_right")
"""What a mapping calls a choice, the name of a choice, and whether it is right."""


def separator(value: Any) -> str:
    """What stands between the choices of a text that is no list in the notation of Python or JSON."""
    if not isinstance(value, str) or value.strip()[:1] in {"[", "(", "{"}:
        return ""
    return next((mark for mark in ("\n", "|", ";") if mark in value.strip()), "")


def listed_in(value: Any) -> Listed | None:
    """A list of texts or of `{"text", "label"}`, the same inside out, or a mapping from label to text."""
    if isinstance(value, str) and value.strip()[:1] == "{":
        value = lists.literal(value)
    if isinstance(value, Mapping):
        return _of_mapping(value)
    items = lists.as_list(value)
    if not items:
        return None
    if all(isinstance(item, tuple) and len(item) == 2 for item in items):  # a map of parquet
        return _of_mapping(dict(items))
    if all(isinstance(item, Mapping) for item in items):
        text, label, mark = (
            next((name for name in names if name in items[0]), "") for names in (_TEXTS, _LABELS, _MARKS)
        )
        if not all(is_text(item.get(text)) for item in items):
            return None
        labels, marks = (_labels([item.get(name) for item in items]) for name in (label, mark))
        return Listed(texts_of(item[text] for item in items), labels, marks=marks)
    return Listed(texts_of(items)) if all(map(is_text, items)) else None


def _of_mapping(value: Mapping[Any, Any]) -> Listed | None:
    """Lists of texts and labels, or each label with its text; labels without one are left out."""
    text, label = (next((name for name in names if name in value), "") for names in (_TEXTS, _LABELS))
    texts, labels = value.get(text), value.get(label)
    if isinstance(texts, list) and (
        labels is None or (isinstance(labels, list) and len(labels) == len(texts))
    ):
        return Listed(texts_of(texts), _labels(labels or []))
    held = {str(key): choice for key, choice in value.items() if choice is not None}
    short = all(re.fullmatch(r"[A-Za-z]|\d{1,2}", key) for key in held)
    if not short and all(choice in (0, 1) for choice in held.values()):  # each text with whether it is right
        return Listed(texts_of(held), marks=texts_of(held.values()))
    told = all(is_text(choice) if short else isinstance(choice, str) for choice in held.values())
    return Listed(texts_of(held.values()), tuple(held)) if held and told else None


def is_text(item: Any) -> bool:
    """Blanks are told apart later, by name."""
    return item is None or isinstance(item, str | int | float | Decimal)


def _labels(labels: list[Any]) -> tuple[str, ...]:
    return () if any(label is None for label in labels) else texts_of(labels)


def texts_of(items: Iterable[Any]) -> tuple[str, ...]:
    """What the items say, a blank for none."""
    return tuple("" if item is None else str(item).strip() for item in items)


def unlettered(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The choices without letters of their own: `A. Ann`, `B. Bob` are lettered when they are stated."""
    found = [_OWN_LETTER.fullmatch(text) for text in texts]
    letters = "".join(one[1].upper() for one in found if one)
    return tuple(one[2] for one in found if one) if letters == ascii_uppercase[: len(texts)] else texts


_OWN_LETTER = re.compile(r"\(?([A-Za-z])[).:]\s*(\S.*)", re.DOTALL)


def marks_of(listed: Listed) -> list[bool] | None:
    """Which choices are marked as right, where marks, or else labels, are 1 and 0, or true and false."""
    told = [mark.lower().removesuffix(".0") for mark in listed.marks or listed.labels]
    return [mark in ("1", "true") for mark in told] if {*told} <= {"0", "1", "true", "false"} else None
