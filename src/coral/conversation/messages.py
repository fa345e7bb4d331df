"""How chat messages are made of what was said; each protocol says which a seat sees.

Strict chat templates want `user` first, `user` and `assistant` in turn, and `user` last. The statement of the
problem is not a model's output, so it never becomes an `assistant` message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coral.types import Message, Role, Turn

CUT_OFF = "[no reply: it was cut off at the token limit]"
"""Stands for the reply of a model that was cut while it thought: servers refuse empty messages."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a seat is told before anybody has spoken.

    Attributes:
        system: the system prompt; none is sent where it is empty.
        opening: the statement of the problem.
        briefing: what only this seat is told; stands below the opening.
        system_in_user: put the system prompt at the top of the first user message, for models whose chat
            template knows no system role.
        examples: few-shot examples, as turns before the first message.
    """

    system: str
    opening: str
    briefing: str = ""
    system_in_user: bool = False
    examples: tuple[Message, ...] = ()

    @property
    def problem(self) -> str:
        """The problem as this seat knows it."""
        return f"{self.opening}\n\n{self.briefing}" if self.briefing else self.opening


def said(turn: Turn) -> str:
    """The text of a turn as others read it; never empty."""
    text = turn.reply.text
    return text if text.strip() else CUT_OFF


def dialogue(told: Told, first: str, rest: Sequence[str] = ()) -> tuple[Message, ...]:
    """A system prompt, examples, a first user message, and what was said after it, roles alternating.

    Args:
        rest: the texts behind `first`: of the seat itself, of the others, of itself, ... An even number, so
            that the last message is a user's.
    """
    spoken = (Message(Role.USER if index % 2 else Role.ASSISTANT, text) for index, text in enumerate(rest))
    messages = (*told.examples, Message(Role.USER, first), *spoken)
    if not told.system:
        return messages
    if not told.system_in_user:
        return (Message(Role.SYSTEM, told.system), *messages)
    return (Message(Role.USER, f"{told.system}\n\n{messages[0].content}"), *messages[1:])
