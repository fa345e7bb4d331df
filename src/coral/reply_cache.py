"""The response cache, `--cache DIR`: what was asked before is answered from DIR, in whatever run that was.

A model is wrapped (`ReplyCache.of`), and the wrapper looks before it asks. A reply from the cache is the
whole generation as the server once gave it, its tokens included, marked `billing="cache"`: it cost nothing.

What makes two requests one: the model and where it is served, the messages, every setting of the sampling,
`n`, and the seed, which is derived from the run's seed, the conversation (`PROBLEM#SAMPLE`) and the step. So
the samples of one problem are different requests, and so are the turns of a conversation. A request without a
seed, or to a server that takes none, is told from others by its conversation as well. No key is part of it.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import msgspec

from coral.models.client import ServedModel
from coral.models.protocol import Generation, Model, Request
from coral.store.replies import ReplyStore

FORM = 1
"""Of the keys and of what is kept under them: another one finds nothing of this one."""
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Generation)


class ReplyCache:
    """Answers requests from a folder, and keeps there what servers answer. A context manager.

    Raises:
        ConfigError: the folder cannot be made or written.
    """

    def __init__(self, folder: str | Path) -> None:
        self._store = ReplyStore(Path(folder).expanduser())
        self._wrapped: dict[int, tuple[Model, Model]] = {}  # with the model, so that its id stays taken

    def of(self, model: Model) -> Model:
        """The model behind the cache. What runs in this process is not kept: it costs nothing."""
        known = self._wrapped.get(id(model))
        if known is None:
            kept = KeptModel(model, self._store) if isinstance(model, ServedModel) else model
            known = self._wrapped[id(model)] = model, kept
        return known[1]

    def __enter__(self) -> ReplyCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.close()


class KeptModel:
    """A served model whose replies are kept. Entered and left with the model that it wraps."""

    def __init__(self, model: ServedModel, store: ReplyStore) -> None:
        self._model, self._store = model, store
        self.name = model.name
        self.billing = model.billing
        self._told_by_seed = model.target.provider.seed_field is not None
        self._place = _place(model)

    def holds(self, request: Request) -> bool:
        """Whether the reply is there, so that nothing is spent on it."""
        return self._find(self.key(request)) is not None

    async def generate(self, request: Request) -> Generation:
        """The reply that is there, else the model's, which is kept.

        Raises:
            ModelError: the request failed for good; that is not kept.
        """
        key = self.key(request)
        found = self._find(key)
        if found is not None:
            return msgspec.structs.replace(found, billing="cache")
        generation = await self._model.generate(request)
        self._store.keep(key, _ENCODER.encode(generation))
        return generation

    def key(self, request: Request) -> bytes:
        """What tells this request from others, in 16 bytes."""
        told_by_seed = self._told_by_seed and request.seed is not None
        asked = (
            FORM,
            self._place,
            request.messages,
            request.sampling,
            request.n,
            request.seed,
            None if told_by_seed else request.conversation_id,
        )
        return hashlib.blake2b(_ENCODER.encode(asked), digest_size=16).digest()

    def _find(self, key: bytes) -> Generation | None:
        stored = self._store.find(key)
        if stored is None:
            return None
        with suppress(msgspec.MsgspecError):
            return _DECODER.decode(stored)
        self._store.drop(key)
        return None

    async def __aenter__(self) -> KeptModel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The model itself is closed by whoever opened it."""


def _place(model: ServedModel) -> tuple[object, ...]:
    """Which model it is: its name at its server, and where that is, or what stands for that.

    The tokens that a model may think are part of it, and how an `http` endpoint is asked: these stand beside
    the sampling.
    """
    config, target = model.config, model.target
    where = config.revision or target.replicas or sorted(target.chat_urls)
    return target.wire_name, where, config.thinking_tokens, config.http_request, config.http_reply
