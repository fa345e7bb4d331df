"""What `coral serve` does: put a model behind an OpenAI-compatible address until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coral.config import ANY, NOT_NEGATIVE, SHARE, Bounds, Options, option
from coral.errors import ConfigError
from coral.serving.admission import names_of
from coral.serving.app import ChatServer, Limits, Served, serve_one
from coral.serving.faults import parse_faults
from coral.serving.listen import raise_open_files_limit, serve_until_signal
from coral.serving.scripted import Knowledge, Persona, serve_scripted
from coral.tasks import registry
from coral.tasks.protocol import Source

OnReady = Callable[[str, Served], None]
"""Called with the base URL and what is served, once connections are accepted."""


@dataclass(frozen=True, kw_only=True)
class ServerConfig(Options):
    """Where a server listens, and what it takes on."""

    host: str = option("127.0.0.1", decides=False)
    """Address to bind. The default is reachable from this machine alone; there is no authentication."""
    port: int = option(8765, decides=False, within=Bounds(least=0, most=65535))
    """Port to bind; 0 takes a free one."""
    drain_s: float = option(30.0, decides=False, within=NOT_NEGATIVE)
    """Seconds that requests in flight get to finish after SIGTERM or Ctrl-C."""
    max_body_mb: float = option(8.0, decides=False, within=NOT_NEGATIVE)
    """Largest request body in megabytes; a larger one is refused with 413."""
    max_n: int = option(128, decides=False, within=NOT_NEGATIVE)
    """Most candidates of one request."""
    allowed_hosts: str = option("", decides=False, names=True)
    """Names with dots that clients use for this server, a list of them; `*.example` and `*` match."""
    faults: str = option("", decides=True)
    """What to do wrong on purpose, such as 429:0.05,drop:0.01,outage:5@30; see docs/serving.md."""
    fault_seed: int = option(0, decides=True, within=ANY)
    """Decides which requests meet a fault."""


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig(ServerConfig):
    """The name of a checkpoint, where its server listens, and what it takes on."""

    name: str = option("", decides=True)
    """Name that clients ask for; by default the folder's."""


@dataclass(frozen=True, kw_only=True)
class ScriptedConfig(ServerConfig):
    """What a scripted agent knows, how it behaves, and its server."""

    task: str = option("", decides=True)
    """Task whose problems it knows; `coral tasks` lists them."""
    data: str | None = option(None, decides=True)
    """Data set: a file, a folder, or hf://datasets/OWNER/NAME."""
    split: str = option("", decides=True)
    """Split of the data; by default the task's first."""
    data_password: str | None = option(None, decides=False)
    """Password of an encrypted archive (GPQA)."""
    task_options: dict[str, Any] = option(decides=True, default_factory=dict)
    """The task's own options, such as --task_options.NAME VALUE."""
    accuracy: float = option(0.6, decides=True, within=SHARE)
    """Probability that its first own answer is right."""
    stubbornness: float = option(0.5, decides=True, within=SHARE)
    """Probability that it keeps to its answer at a turn where the partner's differs."""
    unsure: float = option(0.05, decides=True, within=SHARE)
    """Probability that it has no answer yet, or loses faith in its own in a dispute."""
    restless: float = option(0.0, decides=True, within=SHARE)
    """Probability that it changes its answer when it is asked again, whatever it hears."""
    swayed: float = option(0.0, decides=True, within=SHARE)
    """Probability that words beside a bare answer make it give in where the answer did not."""
    patience: int = option(6, decides=True, within=NOT_NEGATIVE)
    """Turns that it holds on to a disputed answer before it gives in; 0, or stubbornness 1: never."""
    seed: int = option(0, decides=True, within=ANY)
    """Decides all of its choices, and those of the data: generated problems, shuffled choices."""
    split_seed: int = option(0, decides=True, within=ANY)
    """Seed of the splits of data sets that publish none."""
    latency_s: float = option(0.0, decides=False, within=NOT_NEGATIVE)
    """Seconds before each reply."""


async def serve_scripted_agent(config: ScriptedConfig, *, on_ready: OnReady) -> bool:
    """Serve scripted agents over the problems of a data set, until a signal ends it.

    Returns:
        Whether every request in flight was finished.

    Raises:
        UserError: an option or the data cannot be used.
    """
    if not config.task:
        raise ConfigError("no task given", remedy="name one, such as --task hi_tom; `coral tasks` lists them")
    persona = Persona(**{name: getattr(config, name) for name in Persona.__struct_fields__})
    return await _serve(serve_scripted(load_knowledge(config), persona), config, on_ready)


def load_knowledge(config: ScriptedConfig) -> Knowledge:
    """Load the problems that scripted agents are to know.

    Raises:
        UserError: the task, its options or the data cannot be used.
    """
    task = registry.load(config.task, **config.task_options)
    source = Source(
        data=config.data,
        split=config.split,
        seed=config.seed,
        split_seed=config.split_seed,
        password=config.data_password,
    )
    return Knowledge(task, task.problems(source))


async def serve_checkpoint(path: str, config: CheckpointConfig, *, on_ready: OnReady) -> bool:
    """Serve a checkpoint folder with the embedded engine, until a signal ends it.

    Returns:
        Whether every request in flight was finished.

    Raises:
        UserError: the engine cannot run the folder.
    """
    folder = check_checkpoint(path)
    from coral.engine.model import EmbeddedModel

    async with EmbeddedModel(path, name=config.name or folder) as model:
        return await _serve(serve_one(model), config, on_ready)


CHECKPOINT_FILES = ("config.json", "tokenizer.json", "*.safetensors")


def check_checkpoint(path: str) -> str:
    """Make sure that `path` looks like a checkpoint folder before anything heavy is loaded.

    Returns:
        The folder's name, under which it is served.

    Raises:
        ConfigError: it does not; says what is expected.
    """
    folder = Path(path).expanduser()
    remedy = f"give a checkpoint folder that holds {', '.join(CHECKPOINT_FILES)}, or 'scripted'"
    if not folder.is_dir():
        raise ConfigError(f"there is no folder '{path}'", remedy=remedy)
    missing = [name for name in CHECKPOINT_FILES if not any(folder.glob(name))]
    if missing:
        raise ConfigError(f"'{path}' is not a checkpoint: it has no {', '.join(missing)}", remedy=remedy)
    return folder.resolve().name


async def _serve(served: Served, config: ServerConfig, on_ready: OnReady) -> bool:
    raise_open_files_limit()
    named = tuple(name.strip() for name in config.allowed_hosts.split(",") if name.strip())
    hosts = (*named, *names_of(config.host))
    limits = Limits(
        max_body_bytes=int(config.max_body_mb * 1_000_000), max_n=config.max_n, allowed_hosts=hosts
    )
    plan = parse_faults(config.faults, seed=config.fault_seed)
    return await serve_until_signal(
        ChatServer(served, limits=limits, plan=plan),
        host=config.host,
        port=config.port,
        drain_s=config.drain_s,
        on_ready=lambda url: on_ready(url, served),
    )
