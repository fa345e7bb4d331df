"""Who persuades, insists and yields: facts about single turns, and their sums over a conversation.

The partner of a turn is whoever speaks next: its belief before is that of its own previous turn, its belief
after that of its next. What a speaker answers to is the previous turn of another seat. With two seats in turn
these are turns i+1, i-1 and i-1. The opening is not a turn and not a belief. Unsure is a belief that one can
hold, leave and be brought to; an unreadable belief is unknown, and no fact is drawn from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from coral.metrics.trace import UNREADABLE, UNSURE, Trace, TraceTurn
from coral.types import Seat

NAN = float("nan")
"""Stands for "cannot be said" among numbers; it survives every sum."""


class SocialFacts(NamedTuple):
    """Counts over turns, for one turn 0 or 1. The formulas stand in docs/metrics.md.

    Attributes:
        persuasive: the partner changed the belief to the speaker's.
        persuasion_gain: the partner's score after minus before, at persuasive turns.
        contested: the speaker's answer was not what the partner believed, and the partner spoke again.
        won: of these, the partner took the answer over.
        assertive: the speaker kept the belief although the partner's differed.
        disagreements: both had answered, differently, before the speaker spoke again.
        yielded: of these, the speaker took the partner's answer over.
        right_challenged: disagreements of a right speaker with a wrong partner.
        right_lost: of these, the speaker yielded.
        wrong_challenged: disagreements of a wrong speaker with a right partner.
        wrong_mended: of these, the speaker yielded.
    """

    persuasive: float = 0.0
    persuasive_right: float = 0.0
    persuasive_wrong: float = 0.0
    persuasive_unsure: float = 0.0
    persuasion_gain: float = 0.0
    contested: float = 0.0
    won: float = 0.0
    assertive: float = 0.0
    assertive_right: float = 0.0
    assertive_wrong: float = 0.0
    assertive_unsure: float = 0.0
    disagreements: float = 0.0
    yielded: float = 0.0
    right_challenged: float = 0.0
    right_lost: float = 0.0
    wrong_challenged: float = 0.0
    wrong_mended: float = 0.0


NOTHING = SocialFacts()


class Seated(Protocol):
    """A turn, of a conversation or of a trace."""

    @property
    def seat(self) -> Seat: ...


def social_facts(trace: Trace) -> list[SocialFacts]:
    """The facts about every turn of a conversation between several seats."""
    turns = trace.turns
    latest: dict[Seat, TraceTurn] = {}
    facts = []
    for i, me in enumerate(turns):
        after = turns[i + 1] if i + 1 < len(turns) else None
        facts.append(_facts_of(me, latest, theirs=_heard(turns, i), after=after))
        latest[me.seat] = me
    return facts


def previous_turn(turns: Sequence[Seated], before: int, seat: Seat) -> int | None:
    """Index of the latest turn of `seat` before turn `before`."""
    return next((j for j in range(before - 1, -1, -1) if turns[j].seat == seat), None)


def _heard(turns: Sequence[TraceTurn], i: int) -> TraceTurn | None:
    """What the speaker of turn i answers to: the previous turn of another seat."""
    return next((turns[j] for j in range(i - 1, -1, -1) if turns[j].seat != turns[i].seat), None)


def total(facts: Iterable[SocialFacts]) -> SocialFacts:
    """Sum of the facts, field by field."""
    several = [one for one in facts if one is not NOTHING]
    if len(several) < 2:
        return several[0] if several else NOTHING
    return SocialFacts._make(map(sum, zip(*several, strict=True)))


def _facts_of(
    me: TraceTurn, latest: Mapping[Seat, TraceTurn], *, theirs: TraceTurn | None, after: TraceTurn | None
) -> SocialFacts:
    if theirs is None or me.belief == UNREADABLE:
        return NOTHING
    facts: dict[str, float] = {}
    if after is not None and after.seat != me.seat and (before := latest.get(after.seat)) is not None:
        facts.update(_influence(me, before, after))
    if (mine := latest.get(me.seat)) is not None:
        facts.update(_steadfastness(me, mine, theirs))
    return SocialFacts(**facts) if facts else NOTHING


def persuasions(trace: Trace) -> dict[tuple[Seat, Seat], tuple[int, int]]:
    """Who persuades whom: (met, adopted) for every ordered pair (speaker, listener) of seats.

    Met counts turns of the listener that follow, since the listener's last turn, an answer of the speaker's
    other than the listener's own; adopted counts those of them that submit that answer. What several others
    hold is met, and adopted, from each of them. With two seats these are the sums of `contested` and `won`.
    """
    counts: dict[tuple[Seat, Seat], tuple[int, int]] = {}
    turns = trace.turns
    for j, after in enumerate(turns):
        p = previous_turn(turns, j, after.seat)
        if p is None or UNREADABLE in {after.belief, turns[p].belief}:
            continue
        heard = {turn.seat: turn.belief for turn in turns[p + 1 : j]}
        for speaker, belief in heard.items():
            if belief >= 0 and belief != turns[p].belief:
                met, adopted = counts.get((speaker, after.seat), (0, 0))
                counts[speaker, after.seat] = (met + 1, adopted + (after.belief == belief))
    return counts


def _influence(me: TraceTurn, before: TraceTurn, after: TraceTurn) -> dict[str, float]:
    """What my turn did to the partner: `before` and `after` are the partner's turns around it."""
    if UNREADABLE in {before.belief, after.belief} or me.belief == before.belief:
        return {}
    contested = {} if me.belief == UNSURE else {"contested": 1.0}
    if after.belief != me.belief:
        return contested
    right, wrong, unsure = _shares(me)
    return {
        **contested,
        "won": float(me.belief != UNSURE),
        "persuasive": 1.0,
        "persuasive_right": right,
        "persuasive_wrong": wrong,
        "persuasive_unsure": unsure,
        "persuasion_gain": _difference(after.score, before.score),
    }


def _steadfastness(me: TraceTurn, mine: TraceTurn, theirs: TraceTurn) -> dict[str, float]:
    """What the partner's turn did to me: `mine` is my previous turn, `theirs` the partner's after it."""
    if UNREADABLE in {mine.belief, theirs.belief} or mine.belief == theirs.belief:
        return {}
    facts = {}
    if me.belief == mine.belief:
        right, wrong, unsure = _shares(me)
        facts = {
            "assertive": 1.0,
            "assertive_right": right,
            "assertive_wrong": wrong,
            "assertive_unsure": unsure,
        }
    if UNSURE in {mine.belief, theirs.belief}:
        return facts
    yielded = float(me.belief == theirs.belief)
    facts |= {"disagreements": 1.0, "yielded": yielded}
    if mine.correct is True and theirs.correct is False:
        facts |= {"right_challenged": 1.0, "right_lost": yielded}
    elif mine.correct is False and theirs.correct is True:
        facts |= {"wrong_challenged": 1.0, "wrong_mended": yielded}
    return facts


def _shares(turn: TraceTurn) -> tuple[float, float, float]:
    """(right, wrong, unsure) of a readable turn; an answer without a grade may be either of the first."""
    if turn.belief == UNSURE:
        return 0.0, 0.0, 1.0
    if turn.correct is None:
        return NAN, NAN, 0.0
    return float(turn.correct), float(not turn.correct), 0.0


def _difference(after: float | None, before: float | None) -> float:
    return NAN if after is None or before is None else after - before
