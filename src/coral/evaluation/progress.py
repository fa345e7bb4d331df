"""What a run tells while it works: counters that a face reads at its own pace. And the switch to stop it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from coral.metrics.outcome import at_a_glance
from coral.models.retries import RetryState
from coral.types import Conversation, StopReason


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
        place: the folder that is worked in; empty until it is known what there is to do.
        total: conversations the run is to have at its end.
        kept: of these, finished by earlier sessions.
        done: finished in this session, failed ones included.
        agreed: of those done, ended in agreement.
        scored: of those done, neither failed nor without a grade.
        right: of these, right: agreed on the right answer where several talk, else the last answer.
        last_answer_counts: right is the last answer of who speaks first: beside a control partner.
        graded: of those done, whose last answer has a grade; 0 where no problem has a gold answer.
        completion_tokens: of this session, as far as servers report them.
        from_cache: replies of this session that the response cache had.
        retry_state: the requests that are sent again, and why.
        notes: what was changed on the way, a sentence each; a display says each of them once.
        folder: of the run, once it is claimed.
        waiting_for: what the work waits for, such as a batch, in a few words; empty where for nothing.
        stopping: set it, from any thread or signal handler, to interrupt the job: requests in flight are
            still answered and kept, no others are sent.
    """

    place: str = ""
    total: int = 0
    kept: int = 0
    done: int = 0
    failed: int = 0
    in_flight: int = 0
    agreed: int = 0
    scored: int = 0
    right: int = 0
    last_answer_counts: bool = False
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

    def count(self, conversation: Conversation) -> None:
        """Count a conversation that ended in this session."""
        right, has_grade = at_a_glance(conversation, last_answer_counts=self.last_answer_counts)
        self.done += 1
        self.failed += conversation.stop is StopReason.FAILED
        self.agreed += conversation.stop is StopReason.AGREED
        self.scored += right is not None
        self.right += bool(right)
        self.graded += has_grade

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
