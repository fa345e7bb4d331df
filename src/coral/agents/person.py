"""A person in a seat: asked by a face, such as the terminal or a web page, for what a model would be asked.

A face shows what the seat sees, and nothing else, and gives back what the person says. The rest is as of any
model: beliefs are found in the words, the time is recorded, and the journal keeps each turn.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from coral.errors import ConfigError, ContextOverflow, FatalReject, ModelError
from coral.models.config import HUMAN
from coral.models.connections import Connections, Stopped
from coral.models.protocol import Candidate, Generation, Model, Request
from coral.types import Conversation, FinishReason, Message, Usage, encodable

NO_TOKENS = Usage(prompt_tokens=0, completion_tokens=0, reasoning_tokens=0, cached_tokens=0)
"""What the words of a person cost."""

MOST_AT_ONCE = 1_000
"""Conversations that a host has at once. One that nobody has begun costs nothing."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What a seat sees when it is to speak.

    Attributes:
        conversation: which one; only to tell one from another, since an id may say what a seat is not told.
        messages: all that the seat sees, as a model would be sent it; its own turns are the assistant's.
        seen: how many of them this face has shown before.
        name: of the agent that the person is, such as `partner`.
    """

    conversation: str
    messages: Sequence[Message]
    seen: int = 0
    name: str = ""

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


class Host(ABC):
    """A face for several people, each in a conversation of their own: says which one begins when."""

    @abstractmethod
    async def ask(self, view: View) -> str:
        """See `Face`."""

    @abstractmethod
    def open(
        self, folder: Path, waiting: Sequence[str], seats: Mapping[str, str], *, probe: str
    ) -> AbstractAsyncContextManager[None]:
        """Receive people while the context is open.

        Args:
            folder: of the run, where a host may keep who talks about what.
            waiting: the ids of all conversations that are to be held.
            seats: the seat of each agent that is a person, by the agent's name.
            probe: the question that is asked off the record; empty where none is.

        Raises:
            UserError: people cannot be received.
        """

    @abstractmethod
    async def begin(self) -> str | None:
        """Wait until somebody begins a conversation: its id; None when there is none left to begin.

        Raises:
            Stopped: the run ends.
        """

    @abstractmethod
    async def again(self, conversation: str, error: ModelError) -> bool:
        """Tell who waits in a conversation that a request failed, and wait for whether to send it again.

        Raises:
            Stopped: the run ends.
        """

    @abstractmethod
    def ended(self, conversation: Conversation, unheard: Mapping[str, Sequence[str]]) -> None:
        """Be told that a conversation is over, and kept.

        Args:
            unheard: what was said after each person's last turn, by the agent's name.
        """

    def of(self, model: Model) -> Model:
        """The model, whose failures are told to who waits for it."""
        return model if isinstance(model, Person) else _Awaited(model, self)


class _Awaited:
    """A model that somebody waits for: what failed is sent again if they say so."""

    def __init__(self, model: Model, host: Host) -> None:
        self._model, self._host = model, host
        self.name = model.name

    async def generate(self, request: Request) -> Generation:
        """See `Model`. A wrong key still stops the run, and a full context ends the conversation."""
        while True:
            try:
                return await self._model.generate(request)
            except (FatalReject, ContextOverflow):
                raise
            except ModelError as error:
                if not await self._host.again(request.conversation_id, error):
                    raise

    async def __aenter__(self) -> _Awaited:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The model is closed by who opened it."""


class Person:
    """A person as a model. One turn at a time is asked for, of a host one per conversation.

    Args:
        connections: say whether the run ends.
        agent: the name of the agent that the person is.

    Attributes:
        at_once: how many conversations may be held at once.
    """

    name = HUMAN

    def __init__(self, face: Face, connections: Connections, agent: str = "") -> None:
        self.at_once = MOST_AT_ONCE if isinstance(face, Host) else 1
        self._face, self._connections, self._agent = face, connections, agent
        self._turn = asyncio.Semaphore(self.at_once)
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
                candidates=(
                    Candidate(text=encodable(text), finish_reason=FinishReason.STOP, usage=NO_TOKENS),
                ),
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
        return View(
            conversation=request.conversation_id, messages=request.messages, seen=seen, name=self._agent
        )

    async def __aenter__(self) -> Person:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""


def person(face: Face | None, connections: Connections, agent: str = "") -> Person:
    """The person at a face, under an agent's name.

    Raises:
        ConfigError: there is no face.
    """
    if face is None:
        raise ConfigError(
            "a person takes part, and nobody is asked here",
            remedy="run `coral chat TASK`, or `coral eval TASK --partner human`, in a terminal",
        )
    return Person(face, connections, agent)
