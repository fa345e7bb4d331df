"""What the embedded engine makes of a real model, and what this machine would allow at most.

    python benchmarks/real_model.py .cache/smollm2/smollm2    # SmolLM2-135M-Instruct, after `make test-real`
    python benchmarks/real_model.py FOLDER --requests 8 32 --tokens 128

For each number of simultaneous requests, in a process of its own: reply tokens per CPU second of that process
(prompts of about 65 tokens included, the process that renders and tokenizes not), and its largest memory. The
second of two passes counts. Beside them, in the same minute: what one core of this machine reads from memory
and computes with float32, and the bound that follows, if each step read all weights once and computed two
operations per weight and row, one after the other, and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

HEROES = (
    "a lighthouse keeper",
    "two thieves",
    "a clockmaker",
    "a lost dog",
    "a talking crow",
    "a red balloon",
)


async def measure(folder: str, count: int, num_tokens: int) -> dict[str, float]:
    from coral.engine.model import EmbeddedModel
    from coral.engine.tensors import Tensors
    from coral.models.protocol import Request, Sampling
    from coral.types import Message, Role

    def request(index: int, pass_number: int) -> Request:
        text = (
            f"Tell me a long story about {HEROES[index % 6]} and {HEROES[index // 6 % 6]}. Number {index}. "
            "Begin at once, and do not stop before the hero has come home again."
        )
        sampling = Sampling(temperature=1.0, max_tokens=num_tokens)
        return Request(
            messages=(Message(Role.USER, text),), sampling=sampling, seed=100 * pass_number + index
        )

    async with EmbeddedModel(folder) as model:
        for pass_number in range(2):
            cpu = time.process_time()
            requests = [request(index, pass_number) for index in range(count)]
            replies = await asyncio.gather(*map(model.generate, requests))
            cpu = time.process_time() - cpu
        peak = peak_mb()
    tokens = sum(reply.usage.completion_tokens or 0 for reply in replies)
    weights = sum(tensor.size for tensor in Tensors(Path(folder)).values())
    return {"tokens": tokens / cpu, "peak_mb": peak, **bound(weights, count)}


def bound(weights: int, rows: int) -> dict[str, float]:
    """Tokens per CPU second that memory and arithmetic of one core allow."""
    import numpy as np

    rng = np.random.default_rng(0)
    a, b, out = (rng.standard_normal((1024, 1024), np.float32) for _ in range(3))
    flops = 2 * 1024**3 / min(cpu_of(lambda: np.matmul(a, b, out=out)) for _ in range(20))
    large = np.ones(64 << 20, np.float32)
    bytes_per_s = large.nbytes / min(cpu_of(large.sum) for _ in range(5))
    step_s = 4 * weights / bytes_per_s + 2 * weights * rows / flops
    return {"gflops": flops / 1e9, "gb_per_s": bytes_per_s / 1e9, "bound": rows / step_s}


def cpu_of(call: object) -> float:
    begin = time.process_time()
    assert callable(call)
    call()
    return time.process_time() - begin


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--requests", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(asyncio.run(measure(options.folder, options.measure, options.tokens))))
        return
    print(f"{'requests':>8} {'tokens/CPU s':>12} {'bound':>8} {'peak MB':>8} {'GFLOP/s':>8} {'GB/s':>6}")
    for count in options.requests:
        command = [sys.executable, __file__, options.folder, "--tokens", str(options.tokens)]
        done = subprocess.run(
            [*command, "--measure", str(count)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{count:8} {found['tokens']:12.1f} {found['bound']:8.0f} {found['peak_mb']:8.0f} "
            f"{found['gflops']:8.0f} {found['gb_per_s']:6.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
