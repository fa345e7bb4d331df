"""Conversations in shorthand, for the tests of metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from coral.conversation.protocols import ConversationProtocol, Settings, build
from coral.metrics import Tally, Trace, trace_of
from coral.types import (
    OPENER,
    RESPONDER,
    SCHEMA,
    Answered,
    Belief,
    Conversation,
    Extraction,
    Failure,
    FinishReason,
    Problem,
    Reply,
    Speaker,
    StopReason,
    Turn,
    Unreadable,
    Unsure,
    Usage,
)

Make = Callable[..., Conversation]


def belief_of(word: str) -> Belief:
    """`R`: the right answer; `?`: unsure; `!`: unreadable; anything else is an answer of its own."""
    if word == "?":
        return Unsure()
    return Unreadable("no answer found") if word == "!" else Answered(word)


def grade_of(word: str) -> bool | None:
    """An answer that begins with R is right, one that begins with U has no grade, all others are wrong."""
    if word in {"?", "!"}:
        return False if word == "?" else None
    return None if word.startswith("U") else word.startswith("R")


def conversation_of(
    beliefs: str | Sequence[str],
    *,
    problem: str = "p1",
    sample: int = 0,
    stop: StopReason = StopReason.AGREED,
    protocol: str = "coral",
    partner: bool = False,
    opener: str = "agent",
    tokens: Sequence[int | None] | None = None,
    group: dict[str, str] | None = None,
    failure: Failure | None = None,
    model: str = "openai/gpt-4o-mini",
    seats: dict[str, Speaker] | None = None,
) -> Conversation:
    """A conversation whose turns (responder first) hold the beliefs of `beliefs`, one a character or item."""
    words = list(beliefs)
    counts = list(tokens) if tokens is not None else [10] * len(words)
    names = {
        "agent": Speaker(name="agent", model=model),
        "partner": Speaker(name="partner", model="local/llama"),
    }
    other = names["partner"] if partner else names["agent"]
    pair = (names["agent"], other) if opener == "agent" else (other, names["agent"])
    if seats is None:
        seats = {RESPONDER: pair[1], OPENER: pair[0]} if protocol == "coral" else {RESPONDER: names["agent"]}
    rotation = list(seats)
    turns = tuple(
        Turn(
            seat=rotation[i % len(rotation)],
            replies=(
                Reply(
                    text=f"I say {word}",
                    belief=belief_of(word),
                    correct=grade_of(word),
                    finish_reason=FinishReason.STOP,
                    extraction=Extraction(by="rules"),
                    usage=None if count is None else Usage(prompt_tokens=100, completion_tokens=count),
                ),
            ),
        )
        for i, (word, count) in enumerate(zip(words, counts, strict=True))
    )
    return Conversation(
        schema=SCHEMA,
        id=f"{problem}#{sample}",
        problem=Problem(id=problem, task="t", question="q", target="R", group=group or {}),
        speakers=seats,
        opening="I'm trying to solve q",
        turns=turns,
        stop=stop,
        seed=0,
        started_at=0.0,
        seconds=1.0,
        failure=failure,
    )


def rules_of(protocol: str, max_turns: int = 20) -> ConversationProtocol:
    """A protocol, its agents called as the conversations of the fixture call them."""
    alone = protocol == "cot"
    return build(
        protocol, Settings(agents=("agent",) if alone else ("agent", "partner"), max_turns=max_turns)
    )


async def equal(a: str, b: str) -> bool:
    """Answers of the same first letter mean the same: `R` and `R2` do, `R` and `X` do not."""
    return a[0] == b[0]


@pytest.fixture
def conversation() -> Make:
    """Makes conversations; see `conversation_of`."""
    return conversation_of


@pytest.fixture
def trace() -> Callable[..., object]:
    """Makes traces of the conversations of the fixture `conversation`."""

    async def make(one: Conversation) -> Trace:
        return await trace_of(one, equal)

    return make


@pytest.fixture
def tally() -> Callable[..., object]:
    """Adds conversations up, their answers numbered alike across samples."""
    from coral.metrics import AnswerClasses

    async def make(conversations: Sequence[Conversation], protocol: str = "coral") -> Tally:
        classes, sums = AnswerClasses(), Tally(task="t", rules=rules_of(protocol))
        for one in conversations:
            sums.add(one, await trace_of(one, equal, classes))
        sums.sort()
        return sums

    return make


@pytest.fixture
def same() -> Callable[..., object]:
    """The equivalence of the shorthand: the first letter decides."""
    return equal
