"""A real SLURM cluster of two virtual nodes, and pools of replicas on it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
STUB = str(HERE.parent / "cluster" / "stub_server.py")
FAST = {
    "check_every_s": 0.2, "give_up_after_s": 8, "probe_every_s": 1, "drain_s": 10, "stop_within_s": 5,
    "silent_after_s": 3, "ready_within_s": 60,
}  # fmt: skip


def _load(name):
    specification = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """The session's cluster. Where SLURM is not installed its tests are skipped."""
    virtual = _load("virtual_slurm")
    missing = virtual.missing_programs()
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and {', '.join(missing) or 'SLURM'}: apt-get install slurm-wlm munge")
    with virtual.VirtualSlurm(tmp_path_factory.mktemp("slurm")) as made:
        yield made
    assert made.leftovers() == []


@pytest.fixture
def slurm(cluster):
    """The cluster with all of its nodes in service, whatever the last test did to it.

    SLURM itself drains a node that runs two jobs under one number, as it does after a controller forgot some.
    """
    cluster.restore()
    return cluster


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


def _fits(one, record):
    """Whether a record has these values. It may have been requeued or started more often: where cores are
    busy, a time limit of a minute may come again before anybody looks."""
    counts = {"requeued", "starts"}
    return all(one[name] >= value if name in counts else one[name] == value for name, value in record.items())


class SlurmPool:
    """A pool on the virtual cluster."""

    def __init__(self, base, slurm, before=()):
        self.folder, self.file, self.slurm = base / "pool", base / "pool.yaml", slurm
        self.before = before
        self.control = base / "control"

    def stub(self):
        """The command of a small server."""
        return [
            sys.executable, STUB, "--host", "{host}", "--port", "{port}", "--control", str(self.control),
        ]  # fmt: skip

    def write(self, **options):
        server = self.stub()
        sbatch = {"gres": "gpu:1", "mem": "200M", "time": "10:00", **options.pop("slurm", {})}
        values = {
            "name": "test", "folder": str(self.folder), "place": "slurm", "replicas": 2, "server": server,
            "slurm": sbatch, "replica": FAST, **options,
        }  # fmt: skip
        self.file.write_text(json.dumps(values))

    def coral(self, command, *flags):
        """Run `coral cluster ...` on the login node; returns exit code, standard output and error."""
        done = subprocess.run(
            [*self.before, sys.executable, "-m", "coral", "cluster", command, str(self.file), *flags],
            env=self.slurm.env,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def up(self):
        """Bring it up, and wait until all replicas are ready."""
        code, output = self.coral("up", "--wait")
        assert code == 0, output

    def seen(self):
        """What each replica is, by its job."""
        lines = self.coral("status", "--json")[1].splitlines()
        seen = (json.loads(line) for line in lines)
        return {one["record"]["job"] if one["record"] else one["job"]["id"]: one for one in seen}

    def all(self):
        """What each replica is, where a job holds several."""
        return [json.loads(line) for line in self.coral("status", "--json")[1].splitlines()]

    def all_ready(self, count, **record):
        """Wait until so many are ready, with these values in their records; returns these."""

        def look():
            found = [one["record"] for one in self.all() if one["state"] == "ready"]
            fitting = [one for one in found if _fits(one, record)]
            return len(fitting) >= count and fitting

        return _eventually(look)

    def ready(self, count=2, **record):
        """Wait until so many are ready, with these values in their records; returns all."""

        def look():
            seen = self.seen()
            found = [one["record"] for one in seen.values() if one["state"] == "ready"]
            return sum(_fits(one, record) for one in found) >= count and seen

        return _eventually(look)


@pytest.fixture
def networked_slurm(tmp_path_factory):
    """A cluster whose nodes have networks of their own."""
    virtual = _load("virtual_slurm")
    missing = [*virtual.missing_programs(), *([] if shutil.which("ip") else ["iproute2"])]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and {', '.join(missing) or 'SLURM'}")
    cluster = _load("networked_slurm").NetworkedSlurm(tmp_path_factory.mktemp("networked"))
    try:
        cluster.up()
        yield cluster
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    finally:
        cluster.down()


@pytest.fixture
def networked_pool(networked_slurm, tmp_path, monkeypatch):
    """A pool of one replica on it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = SlurmPool(tmp_path, networked_slurm, before=networked_slurm.inside("head"))
    made.write(replicas=1)
    return made


@pytest.fixture
def pool(slurm, tmp_path, monkeypatch):
    """A pool of two replicas; its jobs end with the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = SlurmPool(tmp_path, slurm)
    made.write()
    yield made
    if made.folder.exists():
        assert made.coral("down", "--now")[0] == 0
    _eventually(lambda: slurm.run("squeue", "-h", "-o", "%i") == "")
