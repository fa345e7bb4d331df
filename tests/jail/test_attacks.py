"""Nothing that a program does reaches outside of the jail, makes it pass, or outlives its check."""

import asyncio
import re
import socket
import sysconfig
import time
from pathlib import Path

import pytest
from tests.jail.attacks import DOES_NOT_PASS, GETS_NOTHING, WRITES

from coral import jail

pytestmark = pytest.mark.usefixtures("pool")
LIMITS = jail.Limits(wall_s=1.0, cpu_s=1.0)
LONG = jail.Limits(wall_s=60.0, cpu_s=1.0)
SMALL = jail.Limits(wall_s=60.0, cpu_s=20.0, memory_mib=128)
WIDE = jail.Limits(wall_s=60.0, cpu_s=20.0)
TESTS = "try:\n    attack()\nexcept Exception:\n    pass\nassert answer() == 42"


def with_facts(program, secret, port=9):
    """The program, told what it may attack: nothing of the jail rests on its not knowing."""
    facts = {
        "SECRET": str(secret),
        "HOME": str(Path.home()),
        "STDLIB": sysconfig.get_path("stdlib"),
        "PORT": port,
    }
    return "".join(f"{name} = {value!r}\n" for name, value in facts.items()) + program


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text("secret")
    return path


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def is_sound(driver):
    """The jail judges as before."""
    right, wrong = "def answer(): return 42", "def answer(): return 41"
    kinds = [
        (
            await jail.check(
                f"{one}  # {time.monotonic()}",
                "assert answer() == 42",
                names=["answer"],
                limits=WIDE,
                driver=driver,
            )
        ).kind
        for one in (right, wrong)
    ]
    return kinds == ["passed", "failed"]


@pytest.mark.parametrize("name", GETS_NOTHING)
async def test_a_program_gets_hold_of_nothing(walls, name, secret, port):
    program = with_facts(GETS_NOTHING[name], secret, port)
    tests = "try:\n    got = attack()\nexcept (OSError, AttributeError):\n    got = []\nassert not got, got"
    outcome = await jail.check(program, tests, names=["attack"], limits=WIDE, driver=walls)
    assert outcome == jail.Outcome("passed")
    outcome = await jail.run_script(f"{program}\nprint(*attack(), sep=' | ')", limits=WIDE, driver=walls)
    assert outcome.stdout.strip() == ""
    assert list(secret.parent.iterdir()) == [secret]


@pytest.mark.parametrize("name", DOES_NOT_PASS)
async def test_a_program_does_not_pass(bubblewrap, name):
    assert await fails(name, bubblewrap)
    assert await is_sound(bubblewrap)


async def fails(name, driver):
    """It does not pass, and is told in words that can be shown."""
    program = "def answer(): return 41\n" + DOES_NOT_PASS[name]
    outcome = await jail.check(program, TESTS, names=["attack", "answer"], limits=LIMITS, driver=driver)
    return outcome.kind != "passed" and outcome.detail.isprintable() and len(outcome.detail) <= 300


async def test_no_program_passes_where_an_interpreter_is_started_for_each(afresh):
    verdicts = await asyncio.gather(*(fails(name, afresh) for name in DOES_NOT_PASS))
    assert [name for name, failed in zip(DOES_NOT_PASS, verdicts, strict=True) if not failed] == []
    assert await is_sound(afresh)


async def test_every_script_ends(walls):
    """And says no more than it may."""
    scripts = [f"{program}\nattack()" for program in DOES_NOT_PASS.values()]
    outcomes = await asyncio.gather(*(jail.run_script(one, limits=LIMITS, driver=walls) for one in scripts))
    assert all(one.detail.isprintable() and len(one.detail) <= 300 for one in outcomes)
    assert all(len(one.stdout) <= LIMITS.output_kib << 10 for one in outcomes)
    assert await is_sound(walls)


KINDS = {
    "exits in the call": ("exit", WIDE), "sys.exit in the call": ("exit", WIDE), "crashes": ("signal", WIDE),
    "aborts": ("signal", WIDE), "kills itself": ("signal", WIDE), "loops": ("time", LONG),
    "sleeps": ("time", LIMITS), "computes without end": ("time", LONG), "memory bomb": ("memory", SMALL),
    "returns giant data": ("output", WIDE), "an exception whose text fails": ("exception", WIDE),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
async def test_ends_are_told_apart(walls, name):
    """A busy machine changes none of these: a loop ends by its own time, not by the clock."""
    kind, limits = KINDS[name]
    outcome = await jail.check(DOES_NOT_PASS[name], "attack()", names=["attack"], limits=limits, driver=walls)
    assert outcome.kind == kind


@pytest.mark.parametrize("name", WRITES)
async def test_output_is_cut(walls, name):
    outcome = await jail.run_script(WRITES[name], limits=WIDE, driver=walls)
    assert outcome.kind == "output"
    assert len(outcome.stdout + outcome.stderr) <= 2 * (LIMITS.output_kib << 10)
    outcome = await jail.check(
        f"def attack():\n    {WRITES[name].replace(chr(10), chr(10) + '    ')}",
        TESTS,
        names=["attack"],
        limits=LIMITS,
        driver=walls,
    )
    assert outcome.kind in {"time", "failed"}


async def test_empty_files_are_counted(bubblewrap):
    """The kernel keeps some memory for each, which belongs to no process and to no size of a file system."""
    program = (
        "import os\ncount = 0\ntry:\n    while count < 100_000:\n        os.mkfifo(str(count))\n"
        "        count += 1\nexcept OSError:\n    pass\nprint(count)"
    )
    outcome = await jail.run_script(program, limits=WIDE, driver=bubblewrap)
    assert 1_000 < int(outcome.stdout) < 20_000


async def test_values_that_are_compared_are_short(walls):
    """Whoever compares programs reads what they return to dozens of inputs."""
    program = "def f(n): return 'x' * n"
    results = await jail.call(program, "f", [[n << 10] for n in (1, 2_000, 3)], limits=WIDE, driver=walls)
    assert [result.kind for result in results] == ["finished", "output", "finished"]


async def test_terminals_are_left_alone(walls):
    program = "def attack(): raise ValueError('\\x1b[2J\\u202e\\n')"
    outcome = await jail.check(program, "attack()", names=["attack"], limits=WIDE, driver=walls)
    assert re.search(r"\\x1b\[2J", outcome.detail)
