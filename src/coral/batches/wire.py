"""What goes to a batch API and comes back, for all of them alike.

The bodies are those of chat completions, as the client writes and reads them; `anthropic.py` translates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import aiohttp
import msgspec

from coral.errors import ModelError, Outage
from coral.models.client import ServedModel
from coral.models.connections import Connections, describe_fault, read_body
from coral.models.providers import Target
from coral.models.refusals import quote, read_refusal

MOST_REQUESTS = 50_000
"""Of one batch: OpenAI's limit; Anthropic's is twice that."""
MOST_BYTES = 150 * 2**20
"""Of one batch: OpenAI takes 200 MB, Anthropic 256 MB."""
LONGEST_PAUSE_S = 30.0
PATIENT_TRIES = 40
"""So often in a row a call of the API may fail, a quarter of an hour in all; then the run stops."""


class Item(NamedTuple):
    """One request of a batch.

    Attributes:
        key: in hex, what its result is told by.
        body: of a chat completion.
    """

    key: str
    body: bytes


class Result(NamedTuple):
    """What came of an item.

    Attributes:
        status: as of a request of its own; 0 where it was not answered in time, or not at all.
        body: of a chat completion, or of an error.
    """

    key: str
    status: int
    body: bytes


class State(NamedTuple):
    """How far a batch is.

    Attributes:
        done: requests that have ended; `of` all.
        ended: nothing will change any more.
        trouble: why nothing, or not all, will come of it; empty where it went its way.
    """

    done: int
    of: int
    ended: bool
    trouble: str = ""


class Api(Protocol):
    """One provider's batches."""

    async def submit(self, items: Sequence[Item], tag: str) -> str:
        """Begin a batch; returns its id."""
        ...

    async def find(self, tag: str, keys: Sequence[str], since: float, known: frozenset[str]) -> str | None:
        """The id of a batch that was begun, although nobody heard of it; None: there is none."""
        ...

    async def state(self, batch: str) -> State:
        """How far it is."""
        ...

    async def results(self, batch: str) -> list[Result]:
        """What came of its items, in any order."""
        ...


class Caller:
    """Calls a provider's API, patiently: a poll may fail for minutes without harm.

    Args:
        headers: they carry the key.
    """

    def __init__(self, model: ServedModel, headers: Mapping[str, str]) -> None:
        self._target: Target = model.target
        self._connections: Connections = model.connections
        self._headers = headers
        self._model = model
        self._timeout = aiohttp.ClientTimeout(total=model.config.request_timeout_s)
        self.base = model.target.base_urls[0].partition("?")[0].rstrip("/")

    async def __call__(
        self, method: str, path: str, body: bytes | None = None, *, kind: str = "application/json"
    ) -> bytes:
        """The body of the answer.

        Args:
            path: below the address of the API.
            kind: of `body`.

        Raises:
            ModelError: the call was refused, or failed for too long.
            Stopped: the run ends.
        """
        attempt = 0
        while True:
            answer = await self._once(method, path, body, kind)
            if isinstance(answer, bytes):
                return answer
            attempt += 1
            if not isinstance(answer, Outage) or attempt == PATIENT_TRIES:
                raise answer
            await self._connections.pause(min(LONGEST_PAUSE_S, 0.25 * 2.0 ** min(attempt, 10)))

    async def once(self, method: str, path: str, body: bytes, *, kind: str = "application/json") -> bytes:
        """The same, sent once: for what may not be done twice.

        Raises:
            Outage: it is not known whether the call arrived.
            ModelError: it was refused.
        """
        answer = await self._once(method, path, body, kind)
        if isinstance(answer, ModelError):
            raise answer
        return answer

    async def _once(self, method: str, path: str, body: bytes | None, kind: str) -> bytes | ModelError:
        """The answer; an `Outage` where another try may help, and what the refusal means where not."""
        endpoint = self._model.endpoints[0]
        try:
            response = await self._connections.session.request(
                method,
                f"{self.base}/{path}",
                data=body,
                headers={**self._headers, "Content-Type": kind, "Accept": "*/*"},
                timeout=self._timeout,
                proxy=endpoint.proxy,
                proxy_headers=endpoint.proxy_login,
                allow_redirects=False,
            )
            answer = await (response.read() if path.endswith(("content", "results")) else read_body(response))
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            words = quote(describe_fault(fault), self._target)
            return Outage(f"{self._target.name}: the batch API does not answer: {words}")
        if 200 <= response.status < 300:
            return answer
        refusal = read_refusal(response.status, response.headers, answer, self._target)
        if refusal.retry:
            return Outage(f"{self._target.name}: the batch API does not answer: {refusal.words}")
        return refusal.error(1)


def lines_of(body: bytes) -> Iterator[bytes]:
    """The lines of a JSONL body that hold anything."""
    return (line for line in body.split(b"\n") if line.strip())


def encode(value: object) -> bytes:
    """JSON."""
    return msgspec.json.encode(value)
