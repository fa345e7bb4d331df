"""The small numbers that are kept of every conversation; all metrics are made from them."""

from __future__ import annotations

from collections.abc import Sequence
from operator import add, attrgetter

from coral.metrics.cost import ROLES, Call, Tokens, calls_of, tokens_of
from coral.metrics.outcome import (
    any_turn_right,
    change_of,
    first_right_turn,
    outcome_of_one,
    outcome_of_pair,
)
from coral.metrics.reference import reference_values, success_value
from coral.metrics.social import NAN, SocialFacts, social_facts, total
from coral.metrics.trace import UNREADABLE, UNSURE, Trace
from coral.metrics.votes import NO_VOTE
from coral.types import Conversation, FinishReason, Reply, Seat, StopReason

UNFINISHED = frozenset({StopReason.FAILED, StopReason.CANCELLED})
"""Conversations that are counted, and averaged into nothing."""
SPEAKER_FACTS = (
    "persuasive",
    "persuasion_gain",
    "contested",
    "won",
    "assertive",
    "disagreements",
    "yielded",
    "right_challenged",
    "right_lost",
    "wrong_challenged",
    "wrong_mended",
)
"""What is kept of each speaker where agent and partner differ."""


def counts_of(
    conversation: Conversation,
    trace: Trace,
    *,
    calls: list[Call] | None = None,
    max_turns: int | None = None,
) -> dict[str, float]:
    """Columns by name; NaN where a number is not known.

    Args:
        calls: of the conversation, where they are at hand.
        max_turns: the run's limit of turns, for the published `n_turns_to_success`.
    """
    written = [_completion_tokens(turn.reply) for turn in conversation.turns]
    columns = _beliefs(conversation, trace)
    columns |= _spent(calls_of(conversation) if calls is None else calls)
    columns["reply_tokens"] = sum(written)
    columns["seconds"] = conversation.seconds
    if conversation.opener is None:
        return columns | _outcome_of_one(trace)
    columns |= _outcome_of_pair(trace)
    columns |= reference_values(trace, conversation.stop, written, max_turns)
    columns |= _by_seat(conversation, trace, written)
    return columns


def _beliefs(conversation: Conversation, trace: Trace) -> dict[str, float]:
    beliefs = [turn.belief for turn in trace.turns]
    unsure, unreadable = beliefs.count(UNSURE), beliefs.count(UNREADABLE)
    truncated = overrun = garbled = model_extracted = 0
    for turn in conversation.turns:
        reply = turn.reply
        truncated += reply.finish_reason is FinishReason.LENGTH
        overrun += reply.overrun > 0
        garbled += reply.garbled > 0
        model_extracted += reply.extraction.by == "model"
    return {
        "turns": float(len(beliefs)),
        "answered": float(len(beliefs) - unsure - unreadable),
        "unsure": float(unsure),
        "unreadable": float(unreadable),
        "truncated": float(truncated),
        "overrun": float(overrun),
        "garbled": float(garbled),
        "model_extracted": float(model_extracted),
    }


def _spent(calls: list[Call]) -> dict[str, float]:
    """Tokens of every role, and of all together."""
    columns: dict[str, float] = {}
    whole = 0.0
    for role, names in _TOKEN_COLUMNS.items():
        tokens = tokens_of([call for call in calls if call.role == role])
        columns.update(zip(names, tokens, strict=True))
        whole += tokens.prompt + tokens.completion
    columns["total_tokens"] = whole
    return columns


_TOKEN_COLUMNS = {role: [f"{role}/{part}" for part in Tokens._fields] for role in ROLES}


def _completion_tokens(reply: Reply) -> float:
    usage = reply.usage
    return NAN if usage is None or usage.completion_tokens is None else float(usage.completion_tokens)


def _outcome_of_one(trace: Trace) -> dict[str, float]:
    outcome = outcome_of_one(trace)
    return {
        "right": _number(outcome.right),
        "vote": _vote(outcome.answer, trace),
        "first_right": _number(change_of(Seat.RESPONDER, trace).first),
        **success_value(trace),
    }


def _outcome_of_pair(trace: Trace) -> dict[str, float]:
    outcome = outcome_of_pair(trace)
    any_right = any_turn_right(trace)
    first = first_right_turn(trace) if any_right is not None else NAN
    right, any_right_number = _number(outcome.right), _number(any_right)
    return {
        "agreed": float(outcome.agreed),
        "right": right,
        "vote": _vote(outcome.answer, trace),
        "any_right": any_right_number,
        "first_success": float(first or 0.0),
        "agreed_turn": float(len(trace.turns) if outcome.agreed else 0),
        "false_agreed": float(outcome.agreed) - right,
        "unused_right": any_right_number - right,
        "opener_first_right": _number(change_of(Seat.OPENER, trace).first),
        **_change(trace),
    }


def _change(trace: Trace) -> dict[str, float]:
    """The responder's first answer against its last. The opener's first has heard the responder's."""
    first, last, gain, found = change_of(Seat.RESPONDER, trace)
    return {
        "first_right": _number(first),
        "last_right": _number(last),
        "gain": _number(gain),
        "gained": NAN if gain is None else float(gain > 0),
        "lost": NAN if gain is None else float(gain < 0),
        "found": _number(found),
    }


def _vote(answer: int | None, trace: Trace) -> float:
    """The class a sample votes for. Numbers that only hold in this conversation are no vote among several."""
    if answer is None:
        return NO_VOTE
    return float(answer) if trace.shared else NAN


def _by_seat(conversation: Conversation, trace: Trace, written: Sequence[float]) -> dict[str, float]:
    """Social facts in all, by seat and by speaker: the responder has turns 1, 3, ..., the opener 2, 4, ..."""
    assert conversation.opener is not None
    facts = social_facts(trace)
    by_responder, by_opener = total(facts[0::2]), total(facts[1::2])
    columns = dict(zip(SocialFacts._fields, map(add, by_responder, by_opener), strict=True))
    for seat, tokens in (("responder", written[0::2]), ("opener", written[1::2])):
        columns[f"{seat}_turns"] = float(len(tokens))
        columns[f"{seat}_tokens"] = float(sum(tokens))
    names = conversation.responder.name, conversation.opener.name
    if names[0] != names[1]:
        columns |= _of_speaker(names[0], by_responder, trace, written, 0)
        columns |= _of_speaker(names[1], by_opener, trace, written, 1)
    return columns


def _of_speaker(
    name: str, facts: SocialFacts, trace: Trace, written: Sequence[float], first: int
) -> dict[str, float]:
    beliefs = [turn.belief for turn in trace.turns[first::2]]
    answered = sum(belief >= 0 for belief in beliefs)
    values = (len(beliefs), answered, sum(written[first::2]), *_speaker_facts(facts))
    return dict(zip(_SPEAKER_COLUMNS[name], map(float, values), strict=True))


_speaker_facts = attrgetter(*SPEAKER_FACTS)
_SPEAKER_COLUMNS = {
    name: [f"{name}/{part}" for part in ("turns", "answered", "reply_tokens", *SPEAKER_FACTS)]
    for name in ("agent", "partner")
}


def _number(value: int | None) -> float:
    return NAN if value is None else float(value)
