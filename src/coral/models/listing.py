"""What a server says about its models: the list at `/models`."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec

from coral.errors import Unreachable
from coral.models.client import ServedModel
from coral.models.connections import TooLarge, describe_fault, read_body
from coral.models.endpoints import Endpoint
from coral.models.refusals import quote

MOST_TOKENS = 10**9
"""No context is longer."""

_LENGTH_FIELDS = (
    "max_model_len",  # vLLM, SGLang
    "context_length",  # OpenRouter, Together
    "context_window",  # Groq
    "max_context_length",  # Mistral, LM Studio
    "n_ctx",  # llama.cpp, in `meta`: of one slot
)


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of one endpoint.

    Attributes:
        status: of the HTTP answer; a list is only read from a 200.
        names: None where the answer is no list of models.
        context_tokens: of the model asked about, where the server tells.
        is_llama_cpp: the server says so, as the owner of the model.
    """

    status: int
    names: tuple[str, ...] | None = None
    context_tokens: int | None = None
    is_llama_cpp: bool = False


async def list_models(model: ServedModel, endpoint: Endpoint, *, timeout_s: float = 30.0) -> Listing:
    """Ask the server behind `endpoint` for its models; one without chat completions only whether it is there.

    Raises:
        Unreachable: there is no HTTP answer at all.
    """
    target = model.target
    path = endpoint.url.path.removesuffix("/chat/completions").split("/deployments/")[0]
    url = endpoint.url.with_path(f"{path}/models").with_query(endpoint.url.query)
    method = "GET"
    if target.plain is not None:
        method, url = "HEAD", endpoint.url
    try:
        response = await model.connections.session.request(
            method,
            url,
            headers=endpoint.headers(target.headers),
            proxy=endpoint.proxy,
            proxy_headers=endpoint.proxy_login,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            allow_redirects=False,  # the key would travel along
        )
        body = await read_body(response)
    except TooLarge:
        return Listing(status=response.status)
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as fault:
        words = quote(describe_fault(fault), target)
        raise Unreachable(f"{model.name}: no answer from {endpoint.server.origin}: {words}") from None
    listing = _read_listing(response.status, body, target.wire_name)
    if listing.is_llama_cpp:
        model.expect_miscounts()
    return listing


def _read_listing(status: int, body: bytes, wire_name: str) -> Listing:
    try:
        parsed = msgspec.json.decode(body) if status == 200 else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        parsed = None
    # Together answers with the bare list, the others with {"data": [...]}.
    rows = parsed.get("data") if isinstance(parsed, dict) else parsed
    if not isinstance(rows, list):
        return Listing(status=status)
    named = [row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
    own = next((row for row in named if _same_model(row["id"], wire_name)), {})
    return Listing(
        status=status,
        names=tuple(row["id"] for row in named),
        context_tokens=_context_tokens(own),
        is_llama_cpp=own.get("owned_by") == "llamacpp",
    )


def _same_model(listed: str, wire_name: str) -> bool:
    """Gemini lists `models/NAME`, Ollama `NAME:latest`."""
    return wire_name in {listed, listed.removeprefix("models/"), listed.removesuffix(":latest")}


def _context_tokens(row: dict[str, Any]) -> int | None:
    meta = row.get("meta")
    places = (row, meta) if isinstance(meta, dict) else (row,)
    found = (place.get(name) for place in places for name in _LENGTH_FIELDS)
    return next((value for value in found if isinstance(value, int) and 0 < value < MOST_TOKENS), None)


def is_listed(listing: Listing, wire_name: str) -> bool:
    """Whether the list holds the model."""
    return any(_same_model(name, wire_name) for name in listing.names or ())
