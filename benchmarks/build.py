"""How long `coral build` takes, and how much memory: by default 100,000 conversations of 5 turns with 5
candidates each, 5 trees a problem.

    python benchmarks/build.py [--conversations 100000] [--kinds dpo sft kto]

The runs are made up, and lie in a temporary folder (1.3 GB). Each build is a process of its own: CPU seconds
and the peak of its resident memory are those of the whole command, start included.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from coral import prompts
from coral.store.folder import RunFolder
from coral.store.prompts import RunPrompts, save_prompts
from coral.types import (
    OPENER,
    RESPONDER,
    SCHEMA,
    Answered,
    Conversation,
    Extraction,
    FinishReason,
    Problem,
    Reply,
    Speaker,
    StopReason,
    Turn,
    Unsure,
    Usage,
)

TREES = 5
TURNS = 5
CANDIDATES = 5
WORDS = [
    f"{a}{b}"
    for a in ("re", "so", "ba", "ti", "mu", "la", "ne", "ko")
    for b in ("ther", "nd", "lly", "me", "s")
]
AGENT = Speaker(name="agent", model="made-up")


def reply(rng: random.Random) -> Reply:
    """A reply of about 380 characters; right with probability 0.5."""
    belief, correct = rng.choice(
        [(Answered("A"), True), (Answered("A"), True), (Answered("B"), False), (Unsure(), False)]
    )
    return Reply(
        text=" ".join(rng.choices(WORDS, k=72)),
        belief=belief,
        correct=correct,
        finish_reason=FinishReason.STOP,
        extraction=Extraction(by="rules"),
        usage=Usage(prompt_tokens=500, completion_tokens=rng.randrange(60, 120)),
        attempts=0,
    )


def conversation(number: int, rng: random.Random) -> Conversation:
    """One tree. The conversations of a problem lie far apart in the files."""
    problem, sample = (
        number % max(1, OPTIONS.conversations // TREES),
        number // max(1, OPTIONS.conversations // TREES),
    )
    turns = tuple(
        Turn(
            seat=OPENER if i % 2 else RESPONDER,
            replies=tuple(reply(rng) for _ in range(CANDIDATES)),
            chosen=rng.randrange(CANDIDATES),
        )
        for i in range(TURNS)
    )
    return Conversation(
        schema=SCHEMA,
        id=f"problem-{problem}#{sample}",
        problem=Problem(id=f"problem-{problem}", task="gsm8k", question="q" * 300, target="A"),
        speakers={RESPONDER: AGENT, OPENER: AGENT},
        opening=f"I'm trying to solve this problem:\n\n{problem} " + "q" * 300,
        turns=turns,
        stop=StopReason.AGREED if rng.random() < 0.8 else StopReason.MAX_TURNS,
        seed=0,
        started_at=0.0,
        seconds=1.0,
    )


def make_run(path: Path, count: int) -> None:
    """A finished run of `count` conversations."""
    told = RunPrompts(
        systems={
            "agent": "You solve problems together with a partner. " * 10,
            "partner": "You solve problems together with a partner. " * 10,
        },
        extraction=prompts.builtin("extraction"),
        protocol={"first_reply": prompts.builtin("first_reply")},
    )
    identity = {
        "schema": SCHEMA,
        "task": {"name": "gsm8k"},
        "split": "train",
        "protocol": "coral",
        "agent": {"model": "made-up"},
        "partner": {"model": "made-up"},
        "seed": 0,
        "prompts": prompts.fingerprint(*told.texts),
    }
    rng = random.Random(0)
    folder = RunFolder(path)
    with folder.claim(identity, {}):
        save_prompts(folder, told)
        for number in range(count):
            folder.append(conversation(number, rng))
        folder.write("summary.json", {})


def measured_build(run: Path, output: Path, flags: list[str]) -> tuple[int, float, float, float]:
    """Rows, CPU seconds, wall seconds and peak memory (MB) of one build."""
    command = [sys.executable, "-m", "coral", "build", str(run), "--output", str(output), *flags]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if status:
        raise SystemExit(f"the build failed: {' '.join(command)}")
    rows = msgspec.json.decode((output / "report.json").read_bytes())["rows"]
    return rows, used.ru_utime + used.ru_stime, wall, _megabytes(used)


def _megabytes(used: resource.struct_rusage) -> float:
    """`ru_maxrss` is in KiB on Linux, in bytes on macOS."""
    return used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3 / 1.024)


def main() -> None:
    with tempfile.TemporaryDirectory(dir=OPTIONS.folder) as name:
        run = Path(name) / "run"
        started = time.perf_counter()
        make_run(run, OPTIONS.conversations)
        size = sum(file.stat().st_size for file in (run / "conversations").iterdir())
        print(
            f"{OPTIONS.conversations:,} conversations of {TURNS} turns x {CANDIDATES} candidates, "
            f"{size / 1e9:.2f} GB, made up in {time.perf_counter() - started:.0f} s"
        )
        for flags in CASES:
            if flags[1] in OPTIONS.kinds:
                output = Path(name) / "rows"
                rows, cpu, wall, memory = measured_build(run, output, flags)
                shutil.rmtree(output)
                figures = f"{rows:9,} rows  {cpu:5.1f} s CPU  {wall:5.1f} s  {memory:4.0f} MB"
                print(f"  {' '.join(flags):57} {figures}")


CASES = [
    ["--kind", "dpo"],
    ["--kind", "dpo", "--score", "majority"],
    ["--kind", "dpo", "--agreeing_penalty", "0.1", "--length_penalty", "0.1"],
    ["--kind", "sft"],
    ["--kind", "kto"],
]

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=100_000)
    parser.add_argument("--kinds", nargs="+", default=["dpo", "sft", "kto"])
    parser.add_argument("--folder", default=None, help="where the temporary folder is made")
    OPTIONS = parser.parse_args()
    main()
