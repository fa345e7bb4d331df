"""Tells trackers of a run, and never waits for one longer than it may.

Each service is called in a thread of its own. What it raises, and that it does not return, becomes one line
for the user; the run goes on, and its own files hold all that the service was to get.
"""

from __future__ import annotations

import asyncio
import importlib.util
import threading
import time
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from coral.errors import ConfigError, MissingExtra
from coral.trackers.services import SERVICES, Open, Service, Table

ENDS_WITHIN_S = 30.0
"""So long the end of a run waits for all trackers together."""
MOST_WAITING = 1_000
"""So many calls may wait for a service that does not answer; further figures on the way are dropped."""
LONGEST_CAUSE = 300

Look = Callable[[], tuple[int, Mapping[str, float | None]]]
"""Says at which step a run is, and its figures."""


def reporters(report_to: str) -> tuple[str, ...]:
    """The services that an option names.

    Raises:
        ConfigError: there is no such service.
    """
    names = tuple(dict.fromkeys(name.strip() for name in report_to.split(",") if name.strip()))
    if names in ((), ("none",)):
        return ()
    for name in names:
        if name not in SERVICES:
            raise ConfigError(
                f"cannot report to '{name}'",
                remedy=f"give none, or one or more of {', '.join(SERVICES)}, with commas",
            )
    return names


def require(names: tuple[str, ...]) -> None:
    """Make sure that services are installed before anything is paid for.

    Raises:
        MissingExtra: one is not.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise MissingExtra(name, extra="track", why=f"--report_to {name}")


class Report:
    """A run at some trackers.

    Args:
        names: of the services.
        say: told, from any thread, what became of a tracker that failed.
        services: what there is, by name.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        folder: Path,
        config: Mapping[str, Any],
        say: Callable[[str], object],
        *,
        services: Mapping[str, Open] = SERVICES,
    ) -> None:
        self._lines = [
            _Line(name, lambda name=name: services[name](folder, folder.name, config), say)  # type: ignore[misc]
            for name in names
        ]
        self._say = say

    def log(self, step: int, figures: Mapping[str, float | None]) -> None:
        """Figures at a step; those that are not known are left out."""
        known = {name: float(value) for name, value in figures.items() if value is not None}
        for line in self._lines:
            line.put(lambda service: service.log(step, known), most=MOST_WAITING)

    def table(self, name: str, table: Table) -> None:
        """A table, at the end."""
        for line in self._lines:
            line.put(lambda service: service.table(name, table))

    async def follow(self, look: Look, every_s: float) -> None:
        """Log what `look` finds, again and again, where its step has grown; until it is cancelled."""
        last = -1
        while True:
            await asyncio.sleep(every_s)
            step, figures = look()
            if step > last:
                self.log(step, figures)
                last = step

    async def close(self, within_s: float = ENDS_WITHIN_S) -> None:
        """Let the trackers send what is left, but no longer than that."""
        for line in self._lines:
            line.end()
        until = time.monotonic() + within_s
        for line in self._lines:
            ended = await asyncio.to_thread(line.ended.wait, max(0.0, until - time.monotonic()))
            if not ended:
                self._say(
                    f"{line.name} did not take everything within {within_s:g} s: it is left alone, and the "
                    "run's own files hold it all"
                )


class _Line:
    """The calls of one service, in the order in which they were made."""

    def __init__(self, name: str, open_service: Callable[[], Service], say: Callable[[str], object]) -> None:
        self.name, self.ended = name, threading.Event()
        self._open, self._say = open_service, say
        self._calls: SimpleQueue[Callable[[Service], object] | None] = SimpleQueue()
        threading.Thread(target=self._work, name=f"coral-{name}", daemon=True).start()

    def put(self, call: Callable[[Service], object], *, most: float = inf) -> None:
        """Make a call when those before it are made, unless more than `most` wait already."""
        if not self.ended.is_set() and self._calls.qsize() < most:
            self._calls.put(call)

    def end(self) -> None:
        """No call follows."""
        self._calls.put(None)

    def _work(self) -> None:
        try:
            service = self._open()
            while (call := self._calls.get()) is not None:
                call(service)
            service.finish()
        except BaseException as error:  # noqa: BLE001 - foreign code, which may call sys.exit
            cause = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_CAUSE]
            self._say(f"{self.name} gets nothing more of this run ({cause}); the run's own files hold it all")
        finally:
            self.ended.set()
