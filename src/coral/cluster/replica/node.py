"""What a replica learns from its node: its job, its address, its time, a port, and who listens there."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SLOT = "CORAL_SLOT"
"""Environment variable that tells the replicas of a job apart."""

PORTS = range(20_000, 30_000, 8)
"""Below the ports that Linux gives to outgoing connections (from 32768), with gaps for an engine's inner
ports."""


def own_id() -> str:
    """The name of this run of a replica."""
    env = os.environ
    if "SLURM_JOB_ID" not in env:
        return f"{socket.gethostname()}-{os.getpid()}"
    # An earlier run of a requeued job may still live on a node that only lost its link: one file per run.
    return f"{own_job()}.{own_slot()}.{env.get('SLURM_RESTART_COUNT') or 0}"


def own_job() -> str:
    """The job as `squeue -r` lists it; outside of SLURM the process."""
    env = os.environ
    if "SLURM_ARRAY_JOB_ID" in env:
        return f"{env['SLURM_ARRAY_JOB_ID']}_{env['SLURM_ARRAY_TASK_ID']}"
    return env.get("SLURM_JOB_ID") or str(os.getpid())


def own_slot() -> int:
    """Which of a job's replicas this is."""
    return int(os.environ.get(SLOT) or 0)


def requeue() -> None:
    """Put this SLURM job back into the queue, which ends this process."""
    job = os.environ.get("SLURM_JOB_ID")
    if job:
        subprocess.run(["scontrol", "requeue", job], check=False)  # noqa: S603, S607
        signal.pause()


def end_steps() -> None:
    """Kill what `srun` started for this job on other nodes, where it may outlive `srun`."""
    listed = _output("squeue", "-h", "-s", "-j", own_job(), "-o", "%i").split()
    for step in listed:
        if step.rpartition(".")[2].isdigit():
            _output("scancel", "--signal=KILL", step)


def own_address() -> str:
    """What other nodes call this one: its NodeAddr in SLURM, else its full name."""
    node = os.environ.get("SLURMD_NODENAME")
    found = re.search(r"NodeAddr=(\S+)", _output("scontrol", "show", "node", "-o", node)) if node else None
    return found[1] if found else socket.getfqdn()


def seconds_left() -> float | None:
    """Seconds until SLURM's time limit ends the job; None where there is none."""
    # By the number of its element: the number of an array's first job stands for all of them.
    is_job = "SLURM_JOB_ID" in os.environ
    told = _output("squeue", "-h", "-j", own_job(), "-o", "%L").strip() if is_job else ""
    found = re.fullmatch(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)", told)
    if not found:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24.0 + hours) * 60 + minutes) * 60 + seconds


def _output(*command: str) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
        return done.stdout
    return ""


class Port:
    """A port that no other replica of this node takes while this one lives, listening or not.

    Raises:
        SystemExit: no port is free.
    """

    def __init__(self, key: str) -> None:
        folder = Path(tempfile.gettempdir()) / f"coral-ports-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        start = zlib.crc32(key.encode())
        for offset in range(len(PORTS)):
            self.number = PORTS[(start + offset) % len(PORTS)]
            self._lock = os.open(folder / str(self.number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with suppress(OSError):
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self.is_free():
                    return
            os.close(self._lock)
        raise SystemExit("replica: no free port")

    def is_free(self) -> bool:
        """Whether nobody listens there, not even a server that shares its port (SO_REUSEPORT)."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", self.number))
            except OSError:
                return False
        return True

    def close(self) -> None:
        """Leave the port to others."""
        os.close(self._lock)


def listeners(port: int) -> Iterator[str]:
    """The sockets that listen on a port of this machine, as `open_sockets` names them."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    yield f"socket:[{fields[9]}]"


def open_sockets(pid: int) -> Iterator[str]:
    """What a process has open, sockets among it; nothing where that is not to be seen."""
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                yield str(entry.readlink())


def processes_of(session: int | None, mark: str) -> Iterator[int]:
    """The processes of a session, and those that have `mark` (NAME=VALUE) in their environment."""
    marked = f"{mark}\0".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            found = (entry / "stat").read_text().rpartition(")")[2].split()[3]
            if found == str(session) or marked in (entry / "environ").read_bytes():
                yield int(entry.name)
