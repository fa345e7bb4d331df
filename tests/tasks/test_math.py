r"""MATH, on invented problems in the layouts of the authors, of MATH-500 and of the published Coral code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coral.errors import DataError
from coral.tasks import mathematics, registry
from coral.types import Answered, Problem

Load = Callable[..., list[Problem]]
Write = Callable[..., Path]

PUBLISHED = {
    "problem": "What is $\\frac{1}{2}+\\frac{1}{4}$?",
    "level": "Level 2",
    "type": "Prealgebra",
    "solution": "First $\\boxed{\\frac{2}{4}}$ and one more quarter: $\\boxed{\\frac{3}{4}}$.",
}
MATH_500 = {
    "problem": PUBLISHED["problem"],
    "solution": PUBLISHED["solution"],
    "answer": "\\frac{3}{4}",
    "subject": "Prealgebra",
    "level": 2,
    "unique_id": "test/prealgebra/7.json",
}
CONVERTED = {"problem": PUBLISHED["problem"], "answer": "\\frac{3}{4}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The authors' folder: one file a problem."""
    for name in ("train/algebra/1.json", "test/prealgebra/7.json", "test/number_theory/7.json"):
        path = tmp_path / "MATH" / name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(PUBLISHED, indent=4))
    return tmp_path / "MATH"


def test_the_authors_folder(load: Load, folder: Path) -> None:
    """A problem is named by split, type and number, and its gold is the last box of the solution."""
    problems = load("math", folder)
    assert [problem.id for problem in problems] == ["test-number_theory-7", "test-prealgebra-7"]
    assert problems[0].target == "\\frac{3}{4}"
    assert problems[0].group == {"level": "2", "type": "Prealgebra"}
    assert [problem.id for problem in load("math", folder, split="train")] == ["train-algebra-1"]


def test_a_part_of_the_folder(load: Load, folder: Path) -> None:
    """Given a split's or a type's folder, or one file, problems keep their names."""
    for part in ("test", "test/prealgebra", "test/prealgebra/7.json"):
        assert "test-prealgebra-7" in [problem.id for problem in load("math", folder / part)], part


def test_math_500_names_the_same_problems(load: Load, write: Write, folder: Path) -> None:
    """`unique_id` and the authors' folder give one problem one name, one gold and one group."""
    [problem] = load("math", write("test.jsonl", [MATH_500]))
    assert problem == load("math", folder / "test" / "prealgebra")[0]


def test_the_converted_form(load: Load, write: Write) -> None:
    """The published Coral code reads problem and answer only: no group, and an id of the content."""
    [problem] = load("math", write("math.jsonl", [CONVERTED]))
    assert (problem.target, problem.group, len(problem.id)) == ("\\frac{3}{4}", {}, 16)


def test_content_ids_survive_shuffling(load: Load, write: Write) -> None:
    """Without names of the authors, an id depends on the problem alone; exact repeats are numbered."""
    records = [CONVERTED | {"problem": f"What is {number}?"} for number in range(5)]
    names = {problem.question: problem.id for problem in load("math", write("a.jsonl", records))}
    shuffled = load("math", write("b.jsonl", [records[3], records[1], records[3]]))
    assert [problem.id for problem in shuffled] == [
        names["What is 3?"],
        names["What is 1?"],
        names["What is 3?"] + "-2",
    ]


@pytest.mark.parametrize(
    ("solution", "target", "why"),
    [
        ("So $\\boxed{\\left\\{\\frac{1}{2}, 3\\right\\}}$.", None, "braces within braces"),
        ("It is $\\boxed 5$.", "5", "a box without braces"),
        ("It is $\\fbox{5}$.", "5", "the other box of old solutions"),
        ("They are $\\boxed{2}$ and $\\boxed{-2}$.", "2, -2", "both boxes"),
        ("So $x = \\boxed{2}$ or $x=\\boxed{3}$.", "2, 3", "both boxes, with the name of the unknown"),
        ("Take \\boxed{4}. Then it is \\boxed{5}.", "5", "a step and the answer"),
    ],
)
def test_boxes(load: Load, write: Write, solution: str, target: str | None, why: str) -> None:
    """The box is read with balanced braces, however it is written."""
    [problem] = load("math", write("test.jsonl", [PUBLISHED | {"solution": solution}]))
    assert problem.target.count("{") == problem.target.count("}"), why
    assert target is None or problem.target == target, why


def test_levels_that_are_unknown_stay(load: Load, write: Write) -> None:
    """Two problems of the train split are of 'Level ?'."""
    [problem] = load("math", write("train.jsonl", [PUBLISHED | {"level": "Level ?"}]), split="train")
    assert problem.group["level"] == "?"


@pytest.mark.parametrize(
    ("record", "message", "why"),
    [
        (PUBLISHED | {"solution": "It is 3/4."}, "holds no \\\\boxed answer", "no box"),
        (
            PUBLISHED | {"solution": "$\\boxed{\\frac{3}{4}$"},
            "holds no \\\\boxed answer",
            "a brace never closed",
        ),
        ({"problem": "?", "level": "Level 1"}, "'solution' is missing", "neither answer nor solution"),
        ({"answer": "1"}, "'problem' is missing", "no problem"),
        ({"problem": "?", "answer": ["1", "2"]}, "'answer' holds", "two answers as a list"),
        ({"problem": "?", "answer": True}, "'answer' holds True", "a truth"),
        ({"problem": "?", "answer": {"value": 1}}, "'answer' holds", "an object"),
        ({"problem": "?", "answer": "1", "level": ["Level 1", "Level 2"]}, "'level' holds", "two levels"),
    ],
)
def test_bad_records(load: Load, write: Write, record: dict[str, Any], message: str, why: str) -> None:
    """A problem without a gold answer is reported, never skipped."""
    path = write("test.jsonl", [PUBLISHED, record])
    with pytest.raises(DataError, match=message) as caught:
        load("math", path)
    assert f"{path}, line 2: " in str(caught.value), why


@pytest.mark.parametrize(
    ("a", "b", "equal", "why"),
    [
        ("\\frac{3}{4}", "0.75", True, "another notation of one number"),
        ("\\frac{3}{4}", "\\frac{6}{8}", True, "not reduced"),
        ("x^2-1", "(x-1)(x+1)", True, "needs algebra, so it is compared in a worker"),
        ("x^2-1", "x^2+1", False, "another expression"),
    ],
)
async def test_equality(load: Load, write: Write, a: str, b: str, equal: bool, why: str) -> None:
    """Answers are the same when they mean the same, in both directions."""
    task = registry.load("math")
    [problem] = load("math", write("test.jsonl", [CONVERTED | {"answer": b}]))
    assert await task.same(a, b, problem) is await task.same(b, a, problem) is equal, why
    assert await task.grade(a, problem) is equal, why


async def test_an_endless_comparison_is_no_verdict(
    load: Load, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the grader runs out of time the grade is None, not wrong, and the two answers are not the same."""
    monkeypatch.setattr(mathematics, "TIMEOUT_S", 1e-5)
    task = registry.load("math")
    [problem] = load("math", write("test.jsonl", [CONVERTED | {"answer": "x(x+14)"}]))
    assert await task.grade("(x+7)^2-49", problem) is None
    assert await task.same("(x+7)^2-49", "x(x+14)", problem) is False


def test_reading_a_reply(load: Load, write: Write) -> None:
    """The box that a reply ends in is its answer."""
    [problem] = load("math", write("test.jsonl", [CONVERTED]))
    reply = "Two quarters and one more.\n\n$$\\boxed{\\frac{3}{4}}$$"
    assert registry.load("math").read(reply, problem) == Answered("\\frac{3}{4}")


@pytest.mark.parametrize("answer", [["5"], 5, "5", [5], "$5$"])
def test_answers_that_are_not_texts(load: Load, write: Write, answer: Any) -> None:
    """A number, and a list of one, are the answer that they hold."""
    [problem] = load("math", write("test.jsonl", [{"problem": "?", "answer": answer}]))
    assert problem.target == "5"


def test_ids_of_the_authors_stay_apart(load: Load, write: Write) -> None:
    """Ids in another script, or that differ in signs alone, are two; MATH-500's are what they were."""
    names = ["甲-1", "乙-1", "C++", "C#", "test/algebra/1.json"]
    records = [{"problem": "?", "answer": "1", "unique_id": name} for name in names]
    found = [problem.id for problem in load("math", write("test.jsonl", records))]
    assert len(set(found)) == 5
    assert found[-1] == "test-algebra-1"
