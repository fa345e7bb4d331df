"""Which conversations an audit reads again, and what they say with other readings."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from coral.audits.sheet import Text
from coral.audits.statistics import CERTAIN, Audited, Between, between
from coral.comparison.contrasts import Planned
from coral.conversation import protocols
from coral.conversation.protocols import ConversationProtocol
from coral.errors import RunFolderError
from coral.evaluation.measure import as_decided
from coral.metrics.outcome import change_of
from coral.metrics.trace import trace_of
from coral.store.folder import RunFolder
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.tasks.registry import task_of
from coral.types import Answered, Belief, Conversation, FinishReason, StopReason, Turn, Unsure

LEAST = 5
"""Conversations that are read again of each stratum, if it has so many."""
NOTHING = "nothing to read"
"""Stratum of the conversations that are never read again."""


@dataclass
class Frame:
    """All conversations of one arm, as they were first read.

    Attributes:
        ids: of the conversations; likewise the other lists.
        problems: ids of the problems.
        first: whether they were read as right.
        strata: right or not, and by whom the texts that decide were read; NOTHING where there are none, as in
            failed ones.
        graded: some problem has a gold answer; else nothing is right.
    """

    name: str
    folder: RunFolder
    task: Task
    rules: ConversationProtocol
    identity: Mapping[str, Any]
    ids: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    first: list[bool] = field(default_factory=list)
    strata: list[str] = field(default_factory=list)
    graded: bool = False

    def sample(self, number: int, seed: int) -> list[int]:
        """Places of about so many conversations of every stratum; a larger number keeps a smaller one's."""
        by_stratum: dict[str, list[int]] = defaultdict(list)
        for place, stratum in enumerate(self.strata):
            if stratum != NOTHING:
                by_stratum[stratum].append(place)
        whole = sum(map(len, by_stratum.values()))
        chosen = []
        for places in by_stratum.values():
            share = max(LEAST, round(number * len(places) / whole))
            ranked = sorted(places, key=lambda place: _rank(f"{seed}:{self.name}:{self.ids[place]}"))
            chosen += ranked[:share]
        return sorted(chosen)

    @property
    def controlled(self) -> frozenset[str]:
        """Names of the speakers that are control partners: what they say is known."""
        names = protocols.agents_of(self.identity)
        return frozenset(name for name in names if self.identity[name].get("control"))

    async def is_right(
        self, conversation: Conversation, readings: Mapping[int, Belief] | None = None
    ) -> bool:
        """Whether a conversation counts as right, with other readings of some of its turns (by place).

        Beside a control partner that is the last answer of whoever spoke first, as in a study's report.
        """
        if conversation.stop is StopReason.FAILED or not conversation.turns:
            return False
        problem = conversation.problem
        changed = conversation
        if readings:
            turns = [
                await self._read_as(turn, readings[place], conversation) if place in readings else turn
                for place, turn in enumerate(conversation.turns)
            ]
            changed = msgspec.structs.replace(conversation, turns=tuple(turns))
        trace = await trace_of(changed, lambda a, b: boundary.same(self.task, a, b, problem))
        if not readings:
            trace = as_decided(trace, conversation)
        first = changed.turns[0].seat
        if "partner" in self.controlled and conversation.speakers[first].name == "agent":
            return bool(change_of(first, trace).last)
        return bool(self.rules.outcome(trace).right)

    async def _read_as(self, turn: Turn, belief: Belief, conversation: Conversation) -> Turn:
        correct: bool | None = False if isinstance(belief, Unsure) else None
        if isinstance(belief, Answered):
            correct = await boundary.grade(self.task, belief.value, conversation.problem)
        reply = msgspec.structs.replace(turn.reply, belief=belief, correct=correct)
        return msgspec.structs.replace(turn, replies=(reply,), chosen=0)

    def deciding(self, conversation: Conversation) -> list[int]:
        """Places of the turns whose readings decide: the last one of each seat, without those of control
        partners and those that were cut, which submit nothing whatever stands in them.
        """
        last = {turn.seat: place for place, turn in enumerate(conversation.turns)}
        return sorted(
            place
            for seat, place in last.items()
            if conversation.speakers[seat].name not in self.controlled
            and conversation.turns[place].reply.finish_reason is not FinishReason.LENGTH
        )


async def frame_of(name: str, folder: RunFolder) -> Frame:
    """Read an arm once.

    Raises:
        UserError: the folder cannot be read.
    """
    identity = folder.identity()
    frame = Frame(name, folder, task_of(folder), protocols.stored(identity), identity)
    rows = []
    for conversation in folder.conversations():
        right = await frame.is_right(conversation)
        stratum = _stratum(conversation, frame.deciding(conversation), right)
        frame.graded = frame.graded or is_graded(conversation)
        rows.append((conversation.id, conversation.problem.id, right, stratum))
    if not rows:
        raise RunFolderError(f"{folder.path} holds no conversation", remedy="run it first")
    for conversation_id, problem, right, stratum in sorted(rows):
        frame.ids.append(conversation_id)
        frame.problems.append(problem)
        frame.first.append(right)
        frame.strata.append(stratum)
    return frame


@dataclass(frozen=True)
class Reading:
    """A sampled text, and what was first read in it."""

    text: Text
    frame: Frame
    weight: float
    conversation: Conversation
    first: Belief


def arm_of(frame: Frame, places: Sequence[int], second: Sequence[bool]) -> Audited:
    """An arm, of which conversations at these places were read again, and whether they are right then."""
    problems = sorted(set(frame.problems))
    numbers = {problem: number for number, problem in enumerate(problems)}
    strata = {name: number for number, name in enumerate(sorted(set(frame.strata) - {NOTHING}))}
    return Audited(
        problems=np.array([numbers[problem] for problem in frame.problems]),
        strata=np.array([strata.get(name, CERTAIN) for name in frame.strata]),
        first=np.array(frame.first, dtype=float),
        rows=np.array(places, dtype=int),
        second=np.array(second, dtype=float),
    )


def differences(audited: Sequence[tuple[Frame, Audited]], planned: Sequence[Planned]) -> list[Between]:
    """Every arm against the first, and what a study has planned beside that."""
    if not all(frame.graded for frame, _ in audited):
        return []
    arms = {frame.name: (frame, arm) for frame, arm in audited}
    pairs = [(one.left, one.right) for one in planned if {one.left, one.right} <= arms.keys()]
    pairs += [(other, next(iter(arms))) for other in list(arms)[1:]]
    told = {frozenset(pair): pair for pair in reversed(pairs)}  # as it was planned, where it was
    return [_between(*(arms[name] for name in pair)) for pair in reversed(list(told.values()))]


def _between(left: tuple[Frame, Audited], right: tuple[Frame, Audited]) -> Between:
    ids = [sorted(set(frame.problems)) for frame, _ in (left, right)]
    return between((left[0].name, left[1]), (right[0].name, right[1]), ids)


def is_graded(conversation: Conversation) -> bool:
    """The problem has a gold answer, or an answer has a grade."""
    replies = (turn.reply for turn in conversation.turns)
    return bool(conversation.problem.target) or any(
        reply.correct is not None for reply in replies if isinstance(reply.belief, Answered)
    )


def _stratum(conversation: Conversation, deciding: Sequence[int], right: bool) -> str:
    if conversation.stop is StopReason.FAILED or not deciding:
        return NOTHING
    replies = [conversation.turns[place].reply for place in deciding]
    by = "model" if any(reply.extraction.by == "model" for reply in replies) else "rules"
    answered = all(isinstance(reply.belief, Answered) for reply in replies)
    judged = any(reply.judgement is not None for reply in replies)
    said = f"{'answered' if answered else 'not answered'}{', judged' if judged else ''}"
    return f"{'right' if right else 'not right'}, by {by}, {said}"


def _rank(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
