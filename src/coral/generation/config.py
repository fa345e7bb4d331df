"""The options of `coral generate`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from coral.errors import ConfigError
from coral.models.config import ModelConfig
from coral.options import section

_DECIDES = (
    "model",
    "temperature",
    "top_p",
    "max_tokens",
    "thinking_tokens",
    "stop",
    "extra_body",
    "return_token_ids",
    "system_prompt",
)


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """What to ask, whom, and where the replies go."""

    input: str = ""
    """File of rows, a JSON object per line: OpenAI batch lines, {"messages": [...]} or {"prompt": "..."}."""
    output: str = ""
    """File of replies, in the order of the rows; while it is made, OUTPUT.parts keeps what has arrived."""
    agent: ModelConfig = field(
        default_factory=ModelConfig, metadata=section(lambda: ModelConfig, short="model")
    )
    """The model. What a row says itself, such as temperature, comes first."""
    n: int = 1
    """Replies per row."""
    seed: int = 0
    """Decides the seeds of requests."""
    limit: int | None = None
    """Only the first rows; by default all. May grow later."""
    max_connections: int = 128
    """Most requests in flight to each server."""
    prices: str | None = None
    """YAML file of prices that overrides those shipped."""
    dry_run: bool = False
    """Check the rows and show the first request; send nothing."""

    def __post_init__(self) -> None:
        """Refuse values that no run could use.

        Raises:
            ConfigError: names the option and what it may be.
        """
        if not self.input:
            raise ConfigError("no file of rows is given", remedy="coral generate IN.jsonl --output OUT.jsonl")
        if not self.output and not self.dry_run:
            raise ConfigError("no output is given", remedy="name a file: --output OUT.jsonl")
        if self.output and Path(self.output).absolute() == Path(self.input).absolute():
            raise ConfigError("input and output are one file", remedy="name another --output")
        for name in ("n", "limit", "max_connections"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}", remedy=f"give {name} a value of at least 1")

    @property
    def decisive(self) -> dict[str, Any]:
        """What decides the replies: must be the same when the work is resumed."""
        agent = asdict(self.agent)
        return {**{name: agent[name] for name in _DECIDES}, "n": self.n, "seed": self.seed}
