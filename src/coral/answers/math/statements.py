r"""The value that a sentence of mathematics states: "$x$ is 5" and "3 + 4 = 7 apples" state 5 and 7 apples.

A value is taken whole or not at all: of "1 hour and 30 minutes" nothing is cut off.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import prod

from coral.answers.math.text import EQUALS, PICTURES, clean, settle, split
from coral.answers.quantities import read_amount

MAX_WORDS = 4
"""Words above which what stands behind a label is a sentence."""

SEGMENT = re.compile(
    r"\$\$(.{1,999}?)\$\$|\$([^$\n]{1,999}?)(?<!\\)\$|\\\((.{1,999}?)\\\)|\\\[(.{1,999}?)\\\]", re.DOTALL
)
_HEDGE = re.compile(
    rf"(?:[\s:,*~\u2248{PICTURES}]|\\?\""
    r"|\b(?:(?:so )?(?:the|my|our)(?: \w+)? answer (?:is|to [^.\n]{0,80}? is)"
    r"|approximately|approx\.?|about|roughly|around|exactly|just|simply|equal to|equals|given by|then"
    r"|(?:it|that|this)(?:'s| is)|(?:we|I) (?:get|got|have)|in(?= \d))\b)+",
    re.IGNORECASE,
)
_MAX_HEDGE = 200
_GOES_ON = re.compile(r"\s*[=+*/\u00d7\u00b7]\s*\S")
"""Behind an exclamation mark that ended no sentence: "5! = 120"."""
_REASON = re.compile(
    r"[,;.]?\s+(?:(?:because|since|as|which|so|given|when|where|but|not|rather|based|if)\b"
    r"|(?:for|by|from|after|with)\b(?!\s+\W{0,3}\d)).*$"
    r"|\s*[\u2013\u2014(]\s*(?:since|because|as|from|by|which)\b.*$",
    re.DOTALL,
)
_ASIDE = re.compile(r"\([^()\d]*\)|\[[^\[\]\d]*\]")
_RESCALED = re.compile(r"\([^()\d]*(?:binary|octal|hexa|base|hundred|thousand|illion|dozen|percent)[^()]*\)")
"""An aside that makes the number another one: "101 (binary)"."""
_YES_OR_NO = re.compile(r"(yes|no|true|false)\s*\(", re.IGNORECASE)
_AND = re.compile(r"\s*(?:,\s*(?:and|or)?|and|or)\s*(?=\$|\\\(|\\\[)")
_SCALE = re.compile(r"\s*(%|percent|hundred|thousand|million|billion|trillion|dozen)(?![A-Za-z])")
_NUMBER = re.compile(
    r"([-+\u2212]?\\?\$?\s?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:\s*/\s*\d+|\s+\d+/\d+)?(?<=\d)(?:\s?[\u00bc-\u00be\u2150-\u215e])?(?:\s*\\?%)?)"
    r"(?=$|\s|[.,;:?)*\"'](?!\d)|!(?![\d!]|\s?[-.,;=+*/\u00d7\u00b7]))"  # of "5! = 120" no 5 is cut
)
_CHANGES = re.compile(
    r"[\d$\\=+*/^<>|\[{\u00d7\u00f7\u221a\u00b1\u00b7\u2212\u03c0]|\s-\s|\b(?:and|or|to|is|are|was|were|equals?|plus|minus"
    r"|times|over|less|more|hal(?:f|ves)|thirds?|quarters?|fourths?|fifths?|sixths?|eighths?|tenths?|squared|cubed"
    r"|factorial|hundred|thousand|million|billion|trillion|dozen|score|percent|pi|root|mod|choose|x|each)\b",
    re.IGNORECASE,
)
"""What makes a number another one, or leaves open whether it is all."""
_WORD = re.compile(
    r"(?<![\\A-Za-z{])(?!(?:and|or|sqrt|sin|cos|tan|log|exp|inf|pi|mod|choose)\b)[A-Za-z]{3,}|\\text",
    re.ASCII,
)
_PROSE = re.compile(rf"{_WORD.pattern}|\b(?:or|to|of|in)\b")
_SPACED = re.compile(r"(?<!\d)\d{1,3}(?: \d{3})+(?!\d)|\d \d+\s?/\s?\d")
_UNFINISHED = re.compile(
    r"\d\s+[\d(\[](?:[-\d\s.,+*/=^!\u00d7\u00b7()\[\]]|x(?=\s?\d))*$"
    r"|\d%?\s\((?:or\b|(?=[^()]*\d)[^()]*[A-Za-z]{3})|^(?:\d{1,2}|\(?[a-z])\)\s|[-+*/^=<>\u00d7\u00f7\u2192]$"
)
"""No one value: "41 42", "8 (4 + 5)", "1) 5", "5+"."""
_SENTENCE = re.compile(
    r"\b(?:is|are|was|were|be|has|have|had|there|it|she|he|they|we|I|you|will|would|can|must|equals?|gives?|gets?"
    r"|makes?|takes?|costs?|needs?|spends?|spent|earns?|lasts?)\b",
    re.IGNORECASE,
)
_COPULA = re.compile(r"\b(?:is|are|was|were|equals?|be)\b|:")
_BOUNDED = re.compile(
    r"\b(?:at (?:least|most)|(?:more|less|greater|fewer|other) than|up to|between|over|under|above|below)\b"
)
_NEGATED = re.compile(r"\b(?:not|no|none|never|neither|nor|cannot)\b|n't\b", re.IGNORECASE)
_ITEM = re.compile(
    r"\b(?:option|case|step|part|problem|question|example|figure|method|choice)\s*\W?(?:\d|[a-z]\))"
    r"|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)(?:[a-z]*|\.)\s\d",
    re.IGNORECASE,
)
"""The number of an item, the day of a month."""
_LOOSE_NUMBER = re.compile(r"(?<![\w.,/^])[-+\u2212]?\$?\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?(?:\s*\\?%)?")
_COUNTS = re.compile(r"^\D*[A-Za-z]{3,}\D*\s\$?\d|\d.*(?:[A-Za-z]{3,}|\b(?:of|in)\b).*\d")
"""A number among words: "3 of the 5 boys", "8 (4 red and 4 blue)"."""
_QUANTITY = re.compile(
    r"\b(?:hal(?:f|ves)|twice|double|dozens?|pairs?|hundreds?|thousands?|thirds?|quarters?|one|two|three|four|five|six"
    r"|seven|eight|nine|ten)\b",
    re.IGNORECASE,
)


def value(text: str, start: int, stop: int, *, final: bool) -> str | None:
    """The canonical value of the statement in `text` from `start` to `stop`; None if it leaves any doubt.

    Args:
        stop: the end of the sentence. A displayed formula that begins in it may end behind it.
        final: stated behind a label: then words may be the answer, and a whole sentence may state it.
    """
    if text[stop - 1 : stop] == "!" and _GOES_ON.match(text, stop):
        stop = _sentence_end(text, stop + 1, stop)
    hedge = _HEDGE.match(text, start, start + _MAX_HEDGE)
    at = hedge.end() if hedge else start
    if (segment := SEGMENT.match(text, at)) and not _WORD.search(
        segment.group(2) or ""
    ):  # "$5, Bob $6" is money
        found = _formulas(text, at, stop, final=final)
        if found is not None:
            return found or None
    else:
        found = _from_prose(text[at : max(at, stop)].strip(), final=final)
        if found is not None:
            return found
    return _of_sentence(text[start:stop].strip()) if final else None


def count_words(text: str) -> int:
    """How many words a text holds that are no mathematics."""
    return len(_WORD.findall(text))


def _without_reason(text: str) -> str:
    """Without "because ...", and without "(i.e., ...)"."""
    text = text.partition("i.e.")[0].rstrip(" ,;(\u2013\u2014") if "i.e." in text else text
    reason = _REASON.search(text)
    if reason is None or (
        reason[0].split()[:1] == ["not"] and not re.search(r"[\d$\\]", text[: reason.start()])
    ):
        return text  # "does not exist"
    return text[: reason.start()]


def _formulas(text: str, at: int, stop: int, *, final: bool) -> str | None:
    """The formulas at `at`, listed ("$1$ and $2$"), if what follows adds no more than a unit; else None.

    "$1$ or $2$" is a list behind a label, and doubt elsewhere.
    """
    formulas = []
    while segment := SEGMENT.match(text, at):
        formulas.append(next(filter(None, segment.groups())))
        at = segment.end()
        following = _AND.match(text, at)
        if not following:
            break
        if "or" in following.group() and not final:
            return None
        at = following.end()
    scale = _SCALE.match(text, at)
    rest = _without_reason(text[scale.end() if scale else at : _sentence_end(text, at, stop)])
    if _CHANGES.search(rest):
        return None
    return bare_value(", ".join(map(clean, formulas)) + (f" {scale.group(1)}" if scale else ""))


def _sentence_end(text: str, at: int, stop: int) -> int:
    """Where the sentence ends that holds `at`: at `stop`, or with the line where a formula goes beyond."""
    if at <= stop:
        return stop
    ends = [found for found in (text.find("\n", at, at + 200), text.find(". ", at, at + 200)) if found >= 0]
    return min([*ends, at + 200, len(text)])


def _from_prose(value: str, *, final: bool) -> str | None:
    """A number with its unit, the result of a computation, a formula, or behind a label a few words."""
    number = _NUMBER.match(value)
    if number:
        scale = _SCALE.match(value, number.end())
        rest = _without_reason(value[scale.end() if scale else number.end() :])
        if value.startswith(("..", "\u2026"), number.end()) or _RESCALED.search(rest):
            return None if "(" in rest else bare_value(value)
        rest = _ASIDE.sub("", rest).strip(" \t.,;:!*\"'-\u2013\u2014")
        if not _CHANGES.search(rest):
            unit = f" {scale.group(1)}" if scale else ""
            unit += f" {rest}" if 0 < len(rest.split()) <= 3 else ""
            return clean(number.group(1) + unit)
    value = _without_reason(value)
    links = re.split(r"(?<![<>!=:])=(?!=)", value) if "=" in value and "\\" not in value else [value]
    if len(links) > 1 and _PROSE.search(value):
        return _from_prose(links[-1].strip(), final=False) if re.search(r"\d", links[0]) else None
    value = bare_value(value)
    if not value or ("\\" not in value and _UNFINISHED.search(_SPACED.sub("0", value))):
        return None
    if not _PROSE.search(value):
        return value
    if closed := _YES_OR_NO.match(value):
        return closed[1]
    is_phrase = count_words(value) <= MAX_WORDS and not _SENTENCE.search(value)
    if (
        not (final and is_phrase)
        or _BOUNDED.search(value)
        or (_COUNTS.search(value) and not read_amount(settle(value)))
    ):
        return None
    return value


def _of_sentence(sentence: str) -> str | None:
    """The single formula or number of a sentence behind a label, or the one it says something is."""
    if _NEGATED.search(sentence) or _ITEM.search(sentence) or _RESCALED.search(sentence):
        return None
    copulas = list(_COPULA.finditer(_blanked(sentence)))
    if copulas:
        stated = value(sentence, copulas[-1].end(), len(sentence), final=False)
        if stated is not None:
            return stated
    formulas = [next(filter(None, found.groups())).strip() for found in SEGMENT.finditer(sentence)]
    telling = [formula for formula in formulas if not re.fullmatch(r"\\?[A-Za-z]+", formula)]
    bare = SEGMENT.sub(" ", sentence)
    numbers = [found.group().strip(" ,") for found in _LOOSE_NUMBER.finditer(bare)]
    if (
        len(telling) + len(numbers) != 1
        or _QUANTITY.search(bare)
        or _BOUNDED.search(bare)
        or re.search(r"\b(?:and|or)\s*\W?\d|[=+*/^<>]", bare)
    ):
        return None
    return bare_value((telling or numbers)[0]) or None


def _blanked(sentence: str) -> str:
    """The sentence with its formulas blanked out."""
    return SEGMENT.sub(lambda found: " " * len(found.group()), sentence)


# The value of what stands in an answer's place -------------------------------------------------------------

_LETTERS = re.compile(r"[A-Za-z,;<>]")
_COMMANDS = re.compile(
    r"\\(?:[dt]?frac|sqrt|cdot|times|left|right|pi|[!,;: ])(?![A-Za-z])|(?<=\d)\s*(?:[xCP]|choose)\s*(?=\d)"
    r"|[CP]\(\d+,\s?\d+\)"
)
_LETTERED = re.compile(
    r"(?:\\(?:text|math)(?:bf|rm)?\s*\{)?\s*(?:\(?[A-E]\)|[A-E]\.(?=\s))\s*\}?"
    r"(?:\\[ ,;:!]|\\q?quad(?![a-z])|[\s~:])*(?=[-+]?(?:\.?\d|\\?\$\s?\d|\\[dt]?frac|\\sqrt))"
)
r"""The letter of a choice before what the choice says: `\textbf{(A)}\ 15`."""
_ANGLED = re.compile(r"=?\s*<\s*([^<>,]*\d[^<>,]*)\s*>|=\s*([^=<>]+)")
_SHOWN = re.compile(r"([-+]?[\d.,/]+)\s+[(\[][=\s]*([-+*/=x\u00d7\u00b7\u2212.,\d\s]+)[)\]]")
_ARITHMETIC = str.maketrans({"\u00d7": "*", "\u00b7": "*", "x": "*", "\u2212": "-", ",": None, " ": None})


def bare_value(text: str) -> str:
    """An answer cleaned, and of a computation such as "12 + 3 = 15" or "15 (12 + 3)" the result."""
    text = clean(text)
    text = text[label.end() :] if (label := _LETTERED.match(text)) else text
    text = angled[1] or angled[2] if (angled := _ANGLED.fullmatch(text)) else text
    if shown := _SHOWN.fullmatch(text):
        worth = {*map(_worth, [shown[1], *shown[2].split("=")])}
        return shown[1] if len(worth) == 1 and None not in worth else text
    links = split(text, EQUALS) if "=" in text else []
    if len(links) > 1 and all(links) and not _LETTERS.search(_COMMANDS.sub("", text)):
        return clean(links[-1])
    return text


def _worth(computation: str) -> Fraction | None:
    """What sums and products of plain numbers come to; None for anything else."""
    terms = computation.translate(_ARITHMETIC).replace("-", "+-").removeprefix("+").split("+")
    try:
        return sum((prod(map(Fraction, term.split("*")), start=Fraction(1)) for term in terms), Fraction(0))
    except (ValueError, ZeroDivisionError):
        return None
