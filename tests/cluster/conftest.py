"""Real supervisors over small servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import coral.cluster.replica

STUB = str(Path(__file__).with_name("stub_server.py"))
SUPERVISOR = str(Path(coral.cluster.replica.__file__).parent)
FAST = (
    *("--host", "127.0.0.1", "--check_every_s", "0.1", "--give_up_after_s", "3", "--probe_every_s", "0.3"),
    *("--drain_s", "5", "--stop_within_s", "2", "--backoff_s", "0.05", "--ready_within_s", "120"),
)
ENDS_WITHIN_S = 120


def _eventually(look, *, within_s=240.0):
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


@pytest.fixture
def eventually():
    """The first true result of a function, called again and again."""
    return _eventually


class Supervised:
    """A supervisor, its record, and the control file of its server."""

    def __init__(self, folder, name, server, flags=(), inside=()):
        self.folder, self.path = folder, folder / f"{name}.json"
        self.control = folder / f"{name}.control"
        stub = [sys.executable, STUB, "--host", "{host}", "--port", "{port}", "--control", str(self.control)]
        command = [sys.executable, "-I", "-S", SUPERVISOR, "--folder", str(folder)]
        command += [] if "--count" in flags else ["--id", name]
        self.process = subprocess.Popen(
            [*inside, *command, *FAST, *flags, "--", *(server or stub)], stderr=subprocess.PIPE
        )

    def record(self):
        try:
            return json.loads(self.path.read_text())
        except FileNotFoundError:
            return {"state": "gone"}

    def await_state(self, state, *, starts=0):
        """Its record, once it is in this state and has started its server so often.

        Wait for a state that lasts: one that passes may pass unseen on busy cores.
        """

        def look():
            record = self.record()
            return record["state"] == state and record.get("starts", 0) >= starts and record

        return _eventually(look)

    def server_pid(self):
        return _eventually(lambda: [child.pid for child in psutil.Process(self.process.pid).children()])[0]

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process.stderr.close()


@pytest.fixture
def supervise(tmp_path):
    """Starts supervisors in the test's folder; all end with it."""
    started = []

    def start(name="one", *, server=None, words="", flags=(), key=None, inside=()):
        if words:
            (tmp_path / f"{name}.control").write_text(words)
        if key:
            (tmp_path / "key").touch(0o600)
            (tmp_path / "key").write_text(key)
        started.append(Supervised(tmp_path, name, server, flags, inside))
        return started[-1]

    yield start
    for replica in started:
        replica.control.unlink(missing_ok=True)
        replica.end()


@pytest.fixture
def ended():
    """Whether a process is gone, or only waits to be reaped."""

    def look(pid):
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return look


@pytest.fixture(autouse=True)
def _names_of_its_own(monkeypatch, tmp_path):
    """Names of pools are kept with the test's own files."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def _outside_of_slurm(monkeypatch):
    """No variable of a surrounding SLURM job reaches a test."""
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)
