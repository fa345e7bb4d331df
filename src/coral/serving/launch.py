"""Starts a server command for as long as it is needed: `--serve 'vllm serve MODEL --port {port}'`.

The server runs under a supervisor, so that it ends with this process, however that ends. It is ready when it
lists its model; if it never is, or ends too early, the error holds the last lines that it wrote.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
import shlex
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from coral import supervisor
from coral.config import POSITIVE, Options, option
from coral.errors import ConfigError, Interrupted, StoppedEarly, Unreachable, UserError
from coral.models.client import build_model
from coral.models.config import PLACES, ModelConfig
from coral.models.listing import is_listed, list_models
from coral.models.secrets import refuse_in_command
from coral.store.checkpoints import model_fingerprint

POLL_S = 0.2
SHOWN_LINES = 15
"""Last lines of a log in an error message."""
TO_COME = "http://127.0.0.1/v1"
"""Stands for the address of a server that is not started yet."""


@dataclass(frozen=True, kw_only=True)
class LaunchConfig(Options):
    """A server that is started when it is needed and stopped afterwards."""

    command: str | tuple[str, ...] = option((), decides=False)
    """What starts a server, as one text or a list of words; no shell reads it. {port} becomes a free port,
    {model} the name of the model, {python} this Python."""
    base_url: str = option("http://127.0.0.1:{port}/v1", decides=False)
    """Its address."""
    log: str | None = option(None, decides=False)
    """File for what the server writes; by default a temporary one, which stays if the run fails."""
    ready_within_s: float = option(900.0, decides=False, within=POSITIVE)
    """Seconds until a started server must list its model."""
    stop_within_s: float = option(60.0, decides=False, within=POSITIVE)
    """Seconds that a server gets to stop before it is killed."""

    def __post_init__(self) -> None:
        """Refuse what cannot be started.

        Raises:
            ConfigError: names the option and what it may be.
        """
        super().__post_init__()
        if self.command:
            refuse_in_command(self.words, "serve.command")
        if self.command and "{port}" in self.base_url and not any("{port}" in word for word in self.words):
            raise ConfigError(
                "serve.command does not say its port",
                remedy="add {port} to it, such as --port {port}, or give serve.base_url with a fixed port",
            )

    @property
    def words(self) -> tuple[str, ...]:
        """The command, word by word.

        Raises:
            ConfigError: a quotation mark in it is not closed.
        """
        if not isinstance(self.command, str):
            return self.command
        try:
            return tuple(shlex.split(self.command))
        except ValueError as error:
            raise ConfigError(
                f"serve.command cannot be split into words: {error}", remedy="quote it as for a shell"
            ) from None


M = TypeVar("M", bound=ModelConfig)


def check_agent(config: LaunchConfig, agent: ModelConfig) -> None:
    """Refuse an agent that is not served by the server that is started.

    Raises:
        ConfigError: it is said to be elsewhere.
    """
    if not config.command:
        return
    for name in PLACES:
        if getattr(agent, name) not in (None, "", ()):
            raise ConfigError(
                f"serve and agent.{name} both say where the model is served", remedy="give one of them"
            )
    if not agent.model and any("{model}" in word for word in config.words):
        raise ConfigError(
            "serve.command asks for {model}, and none is named", remedy="name it with --agent MODEL"
        )


def to_come(agent: M) -> M:
    """`agent` as it will be once its server runs, but for the address: for all that is settled before."""
    return dataclasses.replace(agent, model=agent.model or "(as listed)", base_url=TO_COME)


async def launch(
    config: LaunchConfig,
    agent: M,
    stack: AsyncExitStack,
    *,
    stop: Callable[[], None],
    stopping: Callable[[], bool],
    say: Callable[[str], object],
) -> M:
    """Start the server that `config` names; `stack` stops it.

    Args:
        agent: the model that it serves; without a name, the first that it lists.
        stop: called when the server ends before it is stopped.
        stopping: whether the user wants to stop; asked while the server starts.
        say: told what is waited for.

    Returns:
        The agent with the model's name and the server's address.

    Raises:
        Interrupted: `stopping` while the server started.
        UserError: it did not start in time, or ended.
    """
    names = {"model": agent.model, "port": str(free_port()), "python": sys.executable}
    command = [fill(word, names) for word in config.words]
    log = _log_of(config)
    if not config.log:
        stack.push(lambda failure, *_: log.unlink() if failure is None else None)
    say(f"waiting for the server ({shlex.join(command)}); it writes to {log}")
    there = dataclasses.replace(
        agent,
        base_url=fill(config.base_url, names),
        revision=agent.revision or _revision(config.words, agent.model),
    )
    server = running(command, there, config, log, stop=stop, stopping=stopping)
    return await stack.enter_async_context(server)


def _revision(words: Sequence[str], model: str) -> str:
    """What a command serves, whatever its port: its words, and the weights in the folders among them."""
    named = (*words, model)
    return hashlib.sha256("\0".join((*words, *map(model_fingerprint, named))).encode()).hexdigest()[:16]


@asynccontextmanager
async def running(
    command: Sequence[str],
    agent: M,
    config: LaunchConfig,
    log: Path,
    *,
    stopping: Callable[[], bool],
    stop: Callable[[], None] = lambda: None,
) -> AsyncIterator[M]:
    """Run a server while the body runs; see `launch`.

    Args:
        command: its words, filled in.
        agent: a model with the address at which the command serves it.
        log: what it writes is appended here.

    Yields:
        The agent with the model's name.

    Raises:
        StoppedEarly: it ended while the body ran.
    """
    process = await _start(command, log)
    try:
        agent = await _ready(process, agent, config.ready_within_s, log, stopping)
        watching = asyncio.ensure_future(_tell_end(process, stop))
        try:
            yield agent
        except Exception:
            _refuse_ended(process, log)
            raise
        finally:
            watching.cancel()
        _refuse_ended(process, log)
    finally:
        await _stop(process, within_s=config.stop_within_s)


async def run_supervised(command: Sequence[str], log: Path) -> int:
    """Run a command to its end, its output in `log`. It ends with this process, however that ends."""
    process = await _start(command, log)
    try:
        return await process.wait()
    finally:
        await _stop(process, within_s=30.0)


def fill(text: str, names: Mapping[str, str]) -> str:
    """`text` with {port}, {model} ... filled in; other braces stay."""
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def tail(log: Path) -> str:
    """The last lines of a log, for a message."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return "\n".join(f"  {line}" for line in lines[-SHOWN_LINES:])


def free_port() -> int:
    """A port of this machine that is free at the time."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _log_of(config: LaunchConfig) -> Path:
    if config.log:
        return Path(config.log).expanduser()
    handle, name = tempfile.mkstemp(prefix="coral-server-", suffix=".log")
    os.close(handle)
    return Path(name)


async def _start(command: Sequence[str], log: Path) -> asyncio.subprocess.Process:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *supervisor.START,
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )


async def _stop(process: asyncio.subprocess.Process, *, within_s: float) -> None:
    """SIGTERM, and after `within_s` the supervisor's end."""
    assert process.stdin is not None
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), within_s)
        except asyncio.TimeoutError:
            process.stdin.close()
            await process.wait()
    process.stdin.close()


async def _tell_end(process: asyncio.subprocess.Process, stop: Callable[[], None]) -> None:
    await process.wait()
    stop()


def _refuse_ended(process: asyncio.subprocess.Process, log: Path) -> None:
    if process.returncode is not None:
        raise StoppedEarly(
            f"the server ended with {process.returncode} while it was needed:\n{tail(log)}",
            remedy=f"run the same command again once that is fixed; all the server wrote is in {log}",
        )


async def _ready(
    process: asyncio.subprocess.Process,
    agent: M,
    within_s: float,
    log: Path,
    stopping: Callable[[], bool],
) -> M:
    """Poll until the server lists its model.

    Returns:
        The agent with the model's name.

    Raises:
        Interrupted: `stopping`.
        UserError: it ended, lists only other models, or the time is over.
    """
    deadline = time.monotonic() + within_s
    wanted = f"'{agent.model}'" if agent.model else "a model"
    async with build_model(dataclasses.replace(agent, model=agent.model or "any")) as model:
        while time.monotonic() < deadline:
            if stopping():
                raise Interrupted(
                    "stopped while the server was starting", remedy="the same command starts it again"
                )
            if process.returncode is not None:
                raise UserError(
                    f"the server ended with {process.returncode} before it was ready:\n{tail(log)}",
                    remedy=f"fix serve.command; all the server wrote is in {log}",
                )
            try:
                names = (listing := await list_models(model, model.endpoints[0], timeout_s=5.0)).names
            except Unreachable:
                names = None
            if names and (not agent.model or is_listed(listing, model.target.wire_name)):
                return dataclasses.replace(agent, model=agent.model or names[0])
            if names:
                raise UserError(
                    f"the server does not list {wanted}, but {', '.join(names)}",
                    remedy="give the model the name that the server lists, or make serve.command name it so",
                )
            await asyncio.sleep(POLL_S)
    raise UserError(
        f"the server does not list {wanted} after {within_s:g} s:\n{tail(log)}",
        remedy=f"raise serve.ready_within_s; all the server wrote is in {log}",
    )
