"""MBPP, in its original and its sanitised form, on the authors' own records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coral import jail
from coral.errors import DataError
from coral.tasks.code.mbpp import Mbpp
from coral.types import Answered, Problem

Load = Callable[..., list[Problem]]
Write = Callable[..., Path]

RECORD = {
    "task_id": 11,
    "text": "Write a function that gives one.",
    "code": "def one():\r\n    return 1",
    "test_list": ["assert one() == 1"],
    "test_setup_code": "",
    "challenge_test_list": ["assert type(one()) is int"],
}


@pytest.fixture
def sample(data: Path) -> Path:
    """Records 1-110, 367 and 927 in the original form."""
    return data / "mbpp" / "mbpp.sample.jsonl"


def test_the_splits_are_ranges_of_the_number(load: Load, sample: Path) -> None:
    """As the authors have them: 11-510 test, 511-600 validation, 601-974 train, 1-10 prompt."""
    ids = {
        split: [problem.id for problem in load("mbpp", sample, split=split)]
        for split in ("", "train", "prompt", "all")
    }
    assert ids[""] == [str(number) for number in (*range(11, 111), 367)]
    assert ids["train"] == ["927"]
    assert ids["prompt"] == [str(number) for number in range(1, 11)]
    assert len(ids["all"]) == 112


def test_a_split_that_is_not_there(load: Load, sample: Path) -> None:
    """The message says which numbers it has, and which splits the data hold."""
    with pytest.raises(
        DataError, match=r"'validation' \(task_id 511-600\) but of: prompt, test, train"
    ) as caught:
        load("mbpp", sample, split="validation")
    assert caught.value.remedy == "ask for --split prompt"


def test_the_sanitised_form(load: Load, data: Path) -> None:
    """A list, with `prompt` in the place of `text`, and imports of its own for the tests."""
    problems = load("mbpp", data / "mbpp" / "sanitized-mbpp.sample.json", split="all")
    assert [problem.id for problem in problems] == ["2", "3", "4", "8", "62"]
    assert problems[0].question == "Write a function to find the shared elements from the given two lists."
    assert problems[0].source["name"] == "similar_elements"


def test_imports_of_the_tests(load: Load, write: Write) -> None:
    """They are run before the tests, and shown with them."""
    record = {**RECORD, "prompt": RECORD["text"], "test_imports": ["import math"]} | {"text": None}
    [problem] = load("mbpp", write("mbpp.jsonl", [record]))
    assert problem.source["setup"] == "import math"
    assert "import math\nassert one() == 1" in Mbpp().opening(problem)


def test_what_the_tests_use_of_a_program(load: Load, sample: Path) -> None:
    """The first name is the entry point; classes that the tests build from are names, too."""
    problems = {problem.id: problem for problem in load("mbpp", sample, split="all")}
    assert problems["367"].source["names"] == ["is_tree_balanced", "Node"]
    assert problems["927"].source["names"] == ["max_height", "Node"]
    assert problems["2"].source["names"] == ["similar_elements"]


def test_the_agents_see_the_tests_and_not_the_challenge(load: Load, write: Write) -> None:
    """As in the published prompt; those of the challenge grade where they are asked for, unseen."""
    path = write("mbpp.jsonl", [RECORD])
    [plain], [hard] = load("mbpp", path), load("mbpp", path, options={"challenge_tests": True})
    for problem in (plain, hard):
        opening = Mbpp().opening(problem)
        assert problem.question in opening
        assert "assert one() == 1" in opening
        assert "type(one())" not in opening
    assert "type(one())" not in plain.source["tests"]
    assert "type(one())" in hard.source["tests"]


def test_the_reference_solution_is_read(load: Load, sample: Path, data: Path) -> None:
    """In a block or bare, every sample solution is what the message submits; the tests shown are none."""
    task = Mbpp()
    for path in (sample, data / "mbpp" / "sanitized-mbpp.sample.json"):
        for problem in load("mbpp", path, split="all"):
            for text in (problem.target, f"So:\n\n```python\n{problem.target}\n```\n\nThat is all."):
                assert task.read(text, problem) == Answered(problem.target), problem.id
            for text in (task.opening(problem), task.instruction):
                assert not isinstance(task.read(text, problem), Answered), problem.id


BAD: list[tuple[dict[str, Any], str]] = [
    ({"text": None}, "the field 'text' is missing or empty"),
    ({"code": " "}, "the field 'code' is missing or empty"),
    ({"code": "def one(:\n    return 1"}, "'code' is not Python that compiles: line 1"),
    ({"test_list": None}, "the field 'test_list' is missing or empty"),
    ({"test_list": []}, "the field 'test_list' holds no test"),
    ({"test_list": [1]}, "the field 'test_list' is not a list of texts"),
    ({"test_list": "assert one() == 1"}, "the field 'test_list' is not a list of texts"),
    ({"test_list": ["assert one() == "]}, "'test_list' is not Python that compiles: line 1"),
    ({"test_list": ["assert two() == 1"]}, "no test in 'test_list' calls what the field 'code' defines"),
    ({"test_setup_code": "root = Node("}, "'test_setup_code' is not Python that compiles: line 1"),
    ({"challenge_test_list": "one"}, "the field 'challenge_test_list' is not a list of texts"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_records(load: Load, write: Write, change: dict[str, Any], message: str) -> None:
    """What is wrong with a record is said with file, line and field."""
    path = write("mbpp.jsonl", [RECORD, {**RECORD, "task_id": 12, **change}])
    with pytest.raises(DataError) as caught:
        load("mbpp", path)
    assert message in str(caught.value)
    assert f"{path}, line 2: " in str(caught.value)


@pytest.mark.parametrize("other", ["gsm8k/test.sample.jsonl", "humaneval/HumanEval.jsonl.gz"])
def test_the_data_of_another_task(load: Load, data: Path, other: str) -> None:
    """The message says which fields the file has, and asks whether it belongs to another task."""
    with pytest.raises(DataError) as caught:
        load("mbpp", data / other)
    assert "is it the file of another task" in caught.value.remedy


async def test_modules_that_tests_use_are_theirs(load: Load, write: Callable[..., Path]) -> None:
    """What they import through the reference solution is no part of a program: its own would be believed."""
    record = {
        "task_id": 14,
        "text": "The area of a circle.",
        "code": "import math\ndef area(r):\n    return math.pi * r ** 2",
        "test_list": ["assert math.isclose(area(10), 314.1592, rel_tol=0.001)"],
    }
    [problem] = load("mbpp", write("mbpp.jsonl", [record]), split="test", options={"allow_unsafe_code": True})
    assert (problem.source["name"], problem.source["names"]) == ("area", ["area"])
    assert problem.source["setup"] == "import math"
    liar = "class math:\n    isclose = lambda *_, **__: True\ndef area(r):\n    return 0"
    task = Mbpp(allow_unsafe_code=True)
    async with jail.in_use():
        assert await task.grade(problem.target, problem) is True
        assert await task.grade("def area(r):\n    return 3.14159265 * r * r", problem) is True
        assert await task.grade(liar, problem) is False
