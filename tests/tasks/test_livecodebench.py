"""LiveCodeBench by its published schema, on problems of our own."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coral import jail
from coral.errors import ConfigError, DataError
from coral.tasks.code import cases
from coral.tasks.code.livecodebench import LiveCodeBench, same_output
from coral.types import Answered, Problem

Load = Callable[..., list[Problem]]
Write = Callable[..., Path]
UNSAFE = {"allow_unsafe_code": True}
TASK = LiveCodeBench(allow_unsafe_code=True)


@pytest.fixture
def fixture(data: Path) -> Path:
    """Four problems: two scripts, two classes to complete."""
    return data / "livecodebench" / "SYNTHETIC_fixture.jsonl"


@pytest.fixture
def problems(load: Load, fixture: Path) -> list[Problem]:
    """All of them."""
    return load("livecodebench", fixture, options=UNSAFE)


@pytest.fixture
def records(fixture: Path) -> list[dict[str, Any]]:
    """Their records."""
    return [json.loads(line) for line in fixture.read_text().splitlines()]


def test_the_fixture_is_read(problems: list[Problem]) -> None:
    """Ids, groups, and the two kinds: a script, and a method of a class."""
    assert [problem.id for problem in problems] == ["9001_A", "abc901_b", "9101", "9102"]
    assert [problem.source["method"] for problem in problems] == ["", "", "longestEvenRun", "pairsOfWords"]
    assert problems[3].group == {"difficulty": "hard", "platform": "leetcode"}


def test_the_hidden_tests_are_not_stated(problems: list[Problem]) -> None:
    """The opening holds the statement and the code to complete, and no test case beside."""
    for problem in problems:
        opening = TASK.opening(problem)
        assert problem.question in opening
        assert problem.source["starter"].strip() in opening
        assert not isinstance(TASK.read(opening, problem), Answered)
        assert "4000000000" not in opening
        assert str(problem.source["hidden"])[:40] not in opening


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({"difficulty": "easy"}, ["9001_A", "9101"]),
        ({"difficulty": "Easy", "platform": "leetcode"}, ["9101"]),
        ({"platform": "atcoder"}, ["abc901_b"]),
        ({"start_date": "2024-09-01"}, ["9101", "9102"]),
        ({"end_date": "2024-02-10"}, ["9001_A", "abc901_b"]),
        ({"start_date": "2024-01-01", "end_date": "2024-12-31"}, ["abc901_b", "9101"]),
    ],
)
def test_filters(load: Load, fixture: Path, options: dict[str, str], ids: list[str]) -> None:
    """By difficulty, platform and the day of the contest, both ends included."""
    found = load("livecodebench", fixture, options={**UNSAFE, **options})
    assert [problem.id for problem in found] == ids


def test_filters_that_let_nothing_pass(load: Load, fixture: Path) -> None:
    """The message says what there is to ask for; a date that is none is refused before anything is read."""
    with pytest.raises(DataError, match="passes the filters") as caught:
        load("livecodebench", fixture, options={**UNSAFE, "difficulty": "trivial"})
    assert (
        "easy, hard, medium problems of atcoder, codeforces, leetcode from 2023-08-21 to 2025-01-04"
        in str(caught.value.remedy)
    )
    with pytest.raises(ConfigError, match="cannot take start_date='May'"):
        LiveCodeBench(start_date="May")


async def test_other_programs(problems: list[Problem]) -> None:
    """Scripts and methods are graded by public and hidden cases alike; a tuple is as good as a list."""
    script, _, run, pairs = problems
    verdicts = {
        "print(6)": (script, False),
        "input()\nprint(sum(map(int, input().split())), end='')": (script, True),
        "input()\nprint(sum(map(int, input().split())))\nraise SystemExit(3)": (script, True),
        "import sys\nsys.stdout.write('6')": (script, False),
        "class Solution:\n    def longestEvenRun(self, nums):\n        return 2 - 2 * (len(nums) < 3)": (
            run,
            False,
        ),
        "class Solution:\n    def pairsOfWords(self, a, b):\n"
        "        return tuple([x, y] for x, y in zip(a, b) if x[0] == y[0])": (pairs, True),
        "class Solution:\n    def pairsOfWords(self, a, b):\n"
        "        return [list(p) for p in itertools.chain(zip(a, b)) if p[0][0] == p[1][0]]": (
            pairs,
            True,
        ),
    }
    async with jail.in_use():
        for program, (problem, right) in verdicts.items():
            assert TASK.read(f"```python\n{program}\n```", problem) == Answered(program)
            assert await TASK.grade(program, problem) is right, program


async def test_equal_behaviour(problems: list[Problem]) -> None:
    """Programs are the same that do the same with the public inputs, whatever the hidden tests say."""
    script, _, run, _ = problems
    blind = "n = int(input())\nprint(max(sum(map(int, input().split())), 0))"
    other = "class Solution:\n    def longestEvenRun(self, nums):\n        return 0"
    async with jail.in_use():
        assert await TASK.same(script.target, blind, script) is True
        assert await TASK.same(script.target, "print(6)", script) is False
        assert await TASK.same(run.target, other, run) is False


SUMS = "n = int(input())\nprint(sum(map(int, input().split())))"
SCRIPTS = {
    "exit behind it": (f"{SUMS}\nexit()", True),
    "quit behind it": (f"{SUMS}\nquit(0)", True),
    "an exit code": (f"{SUMS}\nexit(1)", True),
    "an exit with words": (f"{SUMS}\nimport sys\nsys.exit('done')", True),
    "an exception behind it": (f"{SUMS}\nraise ValueError", False),
    "deep recursion": (f"def f(n):\n    return n and f(n - 1)\nf(10_000)\n{SUMS}", True),
    "names without their imports": (f"{SUMS}\nmean([1, *deque([2])]), stdin.read(), pow(2, 3, 5)", True),
    "a module without its import": (f"{SUMS}\nos.getpid()", False),
    "a main function": (
        (
            "def main():\n    input()\n    print(sum(map(int, input().split())))\n"
            "if __name__ == '__main__':\n    main()"
        ),
        True,
    ),
    "a main function that nobody calls": ("def main():\n    print(sum(map(int, input().split())))", False),
    "input from sys": (
        "import sys\ninput = sys.stdin.readline\n" + SUMS,
        True,
    ),
    "the file itself": ("print(sum(map(int, open(0).read().split()[1:])))", True),
    "bytes": ("import sys\nprint(sum(map(int, sys.stdin.buffer.read().split()[1:])))", True),
    "a thread with a large stack": (
        (
            "import sys, threading\nsys.setrecursionlimit(1 << 25)\nthreading.stack_size(1 << 27)\n"
            "def main():\n    input()\n    print(sum(map(int, input().split())))\n"
            "thread = threading.Thread(target=main)\nthread.start()\nthread.join()"
        ),
        True,
    ),
    "a type without its import": ("def f(x: List[int]):\n    return x\n" + SUMS, True),
    "words for who types": ("n = int(input('n? '))\nprint(sum(map(int, input().split())))", False),
    "words on standard error": (f"import sys\nprint('here', file=sys.stderr)\n{SUMS}", True),
    "without end": ("while True:\n    print('x' * 1000)", False),
}


@pytest.mark.parametrize(("script", "right"), SCRIPTS.values(), ids=SCRIPTS)
async def test_scripts_as_models_write_them(problems: list[Problem], script: str, right: bool) -> None:
    """A script is right that prints the answer, however it reads and leaves, but by an exception. What it
    does not import is what the authors' grader imports.
    """
    async with jail.in_use():
        belief = TASK.read(f"```python\n{script}\n```", problems[0])
        assert isinstance(belief, Answered)
        assert await TASK.grade(belief.value, problems[0]) is right


PAIRS = "def pairsOfWords(a, b):\n    return [[x, y] for x, y in zip(a, b) if x[0] == y[0]]"
METHODS = {
    "a function in the place of the class": (PAIRS, True),
    "a name in its place": (f"{PAIRS.replace('def pairsOfWords', 'def pairs')}\npairsOfWords = pairs", True),
    "a method without its class": (PAIRS.replace("(a,", "(self, a,"), None),
    "a function beside a class that lacks it": (f"{PAIRS}\nclass Solution:\n    pass", None),
    "a tuple": (PAIRS.replace("[[x, y]", "tuple([x, y]").replace("y[0]]", "y[0])"), True),
    "tuples within a list": (PAIRS.replace("[x, y]", "(x, y)"), False),
    "an exit": (f"{PAIRS}\nexit(0)", False),
}


@pytest.mark.parametrize(("program", "right"), METHODS.values(), ids=METHODS)
async def test_methods_as_models_write_them(
    problems: list[Problem], program: str, right: bool | None
) -> None:
    """The authors' grader calls a function where there is no class. None: it is no such program."""
    async with jail.in_use():
        belief = TASK.read(f"```python\n{program}\n```", problems[3])
        assert isinstance(belief, Answered) is (right is not None)
        if isinstance(belief, Answered):
            assert await TASK.grade(belief.value, problems[3]) is right
            assert await TASK.same(belief.value, problems[3].target, problems[3]) is right


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("print(1)", "print(1.0)", True),
        ("print(1, 2)", "print('1  2 ')", True),
        ("print(100)", "print('1e2')", True),
        ("print(-0.0)", "print('000')", True),
        ("print(0.1)", "print(0.1000)", True),
        ("print(1)", "print(2)", False),
        ("print(1)", "print('0x1')", False),
        ("print(10**40)", "print(10**40 + 1)", False),
        ("print(1, 2)", "print(12)", False),
    ],
)
async def test_scripts_are_the_same_whose_outputs_the_grader_takes_for_equal(
    problems: list[Problem], a: str, b: str, same: bool
) -> None:
    """One definition of equal outputs: two programs that are right alike are not two answers."""
    async with jail.in_use():
        assert await TASK.same(a, b, problems[0]) is same


@pytest.mark.parametrize(
    ("written", "wanted", "same"),
    [
        ("6\n", "6", True),
        ("6 \n\n", "6\n", True),
        ("2.0", "2", True),
        ("1.50 2\n3", "1.5 2.0\n3", True),
        ("yes", "YES", False),
        ("1 2", "1\n2", False),
        ("6\n7", "6", False),
        ("", "6", False),
        ("nan", "nan", True),
        ("1.5000001", "1.5", False),
        ("1  2\t3", "1 2 3", True),
        ("Yes  3", "Yes 3", False),
        ("Case 1.0", "Case 1", False),
        ("Yes 3  ", "Yes 3", True),
        ("nan 1.0", "nan 1", False),
        ("inf -Infinity", "Infinity -inf", True),
        ("1_000", "1000", True),
        ("1e3 -0", "1000 0.0", True),
        ("0.1", "0.10000000000000000001", False),
        ("\r\n6\r\n", "6", True),
        ("1\n\n2", "1\n2", False),
        ("numbers ['1e0']", "1", False),
        ("\u0663", "3", True),
    ],
)
def test_outputs(written: str, wanted: str, same: bool) -> None:
    """Lines are equal but for blanks at their ends, or hold equal numbers, as the authors have it."""
    assert same_output(written, wanted) is same


class Harmful:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


def pack(content: Any) -> str:
    """As the authors pack test cases."""
    return base64.b64encode(zlib.compress(pickle.dumps(content))).decode()


ONE = [{"input": "1", "output": "1", "testtype": "stdin"}]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"public_test_cases": None}, "the field 'public_test_cases' is missing or empty"),
    ({"public_test_cases": "[]"}, "the field 'public_test_cases' holds no test case"),
    ({"public_test_cases": "[1]"}, "the field 'public_test_cases' holds no list of test cases"),
    ({"private_test_cases": "?"}, "the field 'private_test_cases' holds neither JSON nor packed test cases"),
    ({"private_test_cases": pack(Harmful())}, "a pickle of something else than a text"),
    ({"private_test_cases": pack(["[]", "[]"])}, "a pickle of something else than a text"),
    ({"private_test_cases": base64.b64encode(zlib.compress(b"\x80\x04\x8c")).decode()}, "a damaged pickle"),
    ({"private_test_cases": pack("?")}, "the field 'private_test_cases' holds no list of test cases"),
    ({"metadata": "{"}, "the field 'metadata' is not JSON"),
    ({"metadata": '{"func_name": "a b"}'}, "the field 'metadata' names no function: 'a b'"),
    ({"metadata": '{"func_name": "f"}'}, "of the kind stdin, but 'metadata' names a function"),
    ({"contest_date": "yesterday"}, "the field 'contest_date' holds 'yesterday', which is no date"),
    ({"difficulty": ""}, "the field 'difficulty' is missing or empty"),
    ({"solution": "n = ("}, "the field 'solution' is not Python that compiles: line 1"),
    ({"solution": "n = 1"}, "the field 'solution' writes nothing"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_records(
    load: Load,
    write: Write,
    records: list[dict[str, Any]],
    change: dict[str, Any],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """What is wrong is said with file, line and field; no pickle is ever run."""
    monkeypatch.chdir(tmp_path)
    path = write("test.jsonl", [records[1], {**records[0], **change}])
    with pytest.raises(DataError) as caught:
        load("livecodebench", path, options=UNSAFE)
    assert message in str(caught.value)
    assert f"{path}, line 2: " in str(caught.value)
    assert not (tmp_path / "harmed").exists()


def test_what_is_packed_as_the_authors_do_is_read() -> None:
    """base64 of zlib of a pickle of JSON, by any protocol of pickle; without the pickle as well."""
    text = json.dumps(ONE)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        content = base64.b64encode(zlib.compress(pickle.dumps(text, protocol))).decode()
        assert cases.read(content) == cases.read(text) == cases.read(cases.packed(text))


async def test_long_hidden_tests_stay_in_the_data(
    load: Load, write: Write, records: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conversation stores where they stand; without the file, or with another one, nothing is graded."""
    monkeypatch.setattr(cases, "KEPT_IN_RECORD", 10)
    path = write("test.jsonl", records[:2])
    problem = load("livecodebench", path, options=UNSAFE)[1]
    assert problem.source["hidden"] == {
        "file": str(path),
        "number": 2,
        "sha256": problem.source["hidden"]["sha256"],
    }
    async with jail.in_use():
        assert await TASK.grade(problem.target, problem) is True
        cases._from_file.cache_clear()
        write("test.jsonl", records[:1])
        with pytest.raises(DataError, match="does not hold the hidden tests of this run any more"):
            await TASK.grade(problem.target, problem)
        path.unlink()
        with pytest.raises(DataError, match="holds the hidden tests of this run, and is not there"):
            await TASK.grade(problem.target, problem)


def test_without_a_solution_there_is_no_gold(load: Load, write: Write, records: list[dict[str, Any]]) -> None:
    """The published records hold none."""
    [problem] = load("livecodebench", write("test.jsonl", [{**records[0], "solution": None}]), options=UNSAFE)
    assert problem.target == ""
