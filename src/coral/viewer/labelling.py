"""Readings by people: they see a message and its problem, and write which answer it submits.

AUDIT/people/NAME.csv  the sheet of the audit with the answers of one person, written anew with every answer

Nobody sees gold, the first reading, the run or the seat, or what others wrote. Everybody reads in the same
order, so that people who stop early have read the same texts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from coral.audits.people import sheet_name
from coral.audits.sheet import UNREADABLE, UNSURE, Text, answers_in, belief_of, set_answer, write_sheet
from coral.errors import RunFolderError, UserError
from coral.tasks.protocol import Task
from coral.viewer import queries
from coral.viewer.wire import answer, said


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person sends: the answer that a text submits, in their own spelling."""

    judge: str
    key: str
    answer: str


class Labelling:
    """The sheets of an audit, read and written.

    Args:
        folder: of the sheets.
        texts: of the audit, by key.
    """

    def __init__(self, folder: Path, texts: Mapping[str, Text], task: Task) -> None:
        self.folder = folder
        self._texts, self._task = texts, task
        self._keys = sorted(texts)
        self._writing = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """What the page asks of it."""
        return [web.get("/api/labels", self._shown), web.post("/api/labels", self._take)]

    def shown(self, person: str, at: int | None = None) -> dict[str, Any]:
        """A text as a person sees it, or that all are read.

        Args:
            at: its number in the order, from 0; None: the first one that the person has not read.

        Raises:
            UserError: the name will not do, or the person's sheet cannot be read.
        """
        given = answers_in(self.folder / sheet_name(person))
        waiting = [number for number, key in enumerate(self._keys) if not given.get(key)]
        counts = {"read": len(self._keys) - len(waiting), "count": len(self._keys)}
        if at is None and not waiting:
            return {"done": True, **counts}
        number = waiting[0] if at is None else min(at, len(self._keys) - 1)
        text = self._texts[self._keys[number]]
        return {
            "done": False, **counts, "number": number, "key": text.key, "answer": given.get(text.key, ""),
            "question": self._task.opening(text.problem), "message": text.message,
            "how": self._task.instruction, "words": [UNSURE, UNREADABLE],
        }  # fmt: skip

    def take(self, person: str, key: str, written: str) -> None:
        """Keep an answer.

        Raises:
            UserError: it is none, there is no such text, or it cannot be written.
        """
        path, written = self.folder / sheet_name(person), written.strip()
        if key not in self._texts:
            raise UserError(f"there is no text '{key}'", remedy="reload the page")
        if belief_of(written, self._texts[key].problem, self._task) is None:
            raise UserError(
                f"'{written}' is not an answer",
                remedy=f"write one as the task wants it, '{UNSURE}' or '{UNREADABLE}'",
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_sheet(path, self._texts.values(), self._task)
            set_answer(path, key, written)
        except OSError as error:
            raise RunFolderError(
                f"cannot write {path}: {error.strerror}", remedy="free space, then answer again"
            ) from None

    async def _shown(self, request: web.Request) -> web.StreamResponse:
        at = queries.number(request.query, "at", 0) if request.query.get("at") else None
        return answer(await asyncio.to_thread(self.shown, request.query.get("judge", ""), at))

    async def _take(self, request: web.Request) -> web.StreamResponse:
        found = await said(request, Label)
        async with self._writing:  # two windows of one person
            await asyncio.to_thread(self.take, found.judge, found.key, found.answer)
        return answer(await asyncio.to_thread(self.shown, found.judge))
