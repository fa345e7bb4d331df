"""A conversation without the texts of its problem."""

from __future__ import annotations

import msgspec

from coral.types import Answered, Conversation, Failure, Reply, Rollout, Turn, Unreadable

REDACTED = "[redacted]"


def redact_conversation(conversation: Conversation) -> Conversation:
    """The conversation without any text that holds or may quote the problem.

    Ids, seats, letters of answers, verdicts, tokens and times remain: all that metrics need. An answer that
    is more than a letter could be a quotation, so it is replaced, too.
    """
    problem = msgspec.structs.replace(
        conversation.problem,
        question=REDACTED,
        choices=tuple(REDACTED for _ in conversation.problem.choices),
        target=_short(conversation.problem.target),
        source={},
    )
    return msgspec.structs.replace(
        conversation,
        problem=problem,
        opening=REDACTED,
        turns=tuple(_redact_turn(turn) for turn in conversation.turns),
        failure=_redact_failure(conversation.failure),
    )


def _redact_failure(failure: Failure | None) -> Failure | None:
    return failure and msgspec.structs.replace(failure, message=REDACTED)


def _redact_turn(turn: Turn) -> Turn:
    probe = turn.probe and msgspec.structs.replace(turn.probe, reply=_redact_reply(turn.probe.reply))
    return msgspec.structs.replace(turn, replies=tuple(map(_redact_reply, turn.replies)), probe=probe)


def _redact_reply(reply: Reply) -> Reply:
    belief = reply.belief
    if isinstance(belief, Answered):
        belief = Answered(_short(belief.value))
    elif isinstance(belief, Unreadable):
        belief = Unreadable(REDACTED)
    return msgspec.structs.replace(
        reply,
        text=REDACTED,
        reasoning=reply.reasoning and REDACTED,
        belief=belief,
        extraction=msgspec.structs.replace(reply.extraction, text=reply.extraction.text and REDACTED),
        judgement=reply.judgement
        and msgspec.structs.replace(reply.judgement, text=reply.judgement.text and REDACTED),
        rollouts=tuple(map(_redact_rollout, reply.rollouts)),
    )


def _redact_rollout(rollout: Rollout) -> Rollout:
    answer = None if rollout.answer is None else _short(rollout.answer)
    return msgspec.structs.replace(rollout, answer=answer, failure=_redact_failure(rollout.failure))


def _short(answer: str) -> str:
    return answer if len(answer) == 1 else REDACTED
