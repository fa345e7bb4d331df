"""Forks that the page asks for: each a `coral fork` in a process of its own, with a folder in the run's."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from typing_extensions import Self

from coral.config import dump_yaml
from coral.errors import ConfigError
from coral.options import build_config
from coral.studies.fork import ForkConfig, ForkResults

FOLDER = "forks"
MOST_AT_ONCE = 4
"""Forks in work: each sends its requests as a run of its own."""
_TOLD = 4_000
"""Characters of what a failed fork said that are kept."""


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page sends: one change, as the options of `coral fork` have it."""

    run: int
    conversation: str
    turn: int
    samples: int = 10
    replace: str | None = None
    control: str | None = None
    agent: dict[str, Any] = {}
    partner: dict[str, Any] = {}

    def options(self) -> dict[str, Any]:
        """The options that are set."""
        whole: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in whole.items() if value not in (None, {})
                and name not in {"run", "conversation"}}  # fmt: skip


@dataclass
class Fork:
    """One fork, running or ended.

    Attributes:
        output: its folder; the continuations are runs in it, `changed` and `unchanged`.
        error: what it said if it failed.
    """

    number: int
    run: int
    conversation: str
    turn: int
    output: Path
    ended: bool = False
    error: str = ""
    results: ForkResults | None = None
    shown: dict[str, int] = field(default_factory=dict)
    """Numbers of the runs on display that hold the continuations."""
    process: asyncio.subprocess.Process | None = None

    @classmethod
    def begin(cls, number: int, wish: Wish, path: Path) -> Self:
        """Check what is wished, and make the folder.

        Raises:
            UserError: an option is missing or cannot be.
        """
        if wish.conversation.startswith("-"):
            raise ConfigError(
                f"'{wish.conversation}' would be taken for an option", remedy="use coral.fork in Python"
            )
        build_config(ForkConfig, wish.options(), "fork", remedy="change one thing, at one turn")
        root = path / FOLDER
        try:
            root.mkdir(exist_ok=True)
            output = next(root / f"{n:03d}" for n in range(1, 1000) if not (root / f"{n:03d}").exists())
            output.mkdir()
            (output / "fork.yaml").write_text(dump_yaml({**wish.options(), "output": str(output.resolve())}))
        except OSError as error:
            raise ConfigError(
                f"cannot write to {root}: {error.strerror}", remedy="fork a copy of the run"
            ) from None
        return cls(number, wish.run, wish.conversation, wish.turn, output)

    async def work(self, path: Path) -> None:
        """Hold the continuations; what came of them, or why not, stands in the attributes."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "coral", "fork", str(path), self.conversation,
            "--config", str(self.output / "fork.yaml"),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, told = await self.process.communicate()
        try:
            if self.process.returncode == 0:
                content = (self.output / "results.json").read_bytes()
                self.results = msgspec.json.decode(content, type=ForkResults)
            else:
                said = re.sub(r"\r[^\n]*", "", told.decode(errors="replace")).strip()
                self.error = said[-_TOLD:] or f"it ended with code {self.process.returncode}"
        except (OSError, msgspec.MsgspecError) as error:
            self.error = f"its results cannot be read: {error}"
        finally:
            self.ended = True

    async def stop(self) -> None:
        """End it; what it has paid for is kept, and the same fork can be resumed on the command line."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
            await self.process.wait()

    def told(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "number": self.number, "run": self.run, "conversation": self.conversation, "turn": self.turn,
            "ended": self.ended, "error": self.error, "results": msgspec.to_builtins(self.results),
            "shown": self.shown, "command": f"coral fork RUN {self.conversation} --config fork.yaml",
        }  # fmt: skip
