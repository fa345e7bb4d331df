"""Models that are Python objects: a plain function, or an object with `generate`.

Their code is foreign and may raise anything. Here that becomes an `AgentFailed`, which fails one conversation
and names the object; it never ends a run.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any

from coral.agents.singly import drawn_singly
from coral.errors import AgentFailed, ConfigError, ModelError, UserError
from coral.models.protocol import Candidate, Generation, Model, Request
from coral.plugins import FOREIGN, cause
from coral.types import FinishReason, Usage, encodable

log = logging.getLogger("coral")

Messages = list[dict[str, str]]
"""The messages of a request as a function sees them: `{"role": ..., "content": ...}` each."""
Function = Callable[[Messages], str] | Callable[[Messages], Awaitable[str]]
"""A function that plays a model: messages in, the reply out."""


class FunctionModel:
    """A function `messages -> text` as a model. It is called once per candidate.

    An async function runs in the event loop, any other in a thread of its own, several at a time.

    Args:
        name: what records call it.
        limit: most calls at a time.
        timeout_s: after which a call counts as failed; what it returns later is dropped.
    """

    def __init__(
        self, function: Function, *, name: str, limit: int = 128, timeout_s: float | None = None
    ) -> None:
        self.name = name
        self._function = function
        self._slots = asyncio.Semaphore(limit)
        self._timeout_s = timeout_s

    async def generate(self, request: Request) -> Generation:
        """What the function says to the messages of `request`, `n` times. Tokens are not known.

        Raises:
            AgentFailed: it raised, took too long, or returned no text.
        """
        return await drawn_singly(request, self._one)

    async def _one(self, request: Request) -> Generation:
        started = time.monotonic()
        messages = [{"role": m.role.value, "content": m.content} for m in request.messages]
        async with self._slots:
            said = await self._within_time(messages)
        candidate = Candidate(text=_text(said, self.name), finish_reason=FinishReason.STOP)
        return Generation(candidates=(candidate,), usage=Usage(), latency_s=time.monotonic() - started)

    async def _within_time(self, messages: Messages) -> object:
        call = asyncio.ensure_future(self._call(messages))
        call.add_done_callback(_seen)
        try:
            await asyncio.wait({call}, timeout=self._timeout_s)
        finally:
            if not call.done():
                call.cancel()
        if not call.done():
            raise AgentFailed(f"{self.name} did not return within {self._timeout_s:g} s")
        if call.cancelled():
            raise AgentFailed(f"{self.name} cancelled itself")
        return call.result()

    async def _call(self, messages: Messages) -> object:
        try:
            said: object
            if _is_async(self._function):
                said = self._function(messages)
            else:
                said = await in_thread(partial(self._function, messages))
            return await said if inspect.isawaitable(said) else said
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise
        except FOREIGN as error:
            raise _failed(self.name, error) from error

    async def __aenter__(self) -> FunctionModel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""


class GuardedModel:
    """A model object that somebody else wrote, entered where it can be.

    Args:
        model: has `name` and `generate`; see `coral.models.protocol.Model`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.name = str(model.name)

    async def generate(self, request: Request) -> Generation:
        """What the model generates, if it is what was asked for.

        Raises:
            ModelError: the model raises it.
            AgentFailed: it raised something else, or returned no usable generation.
        """
        try:
            generation = await self._model.generate(request)
        except (ModelError, asyncio.CancelledError, KeyboardInterrupt):
            raise
        except FOREIGN as error:
            raise _failed(self.name, error) from error
        return self._usable(generation, request.n)

    def _usable(self, generation: object, n: int) -> Generation:
        if not isinstance(generation, Generation):
            raise AgentFailed(f"{self.name} returned {_kind(generation)}, not a Generation")
        if len(generation.candidates) != n:
            raise AgentFailed(f"{self.name} returned {len(generation.candidates)} candidates, not {n}")
        for candidate in generation.candidates:
            if _text(candidate.text, self.name) != candidate.text:
                raise AgentFailed(f"{self.name} returned half a surrogate pair, which no file can hold")
        return generation

    async def __aenter__(self) -> GuardedModel:
        if hasattr(self._model, "__aenter__"):
            try:
                await self._model.__aenter__()
            except UserError:
                raise
            except FOREIGN as error:
                raise ConfigError(
                    f"the model {self.name} cannot be opened: {cause(error)}",
                    remedy="fix its __aenter__, or leave it out where nothing is to be opened",
                ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if hasattr(self._model, "__aexit__"):
            try:
                await self._model.__aexit__(kind, error, trace)
            except FOREIGN as failure:  # what the run found must not be lost for it
                log.warning("the model %s could not be closed: %s", self.name, cause(failure))


def is_model(given: object) -> bool:
    """Whether an object is a model: it has a name and generates."""
    return hasattr(given, "name") and callable(getattr(given, "generate", None))


def guarded(model: Any) -> Model:
    """A model object with a boundary around it; one of ours has none."""
    from coral.models.client import ServedModel

    return model if isinstance(model, ServedModel) else GuardedModel(model)


def takes_messages(function: Callable[..., object]) -> bool:
    """Whether a function can be called with one argument, as far as it tells."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind([])
    except TypeError:
        return False
    return True


def _is_async(function: Callable[..., object]) -> bool:
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  whether what it defines is async
    )


def _seen(call: asyncio.Future[object]) -> None:
    """Look at what a call raised: where Ctrl-C ends the loop nobody else does, and asyncio complains."""
    if not call.cancelled():
        call.exception()


async def in_thread(call: Callable[[], object]) -> object:
    """What `call` returns or raises. Its thread is a daemon: one that hangs keeps no process alive."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[tuple[object, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def settle(said: object, error: BaseException | None) -> None:
        if not future.done():
            future.set_result((said, error))

    def work() -> None:
        said: object = None
        raised: BaseException | None = None
        try:
            said = context.run(call)
        except BaseException as error:  # noqa: BLE001  it belongs to whoever awaits
            raised = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, said, raised)

    threading.Thread(target=work, name="coral-function", daemon=True).start()
    said, error = await future
    if error is None:
        return said
    if isinstance(error, StopIteration | KeyboardInterrupt):  # no coroutine raises the one, Ctrl-C no thread
        raise RuntimeError(type(error).__name__).with_traceback(error.__traceback__)
    raise error


def _text(said: object, name: str) -> str:
    if not isinstance(said, str):
        raise AgentFailed(f"{name} returned {_kind(said)}, not a text")
    if not said.strip():
        raise AgentFailed(f"{name} returned an empty text")
    return encodable(said)


def _failed(name: str, error: BaseException) -> AgentFailed:
    raised = cause(error)
    log.debug("%s raised %s", name, raised, exc_info=error)
    return AgentFailed(f"{name} raised {raised}")


def _kind(value: object) -> str:
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        return "a generator (return the whole text instead of yielding parts)"
    return "nothing" if value is None else f"a value of type {type(value).__name__}"
