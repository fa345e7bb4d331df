"""One process against two: conversations per second of `coral eval` with `--processes`.

    python benchmarks/shards.py [--processes 1 2] [--conversations 20000] [--repeat 3] [--server]

The agents are a coroutine in the client's own event loop, so that the cores are the clients' alone;
`--server` has the fake server of `evaluate.py` instead, which wants a core of its own. Each figure is of
whole commands, start and summary included, in alternation, median of the repeats. Per CPU second is what busy
cores leave comparable: two processes may cost hardly more of it than one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from evaluate import Cost, fake_server, measured, write_problems


async def reply(messages: list[dict[str, str]]) -> str:
    """An agent that reasons in a few lines, and says the same letter as everybody."""
    return f"{'The statement follows from the forces given above. ' * 12}\nThe answer is (A). {len(messages)}"


def evaluate(folder: Path, data: Path, processes: int, agent: list[str]) -> Cost:
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    return measured(
        [
            sys.executable, "-m", "coral", "eval", "mmlu_pro", "--data", str(data), "--output", str(run),
            "--extractor.mode", "rules", "--max_connections", "256", "--processes", str(processes), *agent,
        ]
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--conversations", type=int, default=20000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--server", action="store_true", help="agents behind the fake server")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(
        part for part in (str(Path(__file__).parent), os.environ.get("PYTHONPATH")) if part
    )
    costs: dict[int, list[Cost]] = {number: [] for number in options.processes}
    loads = []
    with tempfile.TemporaryDirectory() as name, fake_server(0.0, 0.0) as port:
        folder, data = Path(name), Path(name) / "problems.jsonl"
        write_problems(data, options.conversations)
        agent = ["--agent.model", "python:shards:reply"]
        if options.server:
            agent = ["--agent.model", "fake", "--agent.base_url", f"http://127.0.0.1:{port}/v1"]
        for _ in range(options.repeat):
            for number in options.processes:
                loads.append(os.getloadavg()[0])
                costs[number].append(evaluate(folder, data, number, agent))
    load = f"load {min(loads):.1f} to {max(loads):.1f}"
    print(f"{options.conversations} conversations, {os.cpu_count()} cores, {load}")
    print("processes   conv/s   ratio   conv/CPU s   ratio")
    first = None
    for number, found in costs.items():
        wall, cpu = (
            options.conversations / statistics.median(values)
            for values in ([cost.wall_s for cost in found], [cost.cpu_s for cost in found])
        )
        first = first or (wall, cpu)
        print(f"{number:>9}{wall:>9.0f}{wall / first[0]:>8.2f}{cpu:>13.0f}{cpu / first[1]:>8.2f}")


if __name__ == "__main__":
    main()
