"""Stops a batch whose server refuses everything, after a handful of rows instead of all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from coral.errors import STOPS_THE_RUN, ModelError

HOPELESS = 16
"""So many failed rows, where none was ever answered, stop the work: the others would fare no better."""

IN_A_ROW = 20
"""After so many failures in a row, a row that was answered before is asked again."""


class Breaker:
    """Tells rows that are refused from a server that refuses whatever it is asked.

    A stretch of rows may be bad, so failures in a row prove nothing. What was answered before and is
    refused now does.

    Args:
        ask_again: asks for a row that was answered; raises what it meets.
        ever_answered: earlier sessions have answered some.
        what: is asked for, in words.
    """

    def __init__(
        self, ask_again: Callable[[], Awaitable[None]], *, ever_answered: bool, what: str = "rows"
    ) -> None:
        self._ask_again, self._ever_answered, self._what = ask_again, ever_answered, what
        self._failures = 0
        self._asking = asyncio.Lock()

    def answered(self) -> None:
        """A row was answered."""
        self._ever_answered, self._failures = True, 0

    async def failed(self, error: ModelError) -> None:
        """A row failed.

        Raises:
            ModelError: all others would fail, too.
        """
        self._failures += 1
        if not self._ever_answered:
            if self._failures >= HOPELESS:
                raise error
        elif self._failures >= IN_A_ROW:
            async with self._asking:
                await self._doubt()

    async def _doubt(self) -> None:
        if self._failures < IN_A_ROW:  # answered meanwhile
            return
        try:
            await self._ask_again()
        except STOPS_THE_RUN:
            raise
        except ModelError as error:
            told = (
                f"the latest {self._failures} {self._what} failed, and so did one that was answered before: "
                f"{error}"
            )
            raise type(error)(told, remedy=error.remedy) from None
        self._failures = 0
