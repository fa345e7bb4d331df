"""Processes of the jail end with their check, with whoever asked for it, and with us, whatever ends us."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from coral import jail, workers

ENDLESS = "def f():\n    while True: pass"
LIMITS = jail.Limits(wall_s=0.5)
PATIENCE_S = 60
WIDE = jail.Limits(wall_s=60.0, cpu_s=20.0)


@pytest.fixture(autouse=True)
async def others():
    """The processes that other tests have left running; the pool that all share begins anew."""
    await workers.close()
    return set(psutil.Process().children(recursive=True))


def told(question):
    """What a process says; None where it has ended, as what made the check does in its own time."""
    try:
        return question()
    except psutil.NoSuchProcess:
        return None


def has_ended(process):
    """Also where nobody has reaped it yet, which is for the machine's init to do."""
    return not process.is_running() or told(process.status) in (None, psutil.STATUS_ZOMBIE)


def all_gone(processes):
    """Waits for the kernel, which ends a namespace in its own time."""
    deadline = time.monotonic() + PATIENCE_S
    while not all(map(has_ended, processes)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def descendants(others):
    """Asks for the processes that this test has started."""
    return lambda: [child for child in psutil.Process().children(recursive=True) if child not in others]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where temporary files of workers would lie."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def mounts_of(folder):
    """What is mounted where a program or its worker may write; elsewhere others mount what they like."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point == "/tmp" or Path(point).is_relative_to(folder)]


async def test_nothing_is_left_behind(driver, folder, descendants):
    """No process, file or mount."""
    mounts = mounts_of(folder)
    async with jail.in_use():
        for program in (
            "def f(): return 1",
            ENDLESS,
            "import os\nos._exit(1)",
            "open('file', 'w').write('x')",
            "import os\nfor _ in range(2000):\n    os.mkdir('d')\n    os.chdir('d')",
            "import os\nos.mkdir('d')\nos.symlink('/', 'd/l')\nos.mkfifo('d/p')\nos.chmod('d', 0)",
        ):
            await jail.check(program, "assert f() == 1", names=["f"], limits=LIMITS, driver=driver)
        # On a busy machine the last of them, too, may have been ended with its worker; this one has time.
        await jail.check("def f(): return 1", "assert f() == 1", names=["f"], driver=driver)
        started = descendants()
    assert started
    assert all_gone(started)
    assert list(folder.iterdir()) == []
    assert mounts_of(folder) == mounts


async def test_nothing_else_is_taken_away(folder, tmp_path_factory):
    """Not where a program puts a link in the place of its folder."""
    kept = tmp_path_factory.mktemp("kept") / "file"
    kept.touch()
    program = (
        "import os\nhere = os.getcwd()\nos.chdir('/')\nos.rmdir(here)\n"
        f"os.symlink({str(kept.parent)!r}, here)\ndef f(): return 1"
    )
    async with jail.in_use():
        outcome = await jail.check(program, "assert f() == 1", names=["f"], limits=WIDE, driver="plain")
    assert outcome.kind == "passed"
    assert kept.exists()
    assert list(folder.iterdir()) == []


async def test_a_cancelled_check_leaves_nothing(driver, folder, descendants):
    async with jail.in_use():
        limits = jail.Limits(wall_s=1000.0, cpu_s=1000.0)
        check = asyncio.create_task(jail.check(ENDLESS, "f()", names=["f"], limits=limits, driver=driver))
        while len(descendants()) < 3:
            await asyncio.sleep(0.05)
        started = descendants()
        check.cancel()
        with pytest.raises(asyncio.CancelledError):
            await check
        assert all_gone(started)
        outcome = await jail.check(
            "def f(): return 1", "assert f() == 1", names=["f"], limits=WIDE, driver=driver
        )
        assert outcome.kind == "passed"


SCRIPT = """
import asyncio, sys
from coral import jail

async def main(driver):
    async with jail.in_use():
        await jail.check("def f(): pass", "f()", names=["f"], driver=driver)
        print("started", flush=True)
        limits = jail.Limits(wall_s=1000.0, cpu_s=1000.0)
        await jail.check({endless!r}, "f()", names=["f"], limits=limits, driver=driver)

asyncio.run(main({driver!r}))
"""


def test_nothing_outlives_us(driver, folder):
    """Not even `kill -9`."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(endless=ENDLESS, driver=driver)], stdout=subprocess.PIPE
    ) as ours:
        assert ours.stdout.readline() == b"started\n"
        time.sleep(0.3)
        started = psutil.Process(ours.pid).children(recursive=True)
        os.kill(ours.pid, signal.SIGKILL)
        ours.wait()
    assert started
    assert all_gone(started)


def test_loops_and_threads_come_and_go(driver):
    """A pool serves whichever loop asks; each thread has its own."""

    async def check(number):
        async with jail.in_use():
            program = f"def f(): return {number}"
            check = jail.check(program, f"assert f() == {number}", names=["f"], limits=WIDE, driver=driver)
            return (await check).kind

    kinds = [asyncio.run(check(number)) for number in range(2)]
    threads = [
        threading.Thread(target=lambda number=number: kinds.append(asyncio.run(check(number))))
        for number in (2, 3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kinds == ["passed"] * 4


@pytest.mark.parametrize("length", [10, 20_000])
async def test_a_check_is_made_once(driver, length, descendants):
    """The same program and tests: the same answer, from memory, however long they are."""
    program = f"def f(): return {length}  # {'x' * length}"
    async with jail.in_use():
        given = (program, f"assert f() == {length}")
        first = await jail.check(*given, names=["f"], limits=WIDE, driver=driver)
        await workers.close()
        again = await jail.check(*given, names=["f"], limits=WIDE, driver=driver)
        assert descendants() == []
    assert first == again == jail.Outcome("passed")


async def test_a_killed_interpreter_is_no_verdict(bubblewrap, descendants):
    """What ends the jail from outside says nothing about the program; the next check has a new one."""
    async with jail.in_use():
        await jail.check("def f(): pass", "f()", names=["f"], driver=bubblewrap)
        found = {process: told(process.name) for process in descendants()}
        walls = [process for process, name in found.items() if name == "bwrap"]
        inside = [process for process in found if "coral.workers" not in (told(process.cmdline) or [])]
        for process in walls:
            told(process.kill)
        assert all_gone([process for process in inside if process not in walls])  # zombies, ours to reap
        outcome = await jail.check(
            "def f(): return 2", "assert f() == 2", names=["f"], limits=WIDE, driver=bubblewrap
        )
    assert outcome.kind == "passed"
