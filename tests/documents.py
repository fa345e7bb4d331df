"""Commands in Markdown: finds them, runs them, and puts their real output where the page shows one.

    python tests/documents.py README.md docs/quickstart.md     # refresh the outputs in the pages

A block marked `console` holds lines that begin with `$ `, each followed by its output. A command that ends
in `&` is a server: it is started, its first line awaited, and it is stopped at the end. A line `...` in an
output stands for any lines. `python` blocks are run, too. Ports of the page are replaced by free ones.

A block marked `console fails` holds commands that end with exit code 2, each followed by its message.

A block marked `console varies` is run, and its output must begin as shown: what follows comes from a neural
model, whose last bits depend on the processor.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(console varies|console fails|console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = re.compile(r"\b8[67]\d\d\b")
WAIT_S = 120


@dataclass(frozen=True)
class Step:
    """A command (or a Python block) and the output that the page shows."""

    kind: str
    command: str
    shown: str


def steps(page: str) -> list[Step]:
    """The steps of a page, in order."""
    found = []
    for kind, body in FENCE.findall(page):
        if kind == "python":
            found.append(Step(kind, body, ""))
            continue
        for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            found.append(Step(kind, command, shown))
    return found


class Shell:
    """Runs the steps of a page in one working folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports: dict[str, str] = {}
        self._stack = ExitStack()
        self._environment = {
            **os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "80",
        }  # fmt: skip
        for name in ("tests", "recipes", "scripts", "Makefile"):
            (folder / name).symlink_to(ROOT / name)

    def run(self, step: Step) -> str:
        """The real output of a step, with the page's ports."""
        command = PORT.sub(lambda match: self._port(match[0]), step.command)
        if step.kind == "python":
            output = self._finish([sys.executable, "-c", command])
        elif command.endswith("&"):
            output = self._serve(command.removesuffix("&"))
        else:
            output = self._finish(
                ["bash", "-o", "pipefail", "-c", command], fails=step.kind == "console fails"
            )
        for shown, real in self._ports.items():
            output = output.replace(real, shown)
        return "".join(line.rstrip() + "\n" for line in output.splitlines())

    def close(self) -> None:
        self._stack.close()

    def _port(self, shown: str) -> str:
        if shown not in self._ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self._ports[shown] = str(probe.getsockname()[1])
        return self._ports[shown]

    def _finish(self, command: list[str], *, fails: bool = False) -> str:
        done = subprocess.run(
            command, cwd=self._folder, env=self._environment, capture_output=True, text=True, timeout=WAIT_S,
            check=False,
        )  # fmt: skip
        if done.returncode not in ({2} if fails else {0, 141}):  # 141: `head` has seen enough
            raise AssertionError(f"{command[-1]}\nexit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stderr if fails else done.stdout

    def _serve(self, command: str) -> str:
        if " --port " not in command:
            command = f"{command} --port {self._port('8765')}"
        server = subprocess.Popen(
            command.split(), cwd=self._folder, env=self._environment, stdout=subprocess.PIPE, text=True
        )
        self._stack.callback(_stop, server)
        return server.stdout.readline()


def _stop(server: subprocess.Popen[str]) -> None:
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=WAIT_S)


def agrees(step: Step, real: str) -> bool:
    """Whether a page shows what its command says."""
    if step.kind == "console varies":
        return real.splitlines()[:2] == step.shown.splitlines()[:2]
    return matches(step.shown, real)


def matches(shown: str, real: str) -> bool:
    """Whether `real` is what the page shows; a line `...` stands for any lines."""
    if not shown.strip():
        return True
    pattern = re.escape(shown).replace(re.escape("...\n"), r"(?:.*\n)*?")
    return re.fullmatch(pattern, real) is not None


def refresh(path: Path, folder: Path) -> None:
    """Rewrite the outputs of a page with the real ones. Outputs with a line `...` are left alone."""
    page = path.read_text(encoding="utf-8")
    shell = Shell(folder)
    try:
        for step in steps(page):
            real = shell.run(step)
            if step.kind != "python" and "...\n" not in step.shown:
                page = page.replace(f"$ {step.command}\n{step.shown}", f"$ {step.command}\n{real}", 1)
    finally:
        shell.close()
    path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    import tempfile

    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            refresh(Path(name), Path(folder))
