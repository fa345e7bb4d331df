"""Who follows a job of several runs, such as a loop or a study, and can stop it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from coral.evaluation.progress import Progress


@dataclass
class Watch:
    """Who follows a job of several runs, and can stop it.

    Attributes:
        say: told a line when a step begins and ends.
        begin: told a run's progress when it begins, and its protocol.
        stop: set to stop after what is in flight.
    """

    say: Callable[[str], None] = lambda _line: None
    begin: Callable[[Progress, str], None] = lambda _progress, _protocol: None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    _progress: Progress | None = None

    def interrupt(self) -> None:
        """Let requests in flight finish, let a training save itself, and stop."""
        self.stop.set()
        if self._progress is not None:
            self._progress.stopping = True

    def follow(self, protocol: str) -> Progress:
        """Counters for a run that begins."""
        self._progress = Progress(stopping=self.stop.is_set())
        self.begin(self._progress, protocol)
        return self._progress
