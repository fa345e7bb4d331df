"""A pool of two real llama.cpp servers, of which one is killed while a batch is answered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.real

LLAMA = Path(__file__).with_name("llama_server.py")
ROWS = 12


def coral(*arguments):
    """Run `coral ...`; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "coral", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def records(folder):
    """What the replicas say of themselves."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def test_a_killed_server_costs_no_row(gguf, tmp_path):
    """Its requests go to the other one, its supervisor starts it again, and the busy one is left alone."""
    pool = {
        "name": "real", "folder": str(tmp_path / "pool"), "replicas": 2,
        "server": [sys.executable, str(LLAMA), str(gguf), "smollm2", "{port}", "1"],
        "replica": {"check_every_s": 1, "probe_every_s": 2, "give_up_after_s": 30, "silent_after_s": 10},
    }  # fmt: skip
    (tmp_path / "pool.yaml").write_text(json.dumps(pool))
    prompts = [{"prompt": f"Tell a short story about the number {number}."} for number in range(ROWS)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    coral("cluster", "up", tmp_path / "pool.yaml", "--wait")
    try:
        command = [
            sys.executable, "-m", "coral", "generate", tmp_path / "in.jsonl",
            "--output", tmp_path / "out.jsonl", "--agent.model", "smollm2", "--agent.max_tokens", "48",
            "--agent.replicas", tmp_path / "pool",
        ]  # fmt: skip
        batch = subprocess.Popen(list(map(str, command)))
        parts = tmp_path / "out.jsonl.parts"
        while not list(parts.glob("*.jsonl")):
            time.sleep(0.1)
        victim, other = records(tmp_path / "pool")
        (server,) = psutil.Process(victim["pid"]).children()
        os.kill(server.pid, signal.SIGKILL)
        assert batch.wait(600) == 0
        coral("cluster", "up", tmp_path / "pool.yaml", "--wait")
        after = records(tmp_path / "pool")
    finally:
        coral("cluster", "down", tmp_path / "pool.yaml", "--now")
    replies = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [row["prompt"] for row in replies] == [row["prompt"] for row in prompts]
    assert all(row["response"]["choices"][0]["message"]["content"] for row in replies)
    assert [(record["id"], record["starts"]) for record in after] == [(victim["id"], 2), (other["id"], 1)]
