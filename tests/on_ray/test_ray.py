"""Pools on a real Ray cluster of two nodes."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

pytestmark = pytest.mark.ray


def test_up_is_a_wish(pool, eventually):
    """Replicas are actors of Ray Serve, told by the folder; more and fewer leave the others alone."""
    code, output = pool.coral("up", "--wait")
    assert (code, "2 of 2 ready" in output) == (0, True), output
    first = {one["id"] for one in pool.ready(2)}
    assert pool.coral("up")[1].startswith("2 of 2 there")
    assert pool.coral("up", "--replicas", "3", "--wait")[0] == 0
    assert first < {one["id"] for one in pool.ready(3)}
    assert "3 there, 2 wanted: Ray Serve drains 1" in pool.coral("up")[1]
    pool.ready(2)
    eventually(lambda: pool.coral("status")[1].endswith("2 of 2 ready\n"))
    assert pool.coral("down") == (0, "down\n")
    assert pool.records() == []


def test_a_killed_server_is_started_again_in_its_actor(pool, eventually):
    """By the supervisor, as everywhere: the resources are kept."""
    pool.coral("up", "--wait")
    record = pool.ready(2)[0]
    (server,) = psutil.Process(record["pid"]).children()
    os.kill(server.pid, signal.SIGKILL)

    def ready():  # what lasts, since "one is ready" may pass unseen
        return {(one["id"], one["starts"], one["pid"]) for one in pool.records() if one["state"] == "ready"}

    eventually(lambda: (record["id"], 2, record["pid"]) in ready())
    assert {one["id"] for one in pool.ready(2)} >= {record["id"]}


@pytest.mark.parametrize("what", ["supervisor", "worker"])
def test_a_killed_replica_is_replaced(pool, what, eventually):
    """Ray Serve notices that the supervisor has ended, or that its own worker has: with it the supervisor
    drains. Nobody calls `up`, which forgets the dead once their records are silent."""
    pool.coral("up", "--wait")
    record, other = pool.ready(2)
    supervisor = psutil.Process(record["pid"])
    os.kill(record["pid"] if what == "supervisor" else supervisor.ppid(), signal.SIGKILL)
    eventually(lambda: not supervisor.is_running() or supervisor.status() == "zombie")

    def replaced():
        alive = [one for one in pool.records() if one["state"] == "ready" and psutil.pid_exists(one["pid"])]
        return {one["pid"] for one in alive} - {record["pid"], other["pid"]}

    eventually(replaced)

    def forgotten():
        assert pool.coral("up", "--wait")[0] == 0
        return record["id"] not in {one["id"] for one in pool.records()}

    eventually(forgotten)  # where Ray is fast, the new one is there before the old record counts as silent


def test_a_server_that_cannot_start_is_told(pool):
    """After some tries Ray Serve gives up, and status has the reason."""
    pool.control.write_text("crash")
    code, output = pool.coral("up", "--replicas", "1", "--wait")
    assert code == 1
    assert "the server ended with exit code 2" in output
    assert "CUDA out of memory" in output


def test_ray_serve_scales_it(pool, eventually):
    """By what the replicas report, between `min` and `max`, without a command of ours; new limits are taken
    by `up`."""
    pool.write(replicas=1, max=3, in_flight=10)
    pool.coral("up", "--wait")
    pool.control.write_text("load=100")
    pool.ready(3)
    eventually(lambda: pool.coral("status")[1].endswith("3 of 3 ready\n"))
    pool.write(replicas=1, max=2, in_flight=10)
    pool.coral("up")
    pool.ready(2)
    pool.control.unlink()
    pool.ready(1)


def test_without_a_cluster_it_says_so(pool):
    """What to start, without a traceback."""
    pool.write(ray={"address": "127.0.0.2:1"})
    code, output = pool.coral("up")
    assert code == 2
    assert "the Ray cluster at 127.0.0.2:1" in output
    assert "Traceback" not in output
    pool.folder.rename(pool.folder.with_name("away"))
