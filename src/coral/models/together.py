"""Calls made at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def all_of(calls: Iterable[Awaitable[T]]) -> list[T]:
    """The results of several calls made at once; all have ended when this returns or raises.

    So when one cannot be made, or a run stops, the requests of the others still arrive and are kept.

    Raises:
        BaseException: the first error, in the order of the calls.
    """
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    results: list[T] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        results.append(outcome)
    return results
