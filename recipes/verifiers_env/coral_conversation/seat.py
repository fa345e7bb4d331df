"""A seat of a conversation: an agent of verifiers that Coral's loop asks as it asks any model."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import httpx
import verifiers.v1 as vf
from verifiers.v1.dialects.chat import message_to_wire

from coral.errors import BadResponse, ModelError
from coral.models.protocol import Candidate, Generation, Request
from coral.types import FinishReason, Message, Role, Usage


class SeatHarness(vf.Harness[vf.HarnessConfig]):
    """Sends what a seat reads, and takes one reply: no program, no tools, no process per turn."""

    APPENDS_SYSTEM_PROMPT = True
    SUPPORTS_RESUME = True
    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(
        self,
        ctx: vf.ModelContext,
        trace: vf.Trace,
        runtime: vf.Runtime,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: vf.TaskData,
    ) -> vf.ProgramResult:
        del trace, runtime, mcp_urls
        system, prompt = self.resolve_prompt(data)
        assert isinstance(prompt, list), "a seat is opened by its first turn"
        head = [{"role": "system", "content": system}] if system else []
        body = {"model": ctx.model, "messages": [*head, *map(message_to_wire, prompt)]}
        async with httpx.AsyncClient(timeout=None) as client:
            reply = await client.post(
                f"{endpoint}/chat/completions", json=body, headers={"Authorization": f"Bearer {secret}"}
            )
        return vf.ProgramResult(int(reply.is_error), "", reply.text if reply.is_error else "")


class SeatModel:
    """A `coral.Model` behind an agent's interaction, which begins with the seat's first turn.

    The trace that verifiers trains on is one sequence, so what the seat reads must only grow: each request
    repeats what was said, and adds one message.
    """

    def __init__(self, agent: vf.Agent, task: vf.Task, stack: AsyncExitStack, name: str) -> None:
        self.name = name
        self.trace: vf.Trace | None = None
        self._agent, self._task, self._stack = agent, task, stack
        self._interaction: Any = None
        self._said: tuple[Message, ...] = ()

    async def generate(self, request: Request) -> Generation:
        """Take one turn.

        Raises:
            ModelError: the agent gave no reply, or was to read something else than before.
        """
        *before, last = request.messages
        if self._interaction is None:
            await self._open(before)
        if tuple(before) != self._said or last.role is not Role.USER:
            raise BadResponse(
                f"{self.name} reads another past than it had: verifiers keeps one sequence per seat"
            )
        start = time.perf_counter()
        segment = await self._interaction.turn(last.content)
        call = self.trace.calls[-1] if self.trace is not None and self.trace.calls else None
        if segment.terminated:
            error = self.trace.last_error if self.trace is not None else None
            raise ModelError(f"{self.name} gave no reply: {error.message if error else 'its run has ended'}")
        text = segment.last_reply
        self._said = (*request.messages, Message(Role.ASSISTANT, text))
        cut = call is not None and call.finish_reason == "length"
        return Generation(
            candidates=(
                Candidate(text=text, finish_reason=FinishReason.LENGTH if cut else FinishReason.STOP),
            ),
            usage=_usage(call),
            latency_s=time.perf_counter() - start,
        )

    async def _open(self, before: list[Message]) -> None:
        system = before[0].content if before and before[0].role is Role.SYSTEM else None
        task = self._task.with_data(prompt=None, system_prompt=system)
        self._interaction = await self._stack.enter_async_context(self._agent.interaction(task))
        self.trace = self._interaction.trace
        self._said = tuple(before[:1]) if system is not None else ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def _usage(call: vf.ModelCall | None) -> Usage:
    if call is None or call.usage is None:
        return Usage()
    return Usage(prompt_tokens=call.usage.prompt_tokens, completion_tokens=call.usage.completion_tokens)
