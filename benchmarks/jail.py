"""How many checks a second the jail makes, and how long one takes.

    python benchmarks/jail.py [CHECKS]

Prints the table that docs/jail.md shows: small programs, each against tests of its own, so that no answer is
remembered. Programs import nothing or what programs of HumanEval import; `per core` divides by the cores.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time

from coral import jail

PLAIN = "def add(numbers, more):\n    return sum(numbers) + more\n"
TYPED = "import math\nfrom typing import List\n\n\n" + PLAIN.replace("numbers,", "numbers: List[int],")
PROGRAMS = {"imports nothing": PLAIN, "imports typing, math": TYPED}
TESTS = "".join(f"assert add([1, {k}], 2) == {3 + k}\n" for k in range(7))
DRIVERS = ("bubblewrap", "bubblewrap_exec", "plain")
ALONE = 50


async def timed(program: str, number: int, driver: str) -> float:
    start = time.perf_counter()
    outcome = await jail.check(f"{program}# {number}\n", TESTS, names=["add"], driver=driver)
    assert outcome.kind == "passed", outcome
    return time.perf_counter() - start


async def measure(program: str, checks: int, driver: str) -> tuple[float, list[float]]:
    """Checks per second with all cores at work, and seconds of each of some that run alone."""
    async with jail.in_use():
        await asyncio.gather(*(timed(program, -one, driver) for one in range(1, 33)))
        start = time.perf_counter()
        await asyncio.gather(*(timed(program, one, driver) for one in range(checks)))
        rate = checks / (time.perf_counter() - start)
        alone = [await timed(program, checks + one, driver) for one in range(ALONE)]
    return rate, alone


async def main(checks: int) -> None:
    cores = len(os.sched_getaffinity(0))
    works = {finding.driver for finding in jail.findings() if finding.works}
    print(f"{cores} cores, load {os.getloadavg()[0]:.1f}\n")
    print(f"{'driver':<17}{'program':<22}{'checks/s':>9}{'per core':>10}{'ms alone: p50':>15}{'p95':>6}")
    for driver in DRIVERS:
        if driver not in works:
            continue
        for name, program in PROGRAMS.items():
            rate, alone = await measure(program, checks, driver)
            cuts = statistics.quantiles(alone, n=20)
            print(
                f"{driver:<17}{name:<22}{rate:>9.0f}{rate / cores:>10.0f}"
                f"{statistics.median(alone) * 1e3:>15.1f}{cuts[-1] * 1e3:>6.1f}"
            )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 500))
