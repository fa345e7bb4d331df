"""Verdicts on a program: correct or incorrect.

`prose` takes "the answer is correct" for praise of somebody's answer, as it is elsewhere. So a verdict, where
the words leave no doubt that it is one, is first put into words that stand for nothing else.
"""

from __future__ import annotations

import re

from coral.answers import phrase, prose
from coral.types import Answered, Belief, Unsure

CORRECT, INCORRECT = "correct", "incorrect"
VERDICTS = (CORRECT, INCORRECT)

_MARKS = {"verdictyes": CORRECT, "verdictno": INCORRECT}
"""What stands for a verdict while it is read."""

_NO = (
    r"incorrect|wrong|buggy|faulty|flawed|erroneous|defective|broken"
    r"|(?:not|n't|never) (?:(?:\w+ly|quite|always|yet) )?(?:correct|right)"
)
_YES = r"(?:\w+ly )?(?:correct|right|bug-free)"
_VERDICT = rf"(?:(?P<no>(?:\w+ly |still )?(?:{_NO}))|(?P<yes>{_YES}))\b"
_NOUN = r"(?:program|code|function|solution|implementation|snippet|script|method|algorithm)"
_HEDGED = (
    r"\b(?:but|except|unless|only|apart from|if|when|while|other than|although|though|however|until|yet|or)\b"
)
_WHOLE = re.compile(
    rf"(?![^.!\n]{{0,200}}{_HEDGED})(?!\s+(?:for|in|on|up to)\b(?! (?:all|every|any|each|general)\b))",
    re.IGNORECASE,
)
"""Behind "correct": nothing that takes a part of it back."""

_LABELLED = re.compile(
    r"(?:^|(?<=[.!?] ))(?P<before>[^\w\n]*)"
    r"(?:(?:so|thus|therefore|my|our|the|final|overall|updated|revised),?\s+)*"
    r"(?:answer|verdict|judge?ment|conclusion|assessment)\b[*_\s]*(?:(?:is)?:|=|-|is(?= \"))[^\w\n]*"
    rf"(?:the {_NOUN} is )?(?:{_VERDICT}(?P<rest>[^\n]*)|(?P<bare>yes|no)(?=[^\w\n]*$))",
    re.IGNORECASE | re.MULTILINE,
)
"""A line such as "Answer: incorrect", "**Verdict:** correct" or, to the question asked, "Answer: no"."""
_COMMENT = re.compile(
    r"\s+(?:or|answer|about|that|in|to|on|way|one|approach|idea|direction)\b", re.IGNORECASE
)
_OF_PROGRAM = re.compile(
    rf"\b(?:the|this|that|given|provided|shown|above|its|whole|entire) {_NOUN}"
    r"(?: (?:above|shown|given|as (?:written|given|shown|it stands)))?"
    r"(?: is|'s| was| must be| remains)(?: (?:indeed|therefore|thus|still|actually|definitely|certainly))?"
    rf" (?:{_VERDICT})",
    re.IGNORECASE,
)
_OWN = re.compile(
    r"\b(?:my|our)(?: (?:final|updated|revised|current))? (?:answer|verdict|judge?ment|conclusion)"
    rf" (?:is|remains)(?: that (?:the|this) {_NOUN} is)?[\s:\"'(*]+{_VERDICT}",
    re.IGNORECASE,
)
_CALLED = re.compile(
    rf"\b(?:judge|consider|deem|call|declare|rate) (?:it|(?:the|this) {_NOUN})(?: as| to be)? {_VERDICT}",
    re.IGNORECASE,
)
_BOXED = re.compile(rf"\\boxed\{{(?:\\text\w*\{{)?\s*(?:{_VERDICT})\s*\}}?\}}", re.IGNORECASE)
_NOT = re.compile(r"\b(is|was)n't\b", re.IGNORECASE)
_ALONE = re.compile(rf"[^\w]*(?:(?:the|this) {_NOUN} is |it(?: is|'s) )?(?:{_VERDICT})[^\w?]*", re.IGNORECASE)
_FENCED = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t]*(?P=fence)[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
"""Blocks of code: what comments in a program say of it is no verdict of the speaker's."""


def read(text: str) -> Belief:
    """Find the verdict that a turn submits, only if it leaves no doubt; `Unreadable` otherwise."""
    return _verdict(phrase.read(_marked(text), tuple(_MARKS)))


def parse(answer: str) -> Belief:
    """Bring a bare verdict, as an extractor model gives it, into canonical form."""
    return Unsure() if prose.is_not_sure(prose.unlabel(answer)) else read(answer)


def _verdict(belief: Belief) -> Belief:
    return Answered(_MARKS[belief.value]) if isinstance(belief, Answered) else belief


def _marked(text: str) -> str:
    """The text without code, its verdicts as words that nothing else is called by."""
    text = _FENCED.sub("\n", text)
    text = _NOT.sub(r"\1 not", prose.plain(text))
    *before, last = text.rstrip().split("\n")
    if alone := _ALONE.fullmatch(last):
        text = "\n".join([*before, f"Answer: {_mark(alone)}"])
    for pattern in (_LABELLED, _OWN, _OF_PROGRAM, _CALLED, _BOXED):
        text = pattern.sub(_stated, text)
    return text


def _stated(found: re.Match[str]) -> str:
    """A verdict in words that `prose` reads; the words themselves where they say something else."""
    tail = found.string[found.end() :]
    if "bare" in found.re.groupindex:
        if found["bare"]:
            return (
                f"{found['before']}Answer: {'verdictyes' if found['bare'].lower() == 'yes' else 'verdictno'}"
            )
        tail = found["rest"]
    if (found["yes"] and not _WHOLE.match(tail)) or _COMMENT.match(tail):
        return found[0]
    if "rest" in found.re.groupindex:
        return f"{found['before']}Answer: {_mark(found)}{tail}"
    return f"the answer is {_mark(found)}"


def _mark(found: re.Match[str]) -> str:
    return "verdictyes" if found["yes"] else "verdictno"
