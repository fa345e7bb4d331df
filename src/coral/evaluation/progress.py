"""What a run tells while it works: counters that a face reads at its own pace. And the switch to stop it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from coral.models.retries import RetryState


class _Switch:
    """A flag that tells when it is set: the descriptor behind `Progress.stopping`."""

    def __get__(self, progress: Progress | None, _: type[Progress]) -> bool:
        # Without an instance this is where `dataclass` looks for the default.
        return False if progress is None else bool(progress.__dict__["stopping"])

    def __set__(self, progress: Progress, stopping: bool) -> None:
        before = progress.__dict__.get("stopping", False)
        progress.__dict__["stopping"] = stopping
        if stopping and not before:
            progress.tell()


@dataclass
class Progress:
    """Counters of a running job. Written by the job alone; a display polls them, off the request path.

    Attributes:
        total: conversations the run is to have at its end.
        kept: of these, finished by earlier sessions.
        done: finished in this session, failed ones included.
        completion_tokens: of this session, as far as servers report them.
        from_cache: replies of this session that the response cache had.
        retry_state: the requests that are sent again, and why.
        notes: what was changed on the way, a sentence each; a display says each of them once.
        folder: of the run, once it is claimed.
        waiting_for: what the work waits for, such as a batch, in a few words; empty where for nothing.
        stopping: set it, from any thread or signal handler, to interrupt the job: requests in flight are
            still answered and kept, no others are sent.
    """

    total: int = 0
    kept: int = 0
    done: int = 0
    failed: int = 0
    in_flight: int = 0
    agreed: int = 0
    right: int = 0
    graded: int = 0
    requests: int = 0
    replayed: int = 0
    completion_tokens: int = 0
    from_cache: int = 0
    retry_state: RetryState = field(default_factory=RetryState, compare=False)
    notes: list[str] = field(default_factory=list, compare=False)
    folder: Path | None = None
    waiting_for: Callable[[], str] = field(default=str, compare=False, repr=False)
    _listeners: list[Callable[[], object]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )
    stopping: _Switch = _Switch()
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the job began."""
        return time.monotonic() - self.started

    @property
    def remaining_s(self) -> float | None:
        """Seconds left at the pace so far; None before the first conversation ended."""
        if not self.done:
            return None
        return self.elapsed_s / self.done * (self.total - self.kept - self.done)

    @contextmanager
    def telling(self, listener: Callable[[], object]) -> Iterator[None]:
        """Call `listener` when `stopping` is set while the body runs; at once where it is set already."""
        self._listeners.append(listener)
        try:
            if self.stopping:
                listener()
            yield
        finally:
            self._listeners.remove(listener)

    def tell(self) -> None:
        """Call every listener."""
        for listener in tuple(self._listeners):
            listener()
