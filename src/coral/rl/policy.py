"""The model that is trained, as conversations meet it: sampled by the embedded engine or by transformers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from coral.engine.model import EmbeddedModel
from coral.errors import ConfigError, ContextOverflow, Rejected, UserError
from coral.models.protocol import Candidate, Generation, Request, Sampling
from coral.training.encode import Encoder
from coral.types import FinishReason, Usage

GATHER_S = 0.005
"""So long a request waits for others to be generated in one batch."""


def can_embed(folder: Path) -> bool:
    """Whether the embedded engine runs the checkpoint of a folder."""
    from coral.engine.checkpoint import open_checkpoint

    try:
        open_checkpoint(folder)
    except UserError:
        return False
    return True


async def embed(model: Any, folder: Path, engine: EmbeddedModel | None) -> None:
    """Write the weights as they are now, and have the engine read them."""
    model.save_pretrained(str(folder))
    if engine is not None:
        await engine.reload()


_Asked = tuple[Request, asyncio.Future[Generation]]


class TransformersModel:
    """A transformers model as a `Model`. Requests that wait at the same time are generated as one batch, if
    they ask for the same sampling.

    It samples from the whole distribution at the request's temperature, whatever its generation config says;
    its candidates have token ids and log probabilities. Seeds are torch's own, not the requests'.
    """

    def __init__(self, encoder: Encoder, *, name: str, context: int) -> None:
        self.name = name
        self.model: Any = None
        self._encoder, self._context = encoder, context
        self._waiting: list[_Asked] = []

    async def __aenter__(self) -> TransformersModel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    async def generate(self, request: Request) -> Generation:
        """One candidate of `request`.

        Raises:
            ContextOverflow: the messages leave no room for a reply.
            Rejected: several candidates, or texts to stop at, are asked for.
        """
        if request.n != 1 or request.sampling.stop:
            raise Rejected("the policy gives one candidate, and stops at its end mark alone", status=400)
        future: asyncio.Future[Generation] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if len(self._waiting) == 1:
            await asyncio.sleep(GATHER_S)
            batch, self._waiting = self._waiting, []
            for sampling, alike in groupby(sorted(batch, key=_rank), lambda asked: _drawn(asked[0].sampling)):
                self._answer(sampling, list(alike))
        return await future

    def _answer(self, sampling: tuple[float, int | None], batch: list[_Asked]) -> None:
        try:
            self._generate(sampling, batch)
        except Exception as error:  # noqa: BLE001 - told to each that waits, who would wait for ever
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)

    def _generate(self, sampling: tuple[float, int | None], batch: list[_Asked]) -> None:
        started = time.monotonic()
        ready: list[tuple[asyncio.Future[Generation], list[int]]] = []
        for request, future in batch:
            prompt = self._prompt(request)
            if len(prompt) >= self._context:
                words = f"the messages have {len(prompt)} tokens; the model's context has {self._context}"
                future.set_exception(ContextOverflow(words, status=400))
            else:
                ready.append((future, prompt))
        if not ready:
            return
        sampled = self._sample([prompt for _, prompt in ready], *sampling)
        for (future, prompt), (ids, logprobs) in zip(ready, sampled, strict=True):
            future.set_result(self._generation(prompt, ids, logprobs, time.monotonic() - started))

    def _prompt(self, request: Request) -> list[int]:
        messages = [{"role": one.role.value, "content": one.content} for one in request.messages]
        extra = request.sampling.extra
        own = {} if extra is None else msgspec.json.decode(extra).get("chat_template_kwargs") or {}
        encoded = self._encoder.tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=True, add_generation_prompt=True, **own
        )
        return list(encoded["input_ids"])

    def _sample(
        self, prompts: list[list[int]], temperature: float, max_tokens: int | None
    ) -> list[tuple[list[int], list[float]]]:
        """The tokens of each reply, its end mark included, and their log probabilities."""
        import torch

        longest = max(map(len, prompts))
        pad = self._encoder.tokenizer.pad_token_id
        device = self.model.device
        ids = torch.tensor([[pad] * (longest - len(one)) + one for one in prompts], device=device)
        mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in prompts], device=device)
        room = self._context - longest
        ends = sorted(self._encoder.end_tokens)
        drawn = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {}
        with torch.no_grad(), _without_settings(self.model):
            made = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=min(max_tokens or room, room),
                **drawn,
                pad_token_id=pad,
                eos_token_id=ends,
                return_dict_in_generate=True,
                output_logits=True,
            )
        written = made.sequences[:, longest:]
        steps = [torch.log_softmax(logits.float(), dim=-1) for logits in made.logits]
        found = torch.stack(
            [step.gather(1, written[:, i : i + 1])[:, 0] for i, step in enumerate(steps)], dim=1
        )
        replies = []
        for row, values in zip(written.tolist(), found.tolist(), strict=True):
            end = next((i + 1 for i, token in enumerate(row) if token in self._encoder.end_tokens), len(row))
            replies.append((row[:end], values[:end]))
        return replies

    def _generation(
        self, prompt: list[int], ids: list[int], logprobs: list[float], seconds: float
    ) -> Generation:
        ended = ids[-1] in self._encoder.end_tokens
        usage = Usage(prompt_tokens=len(prompt), completion_tokens=len(ids))
        candidate = Candidate(
            text=self._encoder.tokenizer.decode(ids, skip_special_tokens=True),
            finish_reason=FinishReason.STOP if ended else FinishReason.LENGTH,
            usage=usage,
            token_ids=tuple(ids),
            token_logprobs=tuple(logprobs),
        )
        return Generation(
            candidates=(candidate,), usage=usage, latency_s=seconds, prompt_token_ids=tuple(prompt)
        )


def _drawn(sampling: Sampling) -> tuple[float, int | None]:
    """What all requests of one batch have in common."""
    return (1.0 if sampling.temperature is None else sampling.temperature, sampling.max_tokens)


def _rank(asked: _Asked) -> tuple[float, int]:
    temperature, max_tokens = _drawn(asked[0].sampling)
    return (temperature, max_tokens or 0)


@contextmanager
def _without_settings(model: Any) -> Iterator[None]:
    """Leave out what the checkpoint's generation_config.json says.

    A penalty or a cut in it would fill every setting that a call leaves open, and the loss knows of none.
    """
    from transformers import GenerationConfig

    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    own, whole.generation_config = whole.generation_config, GenerationConfig()
    try:
        yield
    finally:
        whole.generation_config = own


def check_padding(encoder: Encoder) -> None:
    """Give the tokenizer a padding token and side as a trainer of generations wants them.

    Raises:
        ConfigError: it has no token to pad with.
    """
    tokenizer = encoder.tokenizer
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise ConfigError(
                "the tokenizer has neither a padding nor an end token", remedy="save it with one"
            )
        tokenizer.pad_token = tokenizer.eos_token
