"""Filters: named predicates that count what they keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from coral.types import Record

T = TypeVar("T")


class FilterCount(Record, frozen=True):
    """What one filter kept.

    Attributes:
        level: what it looks at: problems, conversations, turns, candidates or rows.
        kept: of the `of` that came through the filters before it.
    """

    level: str
    name: str
    kept: int
    of: int


@dataclass(frozen=True)
class Filter(Generic[T]):
    """A named predicate."""

    name: str
    keeps: Callable[[T], bool]


class Filters(Generic[T]):
    """Filters of one level, applied in turn."""

    def __init__(self, level: str, filters: Iterable[Filter[T]]) -> None:
        self._level = level
        self._filters = tuple(filters)
        self._tests = tuple(enumerate(one.keeps for one in self._filters))
        self._offered = 0
        self._kept = [0] * len(self._filters)

    def admits(self, value: T) -> bool:
        """Whether all filters keep it; each counts what it sees."""
        self._offered += 1
        for index, keeps in self._tests:
            if not keeps(value):
                return False
            self._kept[index] += 1
        return True

    def admitted(self, values: Sequence[T]) -> Sequence[T]:
        """Those of `values` that all filters keep."""
        self._offered += len(values)
        for index, keeps in self._tests:
            values = [value for value in values if keeps(value)]
            self._kept[index] += len(values)
        return values

    def counts(self) -> tuple[FilterCount, ...]:
        """What each filter kept so far."""
        offered = (self._offered, *self._kept)
        return tuple(
            FilterCount(level=self._level, name=one.name, kept=kept, of=of)
            for one, kept, of in zip(self._filters, self._kept, offered, strict=False)
        )
