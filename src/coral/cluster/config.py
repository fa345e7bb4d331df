"""What a user says about a pool of replicas: the file of `coral cluster up FILE`."""

from __future__ import annotations

import json
import re
import sys
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from coral.cluster import replica as supervisor
from coral.config import COUNT, NOT_NEGATIVE, POSITIVE, Options, option
from coral.errors import ConfigError
from coral.models.secrets import refuse_in_command

SUPERVISOR = str(Path(supervisor.__file__).parent)

_FILL_RANK = 'exec "${@//\\{rank\\}/$SLURM_PROCID}"'

_TIMES = ("time", "t", "time-min", "begin", "deadline")
"""Options of sbatch that YAML may read as a number: of 24:00:00 it makes 86400, for sbatch minutes."""

_OURS = {
    **dict.fromkeys(("array", "parsable", "wrap", "wait"), "`replicas` says how many jobs"),
    "job-name": "it has `name` in it, and the jobs of the pool are found by it",
}
"""Options of sbatch that nobody else may set, and what says the same."""


@dataclass(frozen=True, kw_only=True)
class ReplicaOptions(Options):
    """How each replica is looked after."""

    ready_within_s: float = option(1800.0, decides=False, within=POSITIVE)
    """Seconds from a server's start until it answers a completion."""
    check_every_s: float = option(5.0, decides=False, within=POSITIVE)
    """Seconds between two checks, and between two beats."""
    give_up_after_s: float = option(120.0, decides=False, within=POSITIVE)
    """Seconds without a sign of life until a server is started again."""
    probe_every_s: float = option(60.0, decides=False, within=POSITIVE)
    """Seconds between two completions of one token that show that a server works."""
    drain_s: float = option(60.0, decides=False, within=POSITIVE)
    """Seconds that requests in flight get to end."""
    stop_within_s: float = option(20.0, decides=False, within=POSITIVE)
    """Seconds from SIGTERM to SIGKILL of a server."""
    max_failed_starts: int = option(3, decides=False, within=COUNT)
    """Starts in a row that do not come to a completion until a replica has failed."""
    silent_after_s: float = option(30.0, decides=False, within=POSITIVE)
    """Seconds without a beat until clients take a replica for dead; 90 on NFS with its usual caches."""
    calm_s: float = option(120.0, decides=False, within=POSITIVE)
    """Autoscaling: a pool shrinks when its replicas had less to do for so many seconds."""

    def __post_init__(self) -> None:
        """Refuse values that no replica could use.

        Raises:
            ConfigError: names the option and what it may be.
        """
        super().__post_init__()
        if self.silent_after_s < 2 * self.check_every_s:
            raise ConfigError(
                f"replica.silent_after_s ({self.silent_after_s:g}) is less than two beats "
                f"(replica.check_every_s {self.check_every_s:g})",
                remedy="raise silent_after_s, or lower check_every_s",
            )


@dataclass(frozen=True, kw_only=True)
class PoolConfig(Options):
    """A pool of replicas: what serves, how many, where they run, and the folder that tells of them."""

    name: str = option("", decides=False)
    """Name of the pool, as jobs show it."""
    folder: str = option("", decides=False)
    """Folder that the login node, the compute nodes and the clients all see; only its owner can read it."""
    place: Literal["local", "slurm", "ray"] = option("local", decides=False)
    """Where replicas run: processes of this machine, SLURM jobs, or actors of a Ray cluster."""
    replicas: int = option(1, decides=False, within=NOT_NEGATIVE)
    """How many replicas are wanted; with `max`, how many it begins with."""
    min: int = option(1, decides=False, within=COUNT)
    """Autoscaling: the fewest replicas."""
    max: int | None = option(None, decides=False, within=COUNT)
    """Autoscaling: the most replicas. Between `min` and `max` their number follows the requests in flight
    whenever `up` or `status --watch` runs; null: as many as `replicas` says."""
    in_flight: int = option(64, decides=False, within=COUNT)
    """Autoscaling: requests, queue included, that a replica is meant to have."""
    server: tuple[str, ...] = option((), decides=True)
    """Command of the server, as a list; {host}, {port} and {key_file} are filled in."""
    setup: tuple[str, ...] = option((), decides=False)
    """Shell lines before it, such as `module load cuda`."""
    model: str = option("", decides=True)
    """Name that the server serves; by default the first one that it lists."""
    slurm: dict[str, Any] = option(decides=False, default_factory=dict)
    """Options of sbatch by their long names, such as {partition: gpu, gres: "gpu:1", time: "24:00:00"}."""
    replicas_per_job: int = option(1, decides=False, within=COUNT)
    """SLURM: replicas in each job, for sites that give away whole nodes; they share its GPUs evenly."""
    nodes: int = option(1, decides=False, within=COUNT)
    """SLURM: nodes of each replica. The server is started on all of them, with {rank} filled in."""
    ray: dict[str, Any] = option(decides=False, default_factory=dict)
    """Ray: {address: HOST:PORT}, and resources of a replica, such as {num_gpus: 1, num_cpus: 8}."""
    gpus: tuple[str, ...] = option((), decides=False)
    """Local: CUDA_VISIBLE_DEVICES of each replica, such as ["0,1", "2,3"]."""
    host: str = option("", decides=False)
    """Address of a replica for clients; by default 127.0.0.1 (local), or the node's address (SLURM, Ray)."""
    python: str = option(sys.executable, decides=False)
    """Python (3.9 or later) that runs the supervisor on the replica's machine; it needs no packages."""
    replica: ReplicaOptions = option(decides=False, default_factory=ReplicaOptions)
    """How each replica is looked after."""

    def __post_init__(self) -> None:
        """Refuse values that no pool could use.

        Raises:
            ConfigError: names the option and what it may be.
        """
        super().__post_init__()
        for name in ("name", "folder", "server"):
            if not getattr(self, name):
                raise ConfigError(f"the pool has no {name}", remedy=f"write `{name}:` into its file")
        if not self.name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise ConfigError(
                f"the name '{self.name}' cannot name a job", remedy="use letters, digits and - _ ."
            )
        self._check_numbers()
        if len(self.server) == 1 and len(words := self.server[0].split()) > 1:
            raise ConfigError(
                "the server's command is one text", remedy=f"write it as a list of words: {json.dumps(words)}"
            )
        refuse_in_command(self.server, "the server's command")
        if not any("{port}" in part for part in self.server):
            raise ConfigError(
                "the server's command does not say its port", remedy='add [..., --port, "{port}"] to server'
            )
        self._check_slurm()
        self._check_options_of_sbatch()

    def _check_numbers(self) -> None:
        if self.max is not None and self.max < self.min:
            raise ConfigError(
                f"max ({self.max}) is less than min ({self.min})", remedy="raise max, or lower min"
            )
        if self.max is not None and self.max < self.replicas:
            raise ConfigError(
                f"max ({self.max}) is less than replicas ({self.replicas})",
                remedy="raise max, or lower replicas, the number that the pool begins with",
            )
        most = max(self.replicas, self.max or 0)
        if len(self.gpus) < most and self.gpus and self.place == "local":
            raise ConfigError(
                f"{most} replicas are wanted, and there are GPUs for {len(self.gpus)}",
                remedy="lower replicas or max, or name more gpus: one entry per replica",
            )

    def _check_slurm(self) -> None:
        for name in ("replicas_per_job", "nodes"):
            if getattr(self, name) > 1 and self.place != "slurm":
                raise ConfigError(
                    f"{name} is {getattr(self, name)}, and the place is {self.place}",
                    remedy=f"remove {name}, or use `place: slurm`",
                )
        if self.replicas_per_job > 1 and self.nodes > 1:
            raise ConfigError(
                "a job cannot hold several replicas and each replica several nodes",
                remedy="remove replicas_per_job or nodes",
            )
        for name in _TIMES:
            value = self.slurm.get(name)
            if value is not None and not isinstance(value, str):
                raise ConfigError(
                    f"slurm.{name} is the number {value}: YAML reads 24:00:00 as 86400, which sbatch would "
                    "take as minutes",
                    remedy=f'put it in quotes: {name}: "24:00:00"',
                )
        for name, instead in _OURS.items():
            if name in self.slurm:
                raise ConfigError(f"slurm.{name} is decided by Coral", remedy=f"remove it; {instead}")

    def _check_options_of_sbatch(self) -> None:
        for name, value in self.slurm.items():
            if not re.fullmatch(r"[a-z][a-z0-9-]*", str(name)):
                raise ConfigError(
                    f"slurm.{name} is not the long name of an option of sbatch",
                    remedy="write it without dashes before it, as in {partition: gpu, cpus-per-task: 8}",
                )
            is_plain = value is None or isinstance(value, str | int | float)
            if not is_plain or "\n" in str(value):
                raise ConfigError(
                    f"slurm.{name} must be a text, a number, true or false (got {value!r})",
                    remedy='write it as sbatch takes it, such as gres: "gpu:1"',
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
        """The command of the replicas of one job."""
        names = {"model": self.model, "host": host}
        flags = [f"--{name}={value}" for name, value in names.items() if value]
        flags += [f"--{name}={value}" for name, value in asdict(self.replica).items()]
        flags += ["--requeue"] * requeue
        flags += [f"--count={self.replicas_per_job}"] * (self.replicas_per_job > 1)
        server = [*self._across_nodes(), *self.server]
        return [self.python, "-u", SUPERVISOR, f"--folder={self.path}", *flags, "--", *server]

    def _across_nodes(self) -> list[str]:
        """What starts the server on each node of a replica; the first one is the supervisor's."""
        if self.nodes == 1:
            return []
        cpus = self.slurm.get("cpus-per-task")  # which srun does not take over from sbatch
        flags = [f"--nodes={self.nodes}", f"--ntasks={self.nodes}", "--ntasks-per-node=1"]
        flags += ["--kill-on-bad-exit=1", *([f"--cpus-per-task={cpus}"] if cpus else [])]
        return ["srun", *flags, "bash", "-c", _FILL_RANK, "replica"]
