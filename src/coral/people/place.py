"""A session while its run goes on: what is asked of the person, and whether their page is open."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field

from coral.people.sessions import Session

PRESENT_S = 45.0
"""A page that has asked within that time is open somewhere."""


class Signal:
    """Something that is told to everybody who waits for it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Wake all who wait."""
        self._event.set()
        self._event = asyncio.Event()

    async def heard(self, within_s: float | None = None) -> None:
        """Wait for it, for so long at most."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._event.wait(), within_s)


@dataclass
class Place:
    """A session while the run goes on.

    Attributes:
        turn: the one that is asked for; empty where none is.
        words: takes what the person says to it.
        again: takes whether to send a request again that failed; None where none has.
        wants: the person waits for a conversation to begin.
        seen_at: when its page last asked, by the monotonic clock.
        told: the version that it was told last.
    """

    session: Session
    turn: str = ""
    words: asyncio.Future[str] | None = None
    again: asyncio.Future[bool] | None = None
    wants: bool = False
    changes: int = 0
    seen_at: float = float("-inf")
    told: int = -1
    changed: Signal = field(default_factory=Signal)

    def change(self) -> None:
        """Tell its page that there is something new."""
        self.changes += 1
        self.changed.tell()

    @property
    def is_present(self) -> bool:
        """Whether its page is open somewhere."""
        return time.monotonic() - self.seen_at < PRESENT_S
