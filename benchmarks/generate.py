"""`coral generate`: rows per second and per CPU second, memory, and what several processes bring.

    python benchmarks/generate.py [--rows 20000 100000] [--processes 1] [--repeat 1] [--profile]

Rows of all three forms, in turn. Each line is a whole command, start, check of every row and output included;
CPU and memory are what the operating system counted for it (of several processes, memory is the largest
one's). The fake server of `evaluate.py` wants a core of its own, and is alone with `--processes 1` in
leaving the client one. `--profile` prints where one process spends its time instead.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from evaluate import QUESTION, Cost, fake_server


def write_rows(path: Path, count: int) -> None:
    with path.open("w") as file:
        for number in range(count):
            text = f"{QUESTION} ({number})"
            messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": text}]
            row = (
                {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions",
                 "body": {"model": "any", "messages": messages, "max_tokens": 200}},
                {"messages": messages, "id": number},
                {"prompt": text, "id": number, "label": "A"},
            )[number % 3]  # fmt: skip
            file.write(json.dumps(row) + "\n")


def command(data: Path, output: Path, port: int, processes: int) -> list[str]:
    return [
        "coral", "generate", str(data), "--output", str(output), "--agent.model", "fake",
        "--agent.base_url", f"http://127.0.0.1:{port}/v1", "--max_connections", "256",
        "--processes", str(processes),
    ]  # fmt: skip


def measured(words: list[str]) -> Cost:
    """Run a command to its end; what it and the processes that it started cost."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False)
    wall_s = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall_s, cpu_s, after.ru_maxrss / 1024)


def profile(words: list[str]) -> None:
    """Run a command in this process under the profiler."""
    import cProfile
    import pstats

    from coral.cli import main as run_command

    profiler = cProfile.Profile()
    profiler.enable()
    run_command(words[1:])
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--processes", type=int, nargs="+", default=[1])
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'rows':>8}{'processes':>11}{'rows/s':>9}{'rows/CPU s':>12}{'peak MB':>9}")
    with tempfile.TemporaryDirectory() as name, fake_server(0.0, 0.0) as port:
        for rows in options.rows:
            data = Path(name) / f"{rows}.jsonl"
            write_rows(data, rows)
            for number in range(options.repeat):
                for processes in options.processes:
                    words = command(data, Path(name) / f"out-{rows}-{processes}-{number}", port, processes)
                    if options.profile:
                        profile(words)
                        continue
                    cost = measured(words)
                    print(
                        f"{rows:>8}{processes:>11}{rows / cost.wall_s:>9.0f}{rows / cost.cpu_s:>12.0f}"
                        f"{cost.peak_mb:>9.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
