"""Links that break: each replica is a host with a network of its own, and so is the client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.netns

SUBNET = "10.78.0"
ROWS = 60


class Hosts:
    """Network namespaces on a bridge of the client's own."""

    def __init__(self, names):
        self._names = names
        self._tag = f"cl{os.getpid()}"
        self.address = {name: f"{SUBNET}.{11 + index}" for index, name in enumerate(names)}

    def inside(self, host="client"):
        """What a command begins with to run on a host."""
        return ("ip", "netns", "exec", f"{self._tag}-{host}")

    def set_link(self, host, state):
        """`down`: the host loses its link, and what runs there goes on. `up`: it has it again."""
        self._ip("-n", f"{self._tag}-client", "link", "set", f"v-{host}", state)

    def build(self):
        hub = f"{self._tag}-client"
        for name in ("client", *self._names):
            self._ip("netns", "add", f"{self._tag}-{name}")
            self._ip("-n", f"{self._tag}-{name}", "link", "set", "lo", "up")
        self._ip("-n", hub, "link", "add", "br0", "type", "bridge")
        self._ip("-n", hub, "addr", "add", f"{SUBNET}.1/24", "dev", "br0")
        self._ip("-n", hub, "link", "set", "br0", "up")
        for name in self._names:
            space = f"{self._tag}-{name}"
            self._ip("-n", hub, "link", "add", f"v-{name}", "type", "veth", "peer", "eth0", "netns", space)
            self._ip("-n", hub, "link", "set", f"v-{name}", "master", "br0", "up")
            self._ip("-n", space, "addr", "add", f"{self.address[name]}/24", "dev", "eth0")
            self._ip("-n", space, "link", "set", "eth0", "up")

    def tear_down(self):
        for name in ("client", *self._names):
            subprocess.run(["ip", "netns", "del", f"{self._tag}-{name}"], capture_output=True, check=False)

    def _ip(self, *arguments):
        subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def hosts():
    """Two hosts, `near` and `far`, beside the client's."""
    made = Hosts(["near", "far"])
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2")
    try:
        made.build()
    except subprocess.CalledProcessError as error:
        made.tear_down()
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    yield made
    made.tear_down()


@pytest.fixture
def batch(hosts, tmp_path):
    """Starts a batch in the client's network; returns its process."""
    started = []

    def start():
        rows = [{"prompt": f"row {number}"} for number in range(ROWS)]
        (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        command = [
            *hosts.inside(), sys.executable, "-m", "coral", "generate", str(tmp_path / "in.jsonl"),
            "--output", str(tmp_path / "out.jsonl"), "--agent.model", "stub",
            "--agent.replicas", str(tmp_path), "--max_connections", "4",
        ]  # fmt: skip
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def replicas(hosts, supervise):
    """A slow replica on each host."""
    made = {}
    for name, address in hosts.address.items():
        made[name] = supervise(
            name, words="slow", inside=hosts.inside(name), flags=("--host", address, "--silent_after_s", "60")
        )
        made[name].await_state("ready")
    return made


def replies(tmp_path):
    return [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]


def has_replies(tmp_path):
    """Whether a row is answered already."""
    return any(path.stat().st_size for path in (tmp_path / "out.jsonl.parts").glob("*.jsonl"))


def test_a_lost_link_costs_half_a_minute_and_no_row(hosts, replicas, batch, tmp_path, eventually):
    """The replica still beats on the shared disk, so that only the sockets can tell: TCP_USER_TIMEOUT ends
    what is in flight there, long before the request's own 600 s, and the other replica answers it."""
    running = batch()
    eventually(lambda: has_replies(tmp_path))
    hosts.set_link("far", "down")
    assert running.wait(240) == 0
    replicas["far"].await_state("ready")
    found = replies(tmp_path)
    assert [row["prompt"] for row in found] == [f"row {number}" for number in range(ROWS)]
    assert all(row["error"] is None for row in found)


def test_a_link_that_comes_back_is_used_again(hosts, replicas, batch, tmp_path, eventually):
    """A run that begins while one host is out of reach uses it as soon as it can be reached."""
    hosts.set_link("far", "down")
    running = batch()
    eventually(lambda: has_replies(tmp_path), within_s=120)
    hosts.set_link("far", "up")
    assert running.wait(240) == 0
    ports = {row["response"]["choices"][0]["message"]["content"].split()[-1] for row in replies(tmp_path)}
    assert len(ports) == 2
