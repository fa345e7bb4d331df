"""Pools on a real SLURM: each row of the table of failures, with real jobs."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress

import psutil
import pytest

pytestmark = pytest.mark.slurm


def test_replicas_are_jobs(pool, slurm):
    """Each has a GPU, an address and an element of a job array; `up` again leaves them alone."""
    code, output = pool.coral("up", "--wait")
    assert (code, "2 of 2 ready" in output) == (0, True)
    records = [seen["record"] for seen in pool.seen().values()]
    assert len({record["url"] for record in records}) == 2
    assert len({(record["node"], record["gpus"]) for record in records}) == 2
    assert {record["gpus"] for record in records} <= {"0", "1"}
    assert all(record["seconds_left"] > 0 for record in records)
    assert pool.coral("up")[1].startswith("2 of 2 there")
    assert pool.coral("down") == (0, "down\n")
    assert list(pool.folder.glob("*.json")) == []


def test_up_grows_and_shrinks(pool, eventually):
    """More wait in the queue with SLURM's reason; those that wait are the first to go."""
    pool.up()
    assert pool.coral("up", "--replicas", "5")[0] == 0
    pool.ready(4)

    def reasons():  # SLURM has none before it has looked at the job
        return [one["job"]["why"] for one in pool.seen().values() if one["state"] == "pending"]

    eventually(lambda: len(reasons()) == 1 and all(reasons()))
    eventually(lambda: "4 of 2 ready" in pool.coral("status")[1])
    pool.coral("up", "--replicas", "4")
    eventually(lambda: len(pool.seen()) == 4)
    code, output = pool.coral("up", "--replicas", "2")
    assert (code, "drain" in output) == (0, True)
    eventually(lambda: len(pool.seen()) == 2)


def test_a_killed_server_is_started_again_in_its_job(pool, slurm):
    """Kill -9, a crash, memory: the allocation is kept, since it is what is dear."""
    pool.up()
    record = next(iter(pool.seen().values()))["record"]
    (server,) = psutil.Process(record["pid"]).children()
    os.kill(server.pid, signal.SIGKILL)
    seen = pool.ready(1, starts=2, pid=record["pid"])
    assert record["job"] in seen


def test_a_killed_supervisor_is_lost_and_topped_up(pool, slurm, eventually):
    """SLURM ends the job with its server; `up` sends another."""
    pool.up()
    record = next(iter(pool.seen().values()))["record"]
    os.kill(record["pid"], signal.SIGKILL)
    eventually(lambda: pool.seen().get(record["job"], {}).get("state") == "lost")
    assert pool.coral("status")[0] == 1

    def forgotten():
        assert pool.coral("up", "--wait")[0] == 0
        return record["job"] not in pool.seen()

    eventually(forgotten)  # its record stays until it counts as silent


def test_a_cancelled_job_is_topped_up(pool, slurm, eventually):
    """A plain scancel reaches the supervisor and its server at once."""
    pool.up()
    job = next(iter(pool.seen()))
    slurm.run("scancel", job)
    # On busy cores SLURM's KillWait may be over before the supervisor has taken its record away.
    eventually(lambda: pool.seen().get(job, {"state": "lost"})["state"] == "lost")
    assert pool.coral("up", "--wait")[0] == 0


def test_a_server_that_cannot_start(pool, slurm, eventually):
    """The job fails after three starts, and status has the reason and the end of the log."""
    pool.control.write_text("crash")
    code, output = pool.coral("up", "--replicas", "1", "--wait")
    assert code == 1
    assert "the server ended with exit code 2" in output
    assert "CUDA out of memory" in output
    eventually(lambda: slurm.run("squeue", "-h", "-o", "%i") == "")


def test_the_time_limit_requeues(pool, slurm, eventually):
    """USR1 before the limit drains the replica, which then queues itself again, under the same id."""
    pool.write(replicas=1, slurm={"signal": "B:USR1@50", "time": "1:00"})
    pool.coral("up", "--wait")  # on busy cores its time may be over before it is ready
    (job,) = eventually(pool.seen)  # while it goes back into the queue SLURM lists none
    seen = pool.ready(1, requeued=1)
    assert list(seen) == [job]


def test_a_dead_node_moves_its_replica(pool, slurm, eventually):
    """SLURM requeues the job; the new run has a record of its own, and the old one is not believed."""
    pool.write(replicas=1)
    pool.up()
    ((job, seen),) = pool.seen().items()
    node = seen["record"]["node"]
    slurm.kill_node(node)
    try:
        after = pool.ready(1, requeued=1)
        assert after[job]["record"]["id"] != seen["record"]["id"]
        old = pool.folder / f"{seen['record']['id']}.json"
        assert old.exists()
        eventually(lambda: pool.coral("up")[0] == 0 and not old.exists())  # silent by then
        assert job in pool.ready(1)
    finally:
        slurm.start_node(node)


def test_a_preempted_replica_comes_back(pool, slurm):
    """A more urgent job takes its place; SLURM requeues it when the other has ended."""
    pool.write(replicas=1, slurm={"exclusive": True, "nodes": 2, "ntasks": 2, "gres": "gpu:2"})
    pool.up()
    slurm.run("srun", "-p", "urgent", "-N1", "--exclusive", "true", timeout_s=300)
    pool.ready(1, requeued=1)


def test_an_announced_preemption_drains_at_once(pool, slurm):
    """Where the site says so ahead (preempt_send_user_signal), the replica drains and queues itself again,
    long before its time of grace is over."""
    slurm.announce_preemptions(grace_s=3600)
    try:
        pool.write(replicas=1, slurm={"exclusive": True, "nodes": 2, "ntasks": 2, "gres": "gpu:2"})
        pool.up()
        slurm.run("srun", "-p", "urgent", "-N1", "--exclusive", "true", timeout_s=300)
        pool.ready(1, requeued=1)
    finally:
        slurm.announce_preemptions(grace_s=None)


def test_without_a_controller_replicas_go_on(pool, slurm, eventually):
    """The commands say that SLURM does not answer; when it is back, its jobs are found."""
    pool.up()
    slurm.kill_controller()
    try:
        code, output = pool.coral("status")
        assert code == 2
        assert "squeue" in output
        assert "Traceback" not in output
    finally:
        slurm.start_controller()
    assert len(pool.ready(2)) == 2


def test_jobs_that_a_controller_forgot_are_topped_up(pool, slurm, eventually):
    """It saves its jobs up to five seconds late. One that dies before that ends those that it does not know:
    their replicas are lost, and `up` sends others."""
    slurm.restart_controller()  # else it forgets that earlier tests ended their jobs, and runs these again
    pool.coral("up")
    eventually(lambda: slurm.run("squeue", "-h", "-r", "-o", "%T").split() == ["RUNNING"] * 2)
    slurm.kill_controller(saved=False)
    slurm.start_controller()
    eventually(lambda: pool.coral("up", "--wait")[0] == 0)


def test_whole_nodes_are_shared(pool, slurm):
    """A job holds as many replicas as its file says, each with its part of the node's GPUs."""
    pool.write(replicas=4, replicas_per_job=2, slurm={"gres": "gpu:2", "exclusive": True})
    assert pool.coral("up", "--wait")[0] == 0
    lines = pool.coral("status", "--json")[1].splitlines()
    records = [json.loads(line)["record"] for line in lines]
    assert sorted((one["node"], one["slot"], one["gpus"]) for one in records) == [
        ("n1", 0, "0"), ("n1", 1, "1"), ("n2", 0, "0"), ("n2", 1, "1"),
    ]  # fmt: skip
    assert len({one["job"] for one in records}) == 2
    assert pool.coral("up", "--replicas", "3")[1].startswith("4 of 3 there")
    assert "4 there, 2 wanted" in pool.coral("up", "--replicas", "2")[1]
    pool.ready(1)


def test_whole_nodes_are_requeued(pool, slurm, eventually):
    """At the time limit all replicas of a job drain, and the job queues itself again."""
    sbatch = {"signal": "B:USR1@50", "time": "1:00", "gres": "gpu:2"}
    pool.write(replicas=2, replicas_per_job=2, slurm=sbatch)
    pool.coral("up", "--wait")
    job = set(eventually(pool.seen))
    assert {record["job"] for record in pool.all_ready(2, requeued=1)} == job


def test_a_replica_spans_nodes(pool, slurm, eventually):
    """Its server runs on each of them, told its rank; when one part dies, all are started again."""
    server = [*pool.stub(), "--rank", "{rank}"]
    pool.write(replicas=1, nodes=2, server=server)
    assert pool.coral("up", "--wait")[0] == 0
    (before,) = [seen["record"] for seen in pool.all()]
    first, second = eventually(lambda: len(found := parts(pool)) == 2 and found)
    assert (first["SLURM_NODEID"], second["SLURM_NODEID"]) == ("0", "1")
    os.kill(second["pid"], signal.SIGKILL)
    (after,) = pool.all_ready(1, starts=2)
    assert (after["pid"], after["job"]) == (before["pid"], before["job"])
    eventually(lambda: [part["SLURM_NODEID"] for part in parts(pool)] == ["0", "1"])
    assert pool.coral("down") == (0, "down\n")
    eventually(lambda: parts(pool) == [])


def parts(pool):
    """The processes of a server, by node."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if command[1:2] == [pool.stub()[1]] and str(pool.control) in command:
            with suppress(psutil.Error):  # it has ended meanwhile
                found.append({"pid": process.pid, **process.environ()})
    # The environment of a process that has just been started is empty for a moment.
    return sorted((one for one in found if "SLURM_NODEID" in one), key=lambda one: one["SLURM_NODEID"])


def test_options_reach_sbatch(pool, slurm):
    """By sbatch's own names; what sbatch refuses is told in its words."""
    pool.write(slurm={"comment": "ours", "requeue": False})
    assert "#SBATCH --comment=ours\n" in pool.coral("up", "--dry_run")[1]
    assert "--requeue\n" not in pool.coral("up", "--dry_run")[1].split("exec")[0]
    pool.write(slurm={"partition": "nowhere"})
    code, output = pool.coral("up")
    assert code == 2
    assert "invalid partition specified" in output


def test_memory_is_asked_for(pool, slurm):
    """Without it the first replica of a node may take all memory: the user is warned."""
    pool.write(slurm={"mem": None})
    assert "slurm.mem is not set" in pool.coral("up", "--replicas", "0")[1]
