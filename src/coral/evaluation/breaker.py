"""A circuit breaker: stops a run that would come to nothing, after a handful of requests instead of all.

What a server refuses every time, it refuses for a reason that the user can fix: a parameter, a system role,
a prompt that never fits, an account that is used up. Failing every conversation for it would cost money, and
`--retry_failed` afterwards. So the run stops, and what it lacks is owed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NoReturn

from coral.budget import OutOfBudget
from coral.errors import (
    AgentFailed,
    BadResponse,
    ContentFiltered,
    ContextOverflow,
    LongWait,
    ModelError,
    Outage,
    RateLimited,
    StoppedEarly,
    Unreachable,
)
from coral.evaluation.progress import Progress
from coral.models.protocol import Model
from coral.types import Belief, Conversation, Judgement, StopReason, Unreadable

HANDFUL = 5
"""Failed requests to a model that never answered, or conversations without a candidate, that stop a run."""

LATER = 20
"""Failures in a row that stop a run that has come to something before: some texts may be refused in a row."""

UNREADABLE = 40
"""So many beliefs stop a run if none of them can be read, and so many judgements without a verdict."""


def _and_then(remedy: str) -> str:
    return " Then" if remedy.endswith("?") else ", then"


_THEN = "run the command again: nothing was stored as failed (--max_failed_rate 1 never stops for this)"

_NO_ANSWER = (BadResponse, RateLimited, Unreachable)
"""Failures that may mean that nobody is there who could answer. Others are refusals of what was asked."""

_ABOUT_ONE_TEXT = (ContentFiltered, ContextOverflow)
"""Failures that, from a model that answers, say nothing about other requests."""

_REMEDIES = {
    "cut by": "raise --agent.max_tokens",
    "the extractor's reply was empty or cut": "raise --extractor.max_tokens, or change --extractor.model",
    "the extractor gave no reply": "change --extractor.model, or use --extractor.mode rules",
    "extractor failed": "mend the extractor: it returns the answer as a text, None, or a belief of coral",
    "the extractor finds no": "mend the extractor, or use --extractor.mode hybrid with an --extractor.model",
    "reader failed": "mend the task's read: it returns coral.Answered, coral.Unsure or coral.Unreadable",
    "not read by rules": "use --extractor.mode hybrid with an --extractor.model",
}
"""Options that help, by words of the reason for which a belief was not read."""


@dataclass
class _Row:
    """The latest requests to one model that failed, none of them answered."""

    answered: bool = False
    failures: int = 0
    retract: list[Callable[[], None]] = field(default_factory=list)


class Breaker:
    """Watches what comes of a run's requests, conversations and beliefs.

    Args:
        reached: whether any request of the run was ever answered with a completion.
        ended_well: whether earlier sessions have ended a conversation that did not fail.
        lenient: the user accepts failures of any number: only a server that nobody reaches stops the run.
        halt: told the cause before it is raised: what raises may be one of several calls that are awaited
            together.
    """

    def __init__(
        self,
        *,
        reached: Callable[[], bool],
        ended_well: bool,
        lenient: bool,
        halt: Callable[[StoppedEarly], None],
    ) -> None:
        self._reached, self._lenient, self._halt = reached, lenient, halt
        self._came_to_something = self._ended_well = ended_well
        self._rows: dict[tuple[int, bool], _Row] = {}
        self._unanswered = 0
        self._fruitless = 0
        self._unreadable: Counter[str] = Counter()
        self._readable = False
        self._without_verdict = 0
        self._judges = False
        self._tripped = False

    def answered(self, model: Model, *, probe: bool = False) -> None:
        """A model answered a request.

        Args:
            probe: it was a probe. These are watched apart: a run that asks for them comes to nothing if all
                are refused, whatever else is answered.
        """
        self._unanswered = 0
        row = self._rows.get((id(model), probe))
        if row is None or row.failures or not row.answered:
            self._rows[id(model), probe] = _Row(answered=True)

    def refused(
        self, model: Model, error: ModelError, retract: Callable[[], None], *, probe: bool = False
    ) -> None:
        """A request to a model failed for good.

        Args:
            probe: see `answered`.
            retract: makes the next session ask again; called if the failure turns out to be everybody's.

        Raises:
            StoppedEarly: every request fails.
        """
        if isinstance(error, AgentFailed):  # each conversation says so, and nothing was paid
            return
        row = self._rows.setdefault((id(model), probe), _Row())
        if isinstance(error, _NO_ANSWER) and not self._reached():
            retract()
            self._trip(
                f"no request of this run was answered: {error}",
                error.remedy,
                "run the same command again: nothing was stored as failed; `coral doctor` tells more",
            )
        if self._lenient or (row.answered and isinstance(error, _ABOUT_ONE_TEXT)):
            return
        row.failures += 1
        row.retract.append(retract)
        self._unanswered += 1
        new = not (row.answered or self._came_to_something)
        if row.failures >= (HANDFUL if new else LATER) or self._unanswered >= LATER or self._tripped:
            self._tripped = True
            for each in self._rows.values():
                while each.retract:
                    each.retract.pop()()
            which = "none of the" if new else f"none of the latest {row.failures}"
            what = "probes of" if probe else "requests to"
            self._trip(f"{which} {what} {model.name} came to anything: {error}", error.remedy)

    def ended(self, conversation: Conversation) -> None:
        """A conversation ended.

        Raises:
            StoppedEarly: no conversation ends well, although requests are answered.
        """
        failure = conversation.failure
        if conversation.stop is not StopReason.FAILED:
            self._ended_well, self._fruitless = True, 0
        elif failure is not None and failure.type == "NoCandidate" and not self._lenient:
            self._fruitless += 1
            if self._fruitless >= (LATER if self._ended_well else HANDFUL):
                self._trip(
                    f"each of {self._fruitless} conversations failed in {failure.where}: {failure.message}",
                    _remedy_of(failure.message),
                )

    def believed(self, belief: Belief) -> None:
        """A belief was found, or not.

        Raises:
            StoppedEarly: none can be read.
        """
        if self._readable or self._lenient:
            return
        if not isinstance(belief, Unreadable):
            self._readable = True
            return
        self._unreadable[belief.reason] += 1
        if self._unreadable.total() >= UNREADABLE:
            why, remedy = nothing_read(self._unreadable)
            self._trip(f"no answer could be read from the first {UNREADABLE} replies; {why}", remedy)

    def judged(self, judgement: Judgement) -> None:
        """A judge replied.

        Raises:
            StoppedEarly: it never gives a verdict.
        """
        self._judges = self._judges or judgement.verdict is not None
        if self._judges or self._lenient:
            return
        self._without_verdict += 1
        if self._without_verdict >= UNREADABLE:
            self._trip(
                f"none of the first {UNREADABLE} replies of the judge holds a verdict, such as "
                f"{(judgement.text or '')[:200]!r}",
                "change --task.judge.model, or raise --task.judge.max_tokens",
            )

    def suspects(self, models: Iterable[Model]) -> bool:
        """Whether it may still turn out that these models fail every request, or all conversations fail."""
        rows = (self._rows.get((id(model), probe)) for model in models for probe in (False, True))
        return self._fruitless > 0 or any(row is not None and row.failures > 0 for row in rows)

    def _trip(self, cause: str, remedy: str, then: str = _THEN) -> NoReturn:
        error = StoppedEarly(cause, remedy=f"{remedy or 'fix that'}{_and_then(remedy)} {then}")
        self._halt(error)
        raise error


def nothing_read(reasons: Counter[str]) -> tuple[str, str]:
    """Why most of some unreadable beliefs were not read, and what helps."""
    reason, times = reasons.most_common(1)[0]
    often = f"{times} time{'s' * (times > 1)}: {reason}"
    return often, _remedy_of(reason) or "use --extractor.mode model, or a prompt that asks for the answer"


def _remedy_of(words: str) -> str:
    return next((remedy for part, remedy in _REMEDIES.items() if part in words), "")


def told(cause: BaseException, progress: Progress) -> BaseException:
    """What the user hears of the cause that stopped a run."""
    finished = progress.kept + progress.done
    kept = f"{finished} of {progress.total} conversations are finished, the others are owed, none has failed"
    if isinstance(cause, LongWait):
        until = _time_of_day(cause.retry_after_s or 0.0)
        return StoppedEarly(
            f"the server wants no requests before {until}: {cause}",
            remedy=f"run the same command again after {until}: {kept}",
        )
    if isinstance(cause, Outage):
        fix = cause.remedy or "wait until the server is there again"
        return StoppedEarly(str(cause), remedy=f"{fix}, then run the same command again: {kept}")
    if isinstance(cause, OutOfBudget):
        return OutOfBudget(str(cause), remedy=f"run the same command again with a higher limit: {kept}")
    return cause


def _time_of_day(seconds: float) -> str:
    """The local time in so many seconds, with its date where that is not today's."""
    then = time.localtime(time.time() + seconds)
    is_today = then[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S", then)
