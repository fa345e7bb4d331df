"""Answers that are short phrases: a container, a room, yes or no, "knows about it"."""

from __future__ import annotations

import re
from functools import partial

from coral.answers import prose
from coral.types import Answered, Belief, Unreadable, Unsure

_MAX_WORDS = 8
_MAX_CHARS = 100
_MAX_READ = 400
"""Characters of what is stated that are looked at: a phrase and its reason."""

_EDGE = " \t\r\n\"'`.,;:!?*_()[]{}“”‘’«»$"
_OPENING = re.compile(r"(?:(?:(?:in|on|inside|into|at|to|under|from)\s+)?(?:the|an?)\s+)+(?=\S)")


def normalize(text: str) -> str:
    """The form in which phrases are compared.

    Lower case; underscores are spaces; no quotes and punctuation around; no article in front, nor a
    preposition before that article. Whole words only: "leather" keeps its "the". Idempotent.
    """
    text = " ".join(text.lower().replace("_", " ").split()).strip(_EDGE)
    opening = _OPENING.match(text)
    while opening:
        text = text[opening.end() :].strip(_EDGE)
        opening = _OPENING.match(text)
    return text


def same(a: str, b: str) -> bool:
    """Whether two phrases are the same answer: equal once normalised. An empty one equals nothing."""
    left = normalize(a)
    return left != "" and left == normalize(b)


def read(text: str, candidates: tuple[str, ...] = ()) -> Belief:
    """Find the phrase that a turn submits, only if it says so in words that leave no doubt.

    Args:
        text: the turn.
        candidates: all possible answers, where the task has such a list; the answer is then one of them.
    """
    text = prose.plain(text)
    if prose.is_error(text):
        return Unreadable("an error message")
    return prose.before_further_question(text, partial(_read, candidates=candidates))


def _read(text: str, candidates: tuple[str, ...]) -> Belief:
    found = [*_first_line(text, candidates), *prose.claims(text)]
    if not found:
        return _without_statement(text, candidates)
    return prose.settle(text, found, [_stated(claim, candidates) for claim in found], same)


def parse(answer: str, candidates: tuple[str, ...] = ()) -> Belief:
    """Bring a bare answer, as an extractor model gives it, into canonical form."""
    answer = prose.plain(answer).strip()
    bare = prose.unlabel(answer)
    if not bare:
        return Unreadable("empty")
    if prose.is_error(bare) or prose.is_error(answer):
        return Unreadable("an error message")
    named = _named(bare, candidates) if candidates else None
    if named is None and prose.is_not_sure(bare):
        return Unsure()
    value = named if candidates else _short(bare)
    if value is not None and not bare.endswith("?") and not prose.claims(bare):
        return Answered(value)
    return read(answer, candidates)


def _stated(claim: prose.Claim, candidates: tuple[str, ...]) -> str | None:
    value = claim.line if _LETTER_ONLY.fullmatch(claim.value) else claim.value
    return _named(value, candidates) if candidates else _short(value)


_LETTER_ONLY = re.compile(r"\W*[A-Za-z]\W*")
_PLACEHOLDER = re.compile(
    rf"{_LETTER_ONLY.pattern}|(?:<[^<>]*>\s*)+"
    r"|(?:(?:the|your|a) )?(?:final )?(?:answer|container|room|location|place|name|choice)(?: here)?",
    re.IGNORECASE,
)
"""What stands for an answer in a pattern: "X", "<name>", "your answer here"."""
_UNDECIDED = re.compile(r"\bor\b", re.IGNORECASE)
_REASON = re.compile(
    r"\s*(?:[,;(\n]|\s[-\u2013\u2014]\s|\b(?:because|since|as|due to|which|given|but|and so)\b)"
)


def _short(value: str) -> str | None:
    """The phrase without its reasons, or None if that is no short phrase."""
    value = prose.unmarked(value[:_MAX_READ].strip()).replace("\\_", "_")
    reason = _REASON.search(value)
    value = (value[: reason.start()] if reason else value).strip(_EDGE)
    if len(value) > _MAX_CHARS or len(value.split()) > _MAX_WORDS or not normalize(value):
        return None
    if _PLACEHOLDER.fullmatch(value) or _UNDECIDED.search(value):
        return None
    return None if prose.is_not_sure(value) or prose.says_unsure(value) else value


def _named(text: str, candidates: tuple[str, ...]) -> str | None:
    """The one candidate that `text` names in whole words; of two that overlap, the longer one.

    What is said of a person on the way ("Emily, who is in the kitchen") names nothing.
    """
    words = f" {_WORD_EDGE.sub(' ', _ASIDE.sub(' ', text.lower()).replace('_', ' '))} "
    named: dict[str, str] = {}
    for candidate in candidates:
        form = _WORD_EDGE.sub(" ", normalize(candidate)).strip()
        if form and f" {form} " in words:
            named[form] = candidate
    longest = [
        form for form in named if not any(form != other and f" {form} " in f" {other} " for other in named)
    ]
    if len(longest) != 1 or _DENIED.search(words[: words.index(f" {longest[0]} ") + 1]):
        return None
    return named[longest[0]]


_DENIED = re.compile(
    r"(?:\b(?:not|never|neither|nor|no longer|cannot be)|n't) "
    r"(?:(?:in|on|inside|at|be|been|really|actually|the|an?) ){0,4}$"
)
"""Right before a candidate: "not in the red box"."""
_ASIDE = re.compile(r",?\s?\b(?:who|whom|whose)\b[^,.;:!?\n]*")
_WORD_EDGE = re.compile(r"[^\w']+")
_ITEM = re.compile(r"^[^\w\n]{0,8}(?:option |choice )?[A-Za-z][.):][ \t]+", re.MULTILINE | re.IGNORECASE)


def _first_line(text: str, candidates: tuple[str, ...]) -> list[prose.Claim]:
    """A first line that is nothing but a candidate ("K. green_pantry"), with an explanation below it."""
    start = len(text) - len(text.lstrip())
    end = text.find("\n", start)
    if end < 0 or end - start > _MAX_CHARS or not text[end:].strip() or _ITEM.search(text, end):
        return []
    item = _ITEM.match(text, start, end)
    line = text[item.end() if item else start : end].strip()
    if " " not in normalize(line) or not any(same(line, candidate) for candidate in candidates):
        return []
    return [prose.Claim(line, line, start, start)]


_CONCLUDES = re.compile(r"\W*(?:so|therefore|thus|hence|in conclusion|in summary|finally)\b", re.IGNORECASE)


def _without_statement(text: str, candidates: tuple[str, ...]) -> Belief:
    """Of a turn that states no answer in so many words: a bare phrase, or a last sentence that concludes."""
    if prose.is_not_sure(text.strip()):
        return Unsure()
    silent = prose.settle(text, (), ())
    if isinstance(silent, Unsure):
        return silent
    lines = [line for line in text.split("\n") if line.strip()]
    last = lines[-1].strip() if lines else ""
    if candidates and last:
        closing = prose.last_sentence(last)
        if len(lines) == 1 and any(same(last, candidate) for candidate in candidates):
            return Answered(_named(last, candidates) or last)
        named = _named(closing, candidates)
        if named is not None and _CONCLUDES.match(closing) and prose.is_own(closing, closing[-1:]):
            return Answered(named)
    return silent
