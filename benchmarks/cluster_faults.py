"""A run over a pool on SLURM while six things happen to it, against the same run over one server.

    python benchmarks/cluster_faults.py [--samples 18] [--latency_s 0.5] [--every_s 8]

On a virtual SLURM of two nodes (root, slurm-wlm and munge; see tests/slurm/virtual_slurm.py), four replicas
of the scripted server: one server is killed, one stopped, two replicas are added, a job is cancelled, a
replica drained, and a node dies without a word; then `coral cluster up` tops up once. All of it while
requests are in flight. Told are failed conversations, texts that differ from the run over one server,
requests that had to be sent again, and the longest time without an answer after each. The exit code is 1
where a conversation failed or differs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import psutil

import coral
from coral.api import evaluate_async
from coral.models.client import ServedModel
from coral.models.wire import Answer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "slurm"))
from virtual_slurm import VirtualSlurm

REPLICA = {
    "check_every_s": 1, "give_up_after_s": 8, "probe_every_s": 1, "drain_s": 20, "stop_within_s": 5,
    "silent_after_s": 8, "ready_within_s": 60,
}  # fmt: skip
READY_WITHIN_S = 120.0


def scripted(latency_s: float, host: str, port: str) -> list[str]:
    """The command of a server."""
    task = ("--task", "sally_anne", "--latency_s", str(latency_s))
    return [sys.executable, "-m", "coral", "serve", "scripted", *task, "--host", host, "--port", port]


class Pool:
    """A pool on the virtual cluster, and what is done to it."""

    def __init__(self, folder: Path, slurm: VirtualSlurm, latency_s: float) -> None:
        self.folder, self._file, self._slurm = folder / "pool", folder / "pool.yaml", slurm
        options = {
            "name": "faults", "folder": str(self.folder), "place": "slurm", "replicas": 4,
            "server": scripted(latency_s, "{host}", "{port}"), "replica": REPLICA,
            "slurm": {"gres": "gpu:1", "mem": "300M", "time": "30:00"},
        }  # fmt: skip
        self._file.write_text(json.dumps(options))

    def cluster(self, command: str, *flags: str) -> str:
        """The output of `coral cluster ...`."""
        words = [sys.executable, "-m", "coral", "cluster", command, str(self._file), *flags]
        done = subprocess.run(words, env=self._slurm.env, capture_output=True, text=True, check=False)
        return done.stdout

    def ready(self) -> list[dict]:
        """The records of the replicas that are ready, oldest job first."""
        seen = [json.loads(line) for line in self.cluster("status", "--json").splitlines()]
        return [one["record"] for one in seen if one["state"] == "ready"]

    def await_ready(self, count: int) -> list[dict]:
        deadline = time.monotonic() + READY_WITHIN_S
        while len(found := self.ready()) < count:
            if time.monotonic() > deadline:
                sys.exit(f"{len(found)} of {count} replicas are ready:\n{self.cluster('status')}")
            time.sleep(0.5)
        return found

    def signal_server(self, number: int) -> None:
        (server,) = psutil.Process(self.ready()[0]["pid"]).children()
        os.kill(server.pid, number)

    def victim(self, *, of_the_fuller: bool) -> dict:
        """A ready replica of the node with the most of them, or with the fewest."""
        ready = self.ready()
        by_node = Counter(one["node"] for one in ready).most_common()
        node, _ = by_node[0 if of_the_fuller else -1]
        return next(one for one in reversed(ready) if one["node"] == node)

    def faults(self) -> dict[str, Callable[[], object]]:
        """What happens, in turn."""
        return {
            "a server is killed": lambda: self.signal_server(signal.SIGKILL),
            "a server is stopped": lambda: self.signal_server(signal.SIGSTOP),
            "two replicas are added": lambda: self.cluster("up", "--replicas", "6"),
            "a job is cancelled": lambda: self._slurm.run("scancel", self.victim(of_the_fuller=True)["job"]),
            "a replica is drained": lambda: self._slurm.run(
                "scancel", "--batch", "--signal=TERM", self.victim(of_the_fuller=True)["job"]
            ),
            "a node dies": lambda: self._slurm.kill_node(
                self.victim(of_the_fuller=False)["node"], noticed=False
            ),
            "up tops up": lambda: self.cluster("up", "--replicas", "6"),
        }


class Seen:
    """What passed between the client and its servers."""

    def __init__(self) -> None:
        self.sent, self.answers = 0, []

    def watch(self) -> None:
        """Count what is sent and answered from now on."""
        exchange = ServedModel._exchange  # noqa: SLF001 - the only place that sees every sending

        async def counted(model, *arguments):
            self.sent += 1
            outcome = await exchange(model, *arguments)
            if isinstance(outcome, Answer):
                self.answers.append(time.perf_counter())
            return outcome

        ServedModel._exchange = counted  # noqa: SLF001


async def hold(output: Path, options: argparse.Namespace, **where) -> coral.Run:
    """The run."""
    return await evaluate_async(
        "sally_anne", agent={"model": "scripted", **where}, samples=options.samples,
        max_connections=options.connections, output=str(output),
    )  # fmt: skip


def texts(run: coral.Run) -> dict[str, list[str]]:
    return {one.id: [turn.reply.text for turn in one.turns] for one in run.conversations()}


async def undisturbed(folder: Path, options: argparse.Namespace) -> coral.Run:
    """The same run over one server that nothing happens to."""
    command = scripted(0.0, "127.0.0.1", "0")
    server = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        while b"http://" not in (line := await server.stdout.readline()):
            if not line:
                sys.exit("the server did not start")
        url = next(word for word in line.decode().split() if word.startswith("http://"))
        return await hold(folder / "calm", options, base_url=url)
    finally:
        server.terminate()
        await server.wait()


async def disturb(pool: Pool, running: asyncio.Future, every_s: float) -> list[tuple[str, float]]:
    """Let one thing after the other happen while the run lasts; returns what began when."""
    begun = [("before", time.perf_counter())]
    for name, happens in pool.faults().items():
        await asyncio.sleep(every_s)
        if running.done():
            sys.exit(f"the run ended before this happened: {name}; take more --samples")
        begun.append((name, time.perf_counter()))
        await asyncio.to_thread(happens)
    return begun


def gaps(begun: list[tuple[str, float]], answers: list[float]) -> dict[str, float]:
    """The longest time without an answer that began in each phase."""
    longest = dict.fromkeys((name for name, _ in begun), 0.0)
    for earlier, later in pairwise(sorted(answers)):
        name = next((name for name, moment in reversed(begun) if moment <= earlier), "before")
        longest[name] = max(longest[name], later - earlier)
    return longest


async def main(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with VirtualSlurm(folder / "slurm", gpus=3) as slurm:
            pool, seen = Pool(folder, slurm, options.latency_s), Seen()
            pool.cluster("up")
            await asyncio.to_thread(pool.await_ready, 4)
            seen.watch()
            started = time.perf_counter()
            running = asyncio.ensure_future(hold(folder / "run", options, replicas=str(pool.folder)))
            begun = await disturb(pool, running, options.every_s)
            run = await running
            seconds = time.perf_counter() - started
            pool.cluster("down", "--now")
        answers, sent = list(seen.answers), seen.sent
        expected = texts(await undisturbed(folder, options))
        found = texts(run)
        failed = run.summary.stop_reasons.get("failed", 0)
    other = sum(found.get(id_) != text for id_, text in expected.items())
    again = sent - len(answers)
    print(f"{len(found)} conversations, {len(answers)} answers in {seconds:.0f} s: {failed} failed,")
    print(f"{other} differ from the run over one server; {again} requests ({again / sent:.1%}) sent again.")
    print(f"The longest time without an answer, of requests that take {options.latency_s:g} s:")
    for name, gap in gaps(begun, answers).items():
        print(f"  {name:<24}{gap:>5.1f} s")
    return 1 if failed or other or len(found) != len(expected) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=18, help="conversations per problem, of 200 problems")
    parser.add_argument("--latency_s", type=float, default=0.5)
    parser.add_argument("--connections", type=int, default=12)
    parser.add_argument("--every_s", type=float, default=8.0)
    sys.exit(asyncio.run(main(parser.parse_args())))
