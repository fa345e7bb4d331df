"""The options of `coral generate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coral.config import ANY, COUNT, POSITIVE, Options, deciding, option
from coral.errors import ConfigError
from coral.models.config import ModelConfig
from coral.options import section
from coral.serving.launch import LaunchConfig, check_agent
from coral.store.shards import check_division


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(Options):
    """What to ask, whom, and where the replies go."""

    input: str = option("", decides=False)
    """File of rows, a JSON object per line: OpenAI batch lines, {"messages": [...]} or {"prompt": "..."}."""
    output: str = option("", decides=False)
    """File of replies, in the order of the rows; while it is made, OUTPUT.parts keeps what has arrived."""
    agent: ModelConfig = option(
        decides=True, default_factory=ModelConfig, **section(lambda: ModelConfig, short="model")
    )
    """The model. What a row says itself, such as temperature, comes first."""
    serve: LaunchConfig = option(
        decides=False, default_factory=LaunchConfig, **section(lambda: LaunchConfig, short="command")
    )
    """The agent's server, started by a command and ended with the run."""
    n: int = option(1, decides=True, within=COUNT)
    """Replies per row."""
    seed: int = option(0, decides=True, within=ANY)
    """Decides the seeds of requests."""
    limit: int | None = option(None, decides=False, within=COUNT)
    """Only the first rows; by default all. May grow later."""
    max_connections: int = option(128, decides=False, within=COUNT)
    """Most requests in flight to each server."""
    shard: str | None = option(None, decides=False)
    """I/N: answer the I-th of N parts of the rows (from 0 on), as one of several processes on any machines
    that see the files. Whichever ends last writes the output."""
    processes: int = option(1, decides=False, within=COUNT)
    """So many processes on this machine share the rows, and `max_connections`."""
    prices: str | None = option(None, decides=False)
    """Prices (YAML) that are laid over the shipped ones; `coral prices` shows those."""
    cache: str | None = option(None, decides=False)
    """Folder of replies that outlive their run: what any run with this folder asked before, of the same model
    with the same seed, is not asked, and not paid for, again. By default none."""
    batch: bool = option(False, decides=False)
    """Ask OpenAI or Anthropic by their batch APIs, at half the price: all rows are one batch, and take up to
    24 hours."""
    max_tokens_total: int | None = option(None, decides=False, within=COUNT)
    """Stop before more tokens than this are read and written, in all sessions together; the same command
    with a higher limit resumes."""
    max_cost: float | None = option(None, decides=False, within=POSITIVE)
    """Stop before the work has cost more USD than this, by the price table."""
    max_hours: float | None = option(None, decides=False, within=POSITIVE)
    """Stop before this session has lasted longer than this."""
    dry_run: bool = option(False, decides=False)
    """Check the rows and show the first request; send nothing."""

    def __post_init__(self) -> None:
        """Refuse values that no run could use.

        Raises:
            ConfigError: names the option and what it may be.
        """
        super().__post_init__()
        if not self.input:
            raise ConfigError("no file of rows is given", remedy="coral generate IN.jsonl --output OUT.jsonl")
        if not self.output and not self.dry_run:
            raise ConfigError("no output is given", remedy="name a file: --output OUT.jsonl")
        if self.output and Path(self.output).absolute() == Path(self.input).absolute():
            raise ConfigError("input and output are one file", remedy="name another --output")
        check_division(self.shard, self.processes)
        check_agent(self.serve, self.agent)

    @property
    def decisive(self) -> dict[str, Any]:
        """What decides the replies: must be the same when the work is resumed."""
        of_model = {name: getattr(self.agent, name) for name in deciding(ModelConfig)}
        return of_model | {name: getattr(self, name) for name in deciding(GenerateConfig) if name != "agent"}
