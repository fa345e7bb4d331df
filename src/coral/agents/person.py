"""A person in a seat: asked by a face, such as the terminal or a web page, for what a model would be asked.

A face shows what the seat sees, and nothing else, and gives back what the person says. The rest is as of any
model: beliefs are found in the words, the time is recorded, and the journal keeps each turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from coral.errors import ConfigError
from coral.models.config import HUMAN
from coral.models.connections import Connections, Stopped
from coral.models.protocol import Candidate, Generation, Request
from coral.types import FinishReason, Message, Usage

NO_TOKENS = Usage(prompt_tokens=0, completion_tokens=0, reasoning_tokens=0, cached_tokens=0)
"""What the words of a person cost."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What a seat sees when it is to speak.

    Attributes:
        conversation: which one; only to tell one from another, since an id may say what a seat is not told.
        messages: all that the seat sees, as a model would be sent it; its own turns are the assistant's.
        seen: how many of them this face has shown before.
    """

    conversation: str
    messages: Sequence[Message]
    seen: int = 0

    @property
    def fresh(self) -> Sequence[Message]:
        """The messages that are new."""
        return self.messages[self.seen :]


class Face(Protocol):
    """Where a person sits."""

    async def ask(self, view: View) -> str:
        """Show what is new, and wait for what the person says, for as long as that takes.

        Raises:
            Stopped: the person has had enough, or the run ends.
        """
        ...


class Person:
    """A person as a model. One turn at a time is asked for.

    Args:
        connections: say whether the run ends.
    """

    name = HUMAN

    def __init__(self, face: Face, connections: Connections) -> None:
        self._face, self._connections = face, connections
        self._turn = asyncio.Lock()
        self._shown: tuple[str, Sequence[Message]] = ("", ())

    async def generate(self, request: Request) -> Generation:
        """What the person says to the messages of `request`; the latency is the time they took.

        Raises:
            Stopped: the person has had enough, or the run ends.
        """
        assert request.n == 1, "a person speaks once per turn"
        async with self._turn:
            if self._connections.stopping:
                raise Stopped
            view = self._view(request)
            started = time.monotonic()
            text = await self._face.ask(view)
            self._shown = (request.conversation_id, request.messages)
            return Generation(
                candidates=(Candidate(text=_whole(text), finish_reason=FinishReason.STOP, usage=NO_TOKENS),),
                usage=NO_TOKENS,
                latency_s=time.monotonic() - started,
            )

    def _view(self, request: Request) -> View:
        conversation, before = self._shown
        seen = 0
        if conversation == request.conversation_id:
            pairs = zip(before, request.messages, strict=False)
            seen = next(
                (i for i, (a, b) in enumerate(pairs) if a != b), min(len(before), len(request.messages))
            )
        return View(conversation=request.conversation_id, messages=request.messages, seen=seen)

    async def __aenter__(self) -> Person:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""


def person(face: Face | None, connections: Connections) -> Person:
    """The person at a face.

    Raises:
        ConfigError: there is no face.
    """
    if face is None:
        raise ConfigError(
            "a person takes part, and nobody is asked here",
            remedy="run `coral chat TASK`, or `coral eval TASK --partner human`, in a terminal",
        )
    return Person(face, connections)


def _whole(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which no file can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
