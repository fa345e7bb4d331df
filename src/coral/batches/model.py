"""Models that are asked by batches.

A batch is a way to send a request, so `BatchedModel` is the client with another transport: what a model
refuses is learned, replies that are of no use are asked for again, `n` is divided where it has to be, all as
ever. Only a request in a batch waits for hours, and holds no connection.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path

import msgspec

from coral.batches.anthropic import Anthropic
from coral.batches.gather import Gatherer, Waiting
from coral.batches.openai import OpenAi
from coral.batches.record import BatchRecord
from coral.batches.wire import Api
from coral.errors import ConfigError, Unreachable
from coral.models import embedded
from coral.models.client import ServedModel
from coral.models.config import ModelConfig
from coral.models.connections import Connections, Stopped
from coral.models.endpoints import Endpoint
from coral.models.protocol import Generation, Request, Sampling
from coral.models.providers import PROVIDERS, Target, provider_named, resolve
from coral.models.refusals import read_refusal
from coral.models.retries import AttemptFailure
from coral.models.tally import Tally
from coral.models.wire import Answer, read_answer
from coral.types import Billing

LONGEST_S = 7 * 86400.0
"""So long a request is asked for again, batch after batch."""
MOST_BATCHES = 4
"""So many batches hold a request at most: those that expire, or in which it meets a fault of the server."""
_ASKED: ContextVar[tuple[str, str]] = ContextVar("_ASKED")
"""The conversation of the request that the present task sends, and what tells it from its siblings."""


class BatchedModel(ServedModel):
    """A model whose requests go into batches."""

    billing: Billing = "batch"

    def __init__(
        self,
        config: ModelConfig,
        target: Target,
        connections: Connections,
        gatherer: Callable[[ServedModel], Gatherer],
    ) -> None:
        patient = dataclasses.replace(
            config, total_timeout_s=LONGEST_S, max_attempts=min(config.max_attempts, MOST_BATCHES)
        )
        super().__init__(patient, target, connections)
        self._gatherer = gatherer(self)

    async def generate(self, request: Request) -> Generation:
        """See `ServedModel.generate`."""
        return msgspec.structs.replace(await super().generate(request), billing="batch")

    async def _send_as_taken(
        self, endpoint: Endpoint, request: Request, n: int, seed: int | None, tally: Tally
    ) -> Answer | AttemptFailure:
        _ASKED.set((request.conversation_id, f"{request.conversation_id}:{seed}:{n}"))
        return await super()._send_as_taken(endpoint, request, n, seed, tally)

    async def _send(
        self, endpoint: Endpoint, body: bytes, n: int, sampling: Sampling, tally: Tally
    ) -> Answer | AttemptFailure:
        if self._connections.stopping:
            raise Stopped
        tally.note_start(time.monotonic())
        outcome = await self._exchange(endpoint, body, n, sampling, tally)
        if isinstance(outcome, Answer):
            tally.attempts += 1
            tally.note_answered(outcome.usage)
            endpoint.server.health.note_success()
            self._has_answered = self._connections.answered = True
        else:
            tally.attempts += outcome.sent
        return outcome

    async def _exchange(
        self, endpoint: Endpoint, body: bytes, n: int, sampling: Sampling, tally: Tally
    ) -> Answer | AttemptFailure:
        del endpoint, tally
        conversation, name = _ASKED.get()
        key = hashlib.sha256(name.encode() + b"\0" + body).hexdigest()[:40]
        result = await self._gatherer.ask(key, body, conversation)
        if 200 <= result.status < 300:
            return read_answer(result.body, n, self._target, sampling)
        if not result.status:
            text = "the batch ended before this request was answered"
            return AttemptFailure(
                kind=Unreachable, message=f"{self.name}: {text}", brief=text, retry=True, status=504
            )
        return read_refusal(result.status, {}, result.body, self._target)


class Batches:
    """Opens the models of a run that can be asked by batches, and keeps what was begun in a folder.

    Args:
        in_flight: how many conversations are held now.
        say: told which batch is waited for.
    """

    def __init__(self, folder: Path, in_flight: Callable[[], int], say: Callable[[str], object]) -> None:
        self._folder, self._say = folder, say
        self.waiting = Waiting(in_flight)
        self._gatherers: dict[tuple[str, ...], Gatherer] = {}

    def build(self, config: ModelConfig, connections: Connections, *, option: str) -> ServedModel:
        """The model of `config`, not yet connected; asked directly where its server has no batches we know.

        Raises:
            ConfigError: as `build_model`.
        """
        target = resolve(config, option=option)
        api = _api_of(target)
        if api is None:
            return ServedModel(config, target, connections)
        if api is Anthropic:
            wire_name = target.wire_name.removeprefix("anthropic/")
            target = dataclasses.replace(target, provider=PROVIDERS["anthropic"], wire_name=wire_name)
        return BatchedModel(config, target, connections, lambda model: self._gatherer(model, api))

    def check(self) -> None:
        """Refuse a run of which no model is asked by batches.

        Raises:
            ConfigError: there is none.
        """
        if not self._gatherers:
            raise ConfigError(
                "batch is set, and no model here is sold in batches",
                remedy="leave it out, or name a model of openai/ or anthropic/",
            )

    async def close(self) -> None:
        """End what still waits; batches go on at their providers."""
        for gatherer in self._gatherers.values():
            await gatherer.close()

    def _gatherer(self, model: ServedModel, api: Callable[[ServedModel], Api]) -> Gatherer:
        target = model.target
        name = (*target.base_urls, target.wire_name)
        if name not in self._gatherers:
            place = hashlib.sha256("\n".join(name).encode()).hexdigest()[:12]
            self._gatherers[name] = Gatherer(
                api(model), BatchRecord(self._folder / place), model.connections, self.waiting, self._say
            )
        return self._gatherers[name]


def is_sold(config: ModelConfig) -> bool:
    """Whether a model would be asked by batches, as far as its options tell without a key."""
    if config.replicas or config.http or config.command or embedded.folder_of(config):
        return False
    provider = provider_named(config.model.partition("/")[0])
    if config.base_urls:
        return provider is None or not provider.local
    return provider is not None and provider.name in {"openai", "anthropic"}


def _api_of(target: Target) -> type[OpenAi | Anthropic] | None:
    """Which batch API a model is reached by. Behind an address of the user's own, the name says whose."""
    if target.replicas is not None or target.provider.local or target.plain is not None:
        return None
    if target.provider.name == "anthropic" or (
        not target.provider.name and target.name.startswith("anthropic/")
    ):
        return Anthropic
    return OpenAi if target.provider.name in {"openai", ""} else None
