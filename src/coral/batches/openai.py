"""OpenAI's Batch API: a file of requests, a batch over it, and files of results and of errors.

After https://platform.openai.com/docs/guides/batch and its API reference, as published in 2025.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from coral.batches.wire import Caller, Item, Result, State, encode, lines_of
from coral.models.client import ServedModel

CHAT = "/v1/chat/completions"
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_PAGE = 100


class _Counts(msgspec.Struct):
    total: int = 0
    completed: int = 0
    failed: int = 0


class _Batch(msgspec.Struct):
    id: str
    status: str = ""
    output_file_id: str | None = None
    error_file_id: str | None = None
    request_counts: _Counts | None = None
    metadata: dict[str, Any] | None = None
    errors: Any = None


class _Batches(msgspec.Struct):
    data: list[_Batch]
    has_more: bool = False


class _Response(msgspec.Struct):
    status_code: int = 0
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


class OpenAi:
    """See `Api`."""

    def __init__(self, model: ServedModel) -> None:
        self._call = Caller(model, model.target.headers)

    async def submit(self, items: Sequence[Item], tag: str) -> str:
        """Upload the requests, and begin a batch that carries `tag`.

        Raises:
            Outage: it is not known whether the batch was begun.
            ModelError: a call was refused.
        """
        lines = b"".join(
            b'{"custom_id":"%b","method":"POST","url":"%b","body":%b}\n'
            % (item.key.encode(), CHAT.encode(), item.body)
            for item in items
        )
        body, kind = _form(lines, f"coral-{tag}.jsonl")
        uploaded = msgspec.json.decode(await self._call("POST", "files", body, kind=kind), type=_Batch)
        asked = {
            "input_file_id": uploaded.id,
            "endpoint": CHAT,
            "completion_window": "24h",
            "metadata": {"coral": tag},
        }
        return msgspec.json.decode(await self._call.once("POST", "batches", encode(asked)), type=_Batch).id

    async def find(self, tag: str, keys: Sequence[str], since: float, known: frozenset[str]) -> str | None:
        """The batch that carries `tag`."""
        del keys, since, known
        after = ""
        while True:
            page = msgspec.json.decode(
                await self._call("GET", f"batches?limit={_PAGE}{after}"), type=_Batches
            )
            for one in page.data:
                if (one.metadata or {}).get("coral") == tag:
                    return one.id
            if not page.has_more or not page.data:
                return None
            after = f"&after={page.data[-1].id}"

    async def state(self, batch: str) -> State:
        """How far it is; a batch that failed, was cancelled or has expired says so."""
        found = await self._batch(batch)
        counts = found.request_counts or _Counts()
        trouble = ""
        if found.status in {"failed", "cancelled"}:
            trouble = f"{found.status}: {_reasons(found.errors)}".rstrip(": ")
        return State(
            done=counts.completed + counts.failed,
            of=counts.total,
            ended=found.status in _ENDED,
            trouble=trouble,
        )

    async def results(self, batch: str) -> list[Result]:
        """The lines of its output file and of its error file."""
        found = await self._batch(batch)
        results: list[Result] = []
        for file in (found.output_file_id, found.error_file_id):
            if file:
                results += _read(await self._call("GET", f"files/{file}/content"))
        return results

    async def _batch(self, batch: str) -> _Batch:
        return msgspec.json.decode(await self._call("GET", f"batches/{batch}"), type=_Batch)


def _form(lines: bytes, name: str) -> tuple[bytes, str]:
    """A form with the purpose and the file, and its content type."""
    edge = uuid.uuid4().hex
    head = (
        f'--{edge}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    )
    return head.encode() + lines + f"\r\n--{edge}--\r\n".encode(), f"multipart/form-data; boundary={edge}"


def _read(body: bytes) -> Iterator[Result]:
    for text in lines_of(body):
        line = msgspec.json.decode(text, type=_Line)
        if line.response is not None and line.response.status_code:
            yield Result(line.custom_id, line.response.status_code, bytes(line.response.body))
        else:  # it expired, or was cancelled, before it was answered
            yield Result(line.custom_id, 0, bytes(line.error))


def _reasons(errors: Any) -> str:
    """Why a batch failed as a whole, in the provider's words."""
    told = errors.get("data") if isinstance(errors, dict) else None
    messages = [one.get("message") for one in told or () if isinstance(one, dict)]
    return "; ".join(dict.fromkeys(str(message) for message in messages if message))
