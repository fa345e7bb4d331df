r"""Find where a message states its own final answer.

What letters, phrases and numbers have in common: cut a message into statements such as "the answer is ...",
"Answer: ...", "I choose ..." or `\boxed{...}`, keep those that the speaker makes in its own name, here and
now, and settle on one value only if they leave no doubt. Quotations, questions, conditions, denials, memories
of an earlier opinion and commentary on the partner's answer are no statements.

Everything is linear in the length of the text: cheap substring searches find the sentences worth reading, and
every pattern sees one sentence of bounded length.
"""

from __future__ import annotations

import bisect
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from coral import end_marks
from coral.answers import enclosed, wording
from coral.types import Answered, Belief, Unreadable, Unsure

_MAX_BEFORE = 600
_MAX_AFTER = 400


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement in which the speaker submits an answer.

    Attributes:
        value: what is stated: from behind the cue to the end of the sentence.
        line: the same to the end of the line; a sentence may end too early ("B. Mars", "approx. 5").
        start: where the cue stands in the text.
        end: where the value begins.
        final: stated as the result: a label ("Answer: ..."), a box, or with the word "final".
        whole: `value` is all that stands in a box, a tag or a field, which ends at `end`.
    """

    value: str
    line: str
    start: int
    end: int
    final: bool = False
    whole: bool = False


_QUOTES = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "«": '"', "»": '"', "\u00a0": " ", "：": ":"}
)
_QUOTES |= str.maketrans({"（": "(", "）": ")", "\u202f": " ", "\u200b": "", "‑": "-", "′": "'"})
_TYPOGRAPHIC = re.compile(f"[{''.join(map(chr, _QUOTES))}]+")


def plain(text: str) -> str:
    """The text up to its end mark, without emphasis, quotations and what is struck out, its quotes in ASCII.

    A quotation that ends the text and is labelled as an answer ("> **Answer:** (B)") is a box around the
    speaker's own words, unless another line introduces it.
    """
    text, _ = end_marks.cut(text)
    if not text.isascii():
        text = _TYPOGRAPHIC.sub(lambda found: found.group().translate(_QUOTES), text)
    if ">" in text:
        text = _without_quoted_lines(text)
    if "~~" in text:
        text = _STRUCK_OUT.sub("", text)
    if "</" in text:
        text = _EMPHASIS.sub(r"\g<inside>", text)
    for mark in ("**", "__", "`"):
        if mark in text:
            text = text.replace(mark, "")
    return text.replace("\r\n", "\n") if "\r" in text else text


_EMPHASIS = re.compile(r"<(b|i|u|em|strong|mark|code|span)>(?P<inside>[^<>\n]{1,200})</\1>", re.IGNORECASE)
_STRUCK_OUT = re.compile(r"~~(?=\S)[^~\n]{1,200}~~")


def _without_quoted_lines(text: str) -> str:
    lines = text.split("\n")
    last = len(lines)
    while last and (not lines[last - 1].strip() or lines[last - 1].lstrip().startswith(">")):
        last -= 1
    ending = "\n".join(line.replace(">", " ") for line in lines[last:])
    lead = lines[last - 1].rstrip() if last else ""
    kept = ["" if line.lstrip().startswith(">") else line for line in lines[:last]]
    if wording.LABEL.match(ending) and not lead.endswith(":") and not wording.PARTNER.search(lead):
        kept.append(ending)
    return "\n".join(kept)


_MARKUP = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|normal)?|mbox|hbox|math(?:rm|bf|it|sf)|operatorname\*?|f?boxed|fbox)\s*\{"
    r"|[{}$]|\\[()\[\]]|\\,"
)


def unmarked(text: str) -> str:
    r"""The text without LaTeX's dollars, boxes and braces, and `\text{word}` as `word`."""
    return _MARKUP.sub("", text) if "\\" in text or "$" in text else text


Cues = Callable[[str], Iterator[tuple[int, int]]]
"""Where in a sentence the cues of statements begin, and what they state."""


def claims(text: str, also: Cues | None = None, marks: tuple[str, ...] = ()) -> list[Claim]:
    """The speaker's own statements of an answer in `text` (made `plain` before), in order.

    `also` finds further statements, in the sentences that speak of an answer and in those that hold one of
    `marks`.
    """
    sentences = _marked_sentences(text, wording.STATEMENT_MARKS + marks)
    found = [claim for start, end in sentences for claim in _stated(text, start, end, also)]
    found += _enclosed(text, found)
    found.sort(key=operator.attrgetter("end"))
    return found


def _enclosed(text: str, found: Sequence[Claim]) -> Iterator[Claim]:
    """Boxes, tags and fields that submit an answer, unless what they hold states one in so many words."""
    stated = sorted(claim.end for claim in found)
    done = 0
    for start, end, content in enclosed.find(text):
        inner = bisect.bisect_right(stated, start)
        if inner < len(stated) and stated[inner] < end:
            continue
        low, high = _sentence(text, start, end)
        is_field = text[start] in "\"'"
        prefix, done = text[max(low, done) : start], end
        if _is_submitted(prefix, text[end:high]) and (is_field or not _is_quoted(text, start)):
            yield Claim(content, content, start, end, final=True, whole=True)


def _is_submitted(prefix: str, tail: str) -> bool:
    """Whether a box, tag or field is neither denied nor asked nor another's by the words around it."""
    if tail.rstrip().endswith("?") and not wording.TAG_QUESTION.search(tail):
        return False
    if wording.BOX_DISOWNED.match(tail):
        return False
    lower = prefix.lower()
    if not any(mark in lower for mark in wording.BOX_MARKS):
        return True
    return not wording.BOX_DENIED.search(wording.COURTESY.sub(" ", prefix))


def _marked_sentences(text: str, marks: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Bounds of the sentences that hold one of `marks`, found without a pattern."""
    lower = text.lower()
    if len(lower) != len(text):
        lower = text
    hits: list[int] = []
    for mark in marks:
        at = lower.find(mark)
        while at >= 0:
            hits.append(at)
            at = lower.find(mark, at + len(mark))
    hits.sort()
    done = -1
    for at in hits:
        if at >= done:
            start, end = _sentence(text, at, at)
            yield max(start, done), end
            done = end


def _sentence(text: str, start: int, end: int) -> tuple[int, int]:
    """Bounds of the sentence (never more than one line) around `start` and `end`, of limited length."""
    low, high = max(0, start - _MAX_BEFORE), min(len(text), end + _MAX_AFTER)
    low = max(low, text.rfind("\n", low, start) + 1)
    line_end = text.find("\n", end, high)
    high = high if line_end < 0 else line_end
    for stop in (". ", "? ", "! "):
        at = text.rfind(stop, low, start)
        low = at + 2 if at >= 0 else low
    for stop in (". ", "? ", "! "):
        at = text.find(stop, end, high)
        high = at + 1 if at >= 0 else high
    return low, high


def _stated(text: str, start: int, end: int, also: Cues | None) -> Iterator[Claim]:
    label = wording.LABEL.match(text, start)
    if label:
        yield from _labelled(text, start, label.end())
        return
    sentence = text[start:end]
    cues = [
        (cue.start(), cue.end()) for cue in wording.ANSWER_IS.finditer(sentence) if _submits(sentence, cue)
    ]
    cues += [(cue.start(), cue.end()) for cue in wording.CHOSEN.finditer(sentence)]
    cues += also(sentence) if also else ()
    yield from _own_cues(text, start, end, sorted(cues))


def _labelled(text: str, start: int, at: int) -> Iterator[Claim]:
    stop = _sentence(text, at, at)[1]
    label, sentence = at, text[at:stop]
    inner = wording.ANSWER_IS.search(sentence)
    if inner and inner.start() < 30:
        if not _submits(sentence, inner) or not is_own(sentence[: inner.start()], sentence[inner.end() :]):
            return
        at += inner.end()
    value = text[at:stop].strip()
    if wording.DISOWNED.match(value) or (value.endswith("?") and not is_not_sure(value)):
        return
    if value and not _is_quoted(text, start) and not _is_quoted(text, label):
        yield Claim(value, text[at : _line_end(text, at)].strip(), start, at, final=True)


def _own_cues(text: str, start: int, end: int, cues: Sequence[tuple[int, int]]) -> Iterator[Claim]:
    """The speaker's own among the cues (offsets of cue and value) of the sentence from `start` to `end`."""
    before = 0
    for cue, value_at in cues:
        if cue < before:
            continue
        prefix, at, stop = text[start + before : start + cue], start + value_at, end
        before = value_at
        if not text[at:stop].strip():
            at = end + len(text[end : end + 20]) - len(text[end : end + 20].lstrip())
            stop = _sentence(text, at, at)[1]
        value = text[at:stop].strip()
        if not value or wording.COMMENT.match(value) or not is_own(prefix, value):
            continue
        if not _is_quoted(text, start + cue):
            final = "final" in text[max(0, start + cue - 40) : start + cue].lower()
            yield Claim(value, text[at : _line_end(text, at)].strip(), start + cue, at, final=final)


def _line_end(text: str, at: int) -> int:
    limit = min(len(text), at + _MAX_AFTER)
    end = text.find("\n", at, limit)
    return limit if end < 0 else end


def _submits(sentence: str, cue: re.Match[str]) -> bool:
    """Whether the words before "answer" make it the one submitted: "the correct", not "your" or "another"."""
    words = sentence[max(0, cue.start() - 60) : cue.start()].lower().replace(",", " , ").split()
    ranked = False
    while words and wording.RANK.fullmatch(words[-1].strip("*_(")):
        words.pop()
        ranked = True
    owner = _OPENED.split(words[-1].lstrip("-"))[-1] if words else ""
    if cue.group("noun").lower() != "answer" and not (ranked or owner in {"my", "our"}):
        return False
    return not owner or wording.OWNER.fullmatch(owner) is not None or owner[-1] in ",.:;)-"


_OPENED = re.compile(r"[^\w',.:;)-]|(?<=\W)['_]|^['_]")
"""What may stand before the word that opens a statement: brackets, quotes, commands, tags."""


def is_own(prefix: str, tail: str) -> bool:
    """Whether the words around a statement leave it the speaker's own, present and unconditional."""
    if tail.rstrip().endswith("?") and not wording.TAG_QUESTION.search(tail):
        return False
    if len(prefix) >= _MAX_BEFORE or wording.DISOWNED.match(tail):
        return False
    if wording.PLAIN_OPENING.fullmatch(prefix):
        return True
    prefix = wording.COURTESY.sub(" ", prefix)
    clause = prefix
    for cut in wording.CLAUSE_START.finditer(prefix):
        clause = prefix[cut.end() :]
    return not (
        wording.CONDITION.search(prefix)
        or wording.SAID_BY_ANOTHER.search(prefix)
        or wording.SAID_BEFORE.search(prefix)
        or wording.DENIED_BELIEF.search(prefix)
        or wording.DOUBTED.search(clause)
        or wording.TO_DO.search(clause)
    )


def _is_quoted(text: str, at: int) -> bool:
    """Whether `at` lies between two double quotes of one line."""
    start = text.rfind("\n", max(0, at - _MAX_BEFORE), at) + 1
    start = max(start, at - _MAX_BEFORE)
    inside = text.count('"', start, at) % 2 == 1
    return inside and '"' in text[at : _line_end(text, at)]


def around(text: str, start: int, end: int) -> tuple[str, str]:
    """What the sentence holds before `start` and behind `end`."""
    low, high = _sentence(text, start, end)
    return text[low:start], text[end:high]


def last_sentence(line: str) -> str:
    """The last sentence of a line."""
    end = len(line)
    return line[_sentence(line, max(0, end - 2), end)[0] :]


def says_unsure(text: str) -> bool:
    """Whether the text says, in the speaker's name, that there is no answer yet."""
    return _mentions(text, wording.UNSURE_MARKS, wording.UNSURE)


_SHORTEST_PHRASE = 6
"""Characters of the shortest wording that takes an answer back, doubts or agrees ("edit:", "I mean")."""


def _mentions(text: str, marks: Sequence[str], pattern: re.Pattern[str]) -> bool:
    """Whether `pattern`, which never matches without one of `marks`, matches within a sentence."""
    if len(text) < _SHORTEST_PHRASE:
        return False
    return any(pattern.search(text, start, end) for start, end in _marked_sentences(text, marks))


def settle(
    text: str,
    found: Sequence[Claim],
    values: Sequence[str | None],
    same: Callable[[str, str], bool] = operator.eq,
) -> Belief:
    """Make one belief of the statements of a message.

    The last statement counts. An earlier one that differs is let go only if words between them say why or if
    only the later one is stated as final; what follows the last may not take it back.

    Args:
        text: the message in the form that `found` was read from.
        found: its statements, in order.
        values: the canonical value of each, None where a statement names none.
        same: equivalence of values.
    """
    if not found:
        return silent(text)
    last, value = found[-1], values[-1]
    if value is None and is_not_sure(last.value):
        return Unsure()
    if value is None:
        return Unreadable("the last answer statement names no answer that can be read")
    if not _stands_alone(text, found, values, same):
        return Unreadable("states several answers")
    after = text[last.end :]
    if _mentions(after, wording.TAKEN_BACK_MARKS, wording.TAKEN_BACK):
        return Unreadable("takes its answer back")
    if says_unsure(after if last.final else text[_sentence(text, last.start, last.start)[0] :]):
        return Unreadable("names an answer and says that it is not sure")
    return Answered(value)


def _stands_alone(
    text: str, found: Sequence[Claim], values: Sequence[str | None], same: Callable[[str, str], bool]
) -> bool:
    """Whether every earlier statement that differs from the last one is replaced by it."""
    last, value = found[-1], values[-1]
    differs = {other for other in values if other is not None and not same(other, value or "")}
    open_ = [
        claim.end
        for claim, other in zip(found, values, strict=True)
        if other in differs and not (last.final and not claim.final)
    ]
    return not open_ or wording.REVISION.search(text, open_[-1], last.start) is not None


NO_STATEMENT = Unreadable("no final answer stated")
_MAX_INTRODUCTION = 200


def before_further_question(
    text: str, read: Callable[[str], Belief], is_restated: Callable[[str], bool] = lambda _: False
) -> Belief:
    """What `read` finds in the part of a message before it invents a further question, or a partner.

    A question that the message restates before its answer is no further one.

    Args:
        is_restated: whether the text of a question's block is the problem at hand.
    """
    line = text.find("\n", len(text) - len(text.lstrip()))
    tried = 0
    while line >= 0 and tried < _MAX_MARKS:
        mark = wording.FURTHER.match(text, line + 1)
        if mark and not is_restated(text[line : line + _MAX_BLOCK]):
            belief = read(text[:line])
            if belief != NO_STATEMENT or (mark.group("sure") and line > _MAX_INTRODUCTION):
                return belief
            tried += 1
        line = text.find("\n", line + 1)
    return read(text)


_MAX_BLOCK = 4000
_MAX_MARKS = 8
"""A text is read in parts no more often than this."""


def silent(text: str) -> Belief:
    """What a message submits that states no answer."""
    if not text.strip():
        return Unreadable("empty")
    if says_unsure(text):
        return Unsure()
    if _mentions(text, wording.AGREES_MARKS, wording.AGREES):
        return Unreadable("agrees without naming an answer")
    return NO_STATEMENT


def unlabel(answer: str) -> str:
    """A bare answer without the "Answer:" before it, and without the end of emphasis that began there."""
    label = wording.LABEL.match(answer)
    return answer[label.end() :].strip().removesuffix("**").rstrip() if label else answer.strip()


def is_not_sure(answer: str) -> bool:
    r"""Whether a bare answer says that none is submitted: "not sure yet", `\text{unknown}`, "?"."""
    if len(answer) > _MAX_NOT_SURE:
        return False
    return wording.NOT_SURE.fullmatch(_TEX_SPACE.sub(" ", unmarked(answer))) is not None


_MAX_NOT_SURE = 200
_TEX_SPACE = re.compile(r"\\[ ;:!]|~|\\q?quad\b")


def is_error(text: str) -> bool:
    """Whether the text is a program's error message instead of a reply ("Error: connection refused")."""
    return wording.ERROR.match(text) is not None
