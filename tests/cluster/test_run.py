"""A whole run over replicas that start late, die, hang and leave: nothing fails, and no text differs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from coral.api import evaluate_async
from coral.cli import main
from coral.doctor.diagnose import diagnose
from coral.errors import StoppedEarly
from coral.evaluation.progress import Progress
from coral.models import pool as pools
from coral.models.config import ModelConfig
from coral.store.folder import RunFolder

CHECKS = ("--check_every_s", "0.2", "--silent_after_s", "2")


def scripted(*more):
    """The command of a scripted server."""
    task = ("--task", "sally_anne", "--latency_s", "0.03")
    return [
        sys.executable,
        "-m",
        "coral",
        "serve",
        "scripted",
        *task,
        *more,
        "--host",
        "{host}",
        "--port",
        "{port}",
    ]


def texts(run):
    return {one.id: [turn.reply.text for turn in one.turns] for one in run.conversations()}


async def hold(folder, output, *, limit=100, samples=1, progress=None, **agent):
    """A run with short pauses, and as many attempts as take as long as those of the default."""
    options = {
        "model": "scripted", "replicas": str(folder), "backoff_s": 0.05, "max_backoff_s": 0.2,
        "max_attempts": 100, **agent,
    }  # fmt: skip
    return await evaluate_async(
        "sally_anne", agent=options, limit=limit, samples=samples, max_connections=12, output=str(output),
        progress=progress,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    """The folder is read five times a second."""
    monkeypatch.setattr(pools, "READ_EVERY_S", 0.2)


async def test_replicas_come_and_go_and_no_text_differs(supervise, tmp_path):
    """Begun before any replica, with one server killed, one stopped, one drained: as if nothing had been."""
    folder, progress = tmp_path / "appears", Progress()
    replicas = [
        supervise(name, server=scripted(), flags=CHECKS) for name in ("calm", "killed", "stopped", "drained")
    ]
    running = asyncio.ensure_future(hold(folder, tmp_path / "out" / "disturbed", progress=progress))
    for replica in replicas:
        await asyncio.to_thread(replica.await_state, "ready")
    killed, stopped = (replica.server_pid() for replica in replicas[1:3])
    assert progress.done == 0
    folder.symlink_to(tmp_path)  # all four at once, so that the run still goes on when they are disturbed
    while progress.done < 5:
        assert not running.done()
        await asyncio.sleep(0.01)
    os.kill(killed, signal.SIGKILL)
    os.kill(stopped, signal.SIGSTOP)
    replicas[3].process.terminate()
    disturbed = await asyncio.wait_for(running, 240)
    assert disturbed.summary.stop_reasons.get("failed", 0) == 0
    undisturbed = await hold(folder, tmp_path / "out" / "undisturbed")
    assert texts(disturbed) == texts(undisturbed)


async def test_conversations_in_flight_follow_the_replicas(supervise, tmp_path):
    """`max_connections` is per replica: two hold twice as many as one, also when the second comes later."""
    progress = Progress()
    one = supervise("one", server=scripted("--latency_s", "0.3"), flags=CHECKS)
    await asyncio.to_thread(one.await_state, "ready")
    # More than there is time for: the run is stopped when all has been seen.
    running = asyncio.ensure_future(
        hold(tmp_path, tmp_path / "out", limit=200, samples=50, progress=progress)
    )

    async def most_until(done):
        most = 0
        while progress.done < done:
            assert not running.done()
            most = max(most, progress.in_flight)
            await asyncio.sleep(0.02)
        return most

    assert await most_until(12) == 12
    two = supervise("two", server=scripted("--latency_s", "0.3"), flags=CHECKS)
    await asyncio.to_thread(two.await_state, "ready")
    while progress.in_flight <= 12:
        await asyncio.sleep(0.02)
    assert await most_until(progress.done + 24) == 24
    progress.stopping = True
    await running


async def test_without_a_replica_the_run_is_owed(supervise, tmp_path):
    """It ends after replicas_within_s, none of its conversations has failed, and the same call goes on."""
    with pytest.raises(StoppedEarly, match="no replica is ready") as caught:
        await hold(tmp_path, tmp_path / "out", limit=10, replicas_within_s=0.3)
    assert caught.value.exit_code == 3
    assert "0 of 10 conversations are finished" in caught.value.remedy
    replica = supervise("late", server=scripted(), flags=CHECKS)
    await asyncio.to_thread(replica.await_state, "ready")
    run = await hold(tmp_path, tmp_path / "out", limit=10)
    assert (run.finished, run.summary.stop_reasons.get("failed", 0)) == (10, 0)


def test_a_killed_client_resumes(supervise, tmp_path):
    """The replicas do not notice; the same command ends the run as one that was never killed."""
    patient = ("--give_up_after_s", "600")  # on busy cores the server may answer late
    replica = supervise("one", server=scripted("--latency_s", "0.3"), flags=(*CHECKS, *patient))
    replica.await_state("ready")
    command = [
        sys.executable, "-m", "coral", "eval", "sally_anne", "--limit", "40",
        "--agent.model", "scripted", "--agent.replicas", str(tmp_path), "--output",
    ]  # fmt: skip
    slow = ("--max_connections", "4")  # it takes 10 s, and is looked at 20 times a second
    killed = subprocess.Popen([*command, str(tmp_path / "out" / "killed"), *slow], stdout=subprocess.DEVNULL)
    folder = RunFolder(tmp_path / "out" / "killed")
    while not folder.has_begun or len(list(folder.conversations())) < 10:
        assert killed.poll() is None
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    assert len(list(folder.conversations())) < 40
    for name in ("killed", "calm"):
        subprocess.run([*command, str(tmp_path / "out" / name)], check=True, capture_output=True)
    found = [texts(RunFolder(tmp_path / "out" / name)) for name in ("killed", "calm")]
    assert len(found[0]) == 40
    assert found[0] == found[1]
    assert replica.record()["starts"] == 1


async def test_the_doctor_probes_a_pool(supervise, tmp_path):
    """It examines whoever is ready, and waits for nobody."""
    config = ModelConfig(model="scripted", replicas=str(tmp_path))
    absent = await asyncio.wait_for(diagnose(config), 20)
    assert (absent.usable, absent.findings[0].seen) == (False, f"no replica is ready in {tmp_path}")
    replica = supervise("one", server=scripted(), flags=CHECKS)
    await asyncio.to_thread(replica.await_state, "ready")
    present = await asyncio.wait_for(diagnose(config), 60)
    assert present.usable
    assert "context length" in {finding.probe for finding in present.findings}


@pytest.mark.parametrize(("words", "code", "said"), [([], 2, "no batch script"), (["--help"], 0, "job  ")])
def test_a_job_without_a_script_is_not_submitted(capsys, words, code, said):
    """sbatch would read one from the standard input, and wait for ever."""
    assert main(["cluster", "job", *words]) == code
    told = capsys.readouterr()
    assert said in told.out + told.err
