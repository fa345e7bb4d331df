"""Where replicas run: what every place can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from coral.cluster.records import Record


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a place keeps for one replica, or for those of one node.

    Attributes:
        id: as `Record.job` names it.
        state: in the words of SLURM, such as RUNNING or PENDING.
        why: the place's own reason for that.
        actor: Ray's name of it.
    """

    id: str
    state: str
    node: str = ""
    why: str = ""
    actor: str = ""


class Place(Protocol):
    """Where the replicas of one pool run."""

    def script(self) -> str:
        """What is run for a replica, as a shell script."""

    def jobs(self) -> list[Job]:
        """The jobs of the pool that wait or run.

        Raises:
            UserError: the place cannot be asked.
        """

    def add(self, count: int) -> str:
        """Start so many jobs more; returns what was started, in words.

        Raises:
            UserError: they cannot be started.
        """

    def drain(self, jobs: Sequence[Job]) -> str:
        """Let the requests in flight of these jobs end, then end them; returns what is done, in words."""

    def end(self, jobs: Sequence[Job]) -> None:
        """End these jobs at once."""

    def sweep(self, record: Record) -> None:
        """End what a replica without a supervisor left behind."""


def drains(jobs: Sequence[Job]) -> str:
    """What is done, where these very jobs go."""
    return f"{', '.join(job.id for job in jobs)} drain"
