"""Watches what comes of the requests to the second extractor: what it refuses is no reading."""

from __future__ import annotations

from collections.abc import Callable

from coral.conversation import calls
from coral.errors import ABOUT_THE_TEXT, FatalReject, ModelError, StoppedEarly
from coral.evaluation.breaker import HANDFUL
from coral.models.connections import Stopped
from coral.models.protocol import Generation, Model, Request
from coral.store.journal import Calls


class Watch:
    """Stops an audit in which nothing is answered, and takes back what it kept of that.

    Attributes:
        unanswered: the texts that the second extractor did not answer about, by key.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self.unanswered: set[str] = set()
        self._stop = stop
        self._answered = False
        self._cause: ModelError | None = None
        self._latest: ModelError | None = None
        self._retract: list[Callable[[], None]] = []

    def over(self, key: str, journaled: Calls) -> calls.Calls:
        """The journal's calls about one text, watched."""

        async def call(step: str, model: Model, request: Request) -> Generation:
            is_new = not journaled.holds(step)
            try:
                generation = await journaled(step, model, request)
            except ModelError as error:
                self.unanswered.add(key)
                self._note(error, (lambda: journaled.retract(step)) if is_new else None)
                raise
            self._answered = True
            return generation

        return call

    def _note(self, error: ModelError, retract: Callable[[], None] | None) -> None:
        self._latest = error
        if isinstance(error, FatalReject) or not isinstance(error, ABOUT_THE_TEXT):
            self._end(error)
        elif retract is not None:
            self._retract.append(retract)
            if self._cause is not None or (not self._answered and len(self._retract) >= HANDFUL):
                self._end(error)

    def _end(self, cause: ModelError) -> None:
        """Send nothing more. What was refused meanwhile is asked again by the next session."""
        self._cause = self._cause or cause
        while self._retract and not self._answered:
            self._retract.pop()()
        self._stop()

    def check(self, error: ModelError | Stopped | None = None) -> None:
        """Whether the readings can be used.

        Args:
            error: what ended the requests, if anything did.

        Raises:
            StoppedEarly: they ended early, or brought nothing at all.
        """
        found = error if isinstance(error, ModelError) else None
        cause = self._cause or found or (None if self._answered else self._latest)
        if cause is None:
            return
        fix = cause.remedy and f"{cause.remedy}; then "
        raise StoppedEarly(
            f"the second extractor could not be asked: {cause}",
            remedy=f"{fix}run the same command again: what it has read is kept",
        )
