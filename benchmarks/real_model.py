"""What the embedded engine makes of a real model, and what this machine would allow at most.

    python benchmarks/real_model.py .cache/smollm2/smollm2    # SmolLM2-135M-Instruct, after `make test-real`
    python benchmarks/real_model.py FOLDER --requests 8 32 --tokens 128
    python benchmarks/real_model.py .cache/smollm2/smollm2.gguf    # the same of llama.cpp's server, in 4 bits

For each number of simultaneous requests, in a process of its own: reply tokens per CPU second of that
process (prompts of about 65 tokens included, the process that renders and tokenizes not), and its largest
memory. The second of two passes counts; `start s` is until it can answer. Beside them, in the same minute:
what one core of this machine reads from memory and computes with float32, and the bound that follows, if
each step read all weights once and computed two operations per weight and row, one after the other, and
nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp

HERE = Path(__file__).parent
HEROES = (
    "a lighthouse keeper",
    "two thieves",
    "a clockmaker",
    "a lost dog",
    "a talking crow",
    "a red balloon",
)


def prompt(index: int) -> str:
    return (
        f"Tell me a long story about {HEROES[index % 6]} and {HEROES[index // 6 % 6]}. Number {index}. "
        "Begin at once, and do not stop before the hero has come home again."
    )


async def measure(folder: str, count: int, num_tokens: int) -> dict[str, float]:
    """Of the embedded engine."""
    from coral.engine.model import EmbeddedModel
    from coral.engine.tensors import Tensors
    from coral.models.protocol import Request, Sampling
    from coral.types import Message, Role

    def request(index: int, pass_number: int) -> Request:
        sampling = Sampling(temperature=1.0, max_tokens=num_tokens)
        messages = (Message(Role.USER, prompt(index)),)
        return Request(messages=messages, sampling=sampling, seed=100 * pass_number + index)

    begin = time.perf_counter()
    async with EmbeddedModel(folder) as model:
        start_s = time.perf_counter() - begin
        for pass_number in range(2):
            cpu = time.process_time()
            requests = [request(index, pass_number) for index in range(count)]
            replies = await asyncio.gather(*map(model.generate, requests))
            cpu = time.process_time() - cpu
        peak = peak_mb()
    tokens = sum(reply.usage.completion_tokens or 0 for reply in replies)
    weights = sum(tensor.size for tensor in Tensors(Path(folder)).values())
    return {"start_s": start_s, "tokens": tokens / cpu, "peak_mb": peak, **bound(weights, count)}


async def measure_llama(gguf: str, count: int, num_tokens: int) -> dict[str, float]:
    """Of llama.cpp's server, a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = HERE.parent / "tests" / "real" / "llama_server.py"
    command = [sys.executable, script, gguf, "smollm2", str(port), "1", str(count)]
    begin = time.perf_counter()
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            start_s = time.perf_counter() - begin
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

                async def tokens_of(index: int, pass_number: int) -> int:
                    body = {
                        "model": "smollm2", "messages": [{"role": "user", "content": prompt(index)}],
                        "temperature": 1.0, "max_tokens": num_tokens, "seed": 100 * pass_number + index,
                        "cache_prompt": False,
                    }  # fmt: skip
                    async with session.post("/v1/chat/completions", json=body) as response:
                        return int((await response.json())["usage"]["completion_tokens"])

                for pass_number in range(2):
                    cpu = cpu_of_process(server.pid)
                    tokens = sum(
                        await asyncio.gather(*(tokens_of(index, pass_number) for index in range(count)))
                    )
                    cpu = cpu_of_process(server.pid) - cpu
            return {"start_s": start_s, "tokens": tokens / cpu, "peak_mb": peak_mb(server.pid)}
        finally:
            server.terminate()


def cpu_of_process(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


def peak_mb(pid: int | str = "self") -> float:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="a checkpoint for the embedded engine, or a .gguf for llama.cpp")
    parser.add_argument("--requests", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        call = measure_llama if options.folder.endswith(".gguf") else measure
        print(json.dumps(asyncio.run(call(options.folder, options.measure, options.tokens))))
        return
    columns = {"start_s": "start s", "tokens": "tokens/CPU s", "peak_mb": "peak MB"}
    if not options.folder.endswith(".gguf"):
        columns |= {"bound": "bound", "gflops": "GFLOP/s", "gb_per_s": "GB/s"}
    print(f"{'requests':>8}", *(f"{title:>12}" for title in columns.values()))
    for count in options.requests:
        command = [sys.executable, __file__, options.folder, "--tokens", str(options.tokens)]
        done = subprocess.run(
            [*command, "--measure", str(count)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"{count:8}", *(f"{found[name]:12.1f}" for name in columns), flush=True)


if __name__ == "__main__":
    main()
