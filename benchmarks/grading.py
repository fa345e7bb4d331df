"""How far the equivalence of mathematical answers agrees with published verdicts, and how fast it is.

    python benchmarks/grading.py

Prints the tables that docs/grading.md shows. Texts are read by `read`, as a turn is, and if that finds no
answer by `parse`, as an extractor's reply is.
"""

from __future__ import annotations

import asyncio
import json
import timeit
from collections import Counter
from pathlib import Path
from typing import Any

from coral import sandbox
from coral.answers import math
from coral.answers.math.tree import structure
from coral.types import Answered

DATA = Path(__file__).parent.parent / "tests" / "data" / "grading"
PAIRS = "math_grading_pairs.jsonl"
PROBES = "math_grader_reference_verdicts.jsonl"
SPEED = (("42", "43"), (r"\frac{1}{2}", "0.5"), ("(1, 2)", "(2,1)"), ("x^2+2x+1", "(x+1)^2"))


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def answer(text: str) -> str:
    for belief in (math.read(text), math.parse(text)):
        if isinstance(belief, Answered):
            return belief.value
    return ""


async def verdict(a: str, b: str) -> bool:
    return bool(await sandbox.call("coral.answers.math:equivalent", a, b, timeout_s=10))


async def pair_verdict(row: dict[str, Any]) -> bool:
    texts = (row["a"], row["b"])
    a, b = texts if row["form"] == "bare" else map(answer, texts)
    return await verdict(a, b)


async def print_pairs() -> None:
    table: dict[str, Counter[str]] = {}
    for row in rows(PAIRS):
        ours = await pair_verdict(row)
        counts = table.setdefault(row["source"].split("@")[0], Counter())
        counts["n"] += 1
        counts["stated"] += ours == row["equal"]
        counts["false +"] += ours and not row["equal"]
        counts["prm800k"] += row["prm800k_given_b_gold_a"] == row["equal"]
        counts["hendrycks"] += row["hendrycks_is_equiv"] == row["equal"]
    columns = ("n", "stated", "false +", "prm800k", "hendrycks")
    print(f"{'source':<30}" + "".join(f"{name:>10}" for name in columns))
    table["all"] = sum(table.values(), Counter())
    for source, counts in table.items():
        print(f"{source:<30}" + "".join(f"{counts[name]:>10}" for name in columns))


async def print_probes() -> None:
    counts: Counter[str] = Counter()
    for row in rows(PROBES):
        ours = await verdict(row["given"] or "", row["ground_truth"] or "")
        counts["n"] += 1
        counts["grade_answer"] += ours == row["grade_answer"]
        counts["is_equiv"] += ours == row["is_equiv"]
    print("\nprobes: " + ", ".join(f"{name} {count}" for name, count in counts.items()))


def print_classes() -> None:
    known = rows("disagreements.jsonl")
    counts = Counter((row["file"], row["class"], row["ours"]) for row in known)
    print(f"\n{'class of disagreement':<26}{'ours':>6}{'pairs':>8}{'probes':>8}")
    for name, ours in sorted({(row["class"], row["ours"]) for row in known}):
        print(f"{name:<26}{ours!s:>6}{counts[PAIRS, name, ours]:>8}{counts[PROBES, name, ours]:>8}")


async def print_speed() -> None:
    print(f"\n{'same_text':<44}{'known':>12}{'new':>12}")
    for a, b in SPEED:
        known = min(timeit.repeat(lambda a=a, b=b: math.same_text(a, b), number=1_000, repeat=3)) / 1_000
        new = min(timeit.repeat(lambda a=a, b=b: _afresh(a, b), number=200, repeat=3)) / 200
        print(f"{a + '  ' + b:<44}{known * 1e6:>9.1f} us{new * 1e6:>9.1f} us")
    start = asyncio.get_running_loop().time()
    for number in range(500):
        await sandbox.call("math:gcd", number, 6, timeout_s=5)
    print(f"a call in a worker: {(asyncio.get_running_loop().time() - start) * 2:.2f} ms")


def _afresh(a: str, b: str) -> None:
    structure.cache_clear()
    math.same_text(a, b)


async def main() -> None:
    await print_pairs()
    await print_probes()
    print_classes()
    await print_speed()
    await sandbox.close()


if __name__ == "__main__":
    asyncio.run(main())
