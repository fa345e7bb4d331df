"""`coral serve` as a process: the ready line, signals, and errors a user can fix."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from coral.cli.serve import run
from coral.errors import ConfigError, DataError

ROWS = [
    {
        "question_id": 1,
        "question": "What is 2 + 2?",
        "options": ["3", "4", "5"],
        "answer": "B",
        "category": "math",
    },
    {
        "question_id": 2,
        "question": "Is ice cold?",
        "options": ["yes", "no"],
        "answer": "A",
        "category": "physics",
    },
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two problems in the published form of MMLU-Pro."""
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


@pytest.fixture
def start(data: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Starts `coral serve scripted` on a free port; the process and its base URL."""
    running: list[subprocess.Popen[str]] = []

    def start_server(*flags: str) -> tuple[subprocess.Popen[str], str]:
        code = "import sys; from coral.cli import main; sys.exit(main(sys.argv[1:]))"
        command = ["serve", "scripted", "--task", "mmlu_pro", "--data", str(data), "--port", "0", *flags]
        process = subprocess.Popen(
            [sys.executable, "-c", code, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving scripted on http://127.0.0.1:"), process.communicate()[1]
        return process, line.split()[3]

    yield start_server
    for process in running:
        process.kill()
        process.communicate()


def ask(url: str) -> tuple[int, Any]:
    """One chat completion; status and body."""
    body = {
        "model": "scripted:accuracy=1",
        "messages": [{"role": "user", "content": "I'm trying to solve this problem:\n\nWhat is 2 + 2?"}],
    }
    request = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def in_flight(url: str) -> int:
    """What /metrics says is being worked on."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/metrics", timeout=20) as response:
        lines = response.read().decode().splitlines()
    return int(next(line for line in lines if line.startswith("coral_requests_in_flight ")).split()[1])


def is_draining(url: str) -> bool:
    """Whether /health says that the server drains."""
    try:
        with urllib.request.urlopen(url.removesuffix("/v1") + "/health", timeout=20):
            return False
    except urllib.error.HTTPError as error:
        with error:
            return error.code == 503


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll with a deadline."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains(start: Any, number: signal.Signals) -> None:
    """After a signal the requests in flight are answered, new ones are refused, and the exit code is 0."""
    process, url = start("--latency_s", "3")  # all three are to be in flight at once, on busy cores, too
    with ThreadPoolExecutor() as pool:
        running = [pool.submit(ask, url) for _ in range(3)]
        wait_until(lambda: in_flight(url) == 3)
        process.send_signal(number)
        wait_until(lambda: is_draining(url))
        assert ask(url)[0] == 503
        assert [future.result()[0] for future in running] == [200] * 3
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (0, "", "")


@pytest.mark.parametrize("second_signal", [False, True], ids=["drain_s is over", "a second signal"])
def test_drain_ends(start: Any, second_signal: bool) -> None:
    """A stalled request holds the server for `--drain_s` at most, or until the second signal: exit code 1."""
    process, url = start("--faults", "stall:1", "--drain_s", "600" if second_signal else "0.1")
    with ThreadPoolExecutor() as pool:
        stalled = pool.submit(ask, url)
        wait_until(lambda: in_flight(url) == 1)
        process.send_signal(signal.SIGTERM)
        if second_signal:
            wait_until(lambda: is_draining(url))
            process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
        assert isinstance(stalled.exception(), OSError)
    assert process.returncode == 1
    assert "--drain_s" in stderr


def test_taken_port_is_an_error_with_a_remedy(start: Any, data: Path) -> None:
    """A port in use is named, and what to do about it."""
    _, url = start()
    port = url.split(":")[2].removesuffix("/v1")
    with pytest.raises(ConfigError, match=f"127.0.0.1:{port}") as caught:
        run(["scripted", "--task", "mmlu_pro", "--data", str(data), "--port", port])
    assert "--port 0" in caught.value.remedy


@pytest.mark.parametrize(
    ("flags", "kind", "words"),
    [
        ([], ConfigError, "nothing to serve"),
        (["scripted"], ConfigError, "no task given"),
        (["scripted", "--task", "mmlu"], ConfigError, "mmlu"),
        (["scripted", "--task", "mmlu_pro", "--data", "missing.jsonl"], DataError, "missing.jsonl"),
        (
            ["scripted", "--task", "mmlu_pro", "--accuracy", "2"],
            ConfigError,
            "--accuracy must be between 0 and 1",
        ),
        (["scripted", "--acuracy", "0.5"], ConfigError, "acuracy"),
        (
            ["scripted", "--task", "mmlu_pro", "--port", "70000"],
            ConfigError,
            "--port must be between 0",
        ),
        (
            ["scripted", "--task", "mmlu_pro", "--max_body_mb", "inf"],
            ConfigError,
            "max_body_mb must be a finite",
        ),
        (
            ["scripted", "--task", "mmlu_pro", "--drain_s", "nan"],
            ConfigError,
            "--drain_s must be a finite",
        ),
        (["scripted", "--task", "sally_anne", "--host", "h" * 70], ConfigError, "cannot listen on hhh"),
        (["scripted", "--task", "sally_anne", "--host", "no such host"], ConfigError, "cannot listen on no"),
        (["no/such/folder"], ConfigError, "no/such/folder"),
        (["."], ConfigError, "is not a checkpoint: it has no config.json"),
        ([".", "--task", "mmlu_pro"], ConfigError, "task"),
    ],
)
def test_what_cannot_be_served_is_named(
    flags: list[str], kind: type[Exception], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong option, task, data path or checkpoint ends at once, with the cause and a remedy."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=words):
        run(flags)


def test_fault_plan_is_checked_before_serving(data: Path) -> None:
    """A mistake in `--faults` is found at the door."""
    with pytest.raises(ConfigError, match="teapot"):
        run(["scripted", "--task", "mmlu_pro", "--data", str(data), "--faults", "teapot:1"])
