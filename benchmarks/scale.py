"""What a run of a million conversations costs to go on with, to measure, to compare and to look into.

    python benchmarks/scale.py [--conversations 1000000] [--folder DIR]

Two runs are written, of conversations of four turns and four kilobytes over as many problems. Each row is a
process of its own, start-up included; memory is its peak by the operating system's account. With 1,000,000
conversations the two take nine gigabytes of disk while the benchmark runs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from coral.store.folder import RunFolder
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
    Usage,
)

WORDS = (
    "Of the ten statements, this one alone holds for the boundary case and for the units on both sides. " * 7
)
SCAN = """
import sys
from coral.store.folder import RunFolder
endings = RunFolder(sys.argv[1]).endings()
assert len(endings.well) == int(sys.argv[2]) and "p17#0" in endings.well
"""


def conversation(number: int, path: str) -> Conversation:
    """One whose beliefs are the letters of `path`; A is right."""
    problem = Problem(
        id=f"p{number}",
        task="mmlu_pro",
        question="A body of the stated mass moves as described; which statement follows? " * 3,
        target="A",
        choices=tuple(f"statement number {n} about the body" for n in range(10)),
        group={"category": ("physics", "law", "history")[number % 3]},
    )
    turns = tuple(
        Turn(
            seat=OPENER if index % 2 else RESPONDER,
            replies=(
                Reply(
                    text=f"{WORDS}\n\nAnswer: ({letter})",
                    belief=Answered(letter),
                    correct=letter == "A",
                    finish_reason=FinishReason.STOP,
                    extraction=Extraction(by="rules"),
                    usage=Usage(prompt_tokens=400, completion_tokens=120),
                    latency_s=0.21,
                ),
            ),
        )
        for index, letter in enumerate(path)
    )
    agent = Speaker(name="agent", model="m")
    return Conversation(
        schema=SCHEMA,
        id=f"p{number}#0",
        problem=problem,
        speakers={RESPONDER: agent, OPENER: Speaker(name="partner", model="m")},
        opening=problem.question,
        turns=turns,
        stop=StopReason.AGREED,
        seed=0,
        started_at=1_795_400_000.0,
        seconds=0.9,
    )


def write_run(path: Path, conversations: int, beliefs: tuple[str, ...]) -> None:
    """A stored run; its lines are made by filling in numbers, since encoding each would take minutes."""
    identity = {
        "schema": SCHEMA, "task": {"name": "mmlu_pro"}, "split": "test", "protocol": "coral", "max_turns": 20,
        "opener": "agent", "agent": {"model": "m"}, "partner": {"model": "m"}, "extractor": {"mode": "rules"},
        "seed": 0,
    }  # fmt: skip
    folder = RunFolder(path)
    with folder.claim(identity, {}):
        folder.plan(conversations)
    forms = [
        [msgspec.json.encode(conversation(group, letters)).replace(b'"p%d' % group, b'"p%d') + b"\n"
         for letters in beliefs]
        for group in range(3)
    ]  # fmt: skip
    (path / "conversations").mkdir()
    with (path / "conversations" / "00000.jsonl").open("wb") as file:
        for number in range(conversations):
            form = forms[number % 3][number % len(beliefs)]
            file.write(form.replace(b"%d", str(number).encode()))


def measured(name: str, command: list[str]) -> None:
    """Run a command to its end, and print what it cost."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    told = process.stderr.read().decode()
    process.stderr.close()
    if status:
        sys.exit(f"{name}: {told}")
    cpu = usage.ru_utime + usage.ru_stime
    print(f"{name:<28}{seconds:>9.2f}{cpu:>9.2f}{usage.ru_maxrss / 1024:>9.0f}", flush=True)


def main(folder: Path, count: int) -> None:
    one, other = folder / "one", folder / "other"
    write_run(one, count, ("BAAA", "ABAA", "BBAA", "BCBB"))
    write_run(other, count, ("ABAA", "AAAA", "BBBB", "BCAA"))
    size = sum(path.stat().st_size for path in one.rglob("*.jsonl")) / 1e9
    coral = [sys.executable, "-m", "coral"]
    wanted = f"p{count * 9 // 10}#0"
    print(f"{count:,} conversations, {size:.1f} GB a run")
    print(f"{'':<28}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}")
    measured("resume: scan", [sys.executable, "-c", SCAN, str(one), str(count)])
    measured("show ID, no index yet", [*coral, "show", str(one), wanted])
    measured("show ID", [*coral, "show", str(one), wanted])
    measured("score", [*coral, "score", str(one)])
    measured("compare", [*coral, "compare", str(one), str(other)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--conversations", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where to write; by default among temporary files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        main(Path(name), options.conversations)
