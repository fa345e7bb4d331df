"""Programs as answers: grading harmful ones, which are the same, and mistakes."""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest

from coral import jail
from coral.answers import programs
from coral.conversation.mistakes import Mistakes
from coral.errors import ConfigError
from coral.jail import Returned
from coral.tasks.code import behaviour
from coral.tasks.code.humaneval import HumanEval
from coral.tasks.code.inputs import inputs_of
from coral.tasks.code.mbpp import Mbpp
from coral.types import Answered, Problem

Load = Callable[..., list[Problem]]
UNSAFE = {"allow_unsafe_code": True}
ISOLATED = pytest.mark.skipif(
    not any(finding.works and finding.isolates for finding in jail.findings()),
    reason="no jail that isolates works here, and these programs are harmful",
)


@pytest.fixture
def humaneval(load: Load, data: Path) -> list[Problem]:
    """The whole of HumanEval."""
    return load("humaneval", data / "humaneval" / "HumanEval.jsonl.gz", options=UNSAFE)


@ISOLATED
async def test_published_responses_are_graded_as_published(data: Path, humaneval: list[Problem]) -> None:
    """The programs of published runs, harmful and empty ones among them, get the verdicts they have there."""
    lines = (data / "responses" / "code_responses.jsonl").read_text().splitlines()
    problems = {f"HumanEval/{number}": problem for number, problem in enumerate(humaneval)}
    task, graded = HumanEval(), 0
    async with jail.in_use():
        for response in map(json.loads, lines):
            name = "/".join(response["id"].split("/")[2:4])
            if name not in problems:
                continue
            belief = task.read(response["response"], problems[name])
            right = isinstance(belief, Answered) and await task.grade(belief.value, problems[name])
            assert right is response["is_solved"], response["id"]
            graded += 1
    assert graded == 11


@ISOLATED
async def test_the_authors_harmful_samples(
    load: Load, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One deletes a folder, one sleeps, one waits for input: three are wrong, and nothing was touched."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tmp").mkdir()
    [problem] = load("humaneval", data / "humaneval" / "example_problem.jsonl")
    lines = (data / "humaneval" / "example_samples.jsonl").read_text().splitlines()
    task, verdicts = HumanEval(timeout_s=5.0), []
    async with jail.in_use():
        for line in lines:
            belief = task.read(json.loads(line)["completion"], problem)
            assert isinstance(belief, Answered)
            verdicts.append(await task.grade(belief.value, problem))
    assert verdicts == [False, False, False, True, True, True]
    assert (tmp_path / "tmp").is_dir()


SQUARE = Problem(
    id="square",
    task="mbpp",
    question="Square a number.",
    target="def square(n):\n    return n * n",
    source={
        "name": "square",
        "names": ["square"],
        "shown": ["assert square(2) == 4", "assert square(7) == 49"],
        "tests": "assert square(2) == 4\nassert square(7) == 49",
        "setup": "",
    },
)
VERDICTS = {
    "right": (SQUARE.target, True),
    "wrong": ("def square(n):\n    return n + n", False),
    "raises": ("def square(n):\n    raise ValueError", False),
    "no Python": ("def square(n)\n    return n * n", False),
    "another name": ("def cube(n):\n    return n ** 3", False),
    "leaves": ("import os\ndef square(n):\n    os._exit(0)", False),
    "leaves at once": ("raise SystemExit(0)", False),
    "equal to everything": (
        "class Any:\n    def __eq__(self, other):\n        return True\ndef square(n):\n    return Any()",
        False,
    ),
    "empty": ("", False),
}


@pytest.mark.parametrize(("program", "right"), VERDICTS.values(), ids=VERDICTS)
async def test_verdicts(program: str, right: bool) -> None:
    """Right is what passes all tests, and nothing else is."""
    async with jail.in_use():
        assert await Mbpp(timeout_s=60.0, allow_unsafe_code=True).grade(program, SQUARE) is right


async def test_an_endless_program_is_wrong() -> None:
    """When its time is over."""
    endless = "def square(n):\n    while True:\n        pass"
    async with jail.in_use():
        assert await Mbpp(timeout_s=1.0, allow_unsafe_code=True).grade(endless, SQUARE) is False


SAME = {
    "the reference": SQUARE.target,
    "another layout": "def square( n ) :\n  # n times n\n  return n*n",
    "another way": "def square(n):\n    return n ** 2",
    "a float": "def square(n):\n    return float(n) * n",
    "a loop": "def square(n):\n    total = 0\n    for _ in range(n):\n        total += n\n    return total",
}
OTHERS = {
    "another function": "def square(n):\n    return n + n",
    "by heart": "def square(n):\n    return {2: 4, 7: 49}[n]",
    "off at one input": "def square(n):\n    return 0 if n == 3 else n * n",
    "raises": "def square(n):\n    raise ValueError(n)",
    "raises another": "def square(n):\n    raise TypeError(n)",
    "no Python": "def square(n)\n    return n * n",
    "a text": "def square(n):\n    return str(n * n)",
}


async def test_same_is_an_equivalence() -> None:
    """What does the same is one class, and every other program is one of its own; so in either order."""
    task = Mbpp(allow_unsafe_code=True)
    async with jail.in_use():
        for a, b in itertools.product([*SAME.values(), *OTHERS.values()], repeat=2):
            expected = a == b or {a, b} <= set(SAME.values())
            assert await task.same(a, b, SQUARE) is expected, (a, b)


SORTED = "def f(x):\n    return sorted(x)"
IN_PLACE = "def f(x):\n    x.sort()"
PAIRS = {
    "a generator, a list": (SORTED, "def f(x):\n    yield from sorted(x)", False),
    "an iterator, a list": (SORTED, "def f(x):\n    return iter(sorted(x))", False),
    "keys, a list": (SORTED, "def f(x):\n    return dict.fromkeys(sorted(x)).keys()", False),
    "keys, a set": ("def f(x):\n    return set(x)", "def f(x):\n    return dict.fromkeys(x).keys()", True),
    "a tuple, a list": (SORTED, "def f(x):\n    return tuple(sorted(x))", False),
    "two generators": (
        "def f(x):\n    yield from sorted(x)",
        "def f(x):\n    for one in sorted(x):\n        yield one",
        True,
    ),
    "in place, otherwise": (IN_PLACE, "def f(x):\n    x.reverse()", False),
    "in place, nothing": (IN_PLACE, "def f(x):\n    return None", False),
    "in place, alike": (IN_PLACE, "def f(x):\n    x[:] = sorted(x)", True),
    "besides, in place": (SORTED, "def f(x):\n    x.sort()\n    return x", True),
    "an annotation that fails": (SORTED, "def f(x: List[int]):\n    return sorted(x)", False),
    "an annotation imported": (
        SORTED,
        "from typing import List\ndef f(x: List[int]) -> List[int]:\n    return sorted(x)",
        True,
    ),
    "a Counter, a dict": (
        "from collections import Counter\ndef f(x):\n    return Counter(x)",
        "def f(x):\n    return {one: x.count(one) for one in x}",
        True,
    ),
    "a fraction, a number": (
        "from fractions import Fraction\ndef f(x):\n    return Fraction(len(x), 2)",
        "def f(x):\n    return len(x) / 2",
        True,
    ),
    "a decimal, a number": (
        "from decimal import Decimal\ndef f(x):\n    return Decimal(sum(x))",
        "def f(x):\n    return sum(x)",
        True,
    ),
    "ranges of the same numbers": (
        "def f(x):\n    return range(0, 3, 5)",
        "def f(x):\n    return range(0, 1)",
        True,
    ),
    "empty ranges": ("def f(x):\n    return range(0)", "def f(x):\n    return range(5, 5)", True),
    "a range, a list": ("def f(x):\n    return range(3)", "def f(x):\n    return [0, 1, 2]", False),
    "long ranges": (
        "def f(x):\n    return range(10 ** 30)",
        "def f(x):\n    return range(0, 10 ** 30)",
        True,
    ),
    "a complex number, a number": ("def f(x):\n    return 1 + 0j", "def f(x):\n    return 1", True),
    "complex numbers": (
        "def f(x):\n    return 0.3 + 2j",
        "def f(x):\n    return 0.1 + 0.2 + 2j",
        True,
    ),
    "other complex numbers": ("def f(x):\n    return 1 + 2j", "def f(x):\n    return 1 - 2j", False),
    "a named tuple, a tuple": (
        "import collections\nP = collections.namedtuple('P', 'a b')\ndef f(x):\n    return P(1, 2)",
        "def f(x):\n    return 1, 2",
        True,
    ),
    "an enumeration, a number": (
        "import enum\nclass E(enum.IntEnum):\n    ONE = 1\ndef f(x):\n    return E.ONE",
        "def f(x):\n    return 1",
        True,
    ),
    "large sums": (
        "def f(x):\n    return 123456789012.0 + sum(x)",
        "def f(x):\n    return 123456789012.00001 + sum(x)",
        True,
    ),
    "large numbers": ("def f(x):\n    return 10 ** 30", "def f(x):\n    return 10 ** 30 + 1", False),
    "larger floats": ("def f(x):\n    return 1e300", "def f(x):\n    return 1e300 * (1 + 1e-12)", True),
    "texts that look alike": ("def f(x):\n    return ['a,b']", "def f(x):\n    return ['a', 'b']", False),
    "a hole in the middle": (
        "import os\ndef f(x):\n    return sorted(x) if len(x) != 2 else os._exit(0)",
        SORTED,
        False,
    ),
}


@pytest.mark.parametrize(("a", "b", "same"), PAIRS.values(), ids=PAIRS)
async def test_which_programs_are_the_same(a: str, b: str, same: bool) -> None:
    """Those are that nobody who looks at examples and arguments could tell apart, and no others."""
    shown = ["assert f([3, 1, 2]) == [1, 2, 3]"]
    source = {"name": "f", "names": ["f"], "shown": shown, "tests": shown[0], "setup": ""}
    task = Mbpp(allow_unsafe_code=True)
    problem = Problem(id="f", task="mbpp", question="Sort.", target=SORTED, source=source)
    async with jail.in_use():
        assert await task.same(a, b, problem) is same
        assert await task.same(b, a, problem) is same


async def test_problems_of_one_name_and_other_examples_are_others() -> None:
    """What is known of one problem is not taken for what is known of another."""
    task = Mbpp(allow_unsafe_code=True)
    by_heart = "def square(n):\n    return {2: 4, 7: 49, 3: 9, 8: 64, 1: 1, 6: 36, 5: 25, 15: 225}[n]"
    other = msgspec.structs.replace(SQUARE, source={**SQUARE.source, "shown": ["assert square(20) == 400"]})
    async with jail.in_use():
        assert await task.same(by_heart, SQUARE.target, SQUARE)
        assert not await task.same(by_heart, SQUARE.target, other)


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ("assert f(1) == 2", [[1], [2], [3]]),
        ("assert f([1, 2], 'a') == (1,)", [[[1, 2], "a"], [[2, 1], "a"], [[1, 2, 1], "a"]]),
        ("assert g(f(3)) == f( 4 )", [[3], [4], [5]]),
        (">>> f('(a)')\n'x'", [["(a)"], [")a("], ["(a)("]]),
        ("f(x) returns 1, my.f(1) nothing, f(n=1) is f()", []),
        ("f(f(1))", [[1], [2], [3]]),
        ("f([1, 2", []),
    ],
)
def test_inputs_from_examples(text: str, inputs: list[list[object]]) -> None:
    """Literal arguments of calls of the function alone, first as they stand, then changed a little."""
    assert inputs_of(text, "f")[: len(inputs) or 1] == inputs


@pytest.mark.parametrize(
    ("text", "signature", "inputs"),
    [
        ("For lst = [1,2] and k = 3: 4. For lst = [5], k = 1: 0.", "f(lst, k)", [[[1, 2], 3], [[5], 1]]),
        ("grid : [[0, 1], [1, 1]]\n  capacity : 2", "f(grid, capacity)", [[[[0, 1], [1, 1]], 2]]),
        ('For num = "AB" the result is 1.', "f(num)", [["AB"]]),
        ("no examples", "f(n: int)", [[1], [2], [3], [5], [8], [12], [30]]),
        ("no examples", "f(n: int, flag: bool) -> int", [[1, True], [2, False]]),
        ("lst = [1]", "f(lst, other)", []),
        ("no examples", "f(x)", [[1], [0.5], [True], ["abcab"], [[3, 1, 2, 2]]]),
        ("x = 4", "f(x)", [[4]]),
        ("no examples", "f(x, y)", []),
        ("f(1)", "f(n: int)", [[1], [2], [3]]),
    ],
)
def test_inputs_without_calls(text: str, signature: str, inputs: list[list[object]]) -> None:
    """Values that the text gives to all parameters by name, or else values that fit the annotations."""
    assert inputs_of(text, "f", f"def {signature}:\n    return 0")[: len(inputs) or 1] == inputs


def test_inputs_are_the_same_every_time() -> None:
    """They follow from the text alone, are distinct, and are not many."""
    text = "\n".join(f"assert f([{n}, {n + 1}], {n}, 'word{n}') == {n}" for n in range(40))
    found = inputs_of(text, "f")
    assert found == inputs_of(text, "f")
    assert len(found) == len({repr(args) for args in found}) == 32


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (1, 1.0, True),
        (True, 1, True),
        (0.1 + 0.2, 0.3, True),
        (2.9999999999999996, 3, True),
        (1e300, 10**300, False),
        ([1, 2], (1, 2), False),
        ({1, 2}, {2, 1}, True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        (frozenset({1}), {1}, True),
        ("1", 1, False),
        (None, False, False),
        (float("nan"), float("nan"), True),
        (float("inf"), float("-inf"), False),
        (b"a", "a", False),
        ([[1.0]], [[1]], True),
        (123456789012.00001, 123456789012, True),
        (123456789012, 123456789013, False),
        (1e16, 10**16, True),
        (Fraction(1, 3), 1 / 3, True),
        (Fraction(2**70, 1), 2**70, True),
        (Decimal("1e999999"), Decimal("1e999998"), False),
        (Decimal("NaN"), float("nan"), True),
        (deque([1]), [1], False),
        ({1: 2}.keys(), {1}, True),
        (range(10**5000), range(10**5001), False),
    ],
)
def test_equal_values(a: object, b: object, equal: bool) -> None:
    """Values are equal that Python holds to be, and numbers that differ by rounding alone."""
    assert (behaviour.canonical(a) == behaviour.canonical(b)) is equal


def test_a_program_that_never_returns_is_known_by_its_text() -> None:
    """Two programs that fail alike are not the same, nor two that return what cannot be looked at."""
    failed = [Returned("exception", "NameError: x")] * 2
    opaque = [Returned("finished", "generator", is_plain=False)]
    for results in (failed, opaque):
        assert behaviour.key_of("a = 1", results) != behaviour.key_of("a = 2", results)
    assert behaviour.key_of("a = 1", failed) == behaviour.key_of("a=1  # one", failed)


async def test_mistakes_are_wrong_programs(humaneval: list[Problem]) -> None:
    """What an agent errs with defines the function, fails the tests and does something else, also where the
    solution is too short to hold a mistake.
    """
    task = HumanEval(timeout_s=1.0, allow_unsafe_code=True)
    known = Mistakes(task, humaneval)
    async with jail.in_use():
        for number in (0, 23, 53):
            problem = humaneval[number]
            mistakes = await known.of(problem)
            assert mistakes
            for program in mistakes:
                assert programs.defines(program, task.form(problem))
                assert await task.grade(program, problem) is False
                assert await task.same(program, problem.target, problem) is False


def test_a_time_limit_that_is_none() -> None:
    """It is refused before anything is read."""
    with pytest.raises(ConfigError, match="timeout_s=0"):
        HumanEval(timeout_s=0)
