"""Several replicas in one job, for sites that give away whole nodes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from .node import SLOT, requeue
from .server import die_with_parent

DEVICES = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")

LOOK_EVERY_S = 0.2

PAUSE_S = 1.0
"""Before a killed supervisor is started again."""


class Several:
    """Supervisors of the replicas of a job: each has its slot, its share of the GPUs, and its record.

    One that is killed is started again; one whose server cannot start has failed, and the others work on.

    Raises:
        SystemExit: the GPUs cannot be shared evenly.
    """

    def __init__(self, count: int, arguments: list[str], *, requeue: bool) -> None:
        self._environments = [self._environment(slot, count) for slot in range(count)]
        split = arguments.index("--")
        ours = [flag for flag in arguments[:split] if flag != "--requeue"]
        entry = str(Path(__file__).parent)
        self._command = [sys.executable, "-u", entry, *ours, "--count=1", *arguments[split:]]
        self._requeue, self._told = requeue, 0

    def _environment(self, slot: int, count: int) -> dict[str, str]:
        env = {**os.environ, SLOT: str(slot)}
        for name in DEVICES:
            devices = [device for device in env.get(name, "").split(",") if device]
            if len(devices) % count:
                raise SystemExit(f"replica: {len(devices)} GPUs cannot be shared evenly by {count} replicas")
            if devices:
                share = len(devices) // count
                env[name] = ",".join(devices[slot * share : (slot + 1) * share])
        return env

    def run(self) -> int:
        """Look after the supervisors until all have ended; returns the exit code of the job."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._on_signal)
        running = {slot: self._start(slot) for slot in range(len(self._environments))}
        has_passed_on = False
        while running:
            time.sleep(LOOK_EVERY_S)
            if self._told and not has_passed_on:
                has_passed_on = True
                for process in running.values():
                    with suppress(ProcessLookupError):
                        process.terminate()
            for slot, process in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                del running[slot]
                if code < 0 and not self._told:
                    time.sleep(PAUSE_S)
                    running[slot] = self._start(slot)
        if self._told == signal.SIGUSR1 and self._requeue:
            requeue()
        return 0 if self._told else 1

    def _start(self, slot: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - this program itself
            self._command,
            env=self._environments[slot],
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )

    def _on_signal(self, number: int, _frame: object) -> None:
        self._told = self._told or number
