"""How full `coral sample` keeps the embedded engine: its tokens a second beside the engine's own.

    python benchmarks/sampling.py [--problems 400] [--candidates 5] [--samples 1] [--rounds 3]

`sample` draws conversation trees over sally_anne as the command does: prompts, conversation, belief
extraction, grading, journal and conversations on the disk. Every request that it makes is kept. `engine` then
gives the same requests to a fresh engine and does nothing else, with as many in flight at a time. Both count
the tokens of the replies from the first request to the last reply. Each is a process of its own, one after
the other, so that a ratio compares the same minute.
"""

from __future__ import annotations

import argparse
import asyncio
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

import coral
from coral.engine.model import EmbeddedModel
from coral.models.config import ModelConfig
from coral.models.embedded import folder_of
from coral.models.protocol import Generation, Request

IN_FLIGHT = 128
"""Conversations at a time, which is the command's default for the embedded engine."""


class Rate(NamedTuple):
    """What was written, in how long; and in how long the whole job, start and end included."""

    requests: int
    tokens: int
    wall_s: float
    cpu_s: float
    whole_s: float


class Meter:
    """Counts from the first request to the last reply."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.tokens = 0
        self._began: tuple[float, float] | None = None
        self._ended = (0.0, 0.0)

    def ask(self, request: Request) -> None:
        self._began = self._began or _clocks()
        self.requests.append(request)

    def receive(self, generation: Generation) -> None:
        self.tokens += generation.usage.completion_tokens
        self._ended = _clocks()

    def rate(self, whole_s: float) -> Rate:
        assert self._began is not None
        wall_s, cpu_s = (end - begin for begin, end in zip(self._began, self._ended, strict=True))
        return Rate(len(self.requests), self.tokens, wall_s, cpu_s, whole_s)


def measure_sample(folder: Path, options: argparse.Namespace) -> Rate:
    """The whole job; leaves its requests in `folder`."""
    meter = Meter()
    generate = EmbeddedModel.generate

    async def metered(self: EmbeddedModel, request: Request) -> Generation:
        meter.ask(request)
        generation = await generate(self, request)
        meter.receive(generation)
        return generation

    EmbeddedModel.generate = metered  # type: ignore[method-assign]
    started = time.perf_counter()
    run = coral.sample(
        {"name": "sally_anne", "size": options.problems},
        agent={"temperature": 1.0, "max_tokens": 96},
        split="train",
        max_turns=6,
        candidates=options.candidates,
        samples=options.samples,
        output=str(folder / "run"),
    )
    rate = meter.rate(time.perf_counter() - started)
    assert run.summary is not None
    assert not run.summary.stop_reasons.get("failed")
    (folder / "requests").write_bytes(pickle.dumps(meter.requests))
    return rate


async def measure_engine(folder: Path) -> Rate:
    """The same requests, in the order in which they were made, and nothing else."""
    requests: list[Request] = pickle.loads((folder / "requests").read_bytes())
    meter = Meter()
    waiting = iter(requests)
    started = time.perf_counter()
    checkpoint = folder_of(ModelConfig())
    assert checkpoint is not None
    async with EmbeddedModel(checkpoint) as model:

        async def ask_on() -> None:
            for request in waiting:
                meter.ask(request)
                meter.receive(await model.generate(request))

        await asyncio.gather(*(ask_on() for _ in range(IN_FLIGHT)))
    return meter.rate(time.perf_counter() - started)


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def measured(subject: str, folder: Path, options: argparse.Namespace) -> Rate:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, "--measure", subject, "--folder", str(folder)]
    for name in ("problems", "candidates", "samples"):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Rate)


def main(options: argparse.Namespace) -> None:
    print(
        f"{options.problems} problems x {options.samples} trees, {options.candidates} candidates a turn\n"
        f"{'':8}{'requests':>9}{'tokens':>9}{'tokens/s':>10}{'tokens/CPU s':>14}{'whole job, s':>14}"
    )
    walls, cpus = [], []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as name:
            rates = {subject: measured(subject, Path(name), options) for subject in ("sample", "engine")}
        for subject, rate in rates.items():
            print(
                f"{subject:8}{rate.requests:9,}{rate.tokens:9,}{rate.tokens / rate.wall_s:10,.0f}"
                f"{rate.tokens / rate.cpu_s:14,.0f}{rate.whole_s:14.1f}",
                flush=True,
            )
        sample, engine = rates["sample"], rates["engine"]
        assert (sample.requests, sample.tokens) == (engine.requests, engine.tokens), "not the same work"
        walls.append(engine.wall_s / sample.wall_s)
        cpus.append(engine.cpu_s / sample.cpu_s)
    print(f"sample / engine: {told(walls)} of its tokens/s, {told(cpus)} of its tokens/CPU s")


def told(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.0%} ({', '.join(f'{ratio:.0%}' for ratio in ratios)})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=400)
    parser.add_argument("--candidates", type=int, default=5)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", choices=["sample", "engine"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    OPTIONS = parser.parse_args()
    if OPTIONS.measure == "sample":
        print(msgspec.json.encode(measure_sample(OPTIONS.folder, OPTIONS)).decode())
    elif OPTIONS.measure == "engine":
        print(msgspec.json.encode(asyncio.run(measure_engine(OPTIONS.folder))).decode())
    else:
        main(OPTIONS)
