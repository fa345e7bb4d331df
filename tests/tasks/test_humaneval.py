"""HumanEval, on the whole data set as its authors publish it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coral.errors import DataError
from coral.tasks.code.humaneval import HumanEval
from coral.types import Answered, Problem

Load = Callable[..., list[Problem]]
Write = Callable[..., Path]

RECORD = {
    "task_id": "test/0",
    "prompt": 'def one():\n    """Return 1."""\n',
    "canonical_solution": "    return 1",
    "test": "def check(candidate):\n    assert candidate() == 1",
    "entry_point": "one",
}


@pytest.fixture
def problems(load: Load, data: Path) -> list[Problem]:
    """All 164 problems."""
    return load("humaneval", data / "humaneval" / "HumanEval.jsonl.gz")


def test_the_whole_data_set_is_read(problems: list[Problem]) -> None:
    """164 problems with the authors' numbers, each with a solution that defines what is asked for."""
    assert [problem.id for problem in problems] == [f"HumanEval-{number}" for number in range(164)]
    assert all(f"def {problem.source['name']}(" in problem.target for problem in problems)


def test_the_hidden_tests_are_not_stated(problems: list[Problem]) -> None:
    """The opening holds the prompt and nothing of the tests or the solution."""
    task = HumanEval()
    for problem in problems:
        opening = task.opening(problem)
        assert problem.question in opening
        assert "def check(candidate)" not in opening
        assert problem.target not in opening


@pytest.mark.parametrize(
    ("number", "helper"), [(10, "is_palindrome"), (32, "poly"), (38, "encode_cyclic"), (50, "encode_shift")]
)
def test_prompts_with_a_second_function(problems: list[Problem], number: int, helper: str) -> None:
    """The helper is given to the tests, and it is never taken for the answer."""
    problem, task = problems[number], HumanEval()
    assert f"def {helper}(" in problem.source["given"]
    assert f"def {problem.source['name']}(" not in problem.source["given"]
    stated = f"```python\n{problem.question}\n```"
    assert not isinstance(task.read(stated, problem), Answered)


def test_a_chat_answer_and_a_completion_are_the_same_program(problems: list[Problem]) -> None:
    """A chat model repeats the function; a completion holds the body alone, with or without its blanks."""
    task = HumanEval()
    for problem in problems:
        body = problem.target.removeprefix(problem.question).strip("\n")
        for said in (problem.target, body, body.strip()):
            for text in (said, f"```python\n{said}\n```"):
                read = task.read(text, problem)
                assert isinstance(read, Answered), problem.id
                assert re.sub(r"\s", "", read.value) == re.sub(r"\s", "", problem.target), problem.id


def test_nobody_answers_by_repeating_the_problem(problems: list[Problem]) -> None:
    """Neither the statement of a problem nor the instruction submits a program."""
    task = HumanEval()
    for problem in problems:
        for text in (task.opening(problem), problem.question, task.instruction):
            assert not isinstance(task.read(text, problem), Answered), problem.id


BAD: list[tuple[dict[str, Any], str]] = [
    ({"test": None}, "the field 'test' is missing or empty"),
    ({"prompt": ""}, "the field 'prompt' is missing or empty"),
    (
        {"test": "def check(candidate):\nassert candidate() == 1"},
        "'test' is not Python that compiles: line 2",
    ),
    ({"test": "def test(candidate):\n    pass"}, "'test' defines no function 'check'"),
    ({"canonical_solution": "  return ("}, "'canonical_solution' is not Python that compiles: line 3"),
    ({"entry_point": "two"}, "do not define the entry point 'two'"),
    ({"entry_point": 1}, "the field 'entry_point' holds int, not text"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_records(load: Load, write: Write, change: dict[str, Any], message: str) -> None:
    """What is wrong with a record is said with file, line and field."""
    path = write("HumanEval.jsonl", [RECORD, {**RECORD, "task_id": "test/1", **change}])
    with pytest.raises(DataError) as caught:
        load("humaneval", path)
    assert message in str(caught.value)
    assert f"{path}, line 2: " in str(caught.value)


def test_the_data_of_another_task(load: Load, data: Path) -> None:
    """The message says which fields the file has, and asks whether it belongs to another task."""
    with pytest.raises(DataError) as caught:
        load("humaneval", data / "mbpp" / "mbpp.sample.jsonl")
    assert "is it the file of another task" in caught.value.remedy


def test_the_authors_own_fixture(load: Load, data: Path) -> None:
    """Their example has a prompt without a docstring; completions of two blanks or a tab are bodies."""
    [problem] = load("humaneval", data / "humaneval" / "example_problem.jsonl")
    lines = (data / "humaneval" / "example_samples.jsonl").read_text().splitlines()
    samples = [json.loads(line)["completion"] for line in lines]
    assert all(isinstance(HumanEval().read(sample, problem), Answered) for sample in samples)
