"""The model that is trained, as conversations meet it: sampled by the embedded engine or by transformers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from coral.engine.model import EmbeddedModel
from coral.errors import ConfigError, ContextOverflow, Rejected, UserError
from coral.models.protocol import Candidate, Generation, Request
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


class TransformersModel:
    """A transformers model as a `Model`. Requests that wait at the same time are generated as one batch.

    It samples from the whole distribution at the request's temperature; its candidates have token ids and log
    probabilities. Seeds are torch's own, not the requests'.
    """

    def __init__(self, encoder: Encoder, *, name: str, context: int) -> None:
        self.name = name
        self.model: Any = None
        self._encoder, self._context = encoder, context
        self._waiting: list[tuple[Request, asyncio.Future[Generation]]] = []

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
            self._answer(batch)
        return await future

    def _answer(self, batch: list[tuple[Request, asyncio.Future[Generation]]]) -> None:
        started = time.monotonic()
        ready: list[tuple[Request, asyncio.Future[Generation], list[int]]] = []
        for request, future in batch:
            prompt = self._prompt(request)
            if len(prompt) >= self._context:
                words = f"the messages have {len(prompt)} tokens; the model's context has {self._context}"
                future.set_exception(ContextOverflow(words, status=400))
            else:
                ready.append((request, future, prompt))
        if not ready:
            return
        sampled = self._sample([prompt for _, _, prompt in ready], ready[0][0])
        for (_, future, prompt), (ids, logprobs) in zip(ready, sampled, strict=True):
            future.set_result(self._generation(prompt, ids, logprobs, time.monotonic() - started))

    def _prompt(self, request: Request) -> list[int]:
        messages = [{"role": one.role.value, "content": one.content} for one in request.messages]
        encoded = self._encoder.tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=True, add_generation_prompt=True
        )
        return list(encoded["input_ids"])

    def _sample(self, prompts: list[list[int]], like: Request) -> list[tuple[list[int], list[float]]]:
        """The tokens of each reply, its end mark included, and their log probabilities."""
        import torch

        longest = max(map(len, prompts))
        pad = self._encoder.tokenizer.pad_token_id
        device = self.model.device
        ids = torch.tensor([[pad] * (longest - len(one)) + one for one in prompts], device=device)
        mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in prompts], device=device)
        room = self._context - longest
        ends = sorted(self._encoder.end_tokens)
        with torch.no_grad():
            made = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=min(like.sampling.max_tokens or room, room),
                do_sample=True,
                temperature=like.sampling.temperature,
                top_k=0,
                top_p=1.0,
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
