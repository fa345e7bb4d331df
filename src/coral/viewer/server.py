"""The viewer's HTTP server: one page, its modules, and what it asks for as JSON.

Transcripts are hostile text and other programs of this machine are strangers: every answer of the API needs
the token of the page's address, requests under another name than this machine's are refused (DNS rebinding),
and the page may load nothing but its own modules. No path from a client reaches the file system.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from typing import Any

import msgspec
from aiohttp import web

from coral.errors import UserError
from coral.serving.admission import HostCheck, check_json_type
from coral.serving.wire import RequestRefused
from coral.store.folder import RunFolder
from coral.types import Conversation
from coral.viewer import compare, conversation, queries
from coral.viewer.forks import MOST_AT_ONCE, Fork, wish_of
from coral.viewer.index import RunIndex
from coral.viewer.judging import Judging
from coral.viewer.overview import overview

CONTENT_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
TOKEN_HEADER = "X-Coral-Token"  # noqa: S105 - the name of a header
EVERY_S = 1.0
"""Seconds between two looks at what a run has written."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a judge sends: left, right or neither by aspect."""

    judge: str
    pair: str
    choices: dict[str, str]


@dataclass
class ViewedRun:
    """A run on display.

    Attributes:
        name: as the page calls it; no two share one.
        looked_at: when its files were last looked through, by the monotonic clock; 0 before the first time.
        overview: with the number of the state of the index that it was made of.
        error: why its files cannot be followed.
    """

    name: str
    index: RunIndex
    looked_at: float = 0.0
    overview: tuple[int, dict[str, Any]] | None = None
    updating: asyncio.Task[None] | None = None
    error: str = ""
    taken: int = 0
    """Lines taken in so far."""


class ViewServer:
    """The application over some runs.

    Attributes:
        token: part of the page's address; without it the API answers nothing.

    With `judging` the page asks for judgements, and shows no run.
    """

    def __init__(
        self,
        runs: Sequence[ViewedRun],
        *,
        judging: Judging | None = None,
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        self.runs = list(runs)
        self.token = secrets.token_urlsafe(16)
        self._judging = judging
        self._hosts = HostCheck(allowed_hosts)
        self._page = page_files()
        self._forks: list[Fork] = []
        self._working: set[asyncio.Task[None]] = set()
        self._differences: dict[tuple[int, int, int, int], Any] = {}
        self.app = web.Application(middlewares=[self._guard])
        self.app.router.add_get("/", self._asset)
        self.app.router.add_get("/page/{name:[a-z_/]+\\.[a-z]+}", self._asset)
        self.app.router.add_get("/api/runs", self._list_runs)
        self.app.router.add_get("/api/runs/{run:\\d+}", self._overview)
        self.app.router.add_get("/api/runs/{run:\\d+}/conversations", self._conversations)
        self.app.router.add_get("/api/runs/{run:\\d+}/conversation", self._conversation)
        self.app.router.add_get("/api/runs/{run:\\d+}/prompt", self._prompt)
        self.app.router.add_get("/api/compare", self._compare)
        self.app.router.add_get("/api/difference", self._difference)
        self.app.router.add_get("/api/forks", self._list_forks)
        self.app.router.add_post("/api/forks", self._fork)
        if judging is not None:
            self.app.router.add_get("/api/judging", self._next_pair)
            self.app.router.add_post("/api/judging", self._judge)

    def start(self) -> None:
        """Begin to take in all runs."""
        for run in self.runs:
            self._follow(run)

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
            response = _json({"error": str(refused)}, refused.status)
        except UserError as error:
            response = _json({"error": str(error), "remedy": error.remedy}, HTTPStatus.BAD_REQUEST)
        except web.HTTPException as error:
            response = _json({"error": error.reason}, error.status)
        response.headers.update(HEADERS)
        return response

    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._hosts.check(request)
        if request.path.startswith("/api/"):
            given = request.headers.get(TOKEN_HEADER, "")
            if not secrets.compare_digest(given.encode(), self.token.encode()):
                return _json(
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
                return _json({"error": "only the viewer's own page may change things"}, HTTPStatus.FORBIDDEN)
        return await handler(request)

    # Handlers ------------------------------------------------------------------------------------------

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", "index.html")
        if name not in self._page:
            raise web.HTTPNotFound
        suffix = name.rpartition(".")[2]
        return web.Response(body=self._page[name], content_type=CONTENT_TYPES[suffix], charset="utf-8")

    async def _list_runs(self, request: web.Request) -> web.StreamResponse:
        del request
        return _json([self._state(number, run) for number, run in enumerate(self.runs)])

    async def _overview(self, request: web.Request) -> web.StreamResponse:
        run = self._run(request)
        self._follow(run)
        taken = run.taken
        if run.overview is None or run.overview[0] != taken:
            run.overview = (taken, await asyncio.to_thread(overview, run.index, run.name))
        return _json({**run.overview[1], **self._state(int(request.match_info["run"]), run)})

    async def _conversations(self, request: web.Request) -> web.StreamResponse:
        run = self._run(request)
        self._follow(run)
        return _json(await asyncio.to_thread(lambda: queries.rows(run.index.connection, request.query)))

    async def _conversation(self, request: web.Request) -> web.StreamResponse:
        run, identity = self._run(request), request.query.get("id", "")
        found = await asyncio.to_thread(run.index.conversation, identity)
        if found is None:
            raise UserError(
                f"{run.name} holds no conversation '{identity}'", remedy="look for it in the list"
            )
        return _json(await asyncio.to_thread(conversation.shown, run.index, found))

    async def _prompt(self, request: web.Request) -> web.StreamResponse:
        run, identity = self._run(request), request.query.get("id", "")
        turn = queries.number(request.query, "turn", 1)
        found = await asyncio.to_thread(run.index.conversation, identity)
        if found is None:
            raise UserError(
                f"{run.name} holds no conversation '{identity}'", remedy="look for it in the list"
            )
        return _json(await asyncio.to_thread(conversation.prompt, run.index, found, turn))

    async def _found(self, run: ViewedRun, request: web.Request) -> Conversation:
        identity = request.query.get("id", "")
        found = await asyncio.to_thread(run.index.conversation, identity)
        if found is None:
            raise UserError(f"{run.name} holds no conversation '{identity}'", remedy="see the list")
        return found

    async def _compare(self, request: web.Request) -> web.StreamResponse:
        a, b = self._numbered(request, "a"), self._numbered(request, "b")
        for run in (a, b):
            self._follow(run)
        return _json(await asyncio.to_thread(compare.aligned, a.index, b.index, request.query))

    async def _difference(self, request: web.Request) -> web.StreamResponse:
        numbers = [queries.number(request.query, name, 0) for name in ("a", "b")]
        a, b = self._numbered(request, "a"), self._numbered(request, "b")
        key = (numbers[0], numbers[1], a.taken, b.taken)
        if key not in self._differences:
            self._differences[key] = await asyncio.to_thread(compare.difference, a.index, b.index)
        return _json(self._differences[key])

    async def _next_pair(self, request: web.Request) -> web.StreamResponse:
        assert self._judging is not None
        return _json(self._judging.next(request.query.get("judge", "")) or {"done": True})

    async def _judge(self, request: web.Request) -> web.StreamResponse:
        assert self._judging is not None
        try:
            said = msgspec.json.decode(await request.read(), type=Said)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UserError(f"the judgement cannot be read: {error}", remedy="reload the page") from None
        self._judging.judge(said.judge, said.pair, said.choices)
        return _json(self._judging.next(said.judge) or {"done": True})

    async def _list_forks(self, request: web.Request) -> web.StreamResponse:
        del request
        return _json([fork.told() for fork in self._forks])

    async def _fork(self, request: web.Request) -> web.StreamResponse:
        wish = wish_of(await request.read())
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
        return _json(fork.told())

    async def _work(self, fork: Fork, run: ViewedRun) -> None:
        """Hold the continuations, then show them as runs beside the others."""
        await fork.work(run.index.folder.path)
        if fork.results is not None:
            for kind in ("changed", "unchanged"):
                index = await asyncio.to_thread(RunIndex, RunFolder(fork.output / kind))
                fork.shown[kind] = len(self.runs)
                self.runs.append(ViewedRun(f"{run.name}, fork {fork.output.name}, {kind}", index))
                self._follow(self.runs[-1])

    # Runs ----------------------------------------------------------------------------------------------

    def _run(self, request: web.Request) -> ViewedRun:
        return self._at(int(request.match_info["run"]))

    def _numbered(self, request: web.Request, name: str) -> ViewedRun:
        return self._at(queries.number(request.query, name, 0))

    def _at(self, number: int) -> ViewedRun:
        if number >= len(self.runs):
            raise UserError(f"no run {number} is on display", remedy="`coral view RUN ...` shows several")
        return self.runs[number]

    def _state(self, number: int, run: ViewedRun) -> dict[str, Any]:
        return {
            "number": number,
            "name": run.name,
            "task": run.index.identity.get("task", {}).get("name", ""),
            "indexing": not run.looked_at,
            "taken": run.taken,
            "error": run.error,
        }

    def _follow(self, run: ViewedRun) -> None:
        """Take in what was written since, in the background, unless that was done just now."""
        is_busy = run.updating is not None and not run.updating.done()
        if is_busy or time.monotonic() - run.looked_at < EVERY_S:
            return
        run.updating = asyncio.ensure_future(self._take_in(run))

    async def _take_in(self, run: ViewedRun) -> None:
        def count(lines: int) -> None:
            run.taken += lines

        try:
            await asyncio.to_thread(run.index.update, count)
            run.error = ""
        except UserError as error:
            run.error = str(error)
        finally:
            run.looked_at = time.monotonic()


def _json(value: object, status: int = HTTPStatus.OK) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def page_files() -> dict[str, bytes]:
    """The files of the page, by the names under which it asks for them."""
    root = files("coral.viewer").joinpath("page")
    found = {}
    for entry in root.iterdir():
        inner = [(f"{entry.name}/{one.name}", one) for one in entry.iterdir()] if entry.is_dir() else []
        for name, one in inner or [(entry.name, entry)]:
            if name.rpartition(".")[2] in CONTENT_TYPES:
                found[name] = one.read_bytes()
    return found
