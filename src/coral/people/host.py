"""Who sits where: sessions, the conversations that their people begin, and what each of them is shown.

A page gets the state of its own session and nothing else. A session is shown the messages that a model in
its seat would be sent, and the words that end the conversation: no gold answer, no belief, no verdict, no
error of a server, no id of a problem.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from coral.agents.person import Host, View
from coral.errors import ModelError, UserError
from coral.evaluation.progress import Progress
from coral.models.connections import Stopped
from coral.people.place import Place, Signal
from coral.people.sessions import Message, Said, Session, Sessions, Spell
from coral.types import OPENER, Conversation, Role, StopReason

OUTCOMES = {StopReason.AGREED: "agreed", StopReason.FAILED: "failed"}
"""Of conversations, as people are told them; all others are open."""
HANDED_ON = "handed on"
"""What a person is told whose conversation somebody else has."""
LAST_LOOK_S = 3.0
"""How long the end of a run waits for open pages to hear of it."""


class WebHost(Host):
    """Receives people in their browsers.

    Args:
        pairs: sessions to make for each agent that is a person, at least.
        welcome: what people read before they begin.
        progress: of the run, which says when it stops.
        say: tells who runs the study.
        receive: serves the pages of a host while its context is open.
    """

    def __init__(
        self,
        pairs: int,
        welcome: str,
        progress: Progress,
        *,
        say: Callable[[str], None],
        receive: Callable[[WebHost], Any],
    ) -> None:
        self._pairs, self.welcome, self._progress = pairs, welcome, progress
        self._say, self._receive = say, receive
        self._epoch = secrets.token_hex(4)
        self.places: list[Place] = []
        self.stopping = False
        self._waiting: dict[str, str] = {}  # the problems of conversations that have not ended
        self._open: dict[str, str] = {}  # of these, those that nobody has begun
        self._begun: deque[str] = deque()
        self._opened, self._told = Signal(), Signal()
        self._probe = ""

    @asynccontextmanager
    async def open(
        self, folder: Path, waiting: Sequence[str], seats: Mapping[str, str], *, probe: str
    ) -> AsyncIterator[None]:
        """See `Host`. People who were in a conversation are in it again."""
        self._probe, self.seats = probe, dict(seats)
        self._waiting = {identity: identity.rpartition("#")[0] for identity in waiting}
        self._open = dict(self._waiting)
        self.folder, self.sessions = folder, Sessions(folder)
        self.sessions.keep_welcome(self.welcome)
        try:
            self.places = [Place(session) for session in self.sessions.all if session.name in seats]
            self._resume()
            for name in seats:
                while len(self._named(name)) < self._pairs:
                    self.add(name)
            loop = asyncio.get_running_loop()
            with self._progress.telling(lambda: loop.call_soon_threadsafe(self._stop)):
                async with self._receive(self):
                    yield
                    self._stop()
                    await self._last_look()
        finally:
            self.sessions.close()

    def _resume(self) -> None:
        """Give people the conversations back that they were in."""
        for place in self.places:
            session = place.session
            for identity in [one for one in session.conversations if one in self._waiting]:
                if self._who(identity)[session.name] is not place:  # killed while it was handed on
                    session.conversations.remove(identity)
                    session.left.append(identity)
                elif set(self._who(identity)) == set(self.seats):
                    if self._open.pop(identity, None) is not None:
                        self._begun.append(identity)
                else:  # the process was killed before all who take part were noted
                    session.conversations.remove(identity)
            if self._current(place):
                session.outcome = ""

    def add(self, name: str) -> Place:
        """A new session for who is the agent of that name.

        Raises:
            RunFolderError: it cannot be written.
        """
        place = Place(self.sessions.add(name))
        self.places.append(place)
        return place

    def _named(self, name: str) -> list[Place]:
        return [place for place in self.places if place.session.name == name]

    def _who(self, conversation: str) -> dict[str, Place]:
        """Who takes part in a conversation, by the names of agents."""
        return {
            place.session.name: place for place in self.places if conversation in place.session.conversations
        }

    def _current(self, place: Place) -> str | None:
        """The conversation that a person is in."""
        return next((one for one in place.session.conversations if one in self._waiting), None)

    # Beginning ---------------------------------------------------------------------------------------------

    async def begin(self) -> str | None:
        """See `Host`."""
        while True:
            if self.stopping:
                raise Stopped
            if self._begun:
                return self._begun.popleft()
            if not self._open:
                return None
            await self._opened.heard()

    def want(self, place: Place) -> None:
        """A person wants the next problem: it begins as soon as all who take part are there.

        Raises:
            RunFolderError: that cannot be written.
        """
        if self._current(place) is None and self._has_more(place):
            place.wants = True
            place.change()
            self._match()

    def look(self, place: Place) -> None:
        """A person's page has asked: they are there, and may be who somebody waits for.

        Raises:
            RunFolderError: it cannot be written that a conversation begins.
        """
        place.seen_at = time.monotonic()
        if place.wants:
            self._match()

    def _match(self) -> None:
        while (found := self._group()) is not None:
            identity, group = found
            for place in group:
                session = place.session
                begun = msgspec.structs.replace(
                    session,
                    conversations=[*session.conversations, identity],
                    shown=[],
                    said=None,
                    outcome="",
                )
                self._keep(place, begun)
                place.wants = False
            del self._open[identity]
            self._begun.append(identity)
            self._opened.tell()
        for place in self.places:
            if place.wants and not self._has_more(place):
                place.wants = False
                place.change()

    def _group(self) -> tuple[str, Sequence[Place]] | None:
        """People who are there and wait, one per seat, and a problem that none of them has had."""
        ready = [
            [place for place in self._named(name) if place.wants and place.is_present] for name in self.seats
        ]
        for group in itertools.product(*ready):
            had = {problem for place in group for problem in _had(place)}
            identity = next((one for one, problem in self._open.items() if problem not in had), None)
            if identity is not None:
                return identity, group
        return None

    def _has_more(self, place: Place) -> bool:
        """Whether there is a problem left that a person has not had."""
        had = set(_had(place))
        return any(problem not in had for problem in self._open.values())

    def hand_on(self, number: int) -> Place:
        """Give the conversation of somebody who has left to a new session: it goes on from where it stands.

        Raises:
            UserError: there is nobody of that number, they are in no conversation or still there, the run
                stops, or it cannot be written.
        """
        before = next((place for place in self.places if place.session.number == number), None)
        identity = None if before is None else self._current(before)
        if before is None or identity is None:
            raise UserError(
                f"session {number} is in no conversation",
                remedy="there is nothing to hand on: make a new link",
            )
        if before.is_present or self.stopping:
            raise UserError(
                "the study stops just now" if self.stopping else f"the page of session {number} is open",
                remedy="hand on what was left: ask them to close it, and wait for a minute",
            )
        session, place = before.session, self.add(before.session.name)
        kept = [one for one in session.conversations if one != identity]
        self._keep(
            place,
            msgspec.structs.replace(
                place.session, conversations=[identity], shown=session.shown, said=session.said
            ),
        )
        place.turn, place.words, place.again = before.turn, before.words, before.again
        before.turn, before.words, before.again = "", None, None
        self._keep(
            before,
            msgspec.structs.replace(
                session, conversations=kept, left=[*session.left, identity], shown=[], said=None,
                outcome=HANDED_ON,
            ),
        )  # fmt: skip
        self._say(f"the conversation of session {number} is that of session {place.session.number} now")
        return place

    # Turns -------------------------------------------------------------------------------------------------

    async def ask(self, view: View) -> str:
        """See `Host`. Words that were kept before the process was killed are not asked for again."""
        place = self._who(view.conversation)[view.name]
        turn = _turn_of(view)
        said = place.session.said
        if said is not None and said.turn == turn:
            return said.text
        if self.stopping:
            raise Stopped
        self._keep(place, msgspec.structs.replace(place.session, shown=self._shown(view)))
        place.turn, place.words = turn, asyncio.get_running_loop().create_future()
        place.change()
        try:
            return await place.words
        finally:
            place = self._who(view.conversation)[view.name]  # it may have been handed on
            place.turn, place.words = "", None
            place.change()

    def say(self, place: Place, turn: str, text: str, spell: Spell) -> None:
        """Take what a person says. It is on the disk before this returns; said twice, it counts once.

        Raises:
            UserError: there is nothing in it, that turn is not asked for, or it cannot be written.
        """
        session = place.session
        if session.said is not None and session.said.turn == turn:
            return
        if self.stopping:
            raise UserError("the study stops just now", remedy="your words are kept here: send them later")
        if place.words is None or place.turn != turn or place.words.done():
            raise UserError(
                "the conversation has gone on since, perhaps in another window",
                remedy="reload the page; copy your words first",
            )
        if not text.strip():
            raise UserError("there is nothing to send", remedy="write something first")
        shown = [*session.shown, Message("you", text.strip())]
        self._keep(place, msgspec.structs.replace(session, said=Said(turn, text.strip()), shown=shown))
        self.sessions.time(place.session, time.time(), spell)
        place.words.set_result(text.strip())
        place.change()

    async def again(self, conversation: str, error: ModelError) -> bool:
        """See `Host`. Whoever of them answers first decides."""
        if self.stopping:
            raise Stopped
        places = list(self._who(conversation).values())
        numbers = " and ".join(str(place.session.number) for place in places)
        self._say(f"a request failed for session {numbers}, who may have it sent again: {error}")
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        for place in places:
            place.again = answer
            place.change()
        try:
            return await answer
        finally:
            for place in self._who(conversation).values():
                place.again = None
                place.change()

    def ended(self, conversation: Conversation, unheard: Mapping[str, Sequence[str]]) -> None:
        """See `Host`."""
        self._waiting.pop(conversation.id, None)
        for name, place in self._who(conversation.id).items():
            session = place.session
            shown = [one for one in session.shown if one.who != "aside"]
            shown += [Message("other", text) for text in unheard.get(name, ()) if shown]
            outcome = OUTCOMES.get(conversation.stop, "open")
            self._keep(place, msgspec.structs.replace(session, shown=shown, outcome=outcome))
            self._say(f"session {session.number} has finished {self.done(place)}: {outcome}")

    def _shown(self, view: View) -> list[Message]:
        # Who states the problem is told it together with what the other first said of it.
        first = "beginning" if self.seats[view.name] == OPENER else "problem"
        told: list[Message] = []
        for message in view.messages:
            if message.role is Role.SYSTEM:
                who = "instructions"
            elif message.role is Role.ASSISTANT:
                who = "you"
            else:
                who = "other" if any(one.who == first for one in told) else first
            told.append(Message(who, message.content))
        if self._probe and told[-1].text == self._probe:
            told[-1] = Message("aside", self._probe)
        return told

    def _keep(self, place: Place, session: Session) -> None:
        self.sessions.keep(session)
        place.session = session
        place.change()

    # What pages are told -----------------------------------------------------------------------------------

    def done(self, place: Place) -> int:
        """How many conversations a person has finished."""
        return sum(one not in self._waiting for one in place.session.conversations)

    def phase(self, place: Place) -> str:
        """What a person may do: welcome, gathering, yours, trouble, waiting or over."""
        if self._current(place) is None:
            if place.wants:
                return "gathering"
            return "over" if place.session.conversations or place.session.left else "welcome"
        if place.words is not None and not place.words.done():
            return "yours"
        return "trouble" if place.again is not None else "waiting"

    def version(self, place: Place) -> str:
        """Names the present state of a session; that of another process differs."""
        return f"{self._epoch}.{place.changes}"

    def state(self, place: Place) -> dict[str, Any]:
        """All that a person's page is told."""
        place.told = place.changes
        self._told.tell()
        session, phase = place.session, self.phase(place)
        return {
            "version": self.version(place), "phase": phase, "turn": place.turn, "outcome": session.outcome,
            "messages": session.shown, "number": len(session.conversations), "done": self.done(place),
            "more": self._has_more(place), "welcome": self.welcome if phase == "welcome" else "",
            "slow": phase == "waiting" and self._progress.retry_state.retrying > 0,
            "closed": self.stopping,
        }  # fmt: skip

    def overview(self) -> Iterator[dict[str, Any]]:
        """What who runs the study is told of each session."""
        for place in self.places:
            session = place.session
            yield {
                "number": session.number, "seat": self.seats[session.name], "token": session.token,
                "phase": self.phase(place), "done": self.done(place), "begun": len(session.conversations),
                "present": place.is_present,
                "left": self._current(place) is not None and not place.is_present,
            }  # fmt: skip

    @property
    def left(self) -> int:
        """How many conversations nobody has begun."""
        return len(self._open)

    # The end -----------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        if self.stopping:
            return
        self.stopping = True
        for place in self.places:
            for owed in (place.words, place.again):
                if owed is not None and not owed.done():
                    owed.set_exception(Stopped())
            place.change()
        self._opened.tell()

    async def _last_look(self) -> None:
        """Wait until all pages that are open know that it is over."""
        until = time.monotonic() + LAST_LOOK_S
        while any(place.is_present and place.told != place.changes for place in self.places):
            if (left := until - time.monotonic()) <= 0:
                return
            await self._told.heard(left)


def _had(place: Place) -> Iterator[str]:
    """The ids of the problems that a person has had."""
    session = place.session
    return (identity.rpartition("#")[0] for identity in (*session.conversations, *session.left))


def _turn_of(view: View) -> str:
    """Names the turn that a view asks for, in this process and the next; it does not tell which problem."""
    told = msgspec.json.encode([view.conversation, view.name, view.messages])
    return hashlib.blake2b(told, digest_size=12).hexdigest()
