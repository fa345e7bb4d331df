"""Answers that are the letter of a choice: A, B, C, ..."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache, partial
from string import ascii_uppercase

from coral.answers import phrase, prose
from coral.types import Answered, Belief, Unreadable, Unsure

_MAX_BARE = 400
"""Characters above which a text is more than a bare answer."""

_LETTER = r"(?:\([A-Z]\)|\[[A-Z]\])"
_RANKS = ("closest", "nearest", "best ", "most ")
_PRAISE = ("correct", "right", "best", "closest", "accurate", "likely", "appropriate", "final")
_VERDICT = re.compile(
    r"(?P<value>\b(?:[Oo]ption|[Cc]hoice|[Aa]nswer)\s+\(?[A-Z]\)?|\([A-Z]\)|\b[A-Z]\b)"
    r"\s+(?:is|must be|remains)\s+(?:(?:indeed|clearly|definitely|still|therefore|thus)\s+)?(?:the\s+)?"
    r"(?:(?:only|most|single)\s+)?(?:(?:correct|right)(?!\s+(?:about|that|in|to|if|for|when))"
    r"|(?:best|closest|accurate|likely|appropriate|final)\s+(?:answer|option|choice))\b"
)
"""The letter before the verdict: "(B) is correct", "C is the right answer"."""
_RANKED = re.compile(
    r"\b(?:best|closest|nearest|correct|right|(?:most )?(?:likely|accurate|appropriate|fitting|suitable"
    r"|plausible|reasonable|precise))\s+(?:definition|description|statement|term|response|match|explanation"
    r"|interpretation|conclusion|representation|expression|formula|equation|word|phrase|approximation"
    r"|candidate|fit|alternative|value)"
    rf"\s+(?:(?:for|of|to|among|here)\b[^.,;:?!\n]{{0,60}}?\s)?is\s*:?\s*(?P<value>{_LETTER})"
)
"""The letter behind the verdict: "the closest definition is (F)"."""


def _cues(sentence: str) -> Iterator[tuple[int, int]]:
    patterns = [_VERDICT] if any(word in sentence for word in _PRAISE) else []
    if " is" in sentence and ("(" in sentence or "[" in sentence):
        patterns.append(_RANKED)
    for pattern in patterns:
        for cue in pattern.finditer(sentence):
            yield cue.start(), cue.start("value")


def read(text: str, choices: tuple[str, ...]) -> Belief:
    """Find the letter that a turn submits, only if the turn leaves no doubt; `Unreadable` otherwise.

    Args:
        text: the turn, of any form: prose, Markdown, LaTeX, JSON.
        choices: the texts of the choices; an answer may be given by such a text instead of its letter.
    """
    text = _unwrapped(prose.plain(text))
    if prose.is_error(text):
        return Unreadable("an error message")
    return prose.before_further_question(
        text, partial(_read, choices=choices), partial(_lists, choices=choices)
    )


def _read(text: str, choices: tuple[str, ...]) -> Belief:
    bare = text.strip()
    if len(bare) <= _longest(choices) and "\n" not in bare:
        letter = _letter(bare, choices)
        if letter is not None and (
            len(bare) <= 5 or _restates(bare, letter, choices) or _LONE_OPTION.fullmatch(bare)
        ):
            return Answered(letter)
    found = prose.claims(text, also=_cues, marks=_RANKS)
    found = [*_first_line(text, choices), *found, *_last_line(text, found, choices)]
    belief = prose.settle(text, found, [_named(claim, text, choices) for claim in found])
    if isinstance(belief, Answered) and _turns_to_another(text, found[-1].end, belief.value):
        return Unreadable("turns to another choice after its answer")
    return belief


@lru_cache(maxsize=4096)
def _longest(choices: tuple[str, ...]) -> int:
    """Characters that a choice with its letter may take."""
    return 20 + max(map(len, choices), default=0)


def parse(answer: str, choices: tuple[str, ...]) -> Belief:
    """Bring a bare answer, as an extractor model gives it, into canonical form."""
    answer = _unwrapped(prose.plain(answer)).strip()
    bare = prose.unlabel(answer)
    if not bare:
        return Unreadable("empty")
    if prose.is_error(bare) or prose.is_error(answer):
        return Unreadable("an error message")
    if len(bare) <= _MAX_BARE and "\n" not in bare:
        letter = _letter(bare, choices)
        if letter is not None and not prose.claims(bare, also=_cues, marks=_RANKS):
            return Answered(letter)
        if prose.is_not_sure(bare):
            return Unsure()
    return read(answer, choices)


_TEXT = re.compile(r"\\(?:text(?:bf|it|rm|sf|normal)?|mbox|math(?:rm|bf|it|sf))\s?\{([^{}]*)\}")
_DOLLARS = re.compile(r"\$\s?(\(?[A-Z]\)?)\s?\$|\\\(\s?(\(?[A-Z]\)?)\s?\\\)")


def _unwrapped(text: str) -> str:
    r"""The text with `\text{The answer is (F)}` as its words, and `$F$` as the letter."""
    if "\\" in text:
        text = _TEXT.sub(r"\1", text)
    return _DOLLARS.sub(r"\1\2", text) if "$" in text or "\\(" in text else text


# ---------------------------------------------------------------------------------------------------------
# Lists of choices

_ITEM = re.compile(
    r"^[ \t]{0,9}[-*]?[ \t]{0,9}\(?([A-Za-z])(?:[.):][ \t]{0,9}|[ \t]{1,9}(?=\())(\S.*)?$", re.MULTILINE
)
"""A line of a list of choices: "(A) first", "A. first", "- A) first"."""


def _lists(block: str, choices: tuple[str, ...]) -> bool:
    """Whether a block restates the choices at hand, so that the question in it is no further one."""
    items = _ITEM.findall(block)
    own = [
        letter
        for letter, text in items
        if (at := ascii_uppercase.find(letter.upper())) < len(choices)
        and text
        and phrase.normalize(text).startswith(phrase.normalize(choices[at]))
    ]
    return len(own) >= 2 and 2 * len(own) > min(len(items), len(choices))


def _is_listed(text: str, start: int, end: int, letter: str) -> bool:
    """Whether the line from `start` to `end` is one of several lines that each begin with a letter."""
    following = _ITEM.match(text, _next_line(text, end))
    if following and following.group(1).upper() == chr(ord(letter) + 1):
        return True
    preceding = _ITEM.match(text, text.rfind("\n", 0, len(text[:start].rstrip())) + 1)
    return preceding is not None and preceding.group(1).upper() == chr(ord(letter) - 1)


def _next_line(text: str, at: int) -> int:
    """Where the next line that is not blank begins; the end of the text where there is none."""
    at = text.find("\n", at)
    while 0 <= at < len(text) and text[at].isspace():
        at += 1
    return len(text) if at < 0 else at


def _first_line(text: str, choices: tuple[str, ...]) -> list[prose.Claim]:
    """A first line that is nothing but a choice ("K. green_pantry"), with an explanation below it."""
    start = len(text) - len(text.lstrip())
    end = text.find("\n", start)
    if end < 0 or end - start > _longest(choices) or not text[end:].strip():
        return []
    line = text[start:end].strip()
    letter = _letter(line, choices)
    if letter is None or not (_LONE_LETTER.fullmatch(line) or _restates(line, letter, choices)):
        return []
    others = [item for item in _ITEM.finditer(text, end) if item.group(1).upper() != letter]
    return [] if others else [prose.Claim(line, line, start, start)]


_LONE_OPTION = re.compile(r"(?:Option|Choice) [A-Z]\.?", re.IGNORECASE)
_LONE_LETTER = re.compile(r"[\s*_]*(?:\([A-Z]\)|\[[A-Z]\]|[A-Z][.)])[\s.*_]*")


def _last_line(text: str, found: list[prose.Claim], choices: tuple[str, ...]) -> list[prose.Claim]:
    """A last line that is nothing but "(B)", or that with its text, is a statement, unless it ends a list."""
    text = text.rstrip()
    start = text.rfind("\n") + 1
    line = text[start:].strip()
    if start == 0 or len(line) > _MAX_BARE or (found and found[-1].end >= start):
        return []
    letter = _letter(line, choices) if line[:1] in "([" or line[1:2] in ".)" else None
    if letter is None or not (line[-1] in ")]*._ " or _restates(line, letter, choices)):
        return []
    if not _LONE_LETTER.fullmatch(line) and not _restates(line, letter, choices):
        return []
    return [] if _is_listed(text, start, len(text), letter) else [prose.Claim(line, line, start, start)]


# ---------------------------------------------------------------------------------------------------------
# The letter of a statement


def _named(claim: prose.Claim, text: str, choices: tuple[str, ...]) -> str | None:
    """The letter of the one choice that a statement names, by letter or by text; None if none or several."""
    letter = _letter(claim.line, choices, claim.value)
    if letter is None or claim.whole:
        return letter
    before = text[max(0, claim.start - 30) : claim.start]
    if before.rstrip().endswith(_CONJUNCTIONS) and _JOINED_BEFORE.search(before):
        return None
    if text[claim.start + 1 : claim.start + 2] == " " and _NAME_BEFORE.search(before):
        return None
    below = _ITEM.match(text, _next_line(text, claim.end))
    if below and below.group(1).upper() == chr(ord(letter) + 1):
        return None
    return None if _JOINED_BEHIND.match(text, claim.end + len(claim.value)) else letter


_CONJUNCTIONS = (",", "/", "&", "and", "or", "nor", "option", "choice")
_JOINED_BEFORE = re.compile(
    rf"(?:{_LETTER}|\b[A-H]\b)\s*(?:,|/|&|\band\b|\bor\b|\bnor\b)\s*(?:option |choice )?\Z"
)
"""Another letter right before "... (C) is correct"."""
_NAME_BEFORE = re.compile(
    r"\b(?!(?:so|that|thus|hence|therefore|think|believe|say|conclude|agree|and|but|only|then|because|since|for|means"
    r"|implies|is|be|where|which|as|statement|still|now|also|however|although|while)\b)[a-z]{2,} \Z",
    re.IGNORECASE,
)
"""A word that makes the letter behind it part of a name: "Vitamin B is right"."""
_JOINED_BEHIND = re.compile(
    rf"[.\s]*(?:[Aa]nd|[Oo]r|[Aa]lso|[Pp]lus)\b[^.\n]{{0,25}}?(?:{_LETTER}|\b[A-Z]\b(?=\W*(?:\n|\Z)))"
)
"""Another letter right behind "The answer is (B)."."""

_BEHIND_LETTER = (
    r"(?=\s*$|[.,;:!)\]\"'*](?!\w)|\s+[-\u2013\u2014(]|\s+(?:because|since|as|for|due|with|which|and|or|not|rather"
    r"|given|based|by|from|according|instead|but|here|too|is|must|remains)\b)"
)
_HEAD = re.compile(
    r"[\"'\s*_:]*(?:(?:option|choice|letter|answer)\s*:?\s*)?"
    rf"(?:(?!<\s?(?-i:[a-z]))[(\[{{<]{{1,2}}\s*(?P<paren>[A-Za-z])\s*[)\]}}>]{{1,2}}|(?P<bare>(?-i:[A-Z])){_BEHIND_LETTER}|(?P<only>[a-z])[\s.,;:!)\]\"'*]*$)",
    re.IGNORECASE,
)
_ROMAN = re.compile(r",?\s*(?:and|or|&|,)\s*[IVX]+\b")
_INITIAL = re.compile(r"\.\s+(?:[a-z]|[A-Z]\.)")
_REASON = re.compile(
    r"\b(?:because|since|as\b(?! well)(?<!well as)|for|while|which|given|due|with|not|rather)\b"
    r"|[\u2013\u2014]"
)
_SECOND = re.compile(
    r"(?:^\s*(?=[(\[{<])|(?:\b(?:[Oo]r|[Aa]nd|plus|versus|vs|also|as well as)\b|[/&,+>\u2192\u21d2])\W*"
    r"(?:(?:maybe|perhaps|possibly|even|also|both|option|choice|either)\W+)*)"
    r"(?:[(\[{<]{1,2}\s?([A-Za-z]|[ivx]{2,4})\s?[)\]}>]|([A-Z])(?=\W*$|[.,;:)]|\s+(?:or|and|is|are)\b))"
)
_REFUTED = re.compile(
    r"\s*(?:is|was|isn't|seems|cannot be|can't be)\s+(?:\w+ )?(?:wrong|incorrect|not|false|mistaken)\b"
)


def _letter(line: str, choices: tuple[str, ...], sentence: str | None = None) -> str | None:
    """The letter that a statement names; `sentence` is `line` up to the end of the sentence.

    A letter that stands alone goes before a choice that reads like it; "A and B" may be a choice's text.
    """
    sentence = line if sentence is None else sentence
    by_text = _by_more_than_letter(line, choices) or _by_more_than_letter(sentence, choices)
    if by_text is not None:
        return by_text
    line, sentence = prose.unmarked(line), prose.unmarked(sentence)
    head = _HEAD.match(line)
    if head is None:
        return _with_text(sentence, choices)
    letter = (head.group("paren") or head.group("bare") or head.group("only")).upper()
    if ord(letter) - ord("A") >= len(choices):
        return None
    if head.group("only") and _by_text(line, choices) not in {None, letter}:
        return None  # "a", where another choice reads "a"
    return letter if _stands_alone(head, letter, line, sentence, choices) else None


def _by_more_than_letter(value: str, choices: tuple[str, ...]) -> str | None:
    """The letter of the only choice whose text is `value`, which is not just a letter itself."""
    bare = prose.unmarked(value).strip(_EDGE)
    return None if len(bare) == 1 and bare.isalpha() else _by_text(value, choices)


_EDGE = " \t\r\n\"'.,;:!*_()[]{}<>"


def _stands_alone(
    head: re.Match[str], letter: str, line: str, sentence: str, choices: tuple[str, ...]
) -> bool:
    """Whether the words behind a letter leave it the one choice named."""
    rest = line[head.end() :]
    text = choices[ord(letter) - ord("A")]
    own_text = _own_text(text)
    if not (own_text and phrase.normalize(rest).startswith(own_text)):
        if head.group("bare") and ((letter == "I" and _ROMAN.match(rest)) or _INITIAL.match(rest)):
            return False
        if head.group("paren") == "i":
            return False  # a small Roman numeral
    tail = sentence[head.end() :]
    if _REFUTED.match(tail):
        return False
    reason = _REASON.search(tail)
    second = _SECOND.search(tail[: reason.start()] if reason else tail)
    if second and (second.group(1) or second.group(2)).upper() != letter and not _is_own_text(tail, own_text):
        return False
    return _by_text(rest, choices) in {None, letter}


@lru_cache(maxsize=8192)
def _own_text(choice: str) -> str:
    return phrase.normalize(prose.unmarked(choice))


def _is_own_text(tail: str, own_text: str) -> bool:
    """Whether what follows a letter is its choice's text, whatever letters that text names."""
    return bool(own_text) and phrase.normalize(prose.unmarked(tail)) == own_text


def _by_text(value: str, choices: tuple[str, ...]) -> str | None:
    """The letter of the only choice whose text is `value`."""
    return _letters(choices).get(phrase.normalize(value)) if 0 < len(value) <= _longest(choices) else None


@lru_cache(maxsize=4096)
def _letters(choices: tuple[str, ...]) -> dict[str, str]:
    """Normalised text to letter, for the texts that only one choice has. Kept for the problems in flight."""
    forms = [phrase.normalize(choice) for choice in choices]
    return {form: chr(ord("A") + at) for at, form in enumerate(forms) if form and forms.count(form) == 1}


_LETTER_BEHIND = re.compile(r"\s*,?\s*[(\[](?:(?:option|choice)\s+)?([A-Z])[)\]]\W*$", re.IGNORECASE)


def _with_text(value: str, choices: tuple[str, ...]) -> str | None:
    """Of "B mitochondria" and "mitochondria (B)" the letter, if the text is that choice's."""
    before, _, text = value.partition(" ")
    if len(before) != 1:
        behind = _LETTER_BEHIND.search(value, max(0, len(value) - 20))
        if behind is None:
            return None
        before, text = behind.group(1), value[: behind.start()]
    return before.upper() if before.upper() == _by_text(text, choices) else None


def _restates(bare: str, letter: str, choices: tuple[str, ...]) -> bool:
    """Whether a text is nothing but a choice: its letter, its text, or both."""
    head = _HEAD.match(bare)
    return letter in {_by_text(bare, choices), _by_text(bare[head.end() :], choices) if head else None}


_MENTIONED = re.compile(r"\(([A-Z])\)|\b(?:[Oo]ption|[Cc]hoice) ([A-Z])\b")
_TURNS = re.compile(
    r"\b(?:but|however|actually|now|instead|thus|therefore|hence|so|prefer|better|closer|convinced|rather)\b",
    re.IGNORECASE,
)


def _turns_to_another(text: str, start: int, letter: str) -> bool:
    """Whether a sentence behind the answer speaks for another letter: "However, 7 matches (D) better"."""
    for mention in _MENTIONED.finditer(text, start):
        if (mention.group(1) or mention.group(2)) != letter:
            before, after = prose.around(text, mention.start(), mention.end())
            if _TURNS.search(before + after) and prose.is_own(before, after):
                return True
    return False
