"""Which part of a run one process holds: `2/8` is the third of eight."""

from __future__ import annotations

import re
from dataclasses import dataclass

from coral.errors import ConfigError

FOLDER = "shards"
"""Of a run folder: holds a whole run folder per shard, so that no two machines write to one file."""
_TEXT = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a run, from 0 on."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def folder(self) -> str:
        """Its place in the folder of the run."""
        return f"{FOLDER}/{self.index}-of-{self.count}"


def shard_of(text: str) -> Shard:
    """The shard that a text such as `2/8` names.

    Raises:
        ConfigError: it names none.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"'{text}' is not a shard", remedy="give I/N, such as --shard 0/4; in a job array of 4 elements "
            "--shard $SLURM_ARRAY_TASK_ID/4"
        )  # fmt: skip
    shard = Shard(int(found[1]), int(found[2]))
    if not shard.index < shard.count:
        raise ConfigError(
            f"there is no shard {shard.index} of {shard.count}",
            remedy="shards are numbered from 0 to N - 1: give a job array the indices 0-3 for --shard "
            "$SLURM_ARRAY_TASK_ID/4, and 4 as a number: of a part of the array SLURM counts that part alone",
        )
    return shard


def shards(count: int) -> list[Shard]:
    """All shards of a run in `count` parts."""
    return [Shard(index, count) for index in range(count)]


def check_division(shard: str | None, processes: int) -> None:
    """Refuse options that no job could be divided by.

    Raises:
        ConfigError: `shard` names none, or both options divide the job.
    """
    if shard is None:
        return
    shard_of(shard)
    if processes > 1:
        raise ConfigError(
            "shard and processes both divide the run",
            remedy="give --shard to each process that you start, or --processes to one command",
        )
