"""The options of `coral make`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coral.config import ANY, COUNT, NOT_NEGATIVE, POSITIVE, Options, deciding, option
from coral.errors import ConfigError
from coral.generation.config import GenerateConfig
from coral.models.config import ModelConfig
from coral.options import section
from coral.serving.launch import LaunchConfig, check_agent

SETS = ("mbpp_cr",)
"""The sets that can be made."""


@dataclass(frozen=True, kw_only=True)
class SamplerConfig(ModelConfig):
    """The model that writes programs: at a temperature at which some of them are right and some wrong."""

    temperature: float | None = option(0.8, decides=True, within=NOT_NEGATIVE)
    """Sampling temperature; null leaves it to the server."""


@dataclass(frozen=True, kw_only=True)
class MakeConfig(Options):
    """What to make, of what, and where it goes."""

    task: str = option("", decides=True)
    """The set to make: mbpp_cr."""
    data: str = option("", decides=False)
    """The data that it is made of: mbpp.jsonl or sanitized-mbpp.json, a folder or hf:// address."""
    output: str = option("", decides=False)
    """File of the set; OUTPUT.parts keeps what has arrived, and what programs did."""
    agent: SamplerConfig = option(
        decides=True, default_factory=SamplerConfig, **section(lambda: SamplerConfig, short="model")
    )
    """Who writes the programs. Without a model, the data's own get mistakes."""
    serve: LaunchConfig = option(
        decides=False, default_factory=LaunchConfig, **section(lambda: LaunchConfig, short="command")
    )
    """The agent's server, started by a command and ended with the work."""
    samples: int = option(8, decides=True, within=COUNT)
    """Programs that the model writes for each problem."""
    pairs: int = option(1, decides=True, within=COUNT)
    """At most so many right programs, and as many wrong ones, per problem."""
    seed: int = option(0, decides=True, within=ANY)
    """Decides what is drawn, and the seeds of requests."""
    split_seed: int = option(0, decides=True, within=ANY)
    """Decides which problems are for training, validation and testing."""
    limit: int | None = option(None, decides=False, within=COUNT)
    """Only the first problems; by default all. May grow later."""
    allow_unsafe_code: bool = option(False, decides=False)
    """Run programs without a jail where there is none: they can do whatever you can."""
    max_connections: int = option(128, decides=False, within=COUNT)
    """Most requests in flight to each server."""
    prices: str | None = option(None, decides=False)
    """Prices (YAML) that are laid over the shipped ones; `coral prices` shows those."""
    cache: str | None = option(None, decides=False)
    """Folder of replies that outlive their run; see `coral generate`."""
    max_tokens_total: int | None = option(None, decides=False, within=COUNT)
    """Stop before more tokens than this are read and written, in all sessions together; the same command
    with a higher limit resumes."""
    max_cost: float | None = option(None, decides=False, within=POSITIVE)
    """Stop before the work has cost more USD than this, by the price table."""
    max_hours: float | None = option(None, decides=False, within=POSITIVE)
    """Stop before this session has lasted longer than this."""

    def __post_init__(self) -> None:
        """Refuse what cannot be made.

        Raises:
            ConfigError: names what is missing.
        """
        super().__post_init__()
        example = "coral make mbpp_cr --data mbpp.jsonl --output mbpp_cr.jsonl"
        if self.task not in SETS:
            what = f"'{self.task}' cannot be made" if self.task else "nothing to make is named"
            raise ConfigError(what, remedy=f"the sets are: {', '.join(SETS)}; {example}")
        if not self.data:
            raise ConfigError("no data are named", remedy=example)
        if not self.output:
            raise ConfigError("no output is named", remedy=example)
        if Path(self.output).absolute() == Path(self.data).absolute():
            raise ConfigError("data and output are one file", remedy="name another --output")
        check_agent(self.serve, self.agent)

    @property
    def has_model(self) -> bool:
        """Whether a model writes the programs."""
        return bool(self.agent.model or self.agent.is_placed or self.serve.command)

    def decisive(self, fingerprint: str) -> dict[str, Any]:
        """What decides the set: must be the same when the work is resumed.

        Args:
            fingerprint: of the data.
        """
        own = ("task", "pairs", "seed", "split_seed", *(("samples",) if self.has_model else ()))
        of_model = {name: getattr(self.agent, name) for name in deciding(SamplerConfig)}
        model = of_model if self.has_model else {}
        return {"data": fingerprint, **{name: getattr(self, name) for name in own}, "agent": model}

    def generation(self, rows: Path, replies: Path) -> GenerateConfig:
        """The options with which the model is asked."""
        return GenerateConfig(
            input=str(rows),
            output=str(replies),
            agent=self.agent,
            serve=self.serve,
            n=self.samples,
            seed=self.seed,
            max_connections=self.max_connections,
            prices=self.prices,
            cache=self.cache,
            max_tokens_total=self.max_tokens_total,
            max_cost=self.max_cost,
            max_hours=self.max_hours,
        )
