"""What a user says about a pool of replicas: the file of `coral cluster up FILE`."""

from __future__ import annotations

import sys
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from coral.cluster import replica as supervisor
from coral.errors import ConfigError

SUPERVISOR = str(Path(supervisor.__file__).parent)

_TIMES = ("time", "t", "time-min", "begin", "deadline")
"""Options of sbatch that YAML may read as a number: of 24:00:00 it makes 86400, for sbatch minutes."""


@dataclass(frozen=True, kw_only=True)
class ReplicaOptions:
    """How each replica is looked after."""

    ready_within_s: float = 1800.0
    """Seconds from a server's start until it answers a completion."""
    check_every_s: float = 5.0
    """Seconds between two checks, and between two beats."""
    give_up_after_s: float = 120.0
    """Seconds without a sign of life until a server is started again."""
    probe_every_s: float = 60.0
    """Seconds between two completions of one token that show that a server works."""
    drain_s: float = 60.0
    """Seconds that requests in flight get to end."""
    stop_within_s: float = 20.0
    """Seconds from SIGTERM to SIGKILL of a server."""
    max_failed_starts: int = 3
    """Starts in a row that do not come to a completion until a replica has failed."""
    silent_after_s: float = 30.0
    """Seconds without a beat until clients take a replica for dead; 90 on NFS with its usual caches."""

    def __post_init__(self) -> None:
        """Refuse values that no replica could use.

        Raises:
            ConfigError: names the option and what it may be.
        """
        for name, value in asdict(self).items():
            if value <= 0:
                raise ConfigError(f"replica.{name} is {value}", remedy=f"give replica.{name} a value above 0")
        if self.silent_after_s < 2 * self.check_every_s:
            raise ConfigError(
                f"replica.silent_after_s ({self.silent_after_s:g}) is less than two beats "
                f"(replica.check_every_s {self.check_every_s:g})",
                remedy="raise silent_after_s, or lower check_every_s",
            )


@dataclass(frozen=True, kw_only=True)
class PoolConfig:
    """A pool of replicas: what serves, how many, where they run, and the folder that tells of them."""

    name: str = ""
    """Name of the pool, as jobs show it."""
    folder: str = ""
    """Folder that the login node, the compute nodes and the clients all see; only its owner can read it."""
    place: Literal["local", "slurm"] = "local"
    """Where replicas run: processes of this machine, or SLURM jobs."""
    replicas: int = 1
    """How many replicas are wanted."""
    server: tuple[str, ...] = ()
    """Command of the server, as a list; {host}, {port} and {key_file} are filled in."""
    setup: tuple[str, ...] = ()
    """Shell lines before it, such as `module load cuda`."""
    model: str = ""
    """Name that the server serves; by default the first one that it lists."""
    slurm: dict[str, Any] = field(default_factory=dict)
    """Options of sbatch by their long names, such as {partition: gpu, gres: "gpu:1", time: "24:00:00"}."""
    gpus: tuple[str, ...] = ()
    """Local: CUDA_VISIBLE_DEVICES of each replica, such as ["0,1", "2,3"]."""
    host: str = ""
    """Address of a replica for clients; by default 127.0.0.1 (local), or the node's address (SLURM)."""
    python: str = sys.executable
    """Python (3.9 or later) that runs the supervisor on the replica's machine; it needs no packages."""
    replica: ReplicaOptions = field(default_factory=ReplicaOptions)
    """How each replica is looked after."""

    def __post_init__(self) -> None:
        """Refuse values that no pool could use.

        Raises:
            ConfigError: names the option and what it may be.
        """
        for name in ("name", "folder", "server"):
            if not getattr(self, name):
                raise ConfigError(f"the pool has no {name}", remedy=f"write `{name}:` into its file")
        if not self.name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise ConfigError(
                f"the name '{self.name}' cannot name a job", remedy="use letters, digits and - _ ."
            )
        if self.replicas < 0:
            raise ConfigError(f"replicas is {self.replicas}", remedy="give replicas a value of 0 or more")
        if len(self.gpus) < self.replicas and self.gpus and self.place == "local":
            raise ConfigError(
                f"{self.replicas} replicas are wanted, and there are GPUs for {len(self.gpus)}",
                remedy="lower replicas, or name more gpus: one entry per replica",
            )
        if not any("{port}" in part for part in self.server):
            raise ConfigError(
                "the server's command does not say its port", remedy='add [..., --port, "{port}"] to server'
            )
        self._check_slurm()

    def _check_slurm(self) -> None:
        for name in _TIMES:
            value = self.slurm.get(name)
            if value is not None and not isinstance(value, str):
                raise ConfigError(
                    f"slurm.{name} is the number {value}: YAML reads 24:00:00 as 86400, which sbatch would "
                    "take as minutes",
                    remedy=f'put it in quotes: {name}: "24:00:00"',
                )
        for name in ("array", "parsable", "wrap", "wait"):
            if name in self.slurm:
                raise ConfigError(
                    f"slurm.{name} is decided by Coral", remedy="remove it; `replicas` says how many jobs"
                )

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder).expanduser().absolute()

    @property
    def job_name(self) -> str:
        """What its SLURM jobs are called: pools of one name in two folders are told apart."""
        return f"coral-{self.name}-{zlib.crc32(str(self.path).encode()) & 0xFFFF:04x}"

    def supervise(self, *, host: str, requeue: bool = False) -> list[str]:
        """The command of one replica."""
        names = {"model": self.model, "host": host}
        flags = [f"--{name}={value}" for name, value in names.items() if value]
        flags += [f"--{name}={value:g}" for name, value in asdict(self.replica).items()]
        flags += ["--requeue"] * requeue
        return [self.python, "-u", SUPERVISOR, f"--folder={self.path}", *flags, "--", *self.server]
