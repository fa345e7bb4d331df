"""A run as a conversational data set: rows of `messages` as one seat sees them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from coral.conversation import protocols
from coral.errors import ConfigError, Notice
from coral.rows.run import SampledRun, open_run
from coral.store.folder import RunFolder
from coral.types import Conversation, Role, Seat


def chat_rows(folder: RunFolder, seat: Seat | None) -> Iterator[dict[str, Any]]:
    """A row per conversation: what a seat was told and heard, as `system` and `user`, and what it said, as
    `assistant`, up to its last turn. Conversations without a turn of the seat are left out, and told.

    Args:
        seat: by default the one that speaks first.

    Raises:
        UserError: the run cannot be read, or has no such seat.
    """
    run = open_run(folder.path, "", unfinished=True)
    seats = protocols.stored(run.identity).speakers
    if seat is not None and seat not in seats:
        raise ConfigError(f"this run has no seat '{seat}'", remedy=f"its seats are {', '.join(seats)}")
    return _rows(run, seat)


def _rows(run: SampledRun, seat: Seat | None) -> Iterator[dict[str, Any]]:
    silent = 0
    for conversation in run.conversations():
        whose = seat or (conversation.turns[0].seat if conversation.turns else None)
        own = [index for index, turn in enumerate(conversation.turns) if turn.seat == whose]
        if own:
            yield _row(run, conversation, own[-1])
        else:
            silent += 1
    if silent:
        named = seat or "any seat"
        warnings.warn(f"{silent} conversations without a turn of {named} are left out", Notice, stacklevel=2)


def _row(run: SampledRun, conversation: Conversation, last: int) -> dict[str, Any]:
    turn = conversation.turns[last]
    speaker = conversation.speakers[turn.seat]
    heard = [{"role": said.role.value, "content": said.content} for said in run.prompt(conversation, last)]
    return {
        "messages": [*heard, {"role": Role.ASSISTANT.value, "content": turn.reply.text}],
        "conversation": conversation.id,
        "problem": conversation.problem.id,
        "seat": turn.seat,
        "speaker": speaker.name,
        "model": speaker.model,
        "stop": conversation.stop.value,
        "right": turn.reply.correct,
    }
