"""Programs: which one a message submits, and when two are the same text.

A message submits the last complete code block that defines what the problem asks for. Blocks are judged by
what they hold, not by their tag. Not submitted is a block that the message marks as somebody else's (quoted
with ">", or introduced with "your program:" and not endorsed), one that repeats the problem and adds nothing,
or one that was never closed.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from coral import end_marks
from coral.answers import prose
from coral.answers.fences import Block, blocks, lines_of
from coral.answers.programs import Form, clean, completed, defines, tree_of, with_helpers
from coral.types import Answered, Belief, Unreadable

UNCLOSED = Unreadable("the code block is not closed")


# Reading ------------------------------------------------------------------------------------------------


def read(text: str, form: Form) -> Belief:
    """The program that a message submits; `Unreadable` or `Unsure` where it submits none."""
    text, _ = end_marks.cut(text)
    text = _MARKERS.sub("", text)
    message = _Message(text, blocks(text), form)
    program = message.submitted()
    if program is None and (plain := _plain(text)) != text:
        program = _Message(plain, blocks(plain), form).submitted()
    if program is not None:
        return Answered(program)
    outside = message.without_blocks()
    silent = prose.silent(outside if outside.strip() else text)
    unclosed = any(not block.closed for block in message.blocks)
    return UNCLOSED if silent == prose.NO_STATEMENT and unclosed else silent


_MARKERS = re.compile(r"^\[/?(?:BEGIN|DONE|PYTHON|CODE|SOLUTION|ANSWER)\][ \t]*$", re.MULTILINE)
"""Lines that models put around a program, as MBPP's few-shot prompt has them. Python reads lists there."""


def parse(answer: str, form: Form) -> Belief:
    """A bare answer: a program, in a code block or not."""
    belief = read(prose.unlabel(answer), form)
    if isinstance(belief, Answered) or not answer.strip() or blocks(answer):
        return belief
    bare = prose.unlabel(answer)
    return Answered(clean(bare)) if defines(bare, form) else belief


@dataclass(frozen=True)
class _Message:
    text: str
    blocks: list[Block]
    form: Form

    def submitted(self) -> str | None:
        """The program submitted, with the helpers that other blocks of the message define."""
        if not self.blocks:
            return _without_fence(self.text, self.form)
        own = [block for block in self.blocks if block.closed and not self.is_quotation(block)]
        for block in reversed(own):
            program = self._whole(block)
            if self._is_program(program, block.tag):
                others = [other.code for other in own if other is not block]
                return clean(with_helpers(program, others, self.form.beside))
            if (whole := completed(block.code, self.form.prompt)) is not None:
                return whole
        return None

    def _is_program(self, program: str, tag: str) -> bool:
        """Whether a block holds a program of the form. Of one that does not parse its tag has a say."""
        if tree_of(program) is not None:
            return defines(program, self.form)
        if not self.form.name:
            return tag in _PYTHON and _WRITES.search(program) is not None
        return tag not in _OTHER_LANGUAGES and defines(program, self.form)

    def _whole(self, block: Block) -> str:
        """The code of a block: moved to the margin, and up to a later fence where it only parses up to there,
        because a docstring of it holds fences.
        """
        code = _mended(_at_margin(_INVISIBLE.sub("", block.code)))
        if tree_of(code) is not None:
            return code
        lines = lines_of(self.text)
        later = [other for other in self.blocks if other.start >= block.end]
        for end in [end for other in later for end in (other.start, other.end - 1)][:_MAX_FENCES]:
            longer = _at_margin("\n".join(lines[block.start + 1 : end]))
            if tree_of(longer) is not None and defines(longer, self.form):
                return longer
        return code

    def is_quotation(self, block: Block) -> bool:
        """Whether a block shows a program of the partner's that the message does not make its own."""
        if block.quoted:
            return True
        lead = self._lead(block)
        return _ANOTHERS.search(lead) is not None and not _endorses(f"{lead}\n{self.without_blocks()}")

    def _lead(self, block: Block) -> str:
        """The last sentence before a block."""
        above = [line for line in lines_of(self.text)[: block.start] if line.strip()]
        if not above or _is_fence(above[-1]):
            return ""
        line = re.sub(r"^[\W\d_]+", "", above[-1].strip())
        return re.split(r"(?<=[.!?])\s+", line.strip("*_# "))[-1]

    def without_blocks(self) -> str:
        """The message's words: what stands in no block."""
        inside = {line for block in self.blocks for line in range(block.start, block.end)}
        return "\n".join(line for at, line in enumerate(lines_of(self.text)) if at not in inside)


_PYTHON = {"python", "python3", "py", "py3"}
_OTHER_LANGUAGES = {
    "ruby",
    "rb",
    "scala",
    "groovy",
    "crystal",
    "elixir",
    "ex",
    "nim",
    "julia",
    "jl",
    "kotlin",
}
"""Whose functions may look like Python's to who reads one line."""
_WRITES = re.compile(r"^[ \t]*(?:print|sys\.stdout)\b", re.MULTILINE)
_MAX_FENCES = 8
_UNSEEN = "\ufeff\u200b\u200c\u200d\u2060"
"""Marks that nobody sees, and no Python reads."""
_INVISIBLE = re.compile(rf"\A[{_UNSEEN}]+")
_BLANKS = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
"""Blanks that look like one, such as that which does not break a line."""
_AS_TYPED = dict.fromkeys(map(ord, _BLANKS), " ") | dict.fromkeys(map(ord, _UNSEEN))
_MARGIN = re.compile(rf"^[ \t{_BLANKS}{_UNSEEN}]+", re.MULTILINE)
_CONSOLE = re.compile(r"^(?:>>>|\.\.\.|In \[\d+\]:|[ \t]+\.\.\.:)(?: |$)")
_COMMANDS = re.compile(r"^[%!].*\n?", re.MULTILINE)


def _plain(text: str) -> str:
    """A text whose lines begin with plain blanks, or none."""
    return _MARGIN.sub(lambda margin: margin[0].translate(_AS_TYPED), text)


def _mended(code: str) -> str:
    """Code as it was typed, where it parses so alone: without what chats, consoles and notebooks add."""
    if tree_of(code) is None:
        for mend in (
            _plain,
            lambda text: text.translate(_AS_TYPED),
            _typed,
            lambda text: _COMMANDS.sub("", text),
        ):
            mended = mend(code)
            if mended.strip() and mended != code and tree_of(mended) is not None:
                return mended
    return code


def _typed(session: str) -> str:
    """What was typed in a console: the lines behind its prompts."""
    prompts = ((_CONSOLE.match(line), line) for line in session.split("\n"))
    return "\n".join(line[prompt.end() :] for prompt, line in prompts if prompt)


def _at_margin(code: str) -> str:
    """Code without the indentation that all of it has. `dedent` empties blank lines, also in strings, so it
    is not asked where nothing has to move.
    """
    return textwrap.dedent(code) if tree_of(code) is None else code


def _is_fence(line: str) -> bool:
    return line.lstrip("> \t").startswith(("```", "~~~"))


_PROGRAM = (
    r"(?:program|code|solution|version|function|implementation|answer|attempt|submission|reply|script|block"
    r"|response|message|proposal|suggestion|approach|idea|logic|method|algorithm|snippet|draft)"
)
_OTHER = r"(?:(?:my |the |our )?(?:partner|opener|responder|colleague|other(?: agent| person| one)?))"
_WHOSE = rf"(?:your|{_OTHER}(?:'s|’s))"
_DETAIL = (
    r"(?:original|previous|earlier|last|latest|first|current|own|full|entire|whole|complete|proposed|suggested"
    r"|initial|second|existing|submitted|provided|given|posted|python|above)"
)
_FILLER = (
    r"(?:(?:so|but|and|again|well|okay|ok|first|now|for reference|to recap|recap|as a reminder)[,:]? )*"
    r"(?:(?:(?:here|this|that)(?: is| was|'s|’s)|let me (?:quote|repeat)|i quote|(?:i am )?quoting|to quote"
    r"|quote of|(?:let(?:'s|’s| us| me) )?(?:tak(?:e|ing) a (?:\w+ )?look at|look(?:ing)? (?:\w+ )?at"
    r"|review(?:ing)?|check(?:ing)?|test(?:ing)?|consider|examin(?:e|ing)|analy[sz](?:e|ing)|inspect(?:ing)?"
    r"|run(?:ning)?|evaluat(?:e|ing)|verify(?:ing)?|debug(?:ging)?|dissect|understand|revisit(?:ing)?"
    r"|think about|(?:go(?:ing)?|walk(?:ing)?|step(?:ping)?|trac(?:e|ing)|work(?:ing)?|run(?:ning)?"
    r"|read(?:ing)?) (?:over|through)"
    r"|trac(?:e|ing)|recall|take|compare|(?:re-?)?read(?:ing)?)|i(?:'ve|’ve| have)? (?:just )?(?:checked"
    r"|traced|examined|reviewed|read|tested|tried|ran|looked at"
    r"|(?:went|walked|stepped|traced) (?:over|through))|regarding|about|re|in|with|for|from) )?"
)
_TRAILER = (
    r"(?:,? (?:is|was|reads|read|again|above|for reference|so far|looks like this|says|does this|has this"
    r"|once more|from before|now|in full|verbatim|step by step|line by line|together|carefully"
    r"|you (?:have|had|wrote|write|use|used|define|defined)(?: this| the following)?|has|had|contains|here))*"
)
_SAID = (
    r"(?:wrote|written|said|gave|given|suggested|proposed|posted|submitted|sent|showed|shown|shared|presented"
    r"|offered|provided|came up with|defined|implemented|used|had|have)"
)
_ADVERB = r"(?:'ve|’ve| have| had| just| already| also| originally| previously| first| last)"
_ANOTHERS = re.compile(
    rf"^{_FILLER}(?:{_WHOSE} (?:{_DETAIL} )*{_PROGRAM}{_TRAILER}"
    rf"|(?:what |the (?:{_DETAIL} )*{_PROGRAM} (?:that )?)?(?:you|{_OTHER}){_ADVERB}* {_SAID}"
    r"(?: (?:is|was|this|the following|me|earlier|before|above|here|just now|so far|it|that))*)"
    r"\s*(?:\([^)]*\))?\s*[:.…-]*\W*$",
    re.IGNORECASE,
)
"""An introduction that says no more than that what follows is the partner's."""

_GOOD = r"(?:right|correct|good|fine|sound|perfect|great|solid|what I (?:have|would write))"
_SURELY = (
    r"(?:(?:to be|absolutely|completely|entirely|all|perfectly|indeed|also|already|now|both|fully|as) )*"
)
_THEIRS = r"(?:it|this|that|you|which|everything|your (?:\w+ )?\w+)"
_ENDORSED = re.compile(
    r"(?P<denied>(?:n't|n’t|\bnot|\bnever|\bhardly|\bcannot)\b(?:\W+\w+){0,3}\W+)?(?:"
    r"\bI (?:\w+ )?(?:agree|concur|accept|adopt|endorse|submit|confirm|support|approve|second)\b"
    r"|\bI(?:'ll| will|'d| would|'m| am) (?:\w+ )?(?:go(?:ing)?|stay(?:ing)?|stick(?:ing)?) with\b"
    r"|\bI(?:'ll|’ll| will|'m|’m| am) (?:\w+ )?(?:submit|accept|adopt|us|keep|tak|endors)(?:e|ing|ting)?\b"
    r"|\b(?:let's|let us|we can|we should|I) (?:\w+ )?(?:go with|use|keep|take|submit|settle on|adopt)\b"
    rf"|\b{_THEIRS} (?:is|are|looks?|seems?|appears?) {_SURELY}{_GOOD}\b"
    rf"|\b{_THEIRS} (?:\w+ )?(?:works|passes)\b|\b{_THEIRS} (?:is|becomes) (?:also )?my (?:final )?\w+\b"
    r"|\bmy (?:final )?(?:answer|submission|solution) (?:is|remains) (?:the same|yours|this|that|your)\b"
    r"|\bnothing to (?:add|change|fix)\b|\bno changes? (?:is |are )?needed\b"
    r"|\blooks (?:right|correct|good|fine)\b"
    r"|^\W*(?:yes|agreed|exactly|correct|perfect|lgtm|works|passes)\b"
    r"|\b(?:the same as|just like|identical to) mine\b"
    r")",
    re.IGNORECASE,
)
_AGAINST = re.compile(
    r"\b(?:but|however|except|unfortunately|although|wrong|incorrect|fails?|bugs?|broken|disagree)\b",
    re.IGNORECASE,
)
_NOTHING_AGAINST = re.compile(
    r"\b(?:no|not|nothing|never|without|any)\W+(?:\w+\W+)?(?:wrong|incorrect|fails?|bugs?|broken)\b",
    re.IGNORECASE,
)


def _endorses(words: str) -> bool:
    """Whether a message makes the partner's program its own: calls it right, or submits it, without a but."""
    if _AGAINST.search(_NOTHING_AGAINST.sub(" ", words)):
        return False
    sentences = (sentence.rstrip() for sentence in re.split(r"(?<=[.!?])\s+|\n+", words))
    found = (_ENDORSED.search(sentence) for sentence in sentences if not sentence.endswith("?"))
    return any(match is not None and not match["denied"] for match in found)


# Without a fence ----------------------------------------------------------------------------------------

_STARTS = re.compile(r"(?:def|class|import|from|async def)\s+\w|@\w|[A-Za-z_]\w* ?= ?\S")
_CONTINUES = re.compile(
    r"[ \t#)\]}@]|(?:def|class|import|from|async def|if|for|while|try|with|except|finally|else|elif|assert"
    r"|return|global|del|pass|raise)\b|[A-Za-z_][\w.,\[\] ]*(?:[-+*/%|&^]|//|\*\*)?=[^=]|[A-Za-z_]\w*\("
)


def _without_fence(text: str, form: Form) -> str | None:
    """The program of a message without a code block: lines of code, or the body that the prompt asks for."""
    if tree_of(text) is not None and defines(text, form):
        return clean(text)
    lines = lines_of(text)
    pieces = list(_pieces(lines))
    within = {line for piece in pieces for line in range(piece.start, piece.end)}
    pieces += [run for run in _indented(lines) if run.start not in within]
    found = sorted((one for one in pieces if defines(one.code, form)), key=lambda one: one.start)
    if not found:
        return completed(text, form.prompt) or _body_at_the_end(lines, form)
    message = _Message(text, found, form)
    own = [piece for piece in found if not message.is_quotation(piece)]
    return clean(own[-1].code) if own else None


def _body_at_the_end(lines: list[str], form: Form) -> str | None:
    """The prompt's program where a message ends with the body of its function, behind words."""
    end = next((at for at in range(len(lines), 0, -1) if lines[at - 1].strip()), 0)
    last = [run for run in _indented(lines[:end]) if run.end == end]
    message = _Message("\n".join(lines), last, form)
    return completed(last[0].code, form.prompt) if last and not message.is_quotation(last[0]) else None


def _bare(code: str, start: int, end: int) -> Block:
    return Block(code=code, tag="", start=start, end=end, closed=True, quoted=False)


def _indented(lines: list[str]) -> Iterator[Block]:
    """Runs of lines behind four blanks, Markdown's code block without a fence, moved to the margin."""
    at = 0
    while at < len(lines):
        end = at
        while end < len(lines) and (not lines[end].strip() or lines[end].startswith(("    ", "\t"))):
            end += 1
        if any(line.strip() for line in lines[at:end]):
            yield _bare(textwrap.dedent("\n".join(lines[at:end])), at, end)
        at = end + 1


def _pieces(lines: list[str]) -> Iterator[Block]:
    """Runs of lines that are code: each begins with an import, a function, a class or a decorator."""
    at = 0
    while at < len(lines):
        if not _STARTS.match(lines[at]):
            at += 1
            continue
        end = at + 1
        while end < len(lines) and (not lines[end].strip() or _CONTINUES.match(lines[end])):
            end += 1
        code = _longest(lines[at:end])
        yield _bare(code, at, at + code.count("\n") + 1)
        at = end


def _longest(lines: list[str]) -> str:
    """The lines without what follows the last one up to which they parse; all of them where none does."""
    tries = min(_MAX_TRIES, max(1, _MAX_PARSED // (sum(map(len, lines)) + 1)))
    for end in range(len(lines), max(0, len(lines) - tries), -1):
        piece = "\n".join(lines[:end])
        if lines[end - 1].strip() and tree_of(piece) is not None:
            return piece
    return "\n".join(lines)


_MAX_TRIES = 40
_MAX_PARSED = 400_000
"""Characters that are parsed in all to find the end of one piece of code."""
