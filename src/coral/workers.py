"""Functions that may hang or eat memory, run in worker processes that can be killed.

A grader of mathematical answers is honest code, but `9**9**9` keeps it busy for ever in C, where nothing can
interrupt it. So it runs in a worker: a Python process with a memory limit, without the secrets of our
environment, which is killed and replaced when a call exceeds its time.

    equal = await workers.call("coral.answers.math:equivalent", a, b, timeout_s=5)

Workers start when needed and serve many calls, one after another. A module's `warm_up`, if it has one, is
called once before the first, outside the time limit. Arguments and results travel as JSON. Workers end with
the last job that has them `in_use`, with the thread that started them, and with our death by any signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import blake2b
from types import TracebackType
from typing import IO, Any, Literal

import msgspec

from coral.errors import SandboxError, UserError

START_LIMIT_S = 120.0
"""Time for a worker to start, import a function's module and warm it up."""

_ALARM_GRACE_S = 5.0
_MAX_CACHED_BYTES = 4_096
_KEY_BYTES = 32
_PR_SET_PDEATHSIG = 1


class TimedOut(SandboxError):
    """The call took longer than its limit; its worker was killed."""


class WorkerDied(SandboxError):
    """The worker ended during the call: out of memory, killed from outside, or closed."""


class CallFailed(SandboxError):
    """The function raised an exception; the message holds its type and text."""


class CannotStart(UserError):
    """No worker could ever start and load a function: no call would bring a result."""

    def __init__(self, function: str, why: str) -> None:
        module = function.partition(":")[0]
        super().__init__(
            f"no process that grades can start: {why}",
            remedy=f"`{sys.executable} -c 'import {module}'` must work with no other variables than "
            f"{', '.join(sorted(_PASSED_ON))} and those that begin with {', '.join(_PREFIXES_PASSED_ON)}",
        )


_PASSED_ON = frozenset(
    {
        "PATH", "HOME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "CONDA_PREFIX", "OMP_NUM_THREADS",
        "PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE",
        "PYTHONPYCACHEPREFIX",
    }
)  # fmt: skip
"""What a Python may need to find itself and its packages. Nothing else is passed on: no keys, no tokens."""

_PREFIXES_PASSED_ON = ("LC_", "LD_", "DYLD_")


class _Call(msgspec.Struct, frozen=True):
    """What a worker is asked. Without `limit_s` it only loads the function."""

    function: str
    args: tuple[Any, ...] = ()
    limit_s: float | None = None


class _Answer(msgspec.Struct, frozen=True):
    """What a worker answers. `text` describes the exception where there is no value."""

    kind: Literal["value", "raised", "out_of_memory"]
    value: Any = None
    text: str = ""


# ---------------------------------------------------------------------------------------------------------
# Our side


async def call(function: str, *args: Any, timeout_s: float) -> Any:
    """Run `function` ("package.module:name") in a worker of the pool that all jobs of this thread share.

    The same call is answered from memory the second time, and one that timed out is not tried again with no
    more time.

    Args:
        function: trusted; it must be a pure function of its arguments, since results are remembered.
        args: whatever JSON can carry.
        timeout_s: seconds that the function itself may take, the start of a worker not counted.

    Raises:
        TimedOut: it took longer.
        WorkerDied: its worker ended, for want of memory most likely.
        CallFailed: it raised an exception.
        CannotStart: no worker could load it.
    """
    return await _shared.workers.call(function, *args, timeout_s=timeout_s)


@asynccontextmanager
async def in_use() -> AsyncIterator[None]:
    """Wraps a job that makes calls. When the last such job of this thread ends, its workers are stopped."""
    _shared.jobs += 1
    try:
        yield
    finally:
        _shared.jobs -= 1
        if _shared.jobs == 0:
            await close()


async def close() -> None:
    """Stop the workers of this thread, whoever uses them. A later `call` starts new ones."""
    await _shared.workers.close()


class Workers:
    """A pool of worker processes, started as needed. Also an async context manager.

    Args:
        max_workers: at most so many calls run at once; the others wait. None: one a core.
        memory_gib: address space of one worker.
        cached_results: so many answers of the latest calls are remembered.
    """

    def __init__(
        self, *, max_workers: int | None = None, memory_gib: float = 2.0, cached_results: int = 50_000
    ) -> None:
        self._max_workers = max_workers or os.cpu_count() or 1
        self._memory_bytes = int(memory_gib * 2**30)
        self._idle: list[_Worker] = []
        self._alive: set[_Worker] = set()
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots = asyncio.Semaphore(self._max_workers)
        self._results = _Results(cached_results)
        self._loadable: set[str] = set()
        weakref.finalize(self, _kill_all, self._alive, self._pid)

    async def call(self, function: str, *args: Any, timeout_s: float) -> Any:
        """See the module's `call`."""
        request = _Call(function, args, timeout_s)
        key = _key_of(msgspec.json.encode([function, args]))
        if (known := self._results.find(key, timeout_s)) is not None:
            return _unwrap(known, request)
        async with self._slots_of_this_loop():
            try:
                answer = await self._run(request)
            except TimedOut:
                self._results.add(key, timeout_s)
                raise
        self._results.add(key, answer)
        return _unwrap(answer, request)

    async def close(self) -> None:
        """Kill all workers; calls under way raise `WorkerDied`."""
        while self._idle:
            self._drop(self._idle.pop())
        for worker in self._alive:  # busy ones: their calls notice, and drop them
            worker.stop()

    async def __aenter__(self) -> Workers:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _slots_of_this_loop(self) -> asyncio.Semaphore:
        """A semaphore belongs to one event loop, the workers to none."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._slots = loop, asyncio.Semaphore(self._max_workers)
        return self._slots

    async def _run(self, request: _Call) -> _Answer:
        worker = self._borrow(request.function)
        try:
            await self._load(worker, request.function)
            answer = await worker.exchange(request)
            if answer.kind == "out_of_memory":
                raise WorkerDied(f"{request.function} ran out of memory")
        except BaseException:  # also when cancelled: the worker is in the middle of a call
            self._drop(worker)
            raise
        self._idle.append(worker)
        return answer

    async def _load(self, worker: _Worker, function: str) -> None:
        """Make a worker import and warm up a function. If none ever could, no call will bring a result."""
        try:
            loaded = await worker.load(function)
        except WorkerDied as error:
            if function in self._loadable:
                raise
            raise CannotStart(function, worker.last_words() or str(error)) from None
        if loaded.kind != "value":
            raise CannotStart(function, loaded.text or "it has too little memory")
        self._loadable.add(function)

    def _borrow(self, function: str) -> _Worker:
        if self._pid != os.getpid():  # forked: the workers are our parent's
            self._idle, self._alive, self._pid = [], set(), os.getpid()
            weakref.finalize(self, _kill_all, self._alive, self._pid)
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive():
                return worker
            self._drop(worker)
        try:
            worker = _Worker(self._memory_bytes)
        except OSError as error:
            if function in self._loadable:
                raise WorkerDied(f"no worker could start: {error.strerror}") from None
            raise CannotStart(function, error.strerror or str(error)) from None
        self._alive.add(worker)
        return worker

    def _drop(self, worker: _Worker) -> None:
        self._alive.discard(worker)
        worker.end()


class _Results:
    """The answers of the latest calls, and with how much time a call has timed out."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[bytes, _Answer | float] = OrderedDict()

    def find(self, key: bytes, timeout_s: float) -> _Answer | None:
        known = self._known.get(key)
        if known is None:
            return None
        self._known.move_to_end(key)
        if isinstance(known, _Answer):
            return known
        if known >= timeout_s:
            raise TimedOut(f"took longer than {known:g} s when it was first called")
        return None

    def add(self, key: bytes, result: _Answer | float) -> None:
        """Remember an answer, unless it is long, or the time limit that did not suffice for one."""
        if isinstance(result, _Answer) and len(msgspec.json.encode(result)) > _MAX_CACHED_BYTES:
            return
        self._known[key] = result
        if len(self._known) > self._most:
            self._known.popitem(last=False)


class _Worker:
    """One worker process and the socket to it."""

    def __init__(self, memory_bytes: int) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        self._loaded: dict[str, _Answer] = {}
        self._errors = _scratch_file()
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                [sys.executable, "-m", "coral.workers", str(os.getpid()), str(memory_bytes)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._errors or subprocess.DEVNULL,
                env=_bare_environment(),
                start_new_session=True,  # Ctrl-C is for us, not for the workers
            )
        except OSError:
            self._close()
            raise
        finally:
            theirs.close()

    def is_alive(self) -> bool:
        return self._process.poll() is None

    async def load(self, function: str) -> _Answer:
        """Make the worker import and warm up `function`, unless it has."""
        if function not in self._loaded:
            try:
                self._loaded[function] = await self.exchange(_Call(function))
            except TimedOut:
                raise WorkerDied(f"no worker was ready for {function} in {START_LIMIT_S:g} s") from None
        return self._loaded[function]

    def stop(self) -> None:
        """End the process and whatever it started, and reap it. May be called again."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def end(self) -> None:
        """Stop, and close the socket; never while a call waits on it, which would not notice."""
        self.stop()
        self._close()

    def _close(self) -> None:
        self._socket.close()
        if self._errors is not None:
            self._errors.close()

    def last_words(self) -> str:
        """The last line that the worker wrote to its standard error."""
        if self._errors is None:
            return ""
        end = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, end - 4_000))
        lines = self._errors.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    async def exchange(self, request: _Call) -> _Answer:
        """Send a request and wait for the answer, at most its time limit."""
        limit_s = request.limit_s or START_LIMIT_S
        try:
            return await asyncio.wait_for(self._send_and_receive(request), limit_s)
        except asyncio.TimeoutError:
            raise TimedOut(f"{request.function} took longer than {limit_s:g} s") from None
        except OSError as error:
            raise WorkerDied(f"the worker of {request.function} ended: {error}") from error

    async def _send_and_receive(self, request: _Call) -> _Answer:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._socket, _frame(request))
        size = int.from_bytes(await self._receive(4), "big")
        return msgspec.json.decode(await self._receive(size), type=_Answer)

    async def _receive(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        received = bytearray()
        while len(received) < size:
            chunk = await loop.sock_recv(self._socket, size - len(received))
            if not chunk:
                raise ConnectionResetError("no answer")
            received += chunk
        return bytes(received)


def _key_of(call: bytes) -> bytes:
    """The call itself, or what stands for a long one."""
    return call if len(call) <= _KEY_BYTES else blake2b(call, digest_size=_KEY_BYTES).digest()


def _unwrap(answer: _Answer, request: _Call) -> Any:
    if answer.kind == "value":
        return answer.value
    raise CallFailed(f"{request.function} raised {answer.text}")


def _kill_all(workers: set[_Worker], pid: int) -> None:
    if pid != os.getpid():
        return
    while workers:
        workers.pop().end()


def _bare_environment() -> dict[str, str]:
    """What a worker needs to find Python and its packages, as we found them, and nothing else."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith(_PREFIXES_PASSED_ON)
    }
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**kept, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONUTF8": "1"}


def _scratch_file() -> IO[bytes] | None:
    try:
        return tempfile.TemporaryFile(prefix="coral-")
    except OSError:  # TMPDIR is full: then nobody will know what it said
        return None


class _Shared(threading.local):
    """The pool of a thread: the kernel ends a worker together with the thread that started it."""

    def __init__(self) -> None:
        self.workers = Workers()
        self.jobs = 0


_shared = _Shared()


# ---------------------------------------------------------------------------------------------------------
# The worker's side


def _serve(parent: int, memory_bytes: int) -> None:
    """Answer calls on file 0, a socket, until our parent closes it."""
    _die_with(parent)
    _limit_memory(memory_bytes)
    while (size := _read(4)) is not None:
        body = _read(int.from_bytes(size, "big"))
        if body is None:
            return
        request = msgspec.json.decode(body, type=_Call)
        _write(_encodable(_execute(request)))


def _die_with(parent: int) -> None:
    """Ask the kernel to kill us when our parent dies: while we compute we would not see the socket close."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def _limit_memory(memory_bytes: int) -> None:
    # macOS refuses to limit the address space; the time limit still holds there.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _execute(request: _Call) -> _Answer:
    """Load or call the function, under an alarm that ends us if our parent is not there to kill us."""
    if request.limit_s is None:
        return _guarded(lambda: _warm_up(request.function))
    signal.setitimer(signal.ITIMER_REAL, request.limit_s + _ALARM_GRACE_S)
    try:
        return _guarded(lambda: _resolved(request.function)(*request.args))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _guarded(run: Callable[[], Any]) -> _Answer:
    try:
        return _Answer("value", run())
    except MemoryError:
        return _Answer("out_of_memory")
    except Exception as error:  # noqa: BLE001  every exception crosses to our parent as data
        return _Answer("raised", text=f"{type(error).__name__}: {error}"[:500])


def _warm_up(function: str) -> None:
    _resolved(function)
    warm_up = getattr(sys.modules[function.partition(":")[0]], "warm_up", None)
    if warm_up is not None:
        warm_up()


def _resolved(function: str) -> Callable[..., Any]:
    module, _, name = function.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def _frame(message: _Call | _Answer) -> bytes:
    """Four bytes of length, then JSON."""
    body = msgspec.json.encode(message)
    return len(body).to_bytes(4, "big") + body


def _encodable(answer: _Answer) -> bytes:
    try:
        return _frame(answer)
    except (TypeError, ValueError, RecursionError) as error:
        return _frame(_Answer("raised", text=f"{type(error).__name__}: result is not JSON: {error}"))


def _read(size: int) -> bytes | None:
    received = bytearray()
    while len(received) < size:
        chunk = os.read(0, size - len(received))
        if not chunk:
            return None
        received += chunk
    return bytes(received)


def _write(frame: bytes) -> None:
    while frame:
        frame = frame[os.write(0, frame) :]


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))
