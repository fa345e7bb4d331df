r"""Find the answer that a message submits: boxes, labels, "the answer is ..."."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from coral import end_marks
from coral.answers import enclosed, prose, wording
from coral.answers.math import statements
from coral.answers.math.statements import MAX_WORDS, SEGMENT, bare_value, count_words
from coral.answers.math.text import clean
from coral.answers.math.values import same_text
from coral.types import Answered, Belief, Unreadable, Unsure

MAX_BARE = 300
_MAX_VALUE = 2000
"""Characters above which what stands in an answer's place is none."""
_MAX_LISTED = 30
_ANNOUNCED_WITHIN = 100


def read(text: str) -> Belief:
    """Find the answer that a turn submits, only if the turn leaves no doubt; `Unreadable` otherwise.

    A box, a label ("Answer: 42", "#### 42") and "the answer is ..." submit an answer, unless they quote, deny
    or ask about one. Boxes that are listed together ("1 and 2") are one answer; "1 or 2" is none.
    """
    text = with_braces(prose.plain(with_carets(text)))
    if prose.is_error(text):
        return Unreadable("an error message")
    return prose.before_further_question(text, _read)


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


def _read(text: str) -> Belief:
    found = _joined(text, sorted([*prose.claims(text), *_marked(text)], key=lambda claim: claim.end))
    if found and is_unsure(found[-1].value):
        return Unsure()
    stated = [(claim, _sure_value(text, claim)) for claim in _ranked(text, found)]
    named = [(claim, value) for claim, value in stated if value is not None or claim is stated[-1][0]]
    return prose.settle(text, [claim for claim, _ in named], [value for _, value in named], same_text)


def is_unsure(value: str) -> bool:
    r"""Whether what stands in an answer's place says that there is none: `\text{not sure yet}`, "?"."""
    parts = _LIST_COMMA.split(clean(value)) if len(value) <= MAX_BARE else ()
    return bool(parts) and all(map(prose.is_not_sure, parts))


def _sure_value(text: str, claim: prose.Claim) -> str | None:
    """The canonical value that a statement names, None if it names none or doubts it."""
    if len(claim.value) > _MAX_VALUE or is_doubted(claim.value) or _STEPS.match(text, claim.end):
        return None
    value = _stated(text, claim)
    return None if value is None or is_blank(value) or is_doubted(value) else value


_LETTERED = re.compile(r"[A-E]\. (?=[-$\\\d])")
_STEPS = re.compile(r"(?:1|\(?a)[.)]\s[^\n]*\n\s*\(?[2b][.)]\s")
"""Behind a label: a list, of which the first item is not the answer."""


def _stated(text: str, claim: prose.Claim) -> str | None:
    """The canonical value that a statement names, None if it names none that can be read."""
    if _is_box(text, claim):
        return bare_value(claim.value) or None
    if ANY_BOX.search(claim.value):
        return bare_value(listed(claim.value) or "") or None
    if claim.whole:
        return statements.value(claim.value, 0, len(claim.value), final=True)
    stated = claim.line if _LETTERED.match(claim.line) else claim.value  # "A. 5" is one sentence
    return statements.value(text, claim.end, claim.end + len(stated), final=claim.final)


def is_blank(value: str) -> bool:
    r"""Whether a value holds nothing, or the place of an answer: "^", `\ldots`, `\frac{}{}`, "[number]"."""
    if _EMPTY_SET.fullmatch(value):
        return False
    return not _CONTENT.search(_SHAPE.sub(" ", value)) or _PLACEHOLDER.fullmatch(value) is not None


_EMPTY_SET = re.compile(r"\\\{(?:\s|\\[,;: ])*\\\}")
_SHAPE = re.compile(
    r"\\(?:[dtc]?frac|[dt]?binom|sqrt|text[a-z]*|math[a-z]+|[lc]?dots|left|right|cdot|times|div|pm|q?quad|square|Box|underline|f?boxed)"
    r"(?![A-Za-z])"
)
_CONTENT = re.compile(r"[^\W_]|[\u221e\u2205\u2300]")
"""A letter, a digit, or a sign that is an answer by itself."""
_PLACEHOLDER = re.compile(
    r"<[^<>\d]*>|(?:\\text)?[\[({<]*\s*(?:(?:insert|put|enter|write|the|your|a|an|my|final|correct|numerical|numeric)"
    r"\s+){0,4}(?:answer|value|number|integer|result|expression)(?: (?:goes )?here)?\s*[\])}>]*",
    re.IGNORECASE,
)


def is_doubted(value: str) -> bool:
    """Whether words of a value, or the whole of one item of a list, say that it is not sure."""
    if wording.DOUBT.search(prose.unmarked(value)):
        return True
    return any(map(prose.is_not_sure, _LIST_COMMA.split(value)))


# ---------------------------------------------------------------------------------------------------------
# Boxes

ANY_BOX = re.compile(r"\\f?boxed(?![A-Za-z])|\\fbox(?![A-Za-z])")
_TOKEN = re.compile(
    r"\s*((?:\\[A-Za-z]+(?:\[[^\[\]]*\])?(?:\{[^{}]*\})*|[^\s{}$\\])(?:[^\s{}$\\]|\{[^{}]*\})*)"
)


def last_boxed(solution: str) -> str | None:
    r"""The content of the last `\boxed{...}` of a solution (balanced braces, any number of lines), cleaned.

    Boxes that are listed with it make one answer, as in `$x=\boxed{2}$ or $x=\boxed{-2}$`. `\boxed 5` and
    `\fbox{5}` count as well. None if there is no complete box, or nothing in it.
    """
    text = with_braces(solution)
    found = [(start, end, bare_value(content)) for start, end, content in enclosed.boxes(text)]
    last: list[str] = []
    begins = 0
    for start, end, content in reversed([box for box in found if box[2]]):
        between = _OR.sub("and", _NAMED.sub("", text[end:begins]))
        if last and not _is_gap(between):
            break
        begins = start
        if content not in last:
            last.insert(0, content)
    return ", ".join(last) or None


def with_braces(text: str) -> str:
    r"""`\boxed 5` and `\boxed\frac12` with the braces that the rest relies on."""
    pieces, done = [], 0
    for box in ANY_BOX.finditer(text) if "box" in text else ():
        token = _TOKEN.match(text, box.end())
        if token and box.start() >= done:
            content = token.group(1).rstrip(".,;:")
            pieces += [text[done : box.end()], "{", content, "}"]
            done = token.start(1) + len(content)
    return "".join([*pieces, text[done:]])


_GLUE = r"(?:\s|\$|\\[()\[\],;! ]|\\q?quad\b|&)*"
_LIST_GAP = re.compile(
    rf"{_GLUE}(?:\\text\{{)?\s*(?:[A-Za-z]+ ){{0,2}}(?:,|;|and\b|\\text\{{\s*and\s*\}})?"
    rf"(?:\s*and\b)?\s*\}}?{_GLUE}"
)
_LIST_WORD = re.compile(r"[,;&]|\band\b|\\q?quad|^\s*\$?\s*\$?\s*$")
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_NAMED = re.compile(r"[A-Za-z](?:_(?:\w|\{\w+\}))?\s*=\s*")
_LIST_COMMA = re.compile(r", ")


def _joined(text: str, found: list[prose.Claim]) -> list[prose.Claim]:
    r"""Statements with those boxes made one that are listed together: `\boxed{1} and \boxed{2}`."""
    runs: list[list[prose.Claim]] = []
    for claim in found:
        last = runs[-1][-1] if runs else None
        if last and _is_box(text, last) and _is_box(text, claim) and _is_gap(text[last.end : claim.start]):
            runs[-1].append(claim)
        else:
            runs.append([claim])
    return [_one(run) for run in runs]


def _one(run: list[prose.Claim]) -> prose.Claim:
    if len(run) == 1:
        return run[0]
    value = ", ".join(claim.value for claim in run[:_MAX_LISTED])
    return replace(run[0], value=value if len(run) <= _MAX_LISTED else "", line=value, end=run[-1].end)


def listed(text: str) -> str | None:
    """The content of the one box in a text, or of several that are one list; None otherwise."""
    found = enclosed.boxes(text)[: _MAX_LISTED + 1]
    if len(found) > _MAX_LISTED:
        return None
    ends, starts = [end for _, end, _ in found[:-1]], [start for start, _, _ in found[1:]]
    if not found or not all(_is_gap(text[end:start]) for end, start in zip(ends, starts, strict=True)):
        return None
    return ", ".join(content for _, _, content in found)


def _is_box(text: str, claim: prose.Claim) -> bool:
    return claim.whole and text[claim.start] == "\\"


def _is_gap(between: str) -> bool:
    """Whether what stands between two boxes lists them. "or" does not: two answers, or doubt between two?"""
    if len(between) >= 60 or _OR.search(between):
        return False
    return bool(_LIST_GAP.fullmatch(between)) and bool(_LIST_WORD.search(between))


def _ranked(text: str, found: list[prose.Claim]) -> list[prose.Claim]:
    """With boxes in mid-solution made less than final if the last statement is announced as the answer."""
    passing = [
        _is_passing_box(text, claim, before) for claim, before in zip(found, [None, *found], strict=False)
    ]
    if not found or passing[-1] or not found[-1].final:
        return found
    return [
        replace(claim, final=claim.final and not less) for claim, less in zip(found, passing, strict=True)
    ]


def _is_passing_box(text: str, claim: prose.Claim, before: prose.Claim | None) -> bool:
    """Whether a statement is a box to which no "the final answer is" leads."""
    if not _is_box(text, claim):
        return False
    if before is None or _is_box(text, before) or claim.start - before.end >= _ANNOUNCED_WITHIN:
        return True
    return "\n\n" in text[before.end : claim.start].strip()


# ---------------------------------------------------------------------------------------------------------
# Statements

_BASE = r"(?:(?<=[\d)}])|(?<=[A-Za-z])(?<![A-Za-z]{2}))"
_POWER = re.compile(rf"{_BASE}(?:\*\*| \*\* )(?=-?\d|[({{]|-?[A-Za-z](?![A-Za-z]))|(?<=[A-Za-z])\*\*(?=\d)")
"""Python's power. `**` beside a word is Markdown's, and is dropped."""


def with_carets(text: str) -> str:
    return _POWER.sub("^", text) if "**" in text else text


_HASHES = re.compile(r"^[ \t]*####[ \t]*(\S.*)$", re.MULTILINE)
_LAST_LINE = re.compile(r"A:[ \t]*(\S.{0,99})\s*\Z", re.IGNORECASE)
_ANSWER_FORMULA = re.compile(r"[Aa](?:nswer|NSWER)\s*((?:\\\[|\\\(|\$).*)$", re.MULTILINE)
_FINAL = re.compile(r"[^\w\n]*(?:final[ ]+)?", re.IGNORECASE)
_SOLUTION = re.compile(
    r"(?:^|(?<=[.!?\n]\s))(?P<before>[^.!?\n]{0,200}?)\b(?:the|our|my) (?:\w+ )?solution(?: set)?"
    r"(?: (?:to|of) [^.!?\n]{1,80}?)? is\s*:?\s*(?P<value>[^\n?]{1,300}\??)",
    re.IGNORECASE | re.MULTILINE,
)


def _marked(text: str) -> Iterator[prose.Claim]:
    """Statements that only mathematics has.

    "#### 42" and a last line "A: 42" as in GSM8K's solutions, "Answer $42$", and "the solution is $x = 42$".
    """
    for mark in _number_marks(text):
        value = mark.group(1).strip(" \t\r#")
        if _NUMBER_AHEAD.match(value):
            yield prose.Claim(value, value, mark.start(), mark.start(1), final=True)
    for mark in _ANSWER_FORMULA.finditer(text):
        line = text.rfind("\n", max(0, mark.start() - MAX_BARE), mark.start()) + 1
        if _FINAL.fullmatch(text, line, mark.start()):
            value = mark.group(1).strip()
            yield prose.Claim(value, value, line, mark.start(1), final=True)
    for cue in _SOLUTION.finditer(text) if "olution" in text else ():
        value = cue.group("value")
        if prose.is_own(cue.group("before"), value):
            yield prose.Claim(value, value, cue.start("value"), cue.start("value"))


_NUMBER_AHEAD = re.compile(r"[-+$\\\s]*\.?\d")


def _number_marks(text: str) -> Iterator[re.Match[str]]:
    if "####" in text:
        yield from _HASHES.finditer(text)
    last = _LAST_LINE.match(text, text.rstrip().rfind("\n") + 1)
    if last:
        yield last
