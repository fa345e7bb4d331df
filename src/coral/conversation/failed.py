"""A request that failed for good, with what its turn had cost: the one place where it becomes data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from coral.errors import STOPS_THE_RUN, ContextOverflow, ModelError
from coral.types import Failure, Spent, StopReason, Turn


class CallFailed(Exception):
    """A request failed for good; `where` says what was being done, `spent` what its turn had cost."""

    def __init__(self, where: str, error: ModelError, spent: Iterable[Spent]) -> None:
        super().__init__(where)
        self.where, self.error, self.spent = where, error, tuple(spent)

    def ending(self, turns: Sequence[Turn]) -> tuple[StopReason, Failure | None]:
        """A full context ends a conversation that has begun; everything else fails it."""
        if isinstance(self.error, ContextOverflow) and turns:
            return StopReason.CONTEXT_FULL, None
        return StopReason.FAILED, Failure(
            where=self.where,
            type=type(self.error).__name__,
            message=str(self.error),
            status=self.error.status,
            attempts=self.error.attempts,
            spent=self.spent,
        )


@contextmanager
def blaming(where: str, role: str) -> Iterator[None]:
    """Note what was being done, and who was asked, when a request failed for good."""
    try:
        yield
    except STOPS_THE_RUN:
        raise
    except ModelError as error:
        paid = () if error.usage is None else (Spent(role=role, calls=0, requests=0, usage=error.usage),)
        raise CallFailed(where, error, paid) from error


@contextmanager
def adding(spent: Iterable[Spent]) -> Iterator[None]:
    """Where a request fails for good, what was spent in its turn before that is lost, and counted."""
    try:
        yield
    except CallFailed as failed:
        failed.spent = (*spent, *failed.spent)
        raise
