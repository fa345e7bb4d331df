"""Every exception that Coral raises on purpose.

CoralError
├── UserError            the user can fix it: shown as message and remedy, without a traceback, exit code 2
│   ├── StoppedEarly     nothing came of what a run sent, or nobody answers: the rest is owed, exit code 3
│   ├── Interrupted      stopped by the user before there was a run to resume, exit code 130
│   ├── MissingExtra     an optional package is not installed: names the `pip install` to run
│   ├── DataError        a data set file is missing or a record in it is bad: names file, line and field
│   ├── RunFolderError   a run folder is locked, damaged, full, or belongs to another config
│   └── ConfigError      an option is unknown, contradictory or out of range
├── SandboxError         a killable worker or the jail gave no result (workers.py, jail/): an unknown grade
└── ModelError           one request to a model failed for good, after all retries; becomes a `Failure` record
    ├── Unreachable      no answer: connection refused or dropped, time-out, stalled response, 5xx
    │   └── Outage       no connection for as long as a request may take: the run stops
    ├── RateLimited      429 until the retries ran out
    │   └── LongWait     the server wants a pause that is longer than a request may take: the run stops
    ├── Rejected         the server refused the request (4xx); sending it again would not help
    │   └── FatalReject  every other request will be refused, too (bad key, unknown model): the run stops
    ├── ContextOverflow  the messages are longer than the model's context
    ├── ContentFiltered  the server withheld the reply
    ├── BadResponse      the reply is no usable completion: malformed, null, empty, fewer choices than asked
    ├── AgentFailed      a function or object that plays a model raised, or returned no text
    └── NoCandidate      no candidate can be kept: cut, empty, or belief not extracted
"""

from __future__ import annotations

from typing import Any


class CoralError(Exception):
    """Root of the tree above."""


class Notice(UserWarning):
    """What the user should know although nothing failed; the command line prints it as a line of its own."""


class UserError(CoralError):
    """Something the user can fix. `str()` is the cause; `remedy` says what to do.

    Attributes:
        exit_code: of a command that ends with it.
    """

    exit_code = 2

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class StoppedEarly(UserError):
    """A run stopped because it would have come to nothing. What it lacks is owed, not failed."""

    exit_code = 3


class Interrupted(UserError):
    """The user stopped the work before there was a result to return; everything so far is kept."""

    exit_code = 130


class MissingExtra(UserError):
    """An optional package is needed and not installed; `extra` is None where none of ours brings it."""

    def __init__(self, package: str, *, extra: str | None, why: str) -> None:
        wanted = f"'collaborative-reasoner[{extra}]' (from a checkout: pip install '.[{extra}]')"
        super().__init__(
            f"{why} needs the package '{package}', which is not installed",
            remedy=f"pip install {package if extra is None else wanted}",
        )


class DataError(UserError):
    """A data set file cannot be found or read, or a record in it is bad."""


class RunFolderError(UserError):
    """A run folder cannot be used as it is."""


class ConfigError(UserError):
    """An option cannot be used as given."""


class SandboxError(CoralError):
    """A call in a process that can be killed gave no result."""


class ModelError(CoralError):
    """A request failed for good. Never reaches the user as a traceback: it becomes a `Failure`.

    `str()` holds the server's own words, without secrets.

    Attributes:
        status: HTTP status of the last attempt, None where there was no response.
        attempts: how often the request was sent.
        brief: the cause without the server's words: equal refusals have equal ones.
        remedy: what the user can do about it, naming the option; empty where nothing is known to help.
        retry_after_s: how long the server asks to be left alone; None where it does not say.
        usage: tokens (a `Usage`) of replies that came, of no use but paid for; None: none came.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        attempts: int = 1,
        brief: str = "",
        remedy: str = "",
        retry_after_s: float | None = None,
        usage: Any = None,  # this module stands below types.py
    ) -> None:
        super().__init__(message)
        self.status = status
        self.attempts = attempts
        self.brief = brief or message
        self.remedy = remedy
        self.retry_after_s = retry_after_s
        self.usage = usage


class Unreachable(ModelError):
    """Refused, dropped, timed out, stalled, or a 5xx until the retries ran out."""


class RateLimited(ModelError):
    """429 until the retries ran out."""


class Outage(Unreachable):
    """No connection could be made for all of `total_timeout_s`: other requests would fare no better."""


class LongWait(RateLimited):
    """The server asks for a pause that does not fit into `total_timeout_s`: all requests have to wait."""


class Rejected(ModelError):
    """A 4xx that sending again would not change."""


class FatalReject(Rejected):
    """A refusal that every other request would meet, too: bad key, unknown model."""


class ContextOverflow(ModelError):
    """The messages do not fit into the model's context."""


class ContentFiltered(ModelError):
    """The server withheld the reply for reasons of content."""


class BadResponse(ModelError):
    """The server answered, but not with a usable completion."""


class AgentFailed(ModelError):
    """A Python function or object that plays a model raised, took too long, or returned no text."""


class NoCandidate(ModelError):
    """No candidate can be kept: each was cut, empty, or its belief could not be extracted."""


ABOUT_THE_TEXT = (BadResponse, ContentFiltered, ContextOverflow, Rejected)
"""Failures that the same request would meet again, `FatalReject` apart. Others are the network's."""

STOPS_THE_RUN = (FatalReject, LongWait, Outage)
"""Failures that every other request would meet, too: they fail no conversation, but stop the run."""
