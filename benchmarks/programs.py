"""Programs as answers: what grading them in the jail costs a run, and that it leaves nothing behind.

    python benchmarks/programs.py loop HumanEval.jsonl.gz [--conversations 1000]
    python benchmarks/programs.py leftovers [--checks 10000]
    python benchmarks/programs.py killed [--times 5]

`loop` holds the same conversations against the scripted server, which answers with the reference solution or
with a mistake in it: once to warm it up, once graded by a task whose grading is free (equal text is right),
and once in the jail. CPU is what the operating system counted for the client itself, without its workers and
what these jailed. Quote the ratio. `leftovers` makes so many different checks as fast as they go, and counts
processes and files then. `killed` kills a process by signal 9 that has endless programs in the jail, and
waits until all that it started is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from coral import jail
from coral.tasks.code.humaneval import HumanEval
from coral.types import Problem

HERE = Path(__file__).parent
CLIENT = (
    "import json, resource, sys, time\n"
    "from coral.cli import main\n"
    "start = time.perf_counter()\n"
    "code = main(sys.argv[1:])\n"
    "used = resource.getrusage(resource.RUSAGE_SELF)\n"
    "cpu = used.ru_utime + used.ru_stime\n"
    "print(json.dumps([code, time.perf_counter() - start, cpu]), file=sys.stderr)\n"
)
GONE_WITHIN_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Free(HumanEval):
    """HumanEval whose answers are right where their text is that of the reference solution."""

    async def same(self, a: str, b: str, problem: Problem) -> bool:  # noqa: ARG002 - part of the protocol
        return a == b

    async def grade(self, answer: str, problem: Problem) -> bool | None:
        return answer.strip() == problem.target.strip()


# The loop ---------------------------------------------------------------------------------------------------


@contextmanager
def scripted(data: Path) -> Iterator[str]:
    """The address of a scripted server for HumanEval."""
    command = [
        sys.executable, "-m", "coral", "serve", "scripted", "--task", "humaneval", "--data", str(data),
        "--port", "0",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield next(word for word in process.stdout.readline().split() if word.startswith("http"))
    finally:
        process.terminate()
        process.wait()


def held(task: str, data: Path, address: str, output: Path) -> tuple[float, float]:
    """Seconds that a run took: by the clock, and of its own CPU."""
    arguments = [
        "eval", task, "--data", str(data), "--agent.model", "scripted:accuracy=0.6",
        "--agent.base_url", address, "--output", str(output), "--max_connections", "64",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(HERE), os.environ.get("PYTHONPATH", "")))}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, check=False,
    )  # fmt: skip
    code, wall_s, own_s = json.loads(done.stderr.splitlines()[-1])
    if code:
        sys.exit(done.stderr)
    return wall_s, own_s


def repeated(data: Path, count: int, target: Path) -> Path:
    """So many problems: HumanEval's, again and again under other ids."""
    opener = gzip.open if data.suffix == ".gz" else open
    with opener(data, "rt") as file:
        rows = [json.loads(line) for line in file]
    with target.open("w") as file:
        for number in range(count):
            row = rows[number % len(rows)]
            file.write(json.dumps({**row, "task_id": f"{row['task_id']}.{number // len(rows)}"}) + "\n")
    return target


def loop(data: Path, conversations: int) -> None:
    """Both kinds of run, and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        problems = repeated(data, conversations, folder / "problems.jsonl")
        with scripted(problems) as address:
            held("humaneval", problems, address, folder / "warm up")
            print(f"{'graded':12}{'wall s':>8}{'CPU s':>8}{'requests':>10}{'CPU ms/request':>16}")
            own: dict[str, float] = {}
            for kind, task in (("free", "programs:Free"), ("in the jail", "humaneval")):
                wall_s, own[kind] = held(task, problems, address, folder / kind)
                requests = sum(
                    len(json.loads(line)["turns"])
                    for file in (folder / kind).rglob("conversations/*.jsonl")
                    for line in file.read_text().splitlines()
                )
                each = 1000 * own[kind] / requests
                print(f"{kind:12}{wall_s:>8.1f}{own[kind]:>8.1f}{requests:>10,}{each:>16.2f}", flush=True)
    print(f"the client's own CPU, jail to free: {own['in the jail'] / own['free']:.2f}")


# What is left -----------------------------------------------------------------------------------------------


def descendants(of: int) -> set[int]:
    """The processes that a process started, and those started by these."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:  # it has just ended
            continue
        children.setdefault(int(rest.split()[1]), []).append(int(name.split()[0]))
    found: set[int] = set()
    waiting = [of]
    while waiting:
        new = children.get(waiting.pop(), [])
        found.update(new)
        waiting += new
    return found


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


async def checked(count: int) -> float:
    """Checks per second, all of them different, each right."""
    driver = jail.driver()
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            program = f"def f(x):\n    return x + {number}\n"
            outcome = await jail.check(program, f"assert f(1) == {number + 1}", names=["f"], driver=driver)
            assert outcome.kind == "passed", outcome

    start = time.perf_counter()
    async with jail.in_use():
        await asyncio.gather(*(work() for _ in range(2 * (os.cpu_count() or 1))))
        took_s = time.perf_counter() - start
    return count / took_s


def leftovers(checks: int) -> None:
    """Make checks, and count what they left."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["TMPDIR"] = tempfile.tempdir = name
        rate = asyncio.run(checked(checks))
        wait_until_gone(lambda: descendants(os.getpid()))
        print(f"{checks:,} checks, {rate:.0f} a second; left: {len(files(Path(name)))} files, no process")


ENDLESS = (
    "import asyncio\n"
    "from coral import jail\n"
    "async def one(number):\n"
    "    program = f'while True: {number}'\n"
    "    limits = jail.Limits(wall_s=300, cpu_s=300)\n"
    "    await jail.check(program, 'assert f()', names=['f'], limits=limits)\n"
    "async def main():\n"
    "    async with jail.in_use():\n"
    "        await asyncio.gather(*map(one, range(4)))\n"
    "asyncio.run(main())\n"
)


def killed(times: int) -> None:
    """Kill a process in the middle of checks, and see what outlives it."""
    with tempfile.TemporaryDirectory() as name:
        for _ in range(times):
            environment = os.environ | {"TMPDIR": name}
            process = subprocess.Popen([sys.executable, "-c", ENDLESS], env=environment)
            started = started_by(process.pid)
            process.send_signal(signal.SIGKILL)
            process.wait()
            gone_s = wait_until_gone(lambda started=started: {pid for pid in started if is_there(pid)})
            print(
                f"{len(started)} processes gone {gone_s:.2f} s after kill -9; files left: {files(Path(name))}"
            )


def started_by(pid: int) -> set[int]:
    """What a process has started, once that is no longer growing."""
    before: set[int] = set()
    while True:
        time.sleep(2)
        now = descendants(pid)
        if now and now == before:
            return now
        before = now


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(left) -> float:  # type: ignore[no-untyped-def]
    """Seconds until nothing is left."""
    start = time.perf_counter()
    while found := left():
        if time.perf_counter() - start > GONE_WITHIN_S:
            sys.exit(f"still there: {found}")
        time.sleep(0.02)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("loop", "leftovers", "killed"))
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--conversations", type=int, default=1000)
    parser.add_argument("--checks", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    if options.part == "loop":
        loop(options.data, options.conversations)
    elif options.part == "leftovers":
        leftovers(options.checks)
    else:
        killed(options.times)


if __name__ == "__main__":
    main()
