"""The viewer's HTTP server: one page, its modules, and what it asks for as JSON.

Transcripts are hostile text and other programs of this machine are strangers: every answer of the API needs
the token of the page's address, requests under another name than this machine's are refused (DNS rebinding),
and the page may load nothing but its own modules. No path from a client reaches the file system.
"""

from __future__ import annotations

import asyncio
import secrets
import shlex
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from coral.errors import UserError
from coral.serving.admission import HostCheck, check_json_type
from coral.serving.wire import RequestRefused
from coral.store.folder import RunFolder
from coral.types import Conversation
from coral.viewer import compare, conversation, queries
from coral.viewer.forks import MOST_AT_ONCE, Fork, Wish
from coral.viewer.index import RunIndex
from coral.viewer.lessons import lessons
from coral.viewer.overview import overview
from coral.viewer.pages import HEADERS, TOKEN_HEADER, Pages, page_files
from coral.viewer.runs import ViewedRun, family_numbers
from coral.viewer.wire import answer, said

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Form(Protocol):
    """What people are asked for beside the runs, or choose from: it has addresses of its own."""

    def routes(self) -> list[web.RouteDef]:
        """What the page asks of it."""
        ...


class ViewServer:
    """The application over some runs.

    Attributes:
        token: part of the page's address; without it the API answers nothing.

    Args:
        tokenizer: folder of the model that training rows are for; by default that of who speaks.
    """

    def __init__(
        self,
        runs: list[ViewedRun],
        *,
        forms: Sequence[Form] = (),
        allowed_hosts: Sequence[str] = (),
        tokenizer: Path | None = None,
    ) -> None:
        self.runs = runs
        self._tokenizer = tokenizer
        self.token = secrets.token_urlsafe(16)
        self._hosts = HostCheck(allowed_hosts)
        self._forks: list[Fork] = []
        self._working: set[asyncio.Task[None]] = set()
        self._differences: dict[tuple[int, int, int, int], Any] = {}
        self.app = web.Application(middlewares=[self._guard])
        self.app.router.add_routes(Pages(page_files(), "index.html").routes())
        self.app.router.add_get("/api/runs", self._list_runs)
        self.app.router.add_get("/api/runs/{run:\\d+}", self._overview)
        self.app.router.add_get("/api/runs/{run:\\d+}/conversations", self._conversations)
        self.app.router.add_get("/api/runs/{run:\\d+}/conversation", self._conversation)
        self.app.router.add_get("/api/runs/{run:\\d+}/prompt", self._prompt)
        self.app.router.add_get("/api/runs/{run:\\d+}/lessons", self._lessons)
        self.app.router.add_get("/api/compare", self._compare)
        self.app.router.add_get("/api/difference", self._difference)
        self.app.router.add_get("/api/families", self._list_families)
        self.app.router.add_get("/api/standings", self._standings)
        self.app.router.add_get("/api/problems", self._problems)
        self.app.router.add_get("/api/forks", self._list_forks)
        self.app.router.add_post("/api/forks", self._fork)
        for form in forms:
            self.app.router.add_routes(form.routes())

    def start(self) -> None:
        """Begin to take in all runs."""
        for run in self.runs:
            run.follow()

    async def close(self) -> None:
        """Stop taking in runs and the forks in work: what is being read is finished."""
        await asyncio.gather(*(fork.stop() for fork in self._forks))
        await asyncio.gather(*self._working, return_exceptions=True)
        await asyncio.gather(*(run.updating for run in self.runs if run.updating), return_exceptions=True)

    # What every request must be ------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await self._checked(request, handler)
        except RequestRefused as refused:
            response = answer({"error": str(refused)}, refused.status)
        except UserError as error:
            response = answer({"error": str(error), "remedy": error.remedy}, HTTPStatus.BAD_REQUEST)
        except sqlite3.Error as error:
            told = {"error": f"the index of a run cannot be read: {error}",
                    "remedy": "reload; was the run's folder moved or deleted?"}  # fmt: skip
            response = answer(told, HTTPStatus.INTERNAL_SERVER_ERROR)
        except web.HTTPException as error:
            response = answer({"error": error.reason}, error.status)
        response.headers.update(HEADERS)
        return response

    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._hosts.check(request)
        if request.path.startswith("/api/"):
            given = request.headers.get(TOKEN_HEADER, "")
            if not secrets.compare_digest(given.encode(), self.token.encode()):
                return answer(
                    {
                        "error": "this address lacks the token of the viewer",
                        "remedy": "open the address that `coral view` printed, with all that follows the ?",
                    },
                    HTTPStatus.FORBIDDEN,
                )
        if request.method == "POST":
            check_json_type(request)
            origin = request.headers.get("Origin", "").partition("://")[2]
            if origin != request.headers.get("Host", ""):
                return answer({"error": "only the viewer's own page may change things"}, HTTPStatus.FORBIDDEN)
        return await handler(request)

    # Handlers ------------------------------------------------------------------------------------------

    async def _list_runs(self, request: web.Request) -> web.StreamResponse:
        del request
        return answer([self._state(number, run) for number, run in enumerate(self.runs)])

    async def _overview(self, request: web.Request) -> web.StreamResponse:
        run = self._run(request)
        run.follow()
        state = run.state
        if run.overview is None or run.overview[0] != state:
            found = await asyncio.to_thread(overview, run.index, run.name)
            found["finished"] &= run.written == run.measured  # else lines are not taken in that it is of
            run.overview = (state, found)
        return answer({**run.overview[1], **self._state(int(request.match_info["run"]), run)})

    async def _conversations(self, request: web.Request) -> web.StreamResponse:
        run = self._run(request)
        run.follow()
        return answer(await asyncio.to_thread(lambda: queries.rows(run.index.connection, request.query)))

    async def _conversation(self, request: web.Request) -> web.StreamResponse:
        run = self._run(request)
        found = await self._found(run, request)
        return answer(await asyncio.to_thread(conversation.shown, run.index, found))

    async def _prompt(self, request: web.Request) -> web.StreamResponse:
        run = self._run(request)
        turn = queries.number(request.query, "turn", 1)
        found = await self._found(run, request)
        return answer(await asyncio.to_thread(conversation.prompt, run.index, found, turn))

    async def _lessons(self, request: web.Request) -> web.StreamResponse:
        run = self._run(request)
        found = await self._found(run, request)
        return answer(await asyncio.to_thread(lessons, run.index, found, request.query, self._tokenizer))

    async def _found(self, run: ViewedRun, request: web.Request) -> Conversation:
        identity = request.query.get("id", "")
        found = await asyncio.to_thread(run.index.conversation, identity)
        if found is None:
            raise UserError(
                f"{run.name} holds no conversation '{identity}'", remedy="look for it in the list"
            )
        return found

    async def _compare(self, request: web.Request) -> web.StreamResponse:
        a, b = self._numbered(request, "a"), self._numbered(request, "b")
        for run in (a, b):
            run.follow()
        return answer(await asyncio.to_thread(compare.aligned, a.index, b.index, request.query))

    async def _difference(self, request: web.Request) -> web.StreamResponse:
        numbers = [queries.number(request.query, name, 0) for name in ("a", "b")]
        a, b = self._numbered(request, "a"), self._numbered(request, "b")
        key = (numbers[0], numbers[1], a.taken, b.taken)
        if key not in self._differences:
            self._differences[key] = await asyncio.to_thread(compare.difference, a.index, b.index)
        return answer(self._differences[key])

    async def _list_families(self, request: web.Request) -> web.StreamResponse:
        del request
        return answer([family.told(numbers) for family, numbers in family_numbers(self.runs)])

    async def _standings(self, request: web.Request) -> web.StreamResponse:
        runs, base = self._several(request), self._numbered(request, "base")
        return answer(await asyncio.to_thread(compare.standings, [run.index for run in runs], base.index))

    async def _problems(self, request: web.Request) -> web.StreamResponse:
        indexes = [run.index for run in self._several(request)]
        return answer(await asyncio.to_thread(compare.by_problem, indexes, request.query))

    async def _list_forks(self, request: web.Request) -> web.StreamResponse:
        del request
        return answer([fork.told() for fork in self._forks])

    async def _fork(self, request: web.Request) -> web.StreamResponse:
        wish = await said(request, Wish)
        run = self._at(wish.run)
        if await asyncio.to_thread(run.index.conversation, wish.conversation) is None:
            raise UserError(f"{run.name} holds no conversation '{wish.conversation}'", remedy="see the list")
        if sum(not fork.ended for fork in self._forks) >= MOST_AT_ONCE:
            raise UserError(f"{MOST_AT_ONCE} forks are in work", remedy="wait until one of them has ended")
        fork = Fork.begin(len(self._forks), wish, run.index.folder.path)
        self._forks.append(fork)
        work = asyncio.ensure_future(self._work(fork, run))
        self._working.add(work)
        work.add_done_callback(self._working.discard)
        return answer(fork.told())

    async def _work(self, fork: Fork, run: ViewedRun) -> None:
        """Hold the continuations, then show them as runs beside the others."""
        await fork.work(run.index.folder.path)
        if fork.results is not None:
            for kind in ("changed", "unchanged"):
                index = await asyncio.to_thread(RunIndex, RunFolder(fork.output / kind))
                fork.shown[kind] = len(self.runs)
                self.runs.append(ViewedRun(f"{run.name}, fork {fork.output.name}, {kind}", index))
                self.runs[-1].follow()

    # Runs ----------------------------------------------------------------------------------------------

    def _run(self, request: web.Request) -> ViewedRun:
        return self._at(int(request.match_info["run"]))

    def _numbered(self, request: web.Request, name: str) -> ViewedRun:
        return self._at(queries.number(request.query, name, 0))

    def _several(self, request: web.Request) -> list[ViewedRun]:
        """The runs of `runs=0,1,2`."""
        runs = [
            self._at(queries.number({"runs": one}, "runs", 0))
            for one in request.query.get("runs", "").split(",")
        ]
        for run in runs:
            run.follow()
        return runs

    def _at(self, number: int) -> ViewedRun:
        if number >= len(self.runs):
            raise UserError(f"no run {number} is on display", remedy="`coral view RUN ...` shows several")
        return self.runs[number]

    def _state(self, number: int, run: ViewedRun) -> dict[str, Any]:
        return {
            "number": number,
            "name": run.name,
            "quoted_path": shlex.quote(str(run.index.folder.path)),
            "task": run.index.identity.get("task", {}).get("name", ""),
            "indexing": not run.looked_at,
            "taken": run.taken,
            "error": run.error,
        }
