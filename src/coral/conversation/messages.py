"""How a conversation looks to the one who speaks next: the only place that makes chat messages.

Strict chat templates want `user` first, `user` and `assistant` in turn, and `user` last. The opener's
statement of the problem is no model output, so it never becomes an `assistant` message: the responder
reads it as the first user message, and the opener meets it again, framed, together with the first reply.
"""

from __future__ import annotations

from collections.abc import Sequence

from coral import prompts
from coral.types import Message, Role, Seat

CUT_OFF = "[no reply: it was cut off at the token limit]"
"""Stands for the reply of a model that was cut while it thought: servers refuse empty messages."""


def messages_for(
    seat: Seat,
    *,
    system: str,
    opening: str,
    briefing: str,
    replies: Sequence[str],
    system_in_user: bool = False,
    asked_again: str = "",
) -> tuple[Message, ...]:
    """The messages that `seat` answers to.

    Args:
        seat: who speaks next.
        system: the system prompt; none is sent where it is empty.
        opening: the statement of the problem.
        briefing: what only this seat was told; stands below the opening.
        replies: the texts of all turns so far. The responder spoke the first.
        system_in_user: put the system prompt at the top of the first user message,
            for models whose chat template knows no system role.
        asked_again: of one agent alone: what it is asked behind a reply that submits no answer. There is no
            partner then, and `replies` are its own.

    Returns:
        Messages that open (after the system message) and close with `user`, roles alternating.
    """
    heard = [reply if reply.strip() else CUT_OFF for reply in replies]
    stated = f"{opening}\n\n{briefing}" if briefing else opening
    if seat is Seat.RESPONDER:
        first, rest = stated, heard
    else:
        first = prompts.render(prompts.builtin("first_reply"), opening=stated, reply=heard[0])
        rest = heard[1:]
    if system and system_in_user:
        first = f"{system}\n\n{first}"
    head = (Message(Role.SYSTEM, system),) if system and not system_in_user else ()
    if asked_again and replies:
        return (*head, *_again(first, replies[-1], asked_again))
    spoken = (Message(Role.USER if index % 2 else Role.ASSISTANT, text) for index, text in enumerate(rest))
    return (*head, Message(Role.USER, first), *spoken)


def _again(first: str, reply: str, asked: str) -> tuple[Message, ...]:
    """The request for an answer behind a reply. No message may be empty, so an empty reply is left out."""
    if not reply.strip():
        return (Message(Role.USER, f"{first}\n\n{asked}"),)
    return Message(Role.USER, first), Message(Role.ASSISTANT, reply), Message(Role.USER, asked)
