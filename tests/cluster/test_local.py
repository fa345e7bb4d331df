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

from coral.cluster.config import PoolConfig
from coral.cluster.local import LocalPlace
from coral.cluster.places import Job
from coral.cluster.pool import Seen, wanted
from coral.cluster.records import Record, locked

STUB = str(Path(__file__).with_name("stub_server.py"))
FAST = {  # nothing here needs a server that is given up: on busy cores it only answers late
    "check_every_s": 0.1, "give_up_after_s": 60, "probe_every_s": 0.5, "drain_s": 5, "stop_within_s": 3,
    "ready_within_s": 120,
}  # fmt: skip


def coral(*arguments):
    """Run `coral cluster ...` as a user does; returns exit code, standard output and error together."""
    done = subprocess.run(
        [sys.executable, "-m", "coral", "cluster", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
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
    assert "its job is gone" in coral("status", pool.file)[1]
    assert pool.up("--wait")[0] == 0
    first = int(stray.read_text().split()[0])
    eventually(lambda: ended(first))
    assert [seen["state"] for seen in pool.seen()[1]] == ["ready"]


def test_a_server_that_is_just_started_is_no_supervisor(pool, eventually):
    """Until its own program is run it bears its supervisor's command line, and would be taken for one that
    the folder does not know."""
    forks = "import os, time; os.fork(); time.sleep(600)"
    supervisor = psutil.Popen([sys.executable, "-c", forks, f"--folder={pool.folder}"])
    try:
        eventually(supervisor.children)
        place = LocalPlace(PoolConfig(name="test", folder=str(pool.folder), server=("{port}",)))
        assert place.unknown() == [supervisor.pid]
    finally:
        for process in [*supervisor.children(), supervisor]:
            process.kill()
        supervisor.wait()
        eventually(lambda: pool.supervisors() == [])


@pytest.mark.parametrize("command", ["up", "status", "down"])
def test_a_folder_that_was_removed_hides_no_replica(pool, command, eventually):
    """A second pool beside them, or "down", would leave processes with their GPUs that nobody knows of."""
    pool.up("--wait")
    (*pids,) = pool.supervisors()
    pool.folder.rename(pool.folder.with_name("away"))
    code, output = coral(command, pool.file)
    assert code == 2
    assert f"kill {' '.join(map(str, sorted(pids)))}" in output
    assert not pool.folder.exists()
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: pool.supervisors() == [])
    assert ("kill" in coral(command, pool.file)[1]) is False


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
    key = pool.folder / "key"
    before = key.read_text()
    key.chmod(0o644)
    pool.up("--replicas", "0")
    assert (key.read_text(), key.stat().st_mode & 0o777) == (before, 0o600)
    key.write_text("")  # as a full disk leaves it: servers would ask for none
    pool.up("--replicas", "0")
    assert key.read_text().strip()


def test_a_folder_of_other_files_is_not_closed(pool):
    """It may be shared with others, as a project's is."""
    pool.folder.mkdir(mode=0o755)
    (pool.folder / "data.jsonl").touch()
    code, output = pool.up()
    assert (code, "holds other files (data.jsonl)" in output) == (2, True)
    assert pool.folder.stat().st_mode & 0o777 == 0o755
    (pool.folder / "data.jsonl").unlink()
    assert pool.up("--replicas", "0")[0] == 0


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


def test_a_supervisor_that_cannot_begin_is_told(pool):
    """No record has a reason then: what was written instead has it, and `up --wait` says where."""
    pool.write(replicas=1, python="/no/such/python")
    code, output = pool.up("--wait")
    assert code == 1
    assert f"coral cluster logs {pool.folder}" in output
    assert "/no/such/python: No such file" in coral("logs", pool.file)[1]
    code, output = coral("status", pool.folder / "logs")
    assert (code, f"there is no pool in {pool.folder / 'logs'}" in output) == (2, True)


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
    "fewer than none": ({"replicas": -1}, "replicas must be at least 0"),
    "a time that YAML reads as a number": ({"place": "slurm", "slurm": {"time": 86400}}, "slurm.time"),
    "a short name of it": ({"place": "slurm", "slurm": {"t": 60}}, "slurm.t"),
    "an array": ({"place": "slurm", "slurm": {"array": "0-3"}}, "slurm.array"),
    "more at least than at most": ({"min": 3, "max": 2}, "max (2) is less than min (3)"),
    "none at least": ({"min": 0, "max": 2}, "min must be at least 1"),
    "no load": ({"in_flight": 0}, "in_flight must be at least 1"),
    "more at most than GPUs": ({"gpus": ["0", "1"], "max": 3}, "GPUs for 2"),
    "whole nodes of this machine": ({"replicas_per_job": 2}, "replicas_per_job is 2"),
    "several nodes of this machine": ({"nodes": 2}, "nodes is 2"),
    "several of several nodes": ({"place": "slurm", "replicas_per_job": 2, "nodes": 2}, "several nodes"),
    "the name of its jobs": ({"place": "slurm", "slurm": {"job-name": "mine"}}, "slurm.job-name is decided"),
    "a command that is one text": (
        {"server": ["vllm serve m --port {port}"]},
        'list of words: ["vllm", "serve", "m", "--port", "{port}"]',
    ),
    "a number for a mapping": ({"replica": 2}, "--replica must be a mapping of options (got 2)"),
    "an unknown place": ({"place": "cloud"}, "cloud"),
    "an unknown option": ({"replcias": 2}, "replicas"),
    "more to begin with than at most": ({"replicas": 9, "max": 2}, "max (2) is less than replicas (9)"),
    "a list for sbatch": ({"slurm": {"gres": ["gpu:1"]}}, "slurm.gres must be a text"),
    "a line of its own for sbatch": ({"slurm": {"mem": "1G\nid"}}, "slurm.mem must be a text"),
    "a Python name for sbatch": ({"slurm": {"cpus_per_task": 8}}, "slurm.cpus_per_task is not the long name"),
    "dashes for sbatch": ({"slurm": {"--mem": "1G"}}, "slurm.--mem is not the long name"),
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


def test_options_of_another_place_are_told(pool):
    """One file serves everywhere, and a forgotten `place` would start eight servers on the login node."""
    pool.write(slurm={"mem": "1G"}, ray={"num_gpus": 1})
    code, output = pool.up("--dry_run")
    assert code == 0
    assert "`slurm` says nothing here: the place is local" in output
    assert "`ray` says nothing here: the place is local" in output


CHANGED = {
    "the place": ({"place": "slurm", "slurm": {"mem": "1G"}}, 2, "were started with place local"),
    "replicas of a job": (
        {"place": "slurm", "slurm": {"mem": "1G"}, "replicas_per_job": 2},
        2,
        "place local, replicas_per_job 1",
    ),
    "its name, by which jobs are found": ({"name": "other"}, 2, "were started with name test"),
    "the server": ({"setup": ["true"]}, 0, "replicas that live keep their setup"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_file_that_was_edited_meanwhile_loses_no_replica(pool, name):
    """Another place would not know those that live, and `down` would leave them with their GPUs."""
    options, expected, words = CHANGED[name]
    pool.up("--wait", "--replicas", "1")
    pool.write(**options)
    code, output = pool.up("--replicas", "1")
    assert (code, words in output) == (expected, True), output
    assert coral("status", pool.file, "--replicas", "1")[0] == 0
    assert coral("down", pool.file)[1] == "down\n"
    assert pool.supervisors() == []


FILES = {
    "bytes": lambda path: (path / "pids/0").write_bytes(b"\xff\xff 1"),
    "words": lambda path: (path / "pids/0").write_text("mine 1"),
    "a number too large": lambda path: (path / "pids/0").write_text("9" * 30 + " 1"),
    "half a file": lambda path: (path / "pids/0").write_text("12"),
    "a pipe": lambda path: os.mkfifo(path / "x.json"),
    "the record of another name": lambda path: (path / "x.json").write_text(
        '{"id": "../kept", "state": "ready", "beat": 1, "node": "n", "job": "1", "pid": 1, "log": ""}'
    ),
    "the record of no server": lambda path: (path / "x.json").write_text(
        '{"id": "x", "state": "ready", "url": "x", "beat": 1, "node": "n", "job": "1", "pid": 1, "log": ""}'
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_what_lies_in_a_folder_stops_no_command(pool, name):
    """A file that is not ours is no replica, and stays where it is."""
    (pool.folder / "pids").mkdir(parents=True)
    kept = pool.folder.with_name("kept.json")
    kept.touch()
    FILES[name](pool.folder)
    assert coral("status", pool.file)[1] == "0 of 2 ready\n"
    assert coral("down", pool.file)[1] == "down\n"
    assert kept.exists()


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


def test_the_number_follows_the_requests(pool, eventually):
    """Whenever `up` runs, and while `status --watch` does: more at once, fewer after a calm."""
    pool.write(replicas=1, max=3, in_flight=10, replica={**FAST, "calm_s": 1})
    pool.up("--wait")
    assert len(pool.supervisors()) == 1
    pool.control.write_text("load=15")
    eventually(lambda: "1 more" in pool.up()[1])
    pool.control.write_text("load=100")
    watching = subprocess.Popen(
        [sys.executable, "-m", "coral", "cluster", "status", str(pool.file), "--watch"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert watching.stderr.readline() == "2 of 3 there, 1 process for 1 more\n"
        eventually(lambda: coral("status", pool.file)[1].endswith("3 of 3 ready\n"))
        pool.control.unlink()
        assert watching.stderr.readline().startswith("3 there, 1 wanted: ")
        eventually(lambda: len(pool.supervisors()) == 1)
    finally:
        watching.kill()
        watching.communicate()
    assert pool.up()[1].startswith("1 of 1 there")


def test_a_folder_is_found_from_everywhere(pool, tmp_path, monkeypatch):
    """A file may name it as it is seen from where `up` runs; its copy and its name hold elsewhere, too."""
    monkeypatch.chdir(tmp_path)
    pool.write(folder="pool", replicas=0)
    assert pool.up()[0] == 0
    monkeypatch.chdir("/")
    assert coral("status", "test") == coral("status", pool.folder) == (0, "0 of 0 ready\n")


def test_a_pool_has_a_name(pool, tmp_path):
    """Every command takes it; of two pools of one name the folder is asked for."""
    pool.up("--wait", "--replicas", "1")
    assert coral("status", "test")[1].splitlines()[-1] == "1 of 1 ready"
    code, output = coral("status", "tset")
    assert code == 2
    assert "pools brought up here: test" in output
    second = pool.folder.with_name("second")
    coral("up", pool.file, "--folder", second, "--replicas", "0")
    code, output = coral("down", "test")
    assert code == 2
    assert f"{pool.folder}, {second}" in output
    assert pool.supervisors()
    pool.folder.rename(tmp_path / "moved")
    assert coral("status", "test") == (0, "0 of 0 ready\n")
    (tmp_path / "moved").rename(pool.folder)


def replica(in_flight=0.0, most=None, state="ready", job="1", slot=0):
    """A replica as a command sees it."""
    record = Record(
        id=f"{job}.{slot}", job=job, slot=slot, node="n", pid=1, log="", state=state, beat=1,
        in_flight=in_flight, most_in_flight=in_flight if most is None else most,
    )  # fmt: skip
    return Seen(record=record, job=Job(id=job, state="RUNNING"))


UNSPOKEN = Seen(record=None, job=Job(id="9", state="PENDING"))
LOADS = {
    "nobody yet: as many as it begins with": ([], 2),
    "calm": ([replica(), replica()], 1),
    "just as many as a replica is meant to have": ([replica(10)], 1),
    "one request more": ([replica(11)], 2),
    "a queue": ([replica(35)], 4),
    "more than there may be": ([replica(500)], 6),
    "calm now, and not of late": ([replica(0, 11), replica(0, 8)], 2),
    "busy of late, and never more for that": ([replica(5, 60), replica(5, 60)], 2),
    "one of them still loads": ([replica(), replica(state="starting")], 2),
    "one of them waits in the queue": ([replica(12), UNSPOKEN, UNSPOKEN], 3),
    "one of them does not count": ([replica(), replica(None, state="ready")], 2),
    "those that drain are none": ([replica(), replica(state="draining", job="2")], 1),
}


@pytest.mark.parametrize("name", LOADS)
def test_how_many_are_wanted(name):
    """Between `min` and `max`, of 10 requests each: no swinging, and no shrinking on missing news."""
    seen, number = LOADS[name]
    config = PoolConfig(name="a", folder="/a", server=("{port}",), replicas=2, max=6, in_flight=10)
    assert wanted(config, seen) == number


SBATCH = """#!/bin/sh
echo "$@" >> "$CALLS"
echo 7
"""
ARRAYS = {"a part": (2, ["0-1"]), "just one": (3, ["0-2"]), "several": (7, ["0-2", "0-2", "0-0"])}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_no_longer_than_the_site_allows(pool, tmp_path, monkeypatch, name):
    """MaxArraySize is the number of elements, as slurm.conf has it; SLURM's programs are scripts here."""
    replicas, arrays = ARRAYS[name]
    programs = {"sbatch": SBATCH, "squeue": "#!/bin/sh\n", "scontrol": "#!/bin/sh\necho MaxArraySize = 3\n"}
    for program, text in programs.items():
        (tmp_path / program).write_text(text)
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    pool.write(place="slurm", replicas=replicas, slurm={"mem": "1G"})
    assert pool.up()[0] == 0
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split("--array=")[1].split()[0] for call in calls] == arrays


def test_without_ray_its_place_is_refused(pool, tmp_path, monkeypatch):
    """The remedy says what to install."""
    pool.write(place="ray")
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "ray.py").write_text("raise ImportError")
    before = os.environ.get("PYTHONPATH")
    paths = [str(tmp_path / "modules"), *([before] if before else [])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    code, output = pool.up()
    assert code == 2
    assert "pip install 'collaborative-reasoner[ray]'" in output
    monkeypatch.undo()
    pool.write()


def test_no_such_command():
    """`coral cluster` lists what there is."""
    assert coral()[0] == 0
    code, output = coral("start", "pool.yaml")
    assert code == 2
    assert "up, status, down, logs" in output
