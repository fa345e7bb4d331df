"""Whether a text holds an answer that a model says it submits."""

from __future__ import annotations

import re
from string import ascii_uppercase

from coral.answers import phrase, prose

_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_SMALL = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
_TEENS = ("thir", "four", "fif", "six", "seven", "eigh", "nine")
_TENS = ("twen", "thir", "for", "fif", "six", "seven", "eigh", "nine")
_WORDS = {
    **{word: str(number) for number, word in enumerate(_SMALL)},
    **{f"{stem}teen": str(number) for number, stem in enumerate(_TEENS, 13)},
    **{f"{stem}ty": str(10 * number) for number, stem in enumerate(_TENS, 2)},
}
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)


def holds(text: str, value: str, choices: tuple[str, ...]) -> bool:
    """Whether a text names a letter (by itself, or by its choice's text) or all numbers of a value.

    A value that is neither a letter nor has digits counts as held: it may be put into other words.
    """
    position = ascii_uppercase.find(value) if len(value) == 1 else -1
    if 0 <= position < len(choices):
        return _holds_letter(text, value) or _holds_phrase(text, choices[position])
    numbers = {_plain(number) for number in _NUMBER.findall(value)}
    return not numbers or numbers <= _numbers_of(text)


def holds_lines(text: str, value: str) -> bool:
    """Whether each line of a value stands in a text, blanks aside."""
    lines = ("".join(line.split()) for line in value.split("\n"))
    there = "".join(text.split())
    return all(line in there for line in lines)


def quotes(text: str, quote: str) -> bool:
    """Whether a quotation stands in a text, whatever its case, blanks and marks; "none" quotes nothing."""
    words = _squeezed(quote)
    return len(words) > 2 and words != "none" and f" {words} " in f" {_squeezed(text)} "


def _holds_letter(text: str, letter: str) -> bool:
    """Whether a letter stands apart as the name of a choice: the article A and the pronoun I do not."""
    named = rf"[(\[]{letter}[)\]]|\b(?:option|choice|letter|answer)(?: is)?:? {letter}\b"
    alone = rf"(?<![A-Za-z]){letter}(?=[).:,;\]*\"'}}$]|\s*$|\s+(?:is|or|and|because|since)\b)"
    return (
        re.search(named, text, re.IGNORECASE) is not None or re.search(alone, text, re.MULTILINE) is not None
    )


def _holds_phrase(text: str, wanted: str) -> bool:
    form = _squeezed(phrase.normalize(wanted))
    return bool(form) and f" {form} " in f" {_squeezed(text)} "


def _numbers_of(text: str) -> set[str]:
    spelled = {_WORDS[word.lower()] for word in _WORD.findall(text)}
    return spelled | {_plain(number) for number in _NUMBER.findall(text)}


def _plain(number: str) -> str:
    number = number.replace(",", "")
    return (number.rstrip("0").rstrip(".") if "." in number else number).lstrip("0") or "0"


def _squeezed(text: str) -> str:
    return " ".join(re.sub(r"[\W_]+", " ", prose.plain(text).lower()).split())
