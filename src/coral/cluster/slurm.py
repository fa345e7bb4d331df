"""Replicas as SLURM jobs: elements of job arrays, each with a supervisor as its batch process."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence

from coral.cluster.config import PoolConfig
from coral.cluster.places import Job, drains
from coral.cluster.records import Record
from coral.errors import UserError

PATIENCE_S = 120.0
"""A busy controller may take so long to answer."""

NOTICE_S = 120
"""Seconds before the time limit at which SLURM tells a replica that its time ends."""


class SlurmPlace:
    """See `Place`. Needs no accounting database; a job that SLURM requeues keeps its id."""

    def __init__(self, config: PoolConfig) -> None:
        self._config = config

    def script(self) -> str:
        """See `Place`."""
        config = self._config
        options = {
            "job-name": config.job_name,
            **({"nodes": config.nodes, "ntasks-per-node": 1} if config.nodes > 1 else {"ntasks": 1}),
            "requeue": True,
            "open-mode": "append",
            "output": f"{config.path}/logs/slurm-%A_%a.out",
            "signal": f"B:USR1@{NOTICE_S}",
            **config.slurm,
        }
        lines = [
            f"#SBATCH --{name}" if value is True else f"#SBATCH --{name}={value}"
            for name, value in options.items()
            if value is not False and value is not None
        ]
        command = f"exec {shlex.join(config.supervise(host=config.host, requeue=True))}"
        setup = ("set -e", *config.setup) if config.setup else ()
        return "\n".join(("#!/bin/bash", *lines, "", *setup, command)) + "\n"

    def jobs(self) -> list[Job]:
        """See `Place`."""
        name = self._config.job_name
        listed = run_slurm("squeue", "-h", "-r", "--me", "-n", name, "-o", "%i|%T|%N|%r").splitlines()
        fields = (line.split("|", 3) for line in listed)
        jobs = [
            Job(id=job, state=state, node=node, why="" if why == "None" else why)
            for job, state, node, why in fields
        ]
        return [job for job in jobs if job.state != "COMPLETING"]

    def add(self, count: int) -> str:
        """See `Place`."""
        path = self._config.path / "job.sh"
        path.write_text(self.script())
        ids = [
            run_slurm("sbatch", "--parsable", f"--array=0-{size - 1}", str(path)).split(";")[0]
            for size in _parts(count, _largest_array())
        ]
        return f"job {', '.join(ids)}"

    def drain(self, jobs: Sequence[Job]) -> str:
        """See `Place`. The signal reaches the supervisor alone: a plain scancel would end its server, too."""
        running = [job.id for job in jobs if job.state == "RUNNING"]
        waiting = [job.id for job in jobs if job.state != "RUNNING"]
        if running:
            run_slurm("scancel", "--batch", "--signal=TERM", *running)
        if waiting:
            run_slurm("scancel", *waiting)
        return drains(jobs)

    def end(self, jobs: Sequence[Job]) -> None:
        """See `Place`."""
        if jobs:
            run_slurm("scancel", *(job.id for job in jobs))

    def sweep(self, record: Record) -> None:
        """See `Place`: SLURM ends all processes of a job itself."""


def _parts(count: int, largest: int) -> Iterator[int]:
    """`count` in parts of at most `largest`."""
    while count > 0:
        yield min(count, largest)
        count -= largest


def _largest_array() -> int:
    """The most elements of an array (MaxArraySize)."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", run_slurm("scontrol", "show", "config"))
    return max(1, int(found[1])) if found else 1001


def run_slurm(*command: str) -> str:
    """What a command of SLURM prints.

    Raises:
        UserError: it is not there, or fails.
    """
    try:
        done = subprocess.run(  # noqa: S603 - SLURM's own commands
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except FileNotFoundError:
        raise UserError(
            f"there is no {command[0]} on this machine",
            remedy="run this on a login node of the cluster, or use `place: local`",
        ) from None
    except subprocess.TimeoutExpired:
        raise UserError(
            f"{command[0]} does not answer within {PATIENCE_S:g} s",
            remedy="try again when the controller of SLURM is back; replicas and clients carry on meanwhile",
        ) from None
    if done.returncode:
        raise UserError(
            f"{command[0]}: {' '.join(done.stderr.split())}",
            remedy="fix what it refuses (of a pool, `slurm` in its file), or try again when SLURM is back",
        )
    return done.stdout.strip()
