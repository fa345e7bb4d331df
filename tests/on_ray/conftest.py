"""A real Ray cluster of two nodes on loopback, and pools of replicas on it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

STUB = str(Path(__file__).parent.parent / "cluster" / "stub_server.py")
HEAD, SECOND = "127.0.0.2", "127.0.0.3"
"""127.0.0.1 is silently replaced by the network card's address."""

FAST = {
    "check_every_s": 0.2, "give_up_after_s": 8, "probe_every_s": 1, "drain_s": 10, "stop_within_s": 5,
    "silent_after_s": 3, "ready_within_s": 60, "calm_s": 2,
}  # fmt: skip


def _free_port(host):
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def ray_cluster():
    """Its address. Where Ray is not installed its tests are skipped."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs Ray: pip install 'collaborative-reasoner[ray]'")
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets lie there, whose paths are short
    address = f"{HEAD}:{_free_port(HEAD)}"
    # On busy cores a node takes longer to start than Ray waits.
    env = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_raylet_start_wait_time_s": "300"}
    started = []
    try:
        _start(started, env, folder, HEAD, "--head", f"--port={address.rpartition(':')[2]}")
        _start(started, env, folder, SECOND, f"--address={address}")
        yield address
    finally:
        _end(started)
        shutil.rmtree(folder, ignore_errors=True)


def _end(started):
    left = [process for one in started for process in _family(one)]
    for process in left:
        process.terminate()
    _, alive = psutil.wait_procs(left, timeout=10)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=10)
    for one in started:
        one.wait(30)


def _start(started, env, folder, host, *flags):
    """Start a node; its process, which stays as long as the node does, is added to `started`."""
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--node-ip-address={host}",
        "--num-cpus=4", "--disable-usage-stats",
    ]  # fmt: skip
    # Ports that the node finds itself must be told within 15 s, which busy cores do not keep.
    named = ("dashboard-agent-grpc", "dashboard-agent-listen", "metrics-export", "runtime-env-agent")
    command += [f"--{name}-port={_free_port(host)}" for name in named]
    if "--head" in flags:
        command += [f"--temp-dir={folder}", "--include-dashboard=false"]
    output = folder / f"{host}.out"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*command, *flags], env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    started.append(process)
    _eventually(
        lambda: b"Ray runtime started" in output.read_bytes() or process.poll() is not None, within_s=300
    )
    assert process.poll() is None, output.read_text()


def _family(process):
    """A process and all that it started."""
    try:
        found = psutil.Process(process.pid)
        return [*found.children(recursive=True), found]
    except psutil.NoSuchProcess:
        return []


def _eventually(look, *, within_s=240.0):
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)
    return found


@pytest.fixture
def eventually():
    """The first true result of a function, called again and again."""
    return _eventually


class RayPool:
    """A pool on the cluster."""

    def __init__(self, base, address):
        self.folder, self.file, self.address = base / "pool", base / "pool.yaml", address
        self.control = base / "control"

    def write(self, **options):
        server = [
            sys.executable,
            STUB,
            "--host",
            "{host}",
            "--port",
            "{port}",
            "--control",
            str(self.control),
        ]
        values = {
            "name": "test", "folder": str(self.folder), "place": "ray", "replicas": 2, "server": server,
            "ray": {"address": self.address, "num_cpus": 1}, "replica": FAST, **options,
        }  # fmt: skip
        self.file.write_text(json.dumps(values))

    def coral(self, command, *flags):
        """Run `coral cluster ...`; returns exit code, standard output and error."""
        done = subprocess.run(
            [sys.executable, "-m", "coral", "cluster", command, str(self.file), *flags],
            env={**os.environ, "RAY_AUTH_MODE": "disabled"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def records(self):
        """What the replicas say of themselves, read from the folder."""
        found = []
        for path in self.folder.glob("ray-*.json"):
            try:
                found.append(json.loads(path.read_text()))
            except FileNotFoundError:
                continue
        return found

    def ready(self, count):
        """Wait until just so many are ready; returns their records."""

        def look():
            found = [one for one in self.records() if one["state"] == "ready"]
            return found if len(found) == count else None

        return _eventually(look)


@pytest.fixture
def pool(ray_cluster, tmp_path, monkeypatch):
    """A pool of two replicas; it ends with the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = RayPool(tmp_path, ray_cluster)
    made.write()
    yield made
    if made.folder.exists():
        assert made.coral("down", "--now")[0] == 0
