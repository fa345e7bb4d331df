r"""Bring a bare answer, as an extractor model or a data set gives it, into canonical form."""

from __future__ import annotations

import re

from coral import end_marks
from coral.answers import prose
from coral.answers.math.reading import (
    ANY_BOX,
    MAX_BARE,
    is_blank,
    is_doubted,
    is_unsure,
    listed,
    read,
    with_braces,
    with_carets,
)
from coral.answers.math.statements import MAX_WORDS, SEGMENT, count_words
from coral.answers.math.text import bare_value
from coral.types import Answered, Belief, Unreadable, Unsure


def parse(answer: str) -> Belief:
    """Bring a bare answer, as an extractor model or a data set gives it, into canonical form."""
    answer, _ = end_marks.cut(answer)
    bare = prose.unlabel(with_braces(with_carets(answer.strip()))).replace("**", "")
    if prose.is_error(bare) or prose.is_error(answer):
        return Unreadable("an error message")
    if is_unsure(bare):
        return Unsure()
    if statement := _STATEMENT.fullmatch(bare):
        bare = statement[1] or statement[2]
    value = listed(bare)
    if value is None and (ANY_BOX.search(bare) or _is_message(bare)):
        return read(answer)
    value = bare_value(value or bare)
    if is_unsure(value):
        return Unsure()
    if is_doubted(value):
        return Unreadable("says that it is not sure")
    if is_blank(value) and value not in _OPERATORS:
        return Unreadable("empty")
    return Answered(value)


_OPERATORS = frozenset("-+*/\u00d7\u00f7=<>\u2264\u2265\u2260\u00b1")
"""Signs that data sets ask for. In a message, one alone is the rest of something."""


_NO_DOUBT = r"(?:(?!\b(?:not|no|nor|if|whether|would|could|may|might|maybe|wrong)\b|n't|\?)[^$\n]){0,80}?"
_STATEMENT = re.compile(
    rf"{_NO_DOUBT}(?:\b(?:is|are|equals|that)|:)\s*\$([^$]+)\$\s*\.?"
    rf"|{_NO_DOUBT}\$([^$]+)\$ (?:is|are) the (?:\w+ )?(?:solution|answer)s?\s*\.?",
    re.IGNORECASE,
)
"""One short sentence that states one formula: "We find that $x = 5$."."""


def _is_message(bare: str) -> bool:
    if SEGMENT.fullmatch(bare):
        return False
    too_long = len(bare) > MAX_BARE or "\n\n" in bare
    return too_long or count_words(bare) > MAX_WORDS or "answer" in bare.lower()
