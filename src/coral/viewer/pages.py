"""The files of a page: which there are, and serving them so that they load nothing but each other."""

from __future__ import annotations

from importlib.resources import files

from aiohttp import web

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
"""Of every answer of a server of pages."""
TOKEN_HEADER = "X-Coral-Token"  # noqa: S105 - the name of a header


class Pages:
    """Serves files under the names by which a page asks for them.

    Args:
        content: the files by name; no path from a client reaches the file system.
        first: the name of the document.
    """

    def __init__(self, content: dict[str, bytes], first: str) -> None:
        self._content, self._first = content, first

    def routes(self) -> list[web.RouteDef]:
        """The document, and all files."""
        return [web.get("/", self._file), web.get("/page/{name:[a-z_/]+\\.[a-z]+}", self._file)]

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", self._first)
        if name not in self._content:
            raise web.HTTPNotFound
        suffix = name.rpartition(".")[2]
        return web.Response(body=self._content[name], content_type=CONTENT_TYPES[suffix], charset="utf-8")


def page_files(package: str = "coral.viewer") -> dict[str, bytes]:
    """The files of a package's page, by the names under which it asks for them."""
    found = {}
    for entry in files(package).joinpath("page").iterdir():
        inner = [(f"{entry.name}/{one.name}", one) for one in entry.iterdir()] if entry.is_dir() else []
        for name, one in inner or [(entry.name, entry)]:
            if name.rpartition(".")[2] in CONTENT_TYPES:
                found[name] = one.read_bytes()
    return found
