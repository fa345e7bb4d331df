"""A whole run on SLURM while servers, jobs and a node die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from coral.store.folder import RunFolder

pytestmark = pytest.mark.slurm

SCRIPTED = [
    sys.executable, "-m", "coral", "serve", "scripted", "--task", "sally_anne", "--latency_s", "0.2",
    "--host", "{host}", "--port", "{port}",
]  # fmt: skip


def command(pool, output):
    """A run of 200 conversations over the pool."""
    return [
        sys.executable, "-m", "coral", "eval", "sally_anne", "--limit", "200", "--max_connections", "8",
        "--agent.model", "scripted", "--agent.replicas", str(pool.folder), "--output", str(output),
    ]  # fmt: skip


def texts(output):
    return {one.id: [turn.reply.text for turn in one.turns] for one in RunFolder(output).conversations()}


def test_a_run_outlives_servers_jobs_and_a_node(pool, slurm, tmp_path, eventually):
    """Begun before the pool is up; then a server is killed, a job cancelled, a node dies, `up` tops up: no
    conversation fails, and every text is that of an undisturbed run."""
    pool.write(server=SCRIPTED, replicas=3)
    output = tmp_path / "disturbed"
    running = subprocess.Popen(command(pool, output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        pool.up()
        eventually(lambda: output.exists() and len(texts(output)) > 20)
        first, second, third = [seen["record"] for seen in pool.seen().values()]
        (server,) = psutil.Process(first["pid"]).children()
        os.kill(server.pid, signal.SIGKILL)
        slurm.run("scancel", second["job"])
        slurm.kill_node(third["node"])
        pool.coral("up")
        assert running.wait(300) == 0
    finally:
        running.kill()
        running.wait()
        slurm.start_node(third["node"])
    # A job that goes back into the queue at this very moment counts as one too few.
    eventually(lambda: pool.coral("up", "--wait")[0] == 0)
    assert subprocess.run(command(pool, tmp_path / "calm"), capture_output=True, check=False).returncode == 0
    disturbed = texts(output)
    assert len(disturbed) == 200
    assert disturbed == texts(tmp_path / "calm")
