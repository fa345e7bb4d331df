"""Functions that hang, eat memory or crash are stopped, and nothing is left behind."""

import asyncio
import math
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from coral import workers
from coral.errors import UserError
from coral.workers import CallFailed, SandboxError, TimedOut, WorkerDied, Workers

EQUIVALENT = "coral.answers.math:equivalent"


def _workers_of(pid: int) -> list[psutil.Process]:
    found = psutil.Process(pid).children(recursive=True)
    return [process for process in found if "coral.workers" in process.cmdline()]


def _wait_until_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(autouse=True)
def _close_shared() -> object:
    yield
    asyncio.run(workers.close())
    _wait_until_gone(_workers_of(os.getpid()))  # those of a thread end a moment after it


async def test_call_returns_the_result() -> None:
    """A call is an ordinary call, only elsewhere: arguments and results are JSON."""
    assert await workers.call("math:gcd", 12, 18, timeout_s=60) == 6
    assert await workers.call("os:getpid", timeout_s=60) != os.getpid()


HANGING = ["9**9**9", "__import__('math').factorial(99999999)", "__import__('time').sleep(60)"]


@pytest.mark.parametrize("program", HANGING)
async def test_hanging_call_is_stopped(program: str) -> None:
    """Even a computation inside C ends with its time limit, and the next call gets a new worker."""
    async with Workers(max_workers=1) as workers:
        await workers.call("math:gcd", 1, 1, timeout_s=60)
        start = time.perf_counter()
        with pytest.raises(TimedOut, match=r"longer than 0\.2 s"):
            await workers.call("builtins:eval", program, timeout_s=0.2)
        assert time.perf_counter() - start < 40
        assert await workers.call("math:gcd", 12, 18, timeout_s=60) == 6


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not limit the address space")
async def test_memory_is_limited() -> None:
    """A call that wants more memory than allowed fails alone."""
    async with Workers(memory_gib=0.5) as workers:
        with pytest.raises(WorkerDied, match="out of memory"):
            await workers.call("builtins:bytearray", 2**30, timeout_s=60)
        assert await workers.call("math:gcd", 12, 18, timeout_s=60) == 6


async def test_crash_is_reported_and_survived() -> None:
    """A worker that ends by itself fails its call and no other."""
    with pytest.raises(WorkerDied):
        await workers.call("os:_exit", 3, timeout_s=60)
    assert await workers.call("math:gcd", 12, 18, timeout_s=60) == 6


@pytest.mark.parametrize(
    ("function", "args", "told"),
    [
        ("math:sqrt", [-1], "ValueError"),
        ("builtins:object", [], "not JSON"),
    ],
)
async def test_exception_crosses_as_text(function: str, args: list[object], told: str) -> None:
    """What the function raises is told; the worker lives on."""
    for _ in range(2):
        with pytest.raises(CallFailed, match=told):
            await workers.call(function, *args, timeout_s=60)
    assert len(_workers_of(os.getpid())) == 1


def _python(folder: Path, body: str) -> str:
    """A program in the place of Python."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


LOADER = "python: error while loading shared libraries: libpython3.so"


@pytest.mark.parametrize(
    ("function", "body", "told"),
    [
        ("math:gcd", f"echo '{LOADER}' >&2; exit 127", LOADER),
        ("math:gcd", "exit 1", "the worker of math:gcd ended"),
        ("math:gcd", None, "No such file"),
        ("math:nonexistent", "", "AttributeError"),
        ("nonexistent:f", "", "ModuleNotFoundError"),
    ],
    ids=["a library is missing", "dies in silence", "no interpreter", "no such function", "no such module"],
)
async def test_workers_that_cannot_start_are_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, body: str | None, told: str
) -> None:
    """No call would ever bring a result: that is no unknown grade, and nothing that goes by itself."""
    if body != "":
        python = str(tmp_path / "none") if body is None else _python(tmp_path, body)
        monkeypatch.setattr(sys, "executable", python)
    async with Workers() as workers:
        for _ in range(2):
            with pytest.raises(UserError, match=re.escape(told)) as caught:
                await workers.call(function, 12, 18, timeout_s=60)
            assert not isinstance(caught.value, SandboxError)
    assert "PATH" in caught.value.remedy
    assert _workers_of(os.getpid()) == []


async def test_a_worker_that_could_start_before_may_fail_to_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is the machine's passing trouble: one grade is unknown, and the job goes on."""
    async with Workers() as workers:
        await workers.call("math:gcd", 12, 18, timeout_s=60)
        for process in _workers_of(os.getpid()):
            process.kill()
            await asyncio.to_thread(process.wait)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", _python(tmp_path, "exit 1"))
            with pytest.raises(WorkerDied):
                await workers.call("math:gcd", 12, 20, timeout_s=60)
        assert await workers.call("math:gcd", 12, 20, timeout_s=60) == 4


@pytest.mark.parametrize("name", ["LD_LIBRARY_PATH", "LC_ALL", "HOME", "SECRET_", "PYTHONUSERBASE"])
async def test_a_worker_finds_python_as_we_do(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A Python that needs a library path, a home or a locale gets them."""
    monkeypatch.setenv(name, "C")
    expected = None if name.endswith("_") else "C"
    async with Workers() as workers:
        assert await workers.call("os:getenv", name, timeout_s=60) == expected


async def test_what_we_can_import_a_worker_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grader beside a notebook, on a path that was added in Python, is found."""
    (tmp_path / "my_grader_of_tests.py").write_text("def double(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    async with Workers() as workers:
        assert await workers.call("my_grader_of_tests:double", 4, timeout_s=60) == 8


async def test_the_end_of_one_job_leaves_another_its_workers() -> None:
    """Two runs in one event loop: the workers end with the second, whichever that is."""
    others = _workers_of(os.getpid())
    first_has_ended = asyncio.Event()

    async def short() -> None:
        async with workers.in_use():
            await workers.call("math:gcd", 12, 18, timeout_s=60)
        first_has_ended.set()

    async def long() -> None:
        async with workers.in_use():
            slow = asyncio.ensure_future(workers.call("time:sleep", 1.0, timeout_s=30))
            await first_has_ended.wait()
            assert await slow is None
        assert [worker for worker in _workers_of(os.getpid()) if worker not in others] == []

    await asyncio.gather(long(), short())


def test_two_threads_have_workers_of_their_own() -> None:
    """Runs in threads do not end each other's workers, and a thread's workers end with it."""

    def run(number: int) -> list[int]:
        async def job() -> list[int]:
            async with workers.in_use():
                return [await workers.call("math:gcd", number, n, timeout_s=30) for n in range(1, 40)]

        return asyncio.run(job())

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(run, [12, 18, 30, 42]))
    assert results == [[math.gcd(number, n) for n in range(1, 40)] for number in (12, 18, 30, 42)]
    assert _workers_of(os.getpid()) == []


async def test_worker_sees_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys in our environment are not passed on."""
    monkeypatch.setenv("SOME_API_KEY", "secret")
    assert await workers.call("os:getenv", "SOME_API_KEY", timeout_s=60) is None
    assert await workers.call("os:getenv", "PATH", timeout_s=60) == os.environ["PATH"]


async def test_pool_is_bounded_and_lazy() -> None:
    """No worker starts before it is needed, and never more than `max_workers`."""
    async with Workers(max_workers=2) as workers:
        assert _workers_of(os.getpid()) == []
        calls = [
            workers.call("builtins:eval", f"__import__('time').sleep({n} / 1000)", timeout_s=60)
            for n in range(6)
        ]
        await asyncio.gather(*calls)
        assert len(_workers_of(os.getpid())) == 2


async def test_results_and_timeouts_are_remembered() -> None:
    """The same call is not run twice; one that timed out is tried again only with more time."""
    async with Workers() as workers:
        first = await workers.call("time:perf_counter", timeout_s=60)
        assert await workers.call("time:perf_counter", timeout_s=60) == first
        with pytest.raises(TimedOut):
            await workers.call("time:sleep", 0.5, timeout_s=0.1)
        with pytest.raises(TimedOut):
            await workers.call("time:sleep", 0.5, timeout_s=0.1)
        assert _workers_of(os.getpid()) == [], "the first was stopped, and no other started"
        assert await workers.call("time:sleep", 0.5, timeout_s=60) is None


async def test_cancelled_call_leaves_no_busy_worker() -> None:
    """Cancelling a call ends its worker at once instead of letting it compute on."""
    async with Workers(max_workers=1) as workers:
        await workers.call("math:gcd", 1, 1, timeout_s=60)
        task = asyncio.ensure_future(workers.call("time:sleep", 60, timeout_s=60))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert _workers_of(os.getpid()) == []
        assert await workers.call("math:gcd", 12, 18, timeout_s=60) == 6


async def test_closing_ends_calls_under_way() -> None:
    """A call that runs when the pool is closed fails at once instead of waiting for its time limit."""
    async with Workers(max_workers=1) as workers:
        await workers.call("math:gcd", 1, 1, timeout_s=60)
        task = asyncio.ensure_future(workers.call("time:sleep", 60, timeout_s=60))
        await asyncio.sleep(0.05)
        await workers.close()
        with pytest.raises(WorkerDied):
            await asyncio.wait_for(task, 40)
        assert _workers_of(os.getpid()) == []


def test_one_pool_serves_event_loops_one_after_another() -> None:
    """Workers belong to no loop: the second `asyncio.run` finds them warm."""

    async def pids() -> set[int]:
        await asyncio.gather(*(workers.call("math:gcd", number, 6, timeout_s=60) for number in range(20)))
        return {process.pid for process in _workers_of(os.getpid())}

    assert asyncio.run(pids()) == asyncio.run(pids()) != set()


async def test_worker_killed_from_outside_is_replaced() -> None:
    """A worker that died while idle is not used again."""
    await workers.call("math:gcd", 2, 2, timeout_s=60)
    for process in _workers_of(os.getpid()):
        process.kill()
        await asyncio.to_thread(process.wait)
    assert await workers.call("math:gcd", 12, 18, timeout_s=60) == 6


PARENT = """
import asyncio, signal, sys
from coral import workers
from coral.errors import UserError
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
async def main():
    await workers.call("math:gcd", 1, 1, timeout_s=60)
    busy = asyncio.ensure_future(workers.call("builtins:eval", "9**9**9", timeout_s=60))
    await asyncio.sleep(0.2)
    await workers.call("math:gcd", 2, 2, timeout_s=60)
    print("ready", flush=True)
    sys.stdin.readline()
    {then}
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("then", "kill_with", "status"),
    [
        ("await asyncio.sleep(60)", signal.SIGKILL, -signal.SIGKILL),
        ("await asyncio.sleep(60)", signal.SIGTERM, -signal.SIGTERM),
        ("await asyncio.sleep(60)", signal.SIGINT, None),
        ("return", None, 0),
        ("sys.exit(3)", None, 3),
    ],
    ids=["SIGKILL", "SIGTERM", "Ctrl-C", "return", "exit"],
)
def test_workers_die_with_their_parent(then: str, kill_with: int | None, status: int | None) -> None:
    """However the parent ends, busy and idle workers end with it, and nothing is written to its stderr."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", PARENT.format(then=then)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == "ready\n"
        workers = _workers_of(parent.pid)
        assert len(workers) == 2
        if kill_with:
            parent.send_signal(kill_with)
        _, errors = parent.communicate("\n", timeout=60)
    _wait_until_gone(workers)
    assert status is None or parent.returncode == status
    assert kill_with or not errors


async def test_a_pathological_grading_is_stopped_and_the_next_are_not() -> None:
    """The grader itself: what no guard foresees is killed, and one worker makes all the calls behind it."""
    async with Workers(max_workers=1) as workers:
        assert await workers.call(EQUIVALENT, "x+1", "1+x", timeout_s=60) is True
        with pytest.raises(TimedOut):
            await workers.call(EQUIVALENT, r"\prod_{k=1}^{10^9} k", "3", timeout_s=0.3)
        assert await workers.call(EQUIVALENT, "9**9**9", "1/2", timeout_s=60) is False
        worker = _workers_of(os.getpid())
        for number in range(50):
            await workers.call("math:gcd", number, 6, timeout_s=60)
        assert _workers_of(os.getpid()) == worker
