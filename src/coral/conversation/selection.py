"""Candidate selection: which of several continues? Functions of the candidates and a random generator."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from coral.types import Answered, Belief, FinishReason, Reply, Unreadable

Selection = Literal["random", "stratified", "correct", "wrong", "diverse"]


@dataclass(frozen=True, kw_only=True)
class Draw:
    """How the turns of a conversation are drawn.

    Attributes:
        candidates: replies drawn for each turn, in one request. Several are sampling, one is evaluation.
        select: which of several continues; see `select`.
        rollouts: conversations continued to their end from each candidate that may continue.
    """

    candidates: int = 1
    select: Selection = "random"
    rollouts: int = 0


ONE_CANDIDATE = Draw()
"""Evaluation."""


def obstacle(reply: Reply) -> str | None:
    """Why a candidate must not continue, None if it may.

    It must not if it was cut by its token limit, is empty, or the extractor was asked for its belief and gave
    nothing that can be read. That rules, asked alone, find no answer in a text is no fault of the text.
    """
    if reply.finish_reason is FinishReason.LENGTH:
        return "cut by the token limit"
    if not reply.text.strip():
        return "empty"
    if isinstance(reply.belief, Unreadable) and reply.extraction.by == "model":
        return f"belief not extracted ({reply.belief.reason})"
    return None


def select(
    how: Selection,
    replies: Sequence[Reply],
    rng: random.Random,
    *,
    kinds: Sequence[int] = (),
    held: AbstractSet[int] = frozenset(),
) -> int | None:
    """Index of the candidate that continues, None where none may (see `obstacle`).

    `random`: each with the same probability.
    `stratified`: where there are right ones and others, a coin decides which side; one of that side.
    `correct`: one of the right ones; where there are none, any.
    `wrong`: one of those that submit a wrong answer; where there are none, any. Unsure is not a wrong answer.
    `diverse`: one whose belief nobody has held so far; of these, one whose belief is rarest among the
    candidates. Beliefs that cannot be read come last.

    Where several are equally good, each has the same probability.

    Args:
        kinds: for `diverse`: a number for each candidate's belief, equal for equal beliefs (`belief_kinds`).
        held: for `diverse`: the numbers of the beliefs that the turns so far held.
    """
    able = [index for index, reply in enumerate(replies) if obstacle(reply) is None]
    if not able:
        return None
    match how:
        case "stratified":
            preferred = _stratum([replies[index].correct is True for index in able], able, rng)
        case "correct":
            preferred = [index for index in able if replies[index].correct is True]
        case "wrong":
            preferred = [index for index in able if _is_wrong_answer(replies[index])]
        case "diverse":
            preferred = _rarest(replies, able, kinds, held)
        case _:
            preferred = able
    return rng.choice(preferred or able)


def _stratum(right: Sequence[bool], able: Sequence[int], rng: random.Random) -> list[int]:
    if all(right) or not any(right):
        return list(able)
    side = rng.random() < 0.5
    return [index for index, is_right in zip(able, right, strict=True) if is_right is side]


def _is_wrong_answer(reply: Reply) -> bool:
    return isinstance(reply.belief, Answered) and reply.correct is False


def _rarest(
    replies: Sequence[Reply], able: Sequence[int], kinds: Sequence[int], held: AbstractSet[int]
) -> list[int]:
    frequency = Counter(kinds[index] for index in able)

    def rank(index: int) -> tuple[bool, bool, int]:
        kind = kinds[index]
        return isinstance(replies[index].belief, Unreadable), kind in held, frequency[kind]

    best = min(map(rank, able))
    return [index for index in able if rank(index) == best]


async def belief_kinds(beliefs: Sequence[Belief], same: Callable[[str, str], Awaitable[bool]]) -> list[int]:
    """A number for each belief: equal for answers that are the same, for all unsure, and for all unreadable.

    Args:
        same: the task's comparison of two answers. It is not asked about equal spellings.
    """
    answers: list[str] = []
    kinds = []
    for belief in beliefs:
        match belief:
            case Answered(value):
                kinds.append(await _answer_kind(value, answers, same))
            case Unreadable():
                kinds.append(-2)
            case _:
                kinds.append(-1)
    return kinds


async def _answer_kind(answer: str, known: list[str], same: Callable[[str, str], Awaitable[bool]]) -> int:
    """Index of the answer's equal among `known`, to which it is added where it has none."""
    for index, other in enumerate(known):
        if other == answer or await same(other, answer):
            return index
    known.append(answer)
    return len(known) - 1
