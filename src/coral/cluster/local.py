"""Replicas as processes of this machine. They outlive the command that started them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from coral.cluster.config import PoolConfig
from coral.cluster.places import Job, drains
from coral.cluster.records import Record
from coral.cluster.replica.node import processes_of
from coral.cluster.replica.server import MARK
from coral.errors import UserError


class LocalPlace:
    """See `Place`. `FOLDER/pids/N` holds the process of slot N, and when it started."""

    def __init__(self, config: PoolConfig) -> None:
        self._config = config
        self._pids = config.path / "pids"

    def script(self) -> str:
        """See `Place`."""
        import shlex

        command = self._config.supervise(host=self._config.host or "127.0.0.1")
        return "\n".join(("#!/bin/bash", "set -e", *self._config.setup, shlex.join(command))) + "\n"

    def jobs(self) -> list[Job]:
        """See `Place`."""
        jobs = []
        for path in sorted(self._pids.glob("[0-9]*")):
            pid, _, started = path.read_text(errors="replace").partition(" ")
            if pid.isdecimal() and started and _started(int(pid)) == started:
                jobs.append(Job(id=pid, state="RUNNING", why=f"slot {path.name}"))
        return jobs

    def unknown(self) -> list[int]:
        """Supervisors of this pool that its folder does not name: it was removed or replaced while they ran.

        Ask while the pool is locked: one that is being started is not named yet.
        """
        named = {int(job.id) for job in self.jobs()}
        ours = f"--folder={self._config.path}".encode()
        found = set()
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if ours in words and words[0] != b"bash" and _started(int(entry.name)):
                    found.add(int(entry.name))
        # A server bears its supervisor's command line until its own program is run.
        return sorted(pid for pid in found - named if _parent(pid) not in found)

    def add(self, count: int) -> str:
        """See `Place`."""
        self._pids.mkdir(exist_ok=True)
        taken = {job.why for job in self.jobs()}
        gpus = self._config.gpus
        slots = (slot for slot in range(len(gpus) or len(taken) + count) if f"slot {slot}" not in taken)
        for slot in [slot for slot, _ in zip(slots, range(count), strict=False)]:
            env = {**os.environ, **({"CUDA_VISIBLE_DEVICES": gpus[slot]} if gpus else {})}
            pid = self._start(slot, env)
            (self._pids / str(slot)).write_text(f"{pid} {_started(pid)}")
        return "1 process" if count == 1 else f"{count} processes"

    def _start(self, slot: int, env: dict[str, str]) -> int:
        """Start the supervisor of a replica behind the setup's lines; returns its process."""
        log = self._config.path / "logs" / f"slot-{slot}.out"
        lines = ("set -e", *self._config.setup, '"$@" </dev/null >>"$CORAL_LOG" 2>&1 &', "echo $!")
        command = self._config.supervise(host=self._config.host or "127.0.0.1")
        done = subprocess.run(  # noqa: S603 - the user's own command
            ["bash", "-c", "\n".join(lines), "replica", *command],  # noqa: S607
            env={**env, "CORAL_LOG": str(log)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            check=False,
        )
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
            raise UserError(
                f"the setup of the pool fails: {' '.join(said)}", remedy="fix `setup` in its file"
            )
        return int(done.stdout.split()[-1])

    def drain(self, jobs: Sequence[Job]) -> str:
        """See `Place`."""
        for job in jobs:
            with suppress(ProcessLookupError):
                os.kill(int(job.id), signal.SIGTERM)
        return drains(jobs)

    def end(self, jobs: Sequence[Job]) -> None:
        """See `Place`. A server dies with its supervisor; `sweep` ends what it started itself."""
        for job in jobs:
            with suppress(ProcessLookupError):
                os.kill(int(job.id), signal.SIGKILL)

    def sweep(self, record: Record) -> None:
        """See `Place`."""
        for pid in processes_of(None, f"{MARK}={self._config.path}/{record.id}"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _started(pid: int) -> str:
    """When a process started, in ticks since the machine did; empty where it has ended."""
    fields = _stat(pid)
    return fields[19] if fields and fields[0] != "Z" else ""


def _parent(pid: int) -> int | None:
    """The process that started another; nothing where that one has ended."""
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def _stat(pid: int) -> list[str]:
    """What the kernel says of a process, from its state on; nothing where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []
