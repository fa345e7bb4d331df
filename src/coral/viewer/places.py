"""The start page: runs, studies and loops below a folder, opened when they are chosen.

The page names them by numbers that this server gave: no path from it reaches the file system.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from coral.comparison.listing import listed, runs_below
from coral.errors import UserError
from coral.viewer.runs import ViewedRun, open_runs
from coral.viewer.wire import answer, said


class Chosen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page sends: the number of a place."""

    number: int


class Places:
    """What lies below a folder, and which of it is on display.

    Args:
        root: the folder.
        runs: those on display; what is opened joins them.
    """

    def __init__(self, root: Path, runs: list[ViewedRun]) -> None:
        self._root, self._runs = root, runs
        self._paths: list[Path] = []
        self._opened: dict[int, int] = {}

    def routes(self) -> list[web.RouteDef]:
        """What the page asks of it."""
        return [web.get("/api/places", self._list), web.post("/api/places", self._open)]

    async def _list(self, request: web.Request) -> web.StreamResponse:
        del request
        return answer({"root": str(self._root.resolve()), "places": await asyncio.to_thread(self._found)})

    def _found(self) -> list[dict[str, Any]]:
        """The newest first."""
        found = sorted(map(listed, runs_below(self._root)), key=lambda one: (-one.changed, str(one.path)))
        self._paths += [one.path for one in found if one.path not in self._paths]
        return [
            {
                "number": self._paths.index(one.path), "name": str(one.path.relative_to(self._root)),
                "headline": one.headline, "ended": one.ended, "cost": one.cost, "changed": one.changed,
            }
            for one in found
        ]  # fmt: skip

    async def _open(self, request: web.Request) -> web.StreamResponse:
        number = (await said(request, Chosen)).number
        if not 0 <= number < len(self._paths):
            raise UserError(f"there is no place {number}", remedy="reload the page")
        if number not in self._opened:
            names = [run.name for run in self._runs]
            new = await asyncio.to_thread(open_runs, [self._paths[number]], names)
            self._opened[number] = len(self._runs)
            self._runs += new
            for run in new:
                run.follow()
        first = self._opened[number]
        member = self._runs[first].member
        return answer({"run": first, "several": member is not None and member[0].kind != "runs"})
