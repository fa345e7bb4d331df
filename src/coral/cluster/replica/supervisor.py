"""The life of a replica.

`FOLDER/<id>.json` holds the address, the state and a beat that counts up; it is replaced as a whole. States:

    starting   the server loads, or is started again; `why` says the reason
    ready      use it: a completion of one token was answered
    unwell     no new requests: no sign of life for two checks
    draining   no new requests: it ends soon
    failed     it cannot start; the file stays, and `why` holds the end of the log

The file is removed at an orderly end. SIGTERM and SIGINT drain; SIGUSR1 (a time limit comes near) drains, and
with `--requeue` puts the SLURM job back into the queue.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from .node import Port, own_address, own_id, own_job, own_slot, requeue, seconds_left
from .server import NO_ANSWER, Completion, Ended, Liveness, Metrics, Server
from .several import Several

LOG_LINES = 15
"""So many lines of a log tell why a server ended."""

TAKEN_PORTS = 20
"""So many ports in a row may be taken by others between our look and the server's start."""

SETTLED_S = 60.0
"""A server that was ready for so long is started again without a pause."""

LONGEST_PAUSE_S = 60.0


class PortTaken(Ended):
    """Somebody else answers on the server's port."""


def main() -> int:
    """Run a replica, or several, until told to stop; returns 1 if its server cannot start."""
    options = _parse(sys.argv[1:])
    if options.count > 1:
        return Several(options.count, sys.argv[1:], requeue=options.requeue).run()
    return Replica(options).run()


def _parse(arguments: list[str]) -> argparse.Namespace:
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(
        prog="replica", description="Keep a server running, and say where it is."
    )
    add = parser.add_argument
    add("--folder", type=Path, required=True, help="shared by all replicas of the pool and by its clients")
    add("--id", default=own_id(), help="names this run of this replica")
    add("--job", default=own_job(), help="what the place calls it")
    add("--host", default="", help="address of this node for clients; found out by default")
    add("--model", default="", help="served name; by default the first one that /v1/models lists")
    add("--ready_within_s", type=float, default=1800, help="from the start of the server")
    add("--check_every_s", type=float, default=5)
    add("--give_up_after_s", type=float, default=120, help="without a sign of life: restart the server")
    add("--probe_every_s", type=float, default=60, help="between two completions of one token")
    add("--drain_s", type=float, default=60, help="for requests in flight")
    add("--stop_within_s", type=float, default=20, help="from SIGTERM to SIGKILL of the server")
    add("--max_failed_starts", type=int, default=3, help="in a row")
    add("--silent_after_s", type=float, default=30, help="after which clients take this replica for dead")
    add("--backoff_s", type=float, default=1, help="before the second start; doubles up to a minute")
    add("--requeue", action="store_true", help="at SIGUSR1, put the SLURM job back into the queue")
    add("--calm_s", type=float, default=120, help="the record tells the most requests in flight since then")
    add("--count", type=int, default=1, help="replicas in this job, which share its GPUs")
    options = parser.parse_args(arguments[:split])
    options.command = arguments[split + 1 :]
    if not options.command:
        parser.error("no command after --")
    return options


class Record:
    """The file that tells who this replica is and how it fares. It beats as long as this process lives."""

    def __init__(self, path: Path, every_s: float, **first: object) -> None:
        self._path, self._every_s = path, every_s
        self._values = first
        self._beats = 0
        self._lock = threading.Lock()
        self._closed = False
        # Apart from the checks, so that a check that hangs is not a dead replica.
        threading.Thread(target=self._beat, daemon=True).start()

    def say(self, state: str | None = None, **more: object) -> None:
        """Replace the file."""
        with self._lock:
            if self._closed:
                return
            self._beats += 1
            self._values.update(more, beat=self._beats)
            if state is not None:
                self._values["state"] = state
            partial = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            try:
                partial.write_text(json.dumps(self._values))
                partial.replace(self._path)
            except OSError as error:  # a full disk is no reason to end a server that works
                print(f"replica: {self._path}: {error.strerror}", file=sys.stderr, flush=True)  # noqa: T201

    def remove(self) -> None:
        """Take the file away for good."""
        with self._lock, suppress(FileNotFoundError):
            self._closed = True
            self._path.unlink()

    def _beat(self) -> None:
        while True:
            time.sleep(self._every_s)
            self.say()


class Replica:
    """A server that is kept running, and the record that tells of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._host = options.host or own_address()
        # No Event: its lock may be held by what a signal interrupts, and then setting it would wait for ever.
        self._stopping = False
        self._requeue = self._was_ready = False
        self._starts = self._failed_starts = self._short_lives = self._taken_ports = 0
        self._ends: float | None = None
        self._loads: deque[tuple[float, float]] = deque()
        self._server: Server | None = None
        self._port: Port | None = None
        folder: Path = options.folder
        (folder / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log = folder / "logs" / f"{options.id}.log"
        self._record = Record(
            folder / f"{options.id}.json",
            options.check_every_s,
            id=options.id,
            state="starting",
            url=None,
            model=None,
            node=os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
            job=options.job,
            slot=own_slot(),
            gpus=os.environ.get("CUDA_VISIBLE_DEVICES"),
            pid=os.getpid(),
            started=time.time(),
            requeued=int(os.environ.get("SLURM_RESTART_COUNT") or 0),
            log=str(self._log),
            silent_after_s=options.silent_after_s,
        )

    def run(self) -> int:
        """Keep a server running until a signal arrives; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._on_signal)
        left_s = seconds_left()
        self._ends = None if left_s is None else time.monotonic() + left_s
        while not self._stopping:
            try:
                server = self._start()
                model = self._await_ready(server)
                self._watch(server, model)
            except Ended as ended:
                if not self._stopping and not self._recover(ended):
                    return 1
        self._drain()
        self._record.remove()
        if self._requeue:
            requeue()
        return 0

    def _on_signal(self, number: int, _frame: object) -> None:
        self._requeue = self._requeue or (number == signal.SIGUSR1 and self._options.requeue)
        self._stopping = True

    def _start(self) -> Server:
        options = self._options
        if self._port is not None:
            self._port.close()
        self._port = Port(f"{options.id}.{self._starts}")
        self._server, self._was_ready = None, False
        self._starts += 1
        self._record.say("starting", url=None, starts=self._starts)
        key_file = options.folder / "key"
        names = {"port": str(self._port.number), "host": self._host, "key_file": str(key_file)}
        self._server = Server(
            [_fill(part, names) for part in options.command],
            host=self._host,
            port=self._port.number,
            key=key_file.read_text().strip() if key_file.exists() else None,
            mark=f"{options.folder}/{options.id}",
            log=self._log,
        )
        return self._server

    def _await_ready(self, server: Server) -> str:
        """Wait for a completion; returns the served name.

        Raises:
            Ended: the server ended, somebody else answers, or there is none in time.
        """
        deadline = time.monotonic() + self._options.ready_within_s
        pause_s, last = 0.1, "/health does not answer"
        while time.monotonic() < deadline:
            self._pause(server, pause_s)
            pause_s = min(1.0, pause_s * 1.5)
            if not server.is_healthy(5):
                continue
            try:
                model = self._options.model or server.served_name()
                is_ours = server.is_ours()
            except (*NO_ANSWER, ValueError, LookupError, TypeError) as error:
                last = f"/v1/models: {error!r}"
                continue
            if not is_ours:
                raise PortTaken("another server answers on the port")
            left_s = deadline - time.monotonic()
            completion = Completion(server, model, timeout_s=max(1.0, min(120.0, left_s)))
            while completion.pending:
                self._pause(server, 0.02)
            if completion.failure is None:
                self._failed_starts, self._taken_ports, self._was_ready = 0, 0, True
                self._tell("ready", server.metrics(5), url=server.url, model=model, why=None)
                return model
            last = f"a completion fails: {completion.failure}"
            self._record.say(why=last)
        raise Ended(f"not ready after {self._options.ready_within_s:g} s: {last}")

    def _watch(self, server: Server, model: str) -> None:
        """Look after a ready server.

        Raises:
            Ended: it ended, or gave no sign of life for too long.
        """
        began = time.monotonic()
        options, every_s = self._options, self._options.check_every_s
        timeout_s = max(1.0, min(5.0, options.give_up_after_s / 4))  # a busy server answers late
        liveness = Liveness(server, model, probe_every_s=options.probe_every_s, timeout_s=timeout_s)
        unwell = False
        while True:
            self._pause(server, every_s)
            silent_s = liveness.silent_s()
            unwell_s, most_s = liveness.limits_s(options.give_up_after_s, every_s)
            why = f"no sign of life for {silent_s:.0f} s{liveness.failure}"
            if (
                unwell and silent_s > most_s
            ):  # never on the strength of a single look, which may have been slow
                raise Ended(why)
            unwell = silent_s > unwell_s
            self._tell("unwell" if unwell else "ready", liveness.metrics, why=why if unwell else None)
            if time.monotonic() - began > SETTLED_S:
                self._short_lives = 0

    def _tell(self, state: str, metrics: Metrics, **more: object) -> None:
        now = time.monotonic()
        left_s = None if self._ends is None else round(self._ends - now, 1)
        most = self._most_in_flight(now, metrics.in_flight)
        self._record.say(state, in_flight=metrics.in_flight, most_in_flight=most, seconds_left=left_s, **more)

    def _most_in_flight(self, now: float, in_flight: float | None) -> float | None:
        """The most requests in flight within the latest `calm_s`; None where the server never told."""
        if in_flight is not None:
            self._loads.append((now, in_flight))
        while self._loads and now - self._loads[0][0] > self._options.calm_s:
            self._loads.popleft()
        return max((load for _, load in self._loads), default=None)

    def _recover(self, ended: Ended) -> bool:
        """After the end of a server: whether to start it again. Pauses first."""
        if self._server is not None:
            self._server.kill()
        assert self._port is not None
        if isinstance(ended, PortTaken) or not self._port.is_free():
            self._taken_ports += 1
            if self._taken_ports < TAKEN_PORTS:
                why = f"port {self._port.number} was taken by another server"
                self._record.say("starting", url=None, why=why)
                return True
        self._failed_starts += not self._was_ready
        why = f"{ended}{self._log_end()}"
        if self._failed_starts >= self._options.max_failed_starts:
            self._record.say("failed", url=None, why=why)
            return False
        self._record.say("starting", url=None, why=why)
        until = time.monotonic() + min(LONGEST_PAUSE_S, self._options.backoff_s * 2**self._short_lives)
        while not self._stopping and (left_s := until - time.monotonic()) > 0:
            time.sleep(min(0.2, left_s))
        self._short_lives += 1
        return True

    def _drain(self) -> None:
        """Let requests in flight end, then end the server."""
        server = self._server
        if server is None:
            return
        self._record.say("draining")
        deadline = time.monotonic() + self._options.drain_s * self._was_ready
        calm = 0
        while time.monotonic() < deadline and server.process.poll() is None and calm < 3:
            metrics = server.metrics(timeout_s=5)
            calm = calm + 1 if metrics.in_flight == 0 else 0
            self._tell("draining", metrics)
            time.sleep(min(2.0, self._options.check_every_s))
        server.stop(self._options.stop_within_s)

    def _pause(self, server: Server, seconds: float) -> None:
        """Wait.

        Raises:
            Ended: the server ended meanwhile, or the replica is told to stop.
        """
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            time.sleep(min(0.2, left_s))
            if self._stopping:
                raise Ended("told to stop")
            code = server.process.poll()
            if code is not None:
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                raise Ended(f"the server ended with {how}")

    def _log_end(self) -> str:
        with suppress(OSError), self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - 4000))
            lines = file.read().decode(errors="replace").splitlines()[-LOG_LINES:]
            return "".join(f"\n  {line}" for line in lines)
        return ""


def _fill(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text
