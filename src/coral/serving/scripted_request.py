"""What a chat request asks of the scripted agent: which problem it is about, and what was said so far."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from coral import prompts
from coral.tasks.protocol import Task
from coral.types import OPENER, RESPONDER, Message, Problem, Role

_CACHE_SIZE = 4096


@dataclass(frozen=True, kw_only=True)
class ExtractionRequest:
    """Coral's extraction prompt: which answer does `reply` submit? `problem` is None if it is unknown."""

    problem: Problem | None
    reply: str


@dataclass(frozen=True, kw_only=True)
class SpeakRequest:
    """The next turn of a conversation, or chain of thought.

    Attributes:
        problem: None if no problem of the data occurs in the request.
        own: what this agent said so far, oldest first.
        partner: what its partner said so far, oldest first.
        alone: nobody speaks of a partner: one reply has to do.
    """

    problem: Problem | None
    own: tuple[str, ...] = ()
    partner: tuple[str, ...] = ()
    alone: bool = True


class ProblemIndex:
    """Finds the problem that a text states. Built once, over all problems of a data file."""

    def __init__(self, task: Task, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        self._task = task
        self._openings = [_flat(task.opening(problem)) for problem in self.problems]
        self._by_line: dict[str, list[int]] = defaultdict(list)
        for index, problem in enumerate(self.problems):
            for line in _lines(task.opening(problem)):
                self._by_line[line].append(index)
        self._known: dict[str, Problem | None] = {}

    def find(self, text: str) -> Problem | None:
        """The problem whose opening `text` contains, up to white space; the longest if there are several."""
        if text not in self._known:
            if len(self._known) >= _CACHE_SIZE:
                self._known.clear()
            self._known[text] = self._search(text)
        return self._known[text]

    def _search(self, text: str) -> Problem | None:
        flat = _flat(text)
        found = [index for index in self._candidates(text) if self._openings[index] in flat]
        best = max(found, key=lambda index: self._closeness(index, flat), default=None)
        return None if best is None else self.problems[best]

    def _candidates(self, text: str) -> Sequence[int]:
        """The problems that share the rarest known line of `text`; all, if it has no known line."""
        shared = [self._by_line[line] for line in _lines(text) if line in self._by_line]
        return min(shared, key=len) if shared else range(len(self.problems))

    def _closeness(self, index: int, flat: str) -> tuple[int, int]:
        """Several problems may open alike, where the seats are told the rest: then that rest decides."""
        problem = self.problems[index]
        told = (_flat(self._task.briefing(problem, seat)) for seat in (OPENER, RESPONDER))
        return sum(len(text) for text in told if text in flat), len(self._openings[index])


def understand(messages: Sequence[Message], index: ProblemIndex) -> ExtractionRequest | SpeakRequest:
    """What the messages ask for."""
    said = [message for message in messages if message.role is not Role.SYSTEM]
    first = said[0].content if said else ""
    for name in ("extraction", "extraction_of_code") if len(said) == 1 else ():
        if asked := _pattern(name).fullmatch(first.strip()):
            return ExtractionRequest(problem=index.find(asked["opening"]), reply=asked["reply"].strip())
    framed = _pattern("first_reply").search(first)
    opening_words = (framed["reply"].strip(),) if framed else _of_panel(first)
    others = [message.content for message in said[1:] if message.role is Role.USER]
    review = _pattern("review")
    heard = [
        word for text in others if not review.fullmatch(text.strip()) for word in _of_panel(text) or (text,)
    ]
    return SpeakRequest(
        problem=index.find(framed["opening"] if framed else first),
        own=tuple(message.content for message in said if message.role is Role.ASSISTANT),
        partner=(*opening_words, *heard),
        alone=not any(_COMPANY.search(message.content) for message in messages),
    )


_COMPANY = re.compile(r"partner|experts who work", re.IGNORECASE)
_MEMBER = re.compile(r"^Agent \d+:\n", re.MULTILINE)
"""How a panel's protocol names who said something."""


def _of_panel(text: str) -> tuple[str, ...]:
    """What the other members of a panel said, one after the other; nothing where it is not a panel."""
    return tuple(part.strip() for part in _MEMBER.split(text)[1:])


@cache
def _pattern(name: str) -> re.Pattern[str]:
    """A prompt template as the expression that takes its rendered text apart again."""
    groups = {"question": "(?P<opening>.*?)", "opening": "(?P<opening>.*?)", "reply": "(?P<reply>.*)"}
    parts = re.split(r"\{\{ (\w+) \}\}", prompts.builtin(name))
    literal = (re.escape(part) for part in parts[::2])
    values = (groups.get(value, ".*?") for value in parts[1::2])
    return re.compile("".join(_interleave(literal, values)), re.DOTALL)


def _interleave(literal: Iterable[str], values: Iterable[str]) -> Iterable[str]:
    rest = iter(values)
    for part in literal:
        yield part
        yield next(rest, "")


def _flat(text: str) -> str:
    return " ".join(text.split())


def _lines(text: str) -> set[str]:
    return {line for line in map(_flat, text.splitlines()) if line}
