"""`coral cluster` with real processes of this machine."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from coral.cluster.records import locked

STUB = str(Path(__file__).with_name("stub_server.py"))
FAST = {
    "check_every_s": 0.1, "give_up_after_s": 5, "probe_every_s": 0.5, "drain_s": 5, "stop_within_s": 3,
    "silent_after_s": 1, "ready_within_s": 20,
}  # fmt: skip


def coral(*arguments):
    """Run `coral cluster ...` as a user does; returns exit code, standard output and error together."""
    done = subprocess.run(
        [sys.executable, "-m", "coral", "cluster", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


class LocalPool:
    """A pool's file, and what the commands say of it."""

    def __init__(self, base):
        self.folder, self.file = base / "pool", base / "pool.yaml"
        self.control = base / "control"
        self.server = [sys.executable, STUB, "--port", "{port}", "--control", str(self.control)]

    def write(self, **options):
        values = {
            "name": "test", "folder": str(self.folder), "replicas": 2, "server": self.server, "replica": FAST,
            **options,
        }  # fmt: skip
        self.file.write_text(json.dumps(values))  # JSON is YAML
        return self.file

    def up(self, *flags):
        return coral("up", self.file, *flags)

    def seen(self):
        """Exit code, and what each replica is."""
        code, output = coral("status", self.file, "--json")
        return code, [json.loads(line) for line in output.splitlines()]

    def supervisors(self):
        marked = f"--folder={self.folder}"
        found = psutil.process_iter(["cmdline"])
        return [process.pid for process in found if marked in (process.info["cmdline"] or [])]


@pytest.fixture
def pool(tmp_path):
    made = LocalPool(tmp_path)
    made.write()
    yield made
    if made.folder.exists():
        coral("down", made.file, "--now")
    assert made.supervisors() == []


def test_up_is_a_wish(pool):
    """It starts what is missing, leaves alone what is there, and drains what is too much."""
    code, output = pool.up("--wait")
    assert (code, output.splitlines()[-1]) == (
        0, f"use it: --agent.model NAME --agent.replicas {pool.folder}",
    )  # fmt: skip
    first = set(pool.supervisors())
    assert len(first) == 2
    assert pool.up()[1].startswith("2 of 2 there")
    assert pool.up("--replicas", "3", "--wait")[0] == 0
    assert len(pool.supervisors()) == 3
    assert first < set(pool.supervisors())
    code, output = pool.up("--replicas", "1")
    assert "3 there, 1 wanted" in output
    assert code == 0


def test_status_counts_completions(pool, eventually):
    """Its exit code says whether as many are ready as wanted; the folder alone names the pool, too."""
    pool.up("--wait")
    code, output = coral("status", pool.folder)
    assert (code, output.splitlines()[-1]) == (0, "2 of 2 ready")
    pool.control.write_text("fail")
    eventually(lambda: coral("status", pool.file)[1].splitlines()[-1] == "0 of 2 ready")
    assert coral("status", pool.file)[0] == 1


def test_down_leaves_nothing(pool):
    """No process and no record is left; again, it finds nothing to do; without a folder it says so."""
    pool.up("--wait")
    assert coral("down", pool.file) == (0, "down\n")
    assert pool.supervisors() == []
    assert list(pool.folder.glob("*.json")) == []
    assert coral("down", pool.file) == (0, "down\n")
    pool.folder.rename(pool.folder.with_name("elsewhere"))
    code, output = coral("status", pool.file)
    assert code == 2
    assert "coral cluster up" in output


def test_a_killed_supervisor_is_lost_and_replaced(pool, tmp_path, ended, eventually):
    """Its server dies with it; what that one started is ended before the next one comes."""
    stray = tmp_path / "stray"
    pool.write(replicas=1, server=[*pool.server, "--stray", str(stray)])
    pool.up("--wait")
    (supervisor,) = pool.supervisors()
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: ended(supervisor))
    code, (seen,) = pool.seen()
    assert (code, seen["state"], seen["job"]) == (1, "lost", None)
    assert pool.up("--wait")[0] == 0
    assert ended(int(stray.read_text().split()[0]))
    assert [seen["state"] for seen in pool.seen()[1]] == ["ready"]


def test_a_server_that_cannot_start_is_told(pool):
    """`up --wait` ends with the reason and the end of the log; `logs` shows more of it."""
    pool.control.write_text("crash")
    code, output = pool.up("--replicas", "1", "--wait")
    assert code == 1
    assert "failed" in output
    assert "the server ended with exit code 2" in output
    assert "CUDA out of memory" in output
    code, output = coral("logs", pool.file)
    assert output.count("CUDA out of memory") == 3
    pool.control.unlink()
    assert pool.up("--replicas", "1", "--wait")[0] == 0
    assert [seen["state"] for seen in pool.seen()[1]] == ["ready"]


def test_logs_of_one_replica(pool):
    """A replica is named by its job or its id; a name that fits none is told with those that there are."""
    pool.up("--wait")
    record = pool.seen()[1][0]["record"]
    code, output = coral("logs", pool.file, record["id"], "--lines", "1")
    assert (code, output.splitlines()[0]) == (0, f"== {record['log']}")
    code, output = coral("logs", pool.file, "nobody")
    assert code == 2
    assert record["id"] in output


def test_two_commands_at_once(pool):
    """Both would start what is missing: the second is refused."""
    pool.up()
    with locked(pool.folder):
        code, output = pool.up()
    assert code == 2
    assert "another command changes the pool" in output


def test_the_folder_is_its_owners(pool):
    """On a shared disk nobody else reads the key or the logs."""
    pool.up("--replicas", "0")
    assert (pool.folder.stat().st_mode & 0o777, (pool.folder / "key").stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )
    key = (pool.folder / "key").read_text()
    pool.up("--replicas", "0")
    assert (pool.folder / "key").read_text() == key


GPUS = ["0,1", "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "MIG-GPU-8932f937/1/0"]


def test_gpus_are_names(pool):
    """Numbers, lists, UUIDs and MIG devices reach the server as they were written; each is used once."""
    pool.write(replicas=2, gpus=GPUS)
    pool.up("--wait")
    assert sorted(seen["record"]["gpus"] for seen in pool.seen()[1]) == sorted(GPUS[:2])
    pool.up("--replicas", "3", "--wait")
    assert sorted(seen["record"]["gpus"] for seen in pool.seen()[1]) == sorted(GPUS)
    code, output = pool.up("--replicas", "4")
    assert code == 2
    assert "GPUs for 3" in output


def test_setup_comes_first(pool):
    """Its lines are run in the server's shell; one that fails is told."""
    pool.write(replicas=1, setup=["export CUDA_VISIBLE_DEVICES=from-setup"])
    pool.up("--wait")
    assert pool.seen()[1][0]["record"]["gpus"] == "from-setup"
    coral("down", pool.file, "--now")
    pool.write(replicas=1, setup=["echo no such module >&2; false"])
    code, output = pool.up()
    assert code == 2
    assert "no such module" in output


def test_a_dry_run_starts_nothing(pool):
    """It prints a script that users can read and run."""
    code, output = pool.up("--dry_run")
    assert code == 0
    assert output.startswith("#!/bin/bash\n")
    assert shlex.split(output.splitlines()[-1])[-len(pool.server) :] == pool.server
    assert not pool.folder.exists()


REFUSED = {
    "no name": ({"name": ""}, "the pool has no name"),
    "a name for no job": ({"name": "a b"}, "cannot name a job"),
    "no folder": ({"folder": ""}, "the pool has no folder"),
    "no server": ({"server": []}, "the pool has no server"),
    "no port": ({"server": ["vllm", "serve", "m"]}, "does not say its port"),
    "fewer than none": ({"replicas": -1}, "replicas is -1"),
    "a time that YAML reads as a number": ({"place": "slurm", "slurm": {"time": 86400}}, "slurm.time"),
    "a short name of it": ({"place": "slurm", "slurm": {"t": 60}}, "slurm.t"),
    "an array": ({"place": "slurm", "slurm": {"array": "0-3"}}, "slurm.array"),
    "an unknown place": ({"place": "cloud"}, "cloud"),
    "an unknown option": ({"replcias": 2}, "replicas"),
    "no patience": ({"replica": {"give_up_after_s": 0}}, "replica.give_up_after_s"),
    "deaf clients": ({"replica": {"silent_after_s": 5, "check_every_s": 5}}, "two beats"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_pool_can_use_is_refused(pool, name):
    """Before anything is started, with the option's name and without a traceback."""
    options, words = REFUSED[name]
    pool.write(**options)
    code, output = pool.up()
    assert code == 2
    assert words in output
    assert "Traceback" not in output
    assert not pool.folder.exists()


def test_unquoted_times_are_met_in_yaml_itself(pool):
    """`time: 24:00:00` is the number 86400 to YAML; the remedy quotes it."""
    pool.write(place="slurm")
    pool.file.write_text(pool.file.read_text()[:-1] + ', "slurm": {time: 24:00:00}}')
    code, output = pool.up()
    assert code == 2
    assert 'time: "24:00:00"' in output


def test_without_slurm_its_place_is_refused(pool, tmp_path, monkeypatch):
    """On a machine without sbatch the remedy says where to go."""
    pool.write(place="slurm", slurm={"mem": "1G"})
    monkeypatch.setenv("PATH", str(tmp_path))
    code, output = pool.up()
    assert code == 2
    assert "there is no squeue on this machine" in output


def test_no_such_command():
    """`coral cluster` lists what there is."""
    assert coral()[0] == 0
    code, output = coral("start", "pool.yaml")
    assert code == 2
    assert "up, status, down, logs" in output
