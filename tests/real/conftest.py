"""SmolLM2-135M-Instruct behind llama.cpp's server and behind Coral's own. `make test-real` prepares both.

The model is a poor reasoner: what these tests ask for are properties, never scores.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import coral as library

ROOT = Path(__file__).parents[2]
SOURCE = Path(library.__file__).parents[1]
DATA = ROOT / "tests" / "data"
BUILT = Path(os.environ.get("CORAL_REAL_MODEL", ROOT / ".cache" / "smollm2"))
NAME = "smollm2"
START_S, RUN_S = 120, 900
"""Seconds that a server gets to start, and a command to finish, on a machine that has other work."""


@pytest.fixture(scope="session")
def folder() -> Path:
    """The model as a Hugging Face folder."""
    return _built("smollm2")


@pytest.fixture(scope="session")
def gguf() -> Path:
    """The same model as llama.cpp reads it, in 4 bits."""
    return _built("smollm2.gguf")


def _built(name: str) -> Path:
    path = BUILT / name
    if not path.exists():
        pytest.fail(f"{path} is not there: `make test-real` builds it")
    return path


class Server:
    """A server on loopback: its address, and what it counts of itself."""

    def __init__(self, url: str, kind: str) -> None:
        self.url = url
        self.kind = kind

    def tokens(self) -> dict[str, int]:
        """Prompt and completion tokens so far, by the server's own `/metrics`."""
        with urllib.request.urlopen(f"{self.url}/metrics") as response:
            text = response.read().decode()
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if line[:1] not in {"", "#"}]
        values = {name: int(float(value)) for name, value in lines}
        return {kind: sum(values.get(name, 0) for name in COUNTERS[self.kind][kind]) for kind in KINDS}

    def since(self, before: dict[str, int]) -> dict[str, int]:
        """Tokens counted since `before`."""
        return {kind: count - before[kind] for kind, count in self.tokens().items()}

    def options(self) -> dict[str, Any]:
        """What a command needs to use this server."""
        return {"agent.model": NAME, "agent.base_url": self.url}


KINDS = ("prompt_tokens", "completion_tokens")
COUNTERS = {
    "llama.cpp": {
        "prompt_tokens": ["llamacpp:prompt_tokens_total", "llamacpp:prompt_tokens_cached_total"],
        "completion_tokens": ["llamacpp:tokens_predicted_total"],
    },
    "coral serve": {
        "prompt_tokens": ['coral_tokens_total{kind="prompt"}'],
        "completion_tokens": ['coral_tokens_total{kind="completion"}'],
    },
}


@contextmanager
def running(command: list[str], kind: str, url: str | None = None) -> Iterator[Server]:
    """Start a server, wait for its one line, and end it with SIGTERM."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        found = re.search(r"http://[\d.]+:\d+", line)
        assert found, f"{command} did not start: {line!r}"
        _wait_healthy(found.group())
        yield Server(found.group(), kind)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START_S)
        process.stdout.close()


def _wait_healthy(url: str) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health") as response:
                assert response.status == 200
                return
        except OSError:
            assert time.monotonic() < end, f"{url} does not become healthy"
            time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def llama_cpp(gguf: Path) -> Iterator[Server]:
    """llama.cpp's server with the 4-bit file."""
    script = str(Path(__file__).with_name("llama_server.py"))
    command = [sys.executable, script, str(gguf), NAME, str(_free_port()), "1"]
    with running(command, "llama.cpp") as server:
        yield server


@pytest.fixture(scope="session")
def coral_serve(folder: Path) -> Iterator[Server]:
    """`coral serve` with the folder."""
    with serving(folder) as server:
        yield server


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", "coral", "serve", str(folder), "--name", NAME, "--port", "0"]
    with running(command, "coral serve") as server:
        yield server


@pytest.fixture(scope="session")
def serve() -> Callable[[Path], Any]:
    """Starts `coral serve FOLDER`: `with serve(folder) as server`."""
    return serving


@pytest.fixture(scope="session")
def coral() -> Callable[..., str]:
    """Runs a command of Coral: `coral("eval", "mmlu_pro", limit=10)`; its output, which has no traceback.

    `site`: a folder with packages that add tasks. `expected`: the codes with which it may exit.
    """

    def run(*words: str, site: Path | None = None, expected: tuple[int, ...] = (0,), **options: Any) -> str:
        done = subprocess.run(
            command_line(*words, **options),
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, filter(None, (site, SOURCE))))},
        )
        output = done.stdout + done.stderr
        assert "Traceback" not in output, output
        assert done.returncode in expected, output
        return output

    return run


def command_line(*words: str, **options: Any) -> list[str]:
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return [sys.executable, "-m", "coral", *words, *flags]


@pytest.fixture(scope="session")
def command() -> Callable[..., list[str]]:
    return command_line


@pytest.fixture(scope="session")
def spent() -> Callable[[Path], dict[str, int]]:
    """What a run's summary says that it cost, over all roles."""

    def read(run: Path) -> dict[str, int]:
        usage = json.loads((run / "summary.json").read_text())["usage"].values()
        assert all(role["num_uncounted"] == 0 for role in usage)
        return {kind: sum(role[kind] for role in usage) for kind in KINDS}

    return read


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real records."""
    return DATA
