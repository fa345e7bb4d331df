"""JSON to and from the page."""

from __future__ import annotations

from http import HTTPStatus
from typing import TypeVar

import msgspec
from aiohttp import web

from coral.errors import UserError

T = TypeVar("T")


def answer(value: object, status: int = HTTPStatus.OK) -> web.Response:
    """An answer of the API."""
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


async def said(request: web.Request, kind: type[T]) -> T:
    """What the page sent.

    Raises:
        UserError: it is not what the page sends.
    """
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"what was sent cannot be read: {error}", remedy="reload the page") from None
