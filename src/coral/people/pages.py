"""How people take part in what the viewer shows: in a seat, as judges, or reading answers.

None of them may see the viewer's pages: gold and verdicts stand there. So each has a page with a token of its
own. Judges and readers need no model, and their pages are opened here, by this process on ports of their own;
for the seats there is a command.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import msgspec
from aiohttp import web

from coral.errors import UserError
from coral.people.invitations import seat
from coral.serving.admission import names_of
from coral.viewer import queries
from coral.viewer.judging import judging_of
from coral.viewer.runs import ViewedRun
from coral.viewer.serve import listening
from coral.viewer.server import Form, ViewServer
from coral.viewer.wire import answer, said


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page sends: which page it wants, and the numbers of the runs that it is about."""

    what: Literal["judge", "label"]
    runs: tuple[int, ...]


class PeoplePages:
    """Pages for people, opened when they are asked for; they close with the context.

    Args:
        runs: those on display.
        host: where the viewer listens.
    """

    def __init__(self, runs: Sequence[ViewedRun], host: str) -> None:
        self._runs, self._host = runs, host
        self._stack = AsyncExitStack()
        self._opened: dict[Wish, dict[str, Any]] = {}
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> PeoplePages:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def routes(self) -> list[web.RouteDef]:
        """What the page asks of it."""
        return [web.get("/api/people", self._list), web.post("/api/people", self._open)]

    async def _list(self, request: web.Request) -> web.StreamResponse:
        """The commands for a run."""
        folder = self._at(queries.number(request.query, "run", 0)).index.folder
        return answer({"seat": seat(folder), "label": f"coral audit {_words([folder.path])} --label"})

    async def _open(self, request: web.Request) -> web.StreamResponse:
        wish = await said(request, Wish)
        paths = [self._at(number).index.folder.path for number in wish.runs]
        async with self._opening:
            if wish not in self._opened:
                self._opened[wish] = await (self._label if wish.what == "label" else self._judge)(paths)
        return answer(self._opened[wish])

    async def _label(self, paths: Sequence[Path]) -> dict[str, Any]:
        from coral.audits.audit import AuditConfig, drawn_texts, folder_of
        from coral.audits.people import FOLDER
        from coral.viewer.labelling import Labelling

        names, config = [str(path) for path in paths], AuditConfig()
        texts, task = await drawn_texts(names, config)
        folder = folder_of(names, config).path / FOLDER
        return {
            **await self._serve(Labelling(folder, texts, task), "label"),
            "count": len(texts), "folder": str(folder),
            "then": f"coral audit {_words(paths)} --labels {_words([folder])}",
        }  # fmt: skip

    async def _judge(self, paths: Sequence[Path]) -> dict[str, Any]:
        judging = await asyncio.to_thread(judging_of, paths)
        return {
            **await self._serve(judging, "judge"),
            "count": len(judging.design.pairs), "folder": str(judging.folder),
            "then": f"coral judge {_words([judging.folder])} --results true",
        }  # fmt: skip

    async def _serve(self, form: Form, screen: str) -> dict[str, Any]:
        server = ViewServer([], forms=[form], allowed_hosts=names_of(self._host))
        port = await self._stack.enter_async_context(listening(server, self._host, 0))
        return {"port": port, "path": f"/?token={server.token}#/{screen}"}

    def _at(self, number: int) -> ViewedRun:
        if not 0 <= number < len(self._runs):
            raise UserError(f"no run {number} is on display", remedy="reload the page")
        return self._runs[number]


def _words(paths: Sequence[Path]) -> str:
    return shlex.join(map(str, paths))
