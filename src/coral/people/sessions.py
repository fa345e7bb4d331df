"""What is kept of people, in the folder `people` of a run: who holds which link, and has talked about what.

A session is a person's place: a link with a token that cannot be guessed, and no account. All that its page
shows stands here, so that it is the same after a reload, on another day, and after the server was killed.
The folder can be read by its owner alone, since whoever has a link can speak in its place.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TypeVar

import msgspec

from coral.errors import RunFolderError
from coral.store.lines import Appender
from coral.store.whole import write_whole

FOLDER = "people"
T = TypeVar("T")


class Message(msgspec.Struct, frozen=True):
    """What a person was shown.

    Attributes:
        who: instructions, problem, beginning (the problem, and what the other first said of it), other, you,
            or aside (a question off the record).
    """

    who: str
    text: str


class Said(msgspec.Struct, frozen=True):
    """The latest words of a person, and the turn that they are of."""

    turn: str
    text: str


class Session(msgspec.Struct, forbid_unknown_fields=True):
    """A person's place.

    Attributes:
        name: of the agent that they are, such as `partner`.
        conversations: the ids of all that they began, in order.
        shown: of the latest of them, to its end.
        said: kept before it is handed on, so that nothing is asked twice.
        outcome: of the latest conversation: agreed, open, failed, or handed on; empty while it goes on.
        left: conversations that were handed on to another session.
    """

    number: int
    name: str
    token: str
    conversations: list[str] = []
    shown: list[Message] = []
    said: Said | None = None
    outcome: str = ""
    left: list[str] = []


class Door(msgspec.Struct, frozen=True):
    """Where the page was, so that links lead there again, and the token of who runs the study."""

    port: int
    token: str


class Spell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a turn was written, as the page measured it, in seconds from when it was first shown.

    Attributes:
        seconds: until it was sent; pauses, reloads and absences included.
        first_key_s: until the first key; None: none was pressed.
        away_s: of `seconds`, those in which the page was hidden or closed.
    """

    seconds: float
    first_key_s: float | None
    away_s: float


class Timed(msgspec.Struct, frozen=True):
    """A line of `people/times`: of the person's next turn in the conversation, from the first one on."""

    session: int
    conversation: str
    at: float
    seconds: float
    first_key_s: float | None
    away_s: float


class Sessions:
    """The sessions of a run, on disk.

    Raises:
        RunFolderError: the folder cannot be made, read or written, or a file in it is damaged.
    """

    def __init__(self, run: Path) -> None:
        self._folder = run / FOLDER
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            files = sorted(self._folder.glob("session-*.json"))
        except OSError as error:
            raise _unusable(self._folder, error) from None
        self.all = [_read(path, Session) for path in files]
        self._times = Appender(self._folder / "times")

    @property
    def door(self) -> Door | None:
        """Where the page was; None before the first time."""
        path = self._folder / "door.json"
        return _read(path, Door) if path.exists() else None

    def keep_door(self, door: Door) -> None:
        """Note where the page is."""
        self._write("door.json", door)

    def keep_welcome(self, text: str) -> None:
        """Keep what people were told before they began."""
        self._write_text("welcome.txt", text.encode())

    def add(self, name: str) -> Session:
        """A new session, for who is the agent of that name."""
        number = max((session.number for session in self.all), default=0) + 1
        session = Session(number=number, name=name, token=secrets.token_urlsafe(16))
        self.keep(session)
        self.all.append(session)
        return session

    def keep(self, session: Session) -> None:
        """Write a session as it is now."""
        self._write(f"session-{session.number:04}.json", session)

    def time(self, session: Session, at: float, spell: Spell) -> None:
        """Keep how a turn was written."""
        line = Timed(session.number, session.conversations[-1], at, *msgspec.structs.astuple(spell))
        self._times.append(msgspec.json.encode(line))

    def close(self) -> None:
        """Close what is open."""
        self._times.close()

    def _write(self, name: str, value: msgspec.Struct) -> None:
        self._write_text(name, msgspec.json.format(msgspec.json.encode(value)))

    def _write_text(self, name: str, text: bytes) -> None:
        try:
            write_whole(self._folder / name, text)
        except OSError as error:
            raise _unusable(self._folder, error) from None


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise _unusable(path, error) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RunFolderError(
            f"{path} is damaged: {error}", remedy="restore it from a copy; without it, its links lead nowhere"
        ) from None


def _unusable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"{path}: {error.strerror}", remedy="free space, or fix its permissions")
