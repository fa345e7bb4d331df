"""How far the equivalence of mathematical answers agrees with published verdicts, and how fast it is.

    python benchmarks/grading.py

Prints the tables that docs/grading.md shows. Texts are read by `read`, as a turn is, and if that finds no
answer by `parse`, as an extractor's reply is. Math-Verify alone reads them by its own rules.
"""

from __future__ import annotations

import asyncio
import json
import logging
import timeit
from collections import Counter
from pathlib import Path
from time import process_time
from typing import Any

import math_verify

from coral import workers
from coral.answers import math
from coral.answers.math import algebra, values
from coral.answers.math.statements import bare_value
from coral.tasks import mathematics
from coral.types import Answered

DATA = Path(__file__).parent.parent / "tests" / "data" / "grading"
PAIRS = "math_grading_pairs.jsonl"
PROBES = "math_grader_reference_verdicts.jsonl"
SPEED = (("42", "43"), (r"\frac{1}{2}", "0.5"), ("1,000 cm", "10 m"), ("1, 2", "2,1"), ("$18", "18 eggs"))


def rows_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def answer(text: str) -> str:
    for belief in (math.read(text), math.parse(text)):
        if isinstance(belief, Answered):
            return belief.value
    return ""


def answers(row: dict[str, Any]) -> tuple[str, str]:
    texts = (row["a"], row["b"])
    return texts if row["form"] == "bare" else (answer(texts[0]), answer(texts[1]))


def math_verify_alone(row: dict[str, Any]) -> bool:
    """Its verdict with its own reading, `a` as gold; a bare answer is put between dollars, as it wants it."""
    texts = [f"${row[side]}$" if row["form"] == "bare" else row[side] for side in "ab"]
    gold, given = (math_verify.parse(text, parsing_timeout=None) for text in texts)
    return bool(math_verify.verify(gold, given, timeout_seconds=None))


async def print_pairs() -> None:
    table: dict[str, Counter[str]] = {}
    for row in rows_of(PAIRS):
        ours = await mathematics.compare(*answers(row))
        counts = table.setdefault(row["source"].split("@")[0], Counter())
        counts["n"] += 1
        counts["ours"] += ours == row["equal"]
        counts["false +"] += ours is True and not row["equal"]
        counts["M-V alone"] += math_verify_alone(row) == row["equal"]
        counts["prm800k"] += row["prm800k_given_b_gold_a"] == row["equal"]
        counts["hendrycks"] += row["hendrycks_is_equiv"] == row["equal"]
    columns = ("n", "ours", "false +", "M-V alone", "prm800k", "hendrycks")
    print(f"{'source':<30}" + "".join(f"{name:>10}" for name in columns))
    table["all"] = sum(table.values(), Counter())
    for source, counts in table.items():
        print(f"{source:<30}" + "".join(f"{counts[name]:>10}" for name in columns))


async def print_probes() -> None:
    counts: Counter[str] = Counter()
    for row in rows_of(PROBES):
        ours = await mathematics.compare(row["given"] or "", row["ground_truth"] or "")
        counts["n"] += 1
        counts["grade_answer"] += ours == row["grade_answer"]
        counts["is_equiv"] += ours == row["is_equiv"]
    print("\nprobes: " + ", ".join(f"{name} {count}" for name, count in counts.items()))


def print_classes() -> None:
    known = rows_of("disagreements.jsonl")
    counts = Counter((row["file"], row["class"], row["ours"]) for row in known)
    print(f"\n{'class of disagreement':<26}{'ours':>6}{'pairs':>8}{'probes':>8}")
    for name, ours in sorted({(row["class"], row["ours"]) for row in known}):
        print(f"{name:<26}{ours!s:>6}{counts[PAIRS, name, ours]:>8}{counts[PROBES, name, ours]:>8}")


async def print_speed() -> None:
    print(f"\n{'same_text':<44}{'known':>12}{'new':>12}")
    for a, b in SPEED:
        known = (
            min(
                timeit.repeat(
                    lambda a=a, b=b: math.same_text(a, b), timer=process_time, number=1_000, repeat=3
                )
            )
            / 1_000
        )
        new = (
            min(timeit.repeat(lambda a=a, b=b: _afresh(a, b), timer=process_time, number=200, repeat=3)) / 200
        )
        print(f"{a + '  ' + b:<44}{known * 1e6:>9.1f} us{new * 1e6:>9.1f} us")
    texts = [side for row in rows_of(PAIRS) for side in answers(row)]
    took = sorted(
        min(timeit.repeat(lambda text=text: bare_value(text), number=20, repeat=3)) for text in texts
    )
    print(f"cleaning a value: median {took[len(took) // 2] / 20 * 1e6:.0f} us")
    pairs = [answers(row) for row in rows_of(PAIRS)]
    math.warm_up()
    took = sorted(min(_algebra(pair) for _ in range(5)) for pair in pairs)
    mean, median = sum(took) / len(took) * 1e3, took[len(took) // 2] * 1e3
    most = took[-1] * 1e3
    print(f"a pair in a warm worker: {mean:.2f} ms on average, median {median:.2f} ms, most {most:.0f} ms")


def _afresh(a: str, b: str) -> None:
    for cache in (values.parts, values._items):  # noqa: SLF001
        cache.cache_clear()
    math.same_text(a, b)


def _algebra(pair: tuple[str, str]) -> float:
    """Seconds of processor time for a pair of which nothing is remembered."""
    for cache in (values.parts, values._items, algebra.key, algebra._parsed):  # noqa: SLF001
        cache.cache_clear()
    start = process_time()
    math.equivalent(*pair)
    return process_time() - start


async def main() -> None:
    logging.disable(logging.WARNING)
    await print_pairs()
    await print_probes()
    print_classes()
    await print_speed()
    await workers.close()


if __name__ == "__main__":
    asyncio.run(main())
