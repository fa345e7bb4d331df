"""The small numbers that are kept of every conversation; all metrics are made from them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import permutations
from operator import attrgetter

from coral.metrics.cost import EXTRACTOR, JUDGE, NO_TOKENS, Call, Role, Tokens, billed_of, calls_of, tokens_of
from coral.metrics.outcome import NO_CHANGE, Outcome, Rules, any_turn_right, change_of, first_right_turn
from coral.metrics.reference import reference_values, success_value
from coral.metrics.social import NAN, SocialFacts, persuasions, social_facts, total
from coral.metrics.trace import UNREADABLE, UNSURE, Trace
from coral.metrics.votes import NO_VOTE
from coral.types import OPENER, Conversation, FinishReason, Reply, Seat

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
"""What is kept of each speaker."""
_OF_GOLD = frozenset({
    "right", "first_right", "last_right", "gain", "gained", "lost", "found", "any_right", "first_success",
    "false_agreed", "unused_right", "opener_first_right", "persuasion_gain", "persuasive_right",
    "persuasive_wrong", "assertive_right", "assertive_wrong", "right_challenged", "right_lost",
    "wrong_challenged", "wrong_mended", "public_right", "only_private", "only_public", "brier",
    "final_success_rate", "agreement_correctness", "n_turns_to_success", "correct_persuade_rate",
    "incorrect_persuade_rate", "persuasion_quality", "correct_assert_rate", "incorrect_assert_rate",
})  # fmt: skip


@cache
def needs_gold(column: str) -> bool:
    """Whether a column says nothing about problems without a gold answer: there nothing is right or wrong."""
    return any(part in _OF_GOLD for part in column.split("/"))


def counts_of(
    conversation: Conversation, trace: Trace, rules: Rules, *, calls: list[Call] | None = None
) -> dict[str, float]:
    """Columns by name; NaN where a number is not known.

    Args:
        rules: of the conversation's protocol.
        calls: of the conversation, where they are at hand.
    """
    written = [_completion_tokens(turn.reply) for turn in conversation.turns]
    outcome = rules.outcome(trace)
    columns = _beliefs(conversation, trace)
    columns |= _spent(calls_of(conversation) if calls is None else calls, rules)
    columns["reply_tokens"] = sum(written)
    columns["seconds"] = conversation.seconds
    columns["right"] = _number(outcome.right)
    columns["vote"] = _vote(outcome.answer, trace)
    columns |= _change(trace)
    if len(rules.speakers) == 1:
        return columns | success_value(trace)
    columns |= _of_several(outcome, trace)
    if len(rules.speakers) == 2:
        columns |= reference_values(trace, conversation.stop, written, rules.max_turns)
    else:
        columns |= success_value(trace)
    return columns | _by_seat(conversation, trace, written)


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


def roles_of(rules: Rules) -> tuple[str, ...]:
    """Who makes calls: every speaker once, the extractor and the judge."""
    return (*dict.fromkeys(rules.speakers.values()), EXTRACTOR, JUDGE)


def _spent(calls: list[Call], rules: Rules) -> dict[str, float]:
    """Tokens of every role, and of all together."""
    columns: dict[str, float] = {}
    whole = 0.0
    by_role: dict[Role, list[Call]] = {role: [] for role in roles_of(rules)}
    at_list_price = True
    for call in calls:
        if call.role in by_role:
            by_role[call.role].append(call)
            at_list_price = at_list_price and call.billing == "list"
    for role, own in by_role.items():
        tokens = tokens_of(own) if own else NO_TOKENS
        billed = tokens if at_list_price else billed_of(own)
        columns.update(zip(_token_columns(role), tokens, strict=True))
        columns.update(zip(billed_columns(role), billed, strict=True))
        whole += tokens.prompt + tokens.completion
    columns["total_tokens"] = whole
    return columns


@cache
def _token_columns(role: str) -> list[str]:
    return [f"{role}/{part}" for part in Tokens._fields]


@cache
def billed_columns(role: str) -> list[str]:
    """The columns of a role's tokens as they are billed; see `billed_of`."""
    return [f"{role}/billed_{part}" for part in Tokens._fields]


def _completion_tokens(reply: Reply) -> float:
    usage = reply.usage
    return NAN if usage is None or usage.completion_tokens is None else float(usage.completion_tokens)


def _of_several(outcome: Outcome, trace: Trace) -> dict[str, float]:
    any_right = any_turn_right(trace)
    first = first_right_turn(trace) if any_right is not None else NAN
    right, any_right_number = _number(outcome.right), _number(any_right)
    return {
        "agreed": float(outcome.agreed),
        "any_right": any_right_number,
        "first_success": float(first or 0.0),
        "agreed_turn": float(len(trace.turns) if outcome.agreed else 0),
        "false_agreed": float(outcome.agreed) - right,
        "unused_right": any_right_number - right,
    }


def _change(trace: Trace) -> dict[str, float]:
    """The first answer of whoever spoke first against its last. Everybody else's first has heard that one."""
    first, last, gain, found = change_of(trace.turns[0].seat, trace) if trace.turns else NO_CHANGE
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
    """Social facts in all, by seat and by speaker."""
    by_seat: dict[Seat, list[SocialFacts]] = {seat: [] for seat in conversation.speakers}
    tokens: dict[Seat, list[float]] = {seat: [] for seat in conversation.speakers}
    for turn, facts, number in zip(trace.turns, social_facts(trace), written, strict=True):
        by_seat[turn.seat].append(facts)
        tokens[turn.seat].append(number)
    totals = {seat: total(facts) for seat, facts in by_seat.items()}
    columns: dict[str, float] = total(totals.values())._asdict()
    for seat, numbers in tokens.items():
        columns[f"{seat}_turns"] = float(len(numbers))
        columns[f"{seat}_tokens"] = float(sum(numbers))
    if OPENER in conversation.speakers:
        columns["opener_first_right"] = _number(change_of(OPENER, trace).first)
    names = [speaker.name for speaker in conversation.speakers.values()]
    if len(set(names)) == len(names):
        for seat, speaker in conversation.speakers.items():
            columns |= _of_speaker(speaker.name, totals[seat], trace, seat, sum(tokens[seat]))
        if len(names) > 2:
            columns |= _who_persuades_whom(conversation, trace)
    return columns


def _of_speaker(name: str, facts: SocialFacts, trace: Trace, seat: Seat, written: float) -> dict[str, float]:
    beliefs = [turn.belief for turn in trace.turns if turn.seat == seat]
    answered = sum(belief >= 0 for belief in beliefs)
    values = (len(beliefs), answered, written, *_speaker_facts(facts))
    return dict(zip(_speaker_columns(name), map(float, values), strict=True))


_speaker_facts = attrgetter(*SPEAKER_FACTS)


@cache
def _speaker_columns(name: str) -> list[str]:
    return [f"{name}/{part}" for part in ("turns", "answered", "reply_tokens", *SPEAKER_FACTS)]


def _who_persuades_whom(conversation: Conversation, trace: Trace) -> dict[str, float]:
    found = persuasions(trace)
    columns: dict[str, float] = {}
    for a, b in permutations(conversation.speakers, 2):
        met, adopted = found.get((a, b), (0, 0))
        pair = f"{conversation.speakers[a].name}>{conversation.speakers[b].name}"
        columns |= {f"{pair}/met": float(met), f"{pair}/adopted": float(adopted)}
    return columns


def _number(value: int | None) -> float:
    return NAN if value is None else float(value)
