"""What holds for every problem of every task that reads files, on the samples of their data."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coral.tasks import registry
from coral.tasks.protocol import Task
from coral.types import OPENER, RESPONDER, Answered, Problem

SAMPLES = [
    ("mmlu_pro", "mmlu_pro/test.sample.jsonl", {}),
    ("gpqa", "gpqa/SYNTHETIC_fixture.csv", {}),
    ("gsm8k", "gsm8k/test.sample.jsonl", {}),
    ("explore_tom", "explore_tom", {}),
    ("explore_tom", "explore_tom", {"story": "infilled"}),
    ("hi_tom", "hi_tom/Hi-ToM_data.sample.json", {}),
    ("hi_tom", "hi_tom/Hi-ToM_data.sample.json", {"choices": True}),
    ("mbpp_cr", "mbpp_cr/mbpp_cr.sample.jsonl", {}),
    ("math", "", {}),
    ("humaneval", "humaneval/HumanEval.jsonl.gz", {"allow_unsafe_code": True}),
    ("mbpp", "mbpp/mbpp.sample.jsonl", {"allow_unsafe_code": True}),
    ("mbpp", "mbpp/sanitized-mbpp.sample.json", {"allow_unsafe_code": True}),
    ("livecodebench", "livecodebench/SYNTHETIC_fixture.jsonl", {"allow_unsafe_code": True}),
]
MATH = [
    {"problem": "What is $\\sqrt{8}$?", "answer": "2\\sqrt{2}", "level": 1},
    {
        "problem": "Solve $x^2<1$.",
        "solution": "So $x\\in\\boxed{(-1,1)}$.",
        "level": "Level 3",
        "type": "Algebra",
    },
    {"problem": "What share?", "answer": "\\frac{1}{3}"},
    {"problem": "Which points?", "answer": "(1,2),(3,4)"},
    {"problem": "Which matrix?", "answer": "\\begin{pmatrix} 1 & 0 \\\\ 0 & 1 \\end{pmatrix}"},
    {"problem": "Who?", "answer": "\\text{Evelyn}"},
    {"problem": "How much?", "answer": "\\$1,234.50"},
    {"problem": "Which angle?", "answer": "90^\\circ"},
]

Case = tuple[Task, list[Problem]]


@pytest.fixture(params=SAMPLES, ids=lambda sample: "-".join([sample[0], *map(str, sample[2])]))
def case(
    request: pytest.FixtureRequest, load: Callable[..., list[Problem]], data: Path, write: Callable[..., Path]
) -> Case:
    """A task and all problems of its sample."""
    name, path, options = request.param
    where = data / path if path else write("test.jsonl", MATH)
    split = "all" if name == "mbpp" else ""
    return registry.load(name, **options), load(name, where, options=options, split=split)


def submission(task: Task, problem: Problem, answer: str) -> str:
    """A reply that ends in the form that the task's instruction asks for."""
    if "```" in task.instruction:
        return f"That follows from the second line.\n\n```python\n{answer}\n```"
    if "\\boxed" in task.instruction:
        return f"That follows from the second line.\n\n\\boxed{{{answer}}}"
    form = f"({answer})" if "Answer: (X)" in task.instruction else answer
    return f"That follows from the second line.\n\nAnswer: {form}"


def test_ids_are_safe_and_unique(case: Case) -> None:
    """An id serves in file names and in `<problem>#<sample>`."""
    _, problems = case
    names = [problem.id for problem in problems]
    assert len(set(names)) == len(names) > 0
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)


async def test_the_target_is_right(case: Case) -> None:
    """The gold answer is graded right, and is the same as itself."""
    task, problems = case
    for problem in problems:
        assert await task.grade(problem.target, problem) is True
        assert await task.same(problem.target, problem.target, problem) is True


async def test_another_answer_is_wrong(case: Case) -> None:
    """An answer that is not the gold is graded wrong."""
    task, problems = case
    for problem in problems:
        if problem.choices:
            wrong = "ABCD"["ABCD".find(problem.target) - 1]
            if problem.choices[ord(wrong) - ord("A")] == problem.choices[ord(problem.target) - ord("A")]:
                continue  # a distractor that repeats the gold: see test_gpqa
        else:
            wrong = "98765" if "\\boxed" in task.instruction else "the attic"
        assert await task.grade(wrong, problem) is False


def test_the_form_asked_for_is_read(case: Case) -> None:
    """A reply that follows the instruction gives its answer back by the rules alone."""
    task, problems = case
    for problem in problems:
        assert task.read(submission(task, problem, problem.target), problem) == Answered(problem.target)


def test_the_instruction_itself_submits_nothing(case: Case) -> None:
    """Whoever repeats what it was told has not answered: placeholders are no answers."""
    task, problems = case
    for problem in problems:
        for text in (task.instruction, f"Answer: {task.instruction}"):
            assert not isinstance(task.read(text, problem), Answered)
            assert not isinstance(task.parse(text, problem), Answered)


def test_a_bare_answer_is_parsed(case: Case) -> None:
    """What an extractor model answers is brought into the form of the gold."""
    task, problems = case
    for problem in problems:
        assert task.parse(problem.target, problem) == Answered(problem.target)


def test_the_opening_states_the_problem(case: Case) -> None:
    """The partner is told the question, every choice and the story, and not the gold."""
    task, problems = case
    for problem in problems:
        opening = task.opening(problem)
        wanted = [problem.question, *problem.choices, problem.source.get("story", "")]
        assert all(part in opening for part in wanted)
        assert all(task.briefing(problem, seat) == "" for seat in (OPENER, RESPONDER))


def test_problems_go_to_disk_and_back(case: Case) -> None:
    """A problem is stored with its conversation; what is read back is the same."""
    import msgspec

    _, problems = case
    for problem in problems:
        assert msgspec.json.decode(msgspec.json.encode(problem), type=Problem) == problem


def test_choices_are_sound(case: Case) -> None:
    """Choices are texts without blanks around them, and the target names one of them."""
    _, problems = case
    for problem in problems:
        assert all(choice == choice.strip() != "" for choice in problem.choices)
        if problem.choices:
            assert 0 <= ord(problem.target) - ord("A") < len(problem.choices)


def test_records_hold_no_more_than_is_needed(case: Case) -> None:
    """Solutions and explanations stay out of the run folder: `source` holds what opening and reading need."""
    _, problems = case
    fields: set[Any] = {field for problem in problems for field in problem.source}
    assert fields <= {"story", "containers", "program", "problem", *PROGRAMS}


PROGRAMS = {"name", "names", "given", "shown", "tests", "setup", "method", "starter", "public", "hidden"} | {
    "program",
    "problem",
}
"""What is needed to state a problem whose answer is a program, and to grade it in a run without its data."""
