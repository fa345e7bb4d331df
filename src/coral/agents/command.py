"""A program that plays the agent: long-lived processes, a request as a line of JSON in, a reply as one out.

Each process answers one request after the other; several take requests at the same time. One that ends, or
writes what is no reply, is started again after a pause. All of them end with this process, however that ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import msgspec

from coral import supervisor
from coral.agents.singly import drawn_singly
from coral.errors import ConfigError, Notice, Outage, Unreachable
from coral.models import embedded
from coral.models.config import ModelConfig
from coral.models.connections import LARGEST_BODY, Connections, Stopped
from coral.models.plain import DEFAULT_REPLY, paths_of, request_fields
from coral.models.plain_wire import read_plain
from coral.models.protocol import Generation, Request
from coral.models.providers import PLAIN_SERVER, Target
from coral.models.retries import AttemptFailure, Backoff
from coral.models.secrets import hide, of_environment
from coral.models.wire import Answer

TRIES = 3
"""How often a request is given to a process at most, where those that get it end without a reply."""
MOST_CRASHES = 20
"""Processes in a row that end without having answered: then the run stops."""
GRACE_S = 2.0
"""A process whose input is closed gets so long to end by itself; then so long again after SIGTERM."""
SHOWN = 400
"""Characters of what a process wrote to its standard error, in a message."""
LARGEST_LOG = 16 * 2**20
"""Bytes that are kept of all that the processes of a command write to their standard error."""

_ENCODER = msgspec.json.Encoder()
_PATHS = paths_of(DEFAULT_REPLY)


class CommandModel:
    """A command as a model; see `ModelConfig.command`.

    Args:
        option: where the user gave it, for messages.

    Raises:
        ConfigError: there is no such program.
    """

    def __init__(self, config: ModelConfig, connections: Connections, *, option: str = "--agent") -> None:
        self.name = embedded.name_of(config)
        self._config, self._connections = config, connections
        self._words = _runnable(config.command_words, option)
        self._target = Target(
            name=self.name, wire_name=config.model, provider=PLAIN_SERVER, base_urls=(), chat_urls=(),
            key_variable=None, key=None, option=option, hidden=of_environment(),
        )  # fmt: skip
        self._backoff = Backoff(base_s=config.backoff_s, cap_s=config.max_backoff_s)
        self._slots = asyncio.Semaphore(config.workers)
        self._idle: list[_Process] = []
        self._alive: set[_Process] = set()
        self._log = _Log()
        self._crashes = self._in_a_row = 0

    async def generate(self, request: Request) -> Generation:
        """What the command replies to `request`.

        Raises:
            Unreachable: its processes ended, or took too long.
            BadResponse: it wrote what is no reply.
            Outage: one process after the other ends without a reply.
            ModelError: it reports an error.
            Stopped: no more requests are sent.
        """
        return await drawn_singly(request, self._one)

    async def _one(self, request: Request) -> Generation:
        fields = request_fields(request, seed=request.seed, model=self._config.model)
        line = _ENCODER.encode(fields) + b"\n"
        async with self._slots:
            if self._connections.stopping:
                raise Stopped
            started, tries = time.monotonic(), 0
            while True:
                tries += 1
                answer = await self._tried(line, fields["id"], request)
                if isinstance(answer, Answer):
                    break
                if not answer.retry or tries == TRIES:
                    raise answer.error(tries)
                await self._connections.pause(self._backoff.pause_s(self._in_a_row, f"{self.name}:{tries}"))
            self._connections.answered = True
            return Generation(
                candidates=answer.candidates,
                usage=answer.usage,
                latency_s=time.monotonic() - started,
                attempts=tries,
            )

    async def _tried(self, line: bytes, identity: str, request: Request) -> Answer | AttemptFailure:
        """Give a request to a process once."""
        process = await self._borrow()
        try:
            said = await process.exchange(line, self._config.request_timeout_s)
            if not said and process.answered and await process.ended() == 0:
                # It had finished after its latest reply: no fault, and nobody has read the request.
                await self._drop(process)
                process = await self._borrow(fresh=True)
                said = await process.exchange(line, self._config.request_timeout_s)
            failure = await self._fault(process, said)
            if failure is None:
                answer = self._read(said or b"", identity, request)
                failure = answer if isinstance(answer, AttemptFailure) else None
        except BaseException:  # cancelled in the middle of a request
            await self._drop(process, at_once=True)
            raise
        if failure is not None and failure.endpoint_fault:
            await self._drop(process, at_once=True)
            return failure
        self._in_a_row = 0
        process.answered += 1
        self._idle.append(process)
        return failure or answer

    async def _fault(self, process: _Process, said: bytes | None) -> AttemptFailure | None:
        """Why a process is not to be used any more, None if it gave a line, and nothing but that."""
        if process.unasked is not None:
            words = hide(_shortened(process.unasked), self._target.secrets)
            brief = f"it wrote a line that nobody asked for: {words}"
            advice = "write one line per request to standard output, and all else to standard error"
            return self._failure(brief, retry=False, remedy=advice)
        if said is None:
            brief = f"it gave no reply within {self._config.request_timeout_s:g} s"
            remedy = f"raise {self._target.option}.request_timeout_s; does it end each line, and flush it?"
            return self._failure(brief + self._words_of(process), retry=False, remedy=remedy)
        if said:
            return None
        code = await process.ended()
        how = "closed its output" if code is None else f"ended with {code}"
        return self._crashed(f"its process {how} before it replied{self._words_of(process)}", code)

    def _crashed(self, brief: str, code: int | None) -> AttemptFailure:
        self._crashes += 1
        self._in_a_row += 1
        remedy = f"fix the command{self._log.told()}"
        if code == supervisor.CANNOT_START:
            remedy = "does it begin with a line such as #!/bin/sh, and may it be executed?"
        if self._crashes == 1:
            warnings.warn(f"{self.name}: {brief}; it is started again", Notice, stacklevel=2)
        if self._in_a_row >= MOST_CRASHES:
            failure = self._failure(f"{brief}, {self._in_a_row} times in a row", retry=False, remedy=remedy)
            return replace(failure, kind=Outage)
        return self._failure(brief, retry=True, remedy=remedy)

    def _failure(self, brief: str, *, retry: bool, remedy: str) -> AttemptFailure:
        return AttemptFailure(
            kind=Unreachable,
            message=f"{self.name}: {brief}",
            brief=brief,
            retry=retry,
            endpoint_fault=True,
            remedy=remedy,
        )

    def _words_of(self, process: _Process) -> str:
        """The end of what a process wrote to its standard error, for a message."""
        words = hide(process.errors.decode("utf-8", "replace"), self._target.secrets)
        return f"; its last words: {_shortened(words, end=True)}" if words.strip() else ""

    def _read(self, line: bytes, identity: str, request: Request) -> Answer | AttemptFailure:
        answer = read_plain(line, self._target, request.sampling, _PATHS)
        if isinstance(answer, AttemptFailure):
            if answer.brief.startswith("the reply"):
                remedy = 'write replies as {"text": "..."}, one line each, and all else to standard error'
                answer = replace(answer, remedy=remedy, endpoint_fault=True)
            return answer
        echoed = _echoed(line)
        if echoed is not None and echoed != identity:
            brief = "it replied to another request than the one it was given (the id is another)"
            return self._failure(brief, retry=False, remedy="reply to each line before the next one is read")
        return answer.failures[0] if answer.failures else answer

    # Processes ----------------------------------------------------------------------------------------------

    async def _borrow(self, *, fresh: bool = False) -> _Process:
        while self._idle and not fresh:
            process = self._idle.pop()
            if process.is_open:
                return process
            await self._drop(process)
        try:
            process = await _Process.start(self._words, self._log)
        except OSError as error:
            raise Unreachable(
                f"{self.name} cannot be started: {error.strerror}",
                remedy=f"lower {self._target.option}.workers",
            ) from None
        self._alive.add(process)
        return process

    async def _drop(self, process: _Process, *, at_once: bool = False) -> None:
        self._alive.discard(process)
        await process.close(0.0 if at_once else GRACE_S)

    async def __aenter__(self) -> CommandModel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all processes: those that wait for a request by closing their input."""
        await asyncio.gather(*(process.close(GRACE_S) for process in tuple(self._alive)))
        self._alive.clear()
        if self._crashes > 1:
            text = f"{self.name}: {self._crashes} processes ended before they replied{self._log.told()}"
            warnings.warn(text, Notice, stacklevel=2)
        self._log.close(keep=self._crashes > 0)


def source_of(words: Sequence[str]) -> str | None:
    """A digest of the files among the words of a command, such as its script; None where there are none."""
    digest, found = hashlib.sha256(), False
    for word in words:
        with suppress(OSError, ValueError):
            path = Path(word)
            if path.is_file() and path.stat().st_size <= LARGEST_LOG:
                digest.update(path.read_bytes())
                found = True
    return digest.hexdigest()[:16] if found else None


def _runnable(words: Sequence[str], option: str) -> tuple[str, ...]:
    """The words with `{python}` filled in.

    Raises:
        ConfigError: no program has the name of the first one, or it may not be executed.
    """
    whole = tuple(word.replace("{python}", sys.executable) for word in words)
    first = whole[0] if whole else ""
    if shutil.which(first) is not None:
        return whole
    if Path(first).is_file():
        if os.access(first, os.X_OK):
            raise ConfigError(
                f"{option}.command: {first} is not in PATH", remedy=f"name it by its path: ./{first}"
            )
        raise ConfigError(
            f"{option}.command: {first} may not be executed",
            remedy=f"chmod +x {shlex.quote(first)}, or put its interpreter before it",
        )
    hint = "give the path of a program, such as ./agent.sh, or a name that PATH holds"
    if "=" in first:
        hint = f"no shell reads it: write env {first} and the program"
    raise ConfigError(f"{option}.command: there is no program '{first}'", remedy=hint)


def _echoed(line: bytes) -> str | None:
    """The id that a reply repeats, if it does."""
    try:
        return msgspec.json.decode(line, type=_Echo).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class _Echo(msgspec.Struct):
    id: str | None = None


def _shortened(words: str | bytes, *, end: bool = False) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    line = " ".join(text.split())
    if len(line) <= SHOWN:
        return line
    return f"... {line[-SHOWN:]}" if end else f"{line[:SHOWN]} ..."


class _Log:
    """The file of what the processes of a command write to their standard error, made when there is any.

    Attributes:
        path: where it is; empty where there is none.
    """

    def __init__(self) -> None:
        self.path = ""
        self._handle: int | None = None
        self._left = LARGEST_LOG

    def write(self, chunk: bytes) -> None:
        """Keep a piece, as far as there is room for it."""
        with suppress(OSError):  # a full disk ends no run
            if self._handle is None:
                self._handle, self.path = tempfile.mkstemp(prefix="coral-agent-", suffix=".log")
            os.write(self._handle, chunk[: self._left])
            self._left = max(0, self._left - len(chunk))

    def told(self) -> str:
        """Where it is, for the end of a message."""
        return f"; what it wrote to standard error is in {self.path}" if self.path else ""

    def close(self, *, keep: bool) -> None:
        """Close the file, and delete it unless somebody may want to read it."""
        if self._handle is not None:
            os.close(self._handle)
            if not keep:
                Path(self.path).unlink(missing_ok=True)


class _Process:
    """One process of a command, under a supervisor.

    Attributes:
        answered: how many requests it has answered.
        unasked: the first line that it wrote although no request was open.
        errors: the end of what it wrote to its standard error.
    """

    def __init__(self, process: asyncio.subprocess.Process, leash: int, log: _Log) -> None:
        self._process, self._leash, self._log = process, leash, log
        self.answered = 0
        self.unasked: bytes | None = None
        self.errors = b""
        self._waiting: asyncio.Future[bytes] | None = None
        self._listening = asyncio.ensure_future(self._listen())
        self._keeping = asyncio.ensure_future(self._keep_errors())

    @staticmethod
    async def start(words: Sequence[str], log: _Log) -> _Process:
        """Start a process.

        Raises:
            OSError: the machine has no room for one.
        """
        theirs, ours = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *supervisor.START, "--owner", str(theirs), *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=LARGEST_BODY,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                pass_fds=(theirs,),
                start_new_session=True,  # Ctrl-C is for us: what is being answered is still kept
            )  # fmt: skip
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return _Process(process, ours, log)

    @property
    def is_open(self) -> bool:
        """Whether it still writes, as far as is known."""
        return not self._listening.done()

    async def exchange(self, line: bytes, limit_s: float) -> bytes | None:
        """Hand over a line, and wait for the one that it writes.

        Returns:
            That line; empty where it ends instead, None if it takes longer than `limit_s`.
        """
        self._waiting = asyncio.get_running_loop().create_future()
        if self._listening.done():
            self._waiting.set_result(b"")
        try:
            return await asyncio.wait_for(self._handed_over(line, self._waiting), limit_s)
        except asyncio.TimeoutError:
            return None
        finally:
            self._waiting = None

    async def _handed_over(self, line: bytes, waiting: asyncio.Future[bytes]) -> bytes:
        assert self._process.stdin is not None
        with suppress(ConnectionError, RuntimeError):  # it ends (uvloop: it has): then its output ends, too
            self._process.stdin.write(line)
            await self._process.stdin.drain()
        return await waiting

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            while line := await self._process.stdout.readline():
                if not line.strip():
                    continue
                if self._waiting is not None and not self._waiting.done():
                    self._waiting.set_result(line)
                elif self.unasked is None:
                    self.unasked = line
        except ValueError:  # a line beyond all measure
            self.unasked = b"(longer than 64 MiB)"
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(b"")

    async def _keep_errors(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65_536):
            self.errors = (self.errors + chunk)[-4 * SHOWN :]
            self._log.write(chunk)

    async def ended(self) -> int | None:
        """Its exit code, once all that it wrote has arrived; None where it lives on."""
        await asyncio.wait({self._keeping}, timeout=GRACE_S)
        with suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(self._process.wait(), GRACE_S if self._keeping.done() else 0.01)
        return None

    async def close(self, grace_s: float) -> None:
        """End it and all that it started: by closing its input, then by SIGTERM, then at once."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        for is_told in (False, True):
            if self._process.returncode is None and grace_s:
                if is_told:
                    self._process.terminate()
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._process.wait(), grace_s)
        os.close(self._leash)  # the supervisor kills what is left
        await self._process.wait()
        await asyncio.gather(self._listening, self._keeping, return_exceptions=True)
