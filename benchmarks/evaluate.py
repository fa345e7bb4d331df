"""The whole job: two-agent conversations of 4 turns with one extraction call a turn, everything stored.

    python benchmarks/evaluate.py [--conversations 1000 5000] [--latency_s 0 0.2] [--connections 100 1000]
    python benchmarks/evaluate.py --conversations 20000 --latency_s 0.2 --sigma 0.5 --connections 500 1000

Each row is a fresh `coral eval` in a process of its own against a fake server in another; CPU and memory
are what the operating system counted for the client alone, start-up included. `bare` is an aiohttp loop that
makes as many requests and keeps only their texts, in the same minute on the same machine: quote ratios, since
machines differ and are noisy. `of it` is the share of what latency allows: so many connections, each busy all
the time, with the mean latency (the median's, times exp(sigma^2 / 2) where latencies are log-normal). From
the second row of the same settings on it is that of the steady state: of the requests that this row has more.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
REQUESTS_A_CONVERSATION = 8
QUESTION = (
    4 * "A body of the stated mass moves as described under the given forces; which statement follows? "
)


class Cost(NamedTuple):
    wall_s: float
    cpu_s: float
    peak_mb: float


@contextmanager
def fake_server(latency_s: float, sigma: float, *options: str):
    settings = ("--latency_s", str(latency_s), "--sigma", str(sigma), *options)
    command = [sys.executable, HERE / "fake_server.py", *settings]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def measured(command: list[str]) -> Cost:
    """Run a command to its end; what it cost by the operating system's account."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - start
    if status:
        sys.exit(f"{' '.join(command)}\n{process.stderr.read().decode()}")
    process.stderr.close()
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def write_problems(path: Path, count: int, golds: str = "A") -> None:
    options = [f"statement number {n} about the body" for n in range(10)]
    with path.open("w") as file:
        for number in range(count):
            gold = golds[number % len(golds)]
            row = {
                "question_id": number, "question": f"{QUESTION} ({number})", "options": options,
                "answer": gold, "answer_index": "ABCDEFGHIJ".index(gold),
                "category": "physics", "cot_content": "", "src": "made",
            }  # fmt: skip
            file.write(json.dumps(row) + "\n")


def evaluate(folder: Path, conversations: int, port: int, connections: int) -> Cost:
    data = folder / f"{conversations}.jsonl"
    if not data.exists():
        write_problems(data, conversations)
    run = folder / f"run-{port}-{conversations}-{connections}"
    return measured(
        [
            sys.executable, "-m", "coral", "eval", "mmlu_pro", "--data", str(data), "--output", str(run),
            "--agent.model", "fake", "--agent.base_url", f"http://127.0.0.1:{port}/v1",
            "--extractor.mode", "model", "--max_connections", str(connections),
        ]
    )  # fmt: skip


def row(latency_s: float, connections: int, conversations: int, cost: Cost, bare: Cost, share: float) -> str:
    requests = conversations * REQUESTS_A_CONVERSATION
    return (
        f"{1000 * latency_s:>5.0f} ms{connections:>7}{conversations:>7}"
        f"{1000 * cost.cpu_s / requests:>12.3f}{1000 * bare.cpu_s / requests:>7.3f}"
        f"{conversations / cost.wall_s:>9.0f}{requests / cost.wall_s:>8.0f}{share:>7.0%}{cost.peak_mb:>9.0f}"
    )


def rows(folder: Path, options: argparse.Namespace, latency_s: float, connections: int) -> Iterator[str]:
    """The rows of one setting, by numbers of conversations."""
    allowed = connections / (latency_s * math.exp(options.sigma**2 / 2)) if latency_s else math.inf
    before, spent_s = 0, 0.0
    with fake_server(latency_s, options.sigma) as port:
        for conversations in options.conversations:
            requests = conversations * REQUESTS_A_CONVERSATION
            cost = evaluate(folder, conversations, port, connections)
            bare_command = [sys.executable, HERE / "bare_loop.py", port, requests, connections]
            bare = measured([str(part) for part in bare_command])
            share = (requests - before) / (cost.wall_s - spent_s) / allowed
            yield row(latency_s, connections, conversations, cost, bare, share)
            before, spent_s = requests, cost.wall_s


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--conversations", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--latency_s", type=float, nargs="+", default=[0.0, 0.2])
    parser.add_argument("--sigma", type=float, default=0.0)
    parser.add_argument("--connections", type=int, nargs="+", default=[100, 1000])
    options = parser.parse_args()
    columns = ("latency", 8), ("conns", 7), ("convs", 7), ("CPU ms/req", 12), ("bare", 7), ("conv/s", 9)
    print(
        "".join(f"{name:>{width}}" for name, width in (*columns, ("req/s", 8), ("of it", 7), ("peak MB", 9)))
    )
    with tempfile.TemporaryDirectory() as name:
        for latency_s, connections in product(options.latency_s, options.connections):
            for line in rows(Path(name), options, latency_s, connections):
                print(line, flush=True)


if __name__ == "__main__":
    main()
