"""The loop of `coral improve` on a real SLURM: its replicas and its trainings are jobs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slurm
ROOT = Path(__file__).parents[2]


def script(folder, *lines, memory="300M"):
    path = folder / "job.sbatch"
    head = ("#!/bin/bash", f"#SBATCH --mem={memory}", "#SBATCH --time=10:00", "#SBATCH --requeue")
    path.write_text("\n".join((*head, *lines)) + "\n")
    return path


def job(slurm, folder, *words):
    """`coral cluster job`, started."""
    return subprocess.Popen(
        [sys.executable, "-m", "coral", "cluster", "job", *map(str, words)],
        env=slurm.env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def listed(slurm):
    return slurm.run("squeue", "-h", "-t", "PENDING,RUNNING", "-o", "%j").split()


def test_a_job_is_waited_for_and_told_of(slurm, tmp_path):
    """Exit code 0 where it completed; else 1 with the last lines it wrote, and 2 where sbatch refuses."""
    good = job(slurm, tmp_path, script(tmp_path, "echo $1 > done"), "word")
    assert good.communicate()[0].count("COMPLETED") == 1
    assert (good.returncode, (tmp_path / "done").read_text()) == (0, "word\n")
    bad = job(slurm, tmp_path, "--output", tmp_path / "log", script(tmp_path, "echo out of memory; exit 3"))
    told = bad.communicate()[0]
    assert (bad.returncode, "FAILED, exit code 3:0" in told, "  out of memory" in told) == (1, True, True)
    refused = job(slurm, tmp_path, "--gres=gpu:99", script(tmp_path, "true"))
    assert "sbatch" in refused.communicate()[0]
    assert refused.returncode == 2


def test_a_job_outlives_kill_9_of_who_waits_and_is_found_again(slurm, tmp_path, eventually):
    """The same command submits no second one; a stop of the command ends the job."""
    words = (script(tmp_path, "touch started; sleep 300"), "x")
    first = job(slurm, tmp_path, *words)
    eventually((tmp_path / "started").exists)
    first.kill()
    first.communicate()
    second = job(slurm, tmp_path, *words)
    assert "is still there" in second.stdout.readline()
    assert len(listed(slurm)) == 1
    second.send_signal(signal.SIGTERM)
    second.communicate()
    assert second.returncode == 128 + signal.SIGTERM
    eventually(lambda: listed(slurm) == [])


def test_the_loop_on_slurm(slurm, tmp_path, eventually):
    """The recipe's SLURM form, every step, with the embedded model in place of the 8B one: a pool per
    checkpoint, kept between the steps that need it, none while a training runs, and nothing left.
    """
    server = [sys.executable, "-m", "coral", "serve", "{checkpoint}", "--name", "{name}", "--host", "{host}"]
    train = script(tmp_path, "squeue -h -t PENDING,RUNNING -o %j >> jobs",
                   f'exec srun {sys.executable} -m coral train "$@"', memory="1500M")  # fmt: skip
    sbatch = {"gres": "gpu:1", "mem": "700M", "time": "10:00", "cpus-per-task": 1}
    pool = {"replicas": 2, "server": [*server, "--port", "{port}"], "slurm": sbatch,
            "replica": {"check_every_s": 0.5, "drain_s": 10, "stop_within_s": 5}}  # fmt: skip
    options = {
        "output": str(tmp_path / "out"), "controls": ["alone-dpo"],
        "common": {"task": {"name": "sally_anne", "size": 16}, "max_turns": 4,
                   "agent": {"max_tokens": 96, "temperature": 1.0}, "extractor": {"mode": "rules"}},
        "evaluate": {"split": "test"}, "sample": {"split": "train", "samples": 1, "candidates": 4},
        "train": {"device": "cpu", "max_steps": 2, "batch_size": 4, "learning_rate": 5e-4, "save_steps": 1},
        "serve": {"pool": pool},
        "launch": ["{python}", "-m", "coral", "cluster", "job", "--output", "{config}.log", str(train),
                   "--config", "{config}"],
    }  # fmt: skip
    file = tmp_path / "improve.yaml"
    file.write_text(json.dumps(options))
    recipe = ROOT / "recipes" / "llama8b_mmlu_pro" / "slurm.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "coral", "improve", "--config", str(recipe), "--config", str(file)],
        env={**slurm.env, "OMP_NUM_THREADS": "1"}, cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert "report: " in done.stdout
    ups = [line.partition(":")[0] for line in done.stdout.splitlines() if "for 2 more" in line]
    assert ups == [
        "improve-start",  # evaluated, and sampled from for the pair
        "improve-pair-dpo-1",
        "improve-start",  # sampled from for the model alone
        "improve-alone-dpo-1",
    ]
    during = (tmp_path / "jobs").read_text().split()
    assert len(during) == 2, "beside each training no other job ran or waited"
    assert all(name.startswith("coral-job-") for name in during)
    logs = [*(tmp_path / "out" / "models").glob("*/train.log")]
    assert len(logs) == 2
    assert all("COMPLETED" in log.read_text() for log in logs)
    eventually(lambda: listed(slurm) == [])
