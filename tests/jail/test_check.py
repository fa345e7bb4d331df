"""What a check says of a program: it passes if every statement of the tests ran, and never otherwise."""

import pytest

from coral import jail
from coral.jail.inside.wire import DEEPEST

LIMITS = jail.Limits(wall_s=60.0, cpu_s=20.0)
"""More than any of these programs takes on a busy machine."""

PAIR = "class Pair:\n    def __init__(self, a, b):\n        self.a, self.b = a, b\n"
CHECKS = [
    ("sums", "def add(a, b): return a + b", "assert add(1, 2) == 3\nassert add('a', 'b') == 'ab'", "passed"),
    ("wrong", "def add(a, b): return a - b", "assert add(1, 2) == 3", "failed"),
    (
        "instances",
        PAIR + "def add(pairs): return sum(p.a for p in pairs)",
        "assert add([Pair(1, 2)]) == 1",
        "passed",
    ),
    ("in place", "def add(x): x.sort()", "x = [3, 1]\nadd(x)\nassert x == [1, 3]", "passed"),
    ("generator", "def add(n): yield from range(n)", "assert list(add(1000)) == list(range(1000))", "passed"),
    (
        "callback",
        "def add(f, x): return [f(one) for one in x]",
        "assert add(lambda x: x + 1, [1]) == [2]",
        "passed",
    ),
    (
        "standard values",
        (
            "from collections import deque\nfrom datetime import date\nfrom decimal import Decimal\n"
            "from fractions import Fraction\n"
            "def add(x):\n"
            "    return [x, deque([1]), date(2026, 1, 2), Decimal('1.5'), Fraction(1, 2), {1: 2}.keys()]"
        ),
        (
            "from collections import deque\nfrom datetime import date, timedelta\n"
            "found = add(date(2026, 1, 1))\n"
            "assert found == [date(2026, 1, 1), deque([1]), date(2026, 1, 2), 1.5, 0.5, {1}]\n"
            "assert found[2] - found[0] == timedelta(days=1)"
        ),
        "passed",
    ),
    (
        "in place, of the standard library",
        "def add(queue, text): queue.appendleft(queue.pop()); text += b'c'",
        (
            "from collections import deque\nqueue, text = deque([1, 2]), bytearray(b'ab')\nadd(queue, text)\n"
            "assert queue == deque([2, 1]) and text == b'abc'"
        ),
        "passed",
    ),
    (
        "what an exception holds",
        "def add(): raise KeyError('x')",
        "try:\n    add()\nexcept KeyError as error:\n    assert error.args == ('x',)",
        "passed",
    ),
    ("exit", "if __name__ == '__main__': add(1)\nexit()", "assert True", "exit"),
    ("quit", "def add(): quit(3)", "add()", "exit"),
    (
        "its file",
        "import os\nhere = os.path.dirname(__file__)\ndef add(): return 1",
        "assert add() == 1",
        "passed",
    ),
    (
        "a with statement of the program",
        "class Pair:\n    def __enter__(self): return 1\n    def __exit__(self, *_): return True\n",
        "with Pair() as one:\n    assert one == 2",
        "failed",
    ),
    ("raises", "def add(): raise KeyError('x')", "add()", "exception"),
    ("expected", "def add(): raise KeyError('x')", "try:\n    add()\nexcept KeyError:\n    pass", "passed"),
    ("syntax", "def add(:", "assert add() is None", "syntax"),
    ("missing", "def sub(): pass", "assert add() is None", "failed"),
    ("exits", "import os\nos._exit(0)", "assert True", "exit"),
    ("memory", "def add(): return bytearray(10**10)", "add()", "memory"),
    (
        "equals all",
        "class A:\n    def __eq__(self, other): return True\ndef add(): return A()",
        "assert add() == 3",
        "failed",
    ),
]


@pytest.mark.parametrize(
    ("program", "tests", "kind"), [one[1:] for one in CHECKS], ids=[one[0] for one in CHECKS]
)
async def test_the_tests_decide(driver, program, tests, kind):
    async with jail.in_use():
        outcome = await jail.check(program, tests, names=["add", "Pair"], limits=LIMITS, driver=driver)
    assert outcome.kind == kind


SCRIPTS = [
    ("finished", "print(1)", "finished", ""),
    ("syntax", "def f(:", "syntax", "SyntaxError: invalid syntax"),
    ("indentation", "if 1:\nx = 1", "syntax", "IndentationError: "),
    ("tabs and blanks", "if 1:\n\tx = 1\n        x = 2", "syntax", "TabError: "),
    ("another Python", "print 'x'", "syntax", "SyntaxError: "),
    ("a null", "x = 1\0", "syntax", "SyntaxError: "),
    ("syntax of a text that it runs", "eval('(')", "exception", "SyntaxError: "),
    ("exits", "exit(3)", "exit", "exit code 3"),
    ("exits with words", "exit('words')", "exit", "exit code 1"),
    ("raises", "raise KeyError('x')", "exception", "KeyError: 'x'"),
    ("raises lines", "raise KeyError('x') from ValueError('a\\nb')", "exception", "KeyError: 'x'"),
    ("a text of lines", "raise ValueError('a\\nb')", "exception", "ValueError: a"),
    ("memory", "[0] * 10**12", "memory", "MemoryError"),
    ("deep", "def f(): g()\ndef g(): f()\nf()", "exception", "RecursionError: "),
]


@pytest.mark.parametrize(
    ("program", "kind", "detail"), [one[1:] for one in SCRIPTS], ids=[one[0] for one in SCRIPTS]
)
async def test_how_a_script_ends(driver, program, kind, detail):
    async with jail.in_use():
        outcome = await jail.run_script(program, limits=LIMITS, driver=driver)
    assert (outcome.kind, outcome.detail[: len(detail)]) == (kind, detail)


async def test_tests_that_do_not_compile_are_no_verdict(driver):
    async with jail.in_use():
        with pytest.raises(jail.BrokenTests, match="never closed"):
            await jail.check("def f(): pass", "assert f(", names=["f"], limits=LIMITS, driver=driver)


COLLIDING = """
import os
def f(x):
    numbers = "".join(f"i{n * (2**61 - 1):x};" for n in range(10_000))
    frame = f"u3:.s5:valueu3:.e10000:.{numbers}l1:.i1;fn".encode()
    for number in range(3, 12):
        try: os.write(number, len(frame).to_bytes(4, "big") + frame)
        except OSError: pass
    while True: pass
"""
"""Writes a set that takes long to be read, since all of its numbers have one hash."""


async def test_a_value_that_takes_long_to_read_is_late(walls):
    """Whoever asked would read it in its event loop."""
    async with jail.in_use():
        [result] = await jail.call(COLLIDING, "f", [[1]], limits=jail.Limits(wall_s=0.2), driver=walls)
        assert result.kind == "time"
        [result] = await jail.call("def f(x): return {x}", "f", [[1]], limits=LIMITS, driver=walls)
        assert result.value == {1}


async def test_a_value_may_be_nested_deeper_than_our_stack(walls):
    """It is then no plain data: nothing is raised but what is documented."""

    async def deep_in_a_stack(levels):
        if levels:
            return await deep_in_a_stack(levels - 1)
        program = (
            f"def f():\n    value = []\n    for _ in range({DEEPEST - 10}): value = [value]\n    return value"
        )
        return await jail.call(program, "f", [[]], limits=LIMITS, driver=walls)

    async with jail.in_use():
        [result] = await deep_in_a_stack(650)
    assert (result.kind, result.is_plain, result.value) == ("finished", False, None)
