"""MBPP: short Python programs from a sentence and three tests (Austin et al. 2021).

A record as published, one a line in `mbpp.jsonl`; `sanitized-mbpp.json` is a list, with `prompt` in the place
of `text`, and `test_imports`:
    {"task_id": 2, "text": "Write a function to find ...", "code": "def similar_elements(...",
     "test_list": ["assert similar_elements(...) == (4, 5)", ...], "test_setup_code": "",
     "challenge_test_list": []}

The splits are the authors' ranges of `task_id`. As in their prompt, the agents are shown the tests of
`test_list`: without them nobody knows what the function is called. `challenge_test_list` is never shown.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from coral.answers import programs
from coral.answers.programs import Form
from coral.errors import DataError
from coral.notation.lists import as_list
from coral.tasks import sources
from coral.tasks.code import shared, split
from coral.tasks.files import Row
from coral.tasks.identity import distinct, published_id
from coral.tasks.protocol import Source, TaskInfo
from coral.types import Problem, Seat

RANGES = {
    "test": range(11, 511),
    "validation": range(511, 601),
    "train": range(601, 975),
    "prompt": range(1, 11),
}
"""The authors' splits by `task_id`; "prompt" holds the examples of their prompt."""


@dataclass(frozen=True, kw_only=True)
class Mbpp(shared.ProgramAnswers):
    """MBPP, in its original and its sanitised form.

    Attributes:
        timeout_s: seconds that a program may take for the tests of a problem.
        allow_unsafe_code: where no jail works, run programs as the user's own.
        challenge_tests: a program has to pass `challenge_test_list`, too, which nobody is shown.
        split_information: one seat is told what the program should do, the other its name and some tests.
    """

    challenge_tests: bool = False
    split_information: bool = False

    info: ClassVar[TaskInfo] = TaskInfo(
        name="mbpp",
        title="MBPP: short Python programs from a sentence and three tests",
        size="500 test / 90 validation / 374 train / 10 prompt",
        origin="Google Research, https://github.com/google-research/google-research/tree/master/mbpp",
        license="CC-BY-4.0",
        fetch="curl -fLO https://raw.githubusercontent.com/google-research/google-research/master/mbpp/mbpp.jsonl",
        splits=(*RANGES, "all"),
    )

    def problems(self, source: Source) -> Iterator[Problem]:
        """Stream the problems of a split; see `Task.problems`."""
        found = self.gradable(rows(source, self.info), source)
        return distinct((row, self._problem(row)) for row in found)

    def opening(self, problem: Problem) -> str:
        if self.split_information:
            return split.OPENING
        return (
            f"I'm trying to write this Python program:\n\n{problem.question}\n\n"
            f"It has to pass these tests:\n\n```python\n{visible_tests(problem)}\n```"
        )

    def briefing(self, problem: Problem, seat: Seat) -> str:
        return split.told(problem, seat) if self.split_information else ""

    def form(self, problem: Problem) -> Form:
        name, *beside = dict.fromkeys((problem.source["name"], *problem.source["names"]))
        return Form(name=str(name), beside=tuple(map(str, beside)))

    def examples(self, problem: Problem) -> str:
        return visible_tests(problem)

    def _problem(self, row: Row) -> Problem:
        problem = problem_of(row, challenge_tests=self.challenge_tests)
        if not self.split_information:
            return problem
        name = str(problem.source["name"])
        return split.divided(problem, problem.question, name, problem.source["shown"])


def rows(source: Source, info: TaskInfo) -> Iterator[Row]:
    """The records of a split.

    Raises:
        DataError: the data hold none; or as `sources.rows`.
    """
    split = sources.split_of(source, info)
    there: set[str] = set()
    for row in sources.rows(source, info):
        row.text("code")  # of another task's file the splits say nothing
        number = row.scalar("task_id")
        held = next((name for name, ids in RANGES.items() if number.isdigit() and int(number) in ids), "all")
        there.add(held)
        if split in {held, "all"}:
            yield row
    if split not in there and split != "all":
        raise DataError(
            f"{source.data} holds no problem of the split '{split}' "
            f"(task_id {RANGES[split][0]}-{RANGES[split][-1]}) but of: {', '.join(sorted(there))}",
            remedy=f"ask for --split {min(there)}",
        )


def problem_of(row: Row, *, challenge_tests: bool = False) -> Problem:
    """The problem of one record, in either form.

    Raises:
        DataError: a field is missing or of the wrong kind, or its code does not compile.
    """
    question = row.text("text" if row.has("text") or not row.has("prompt") else "prompt")
    solution = shared.source_of(row, "code")
    shown, challenge = _tests(row, "test_list"), _tests(row, "challenge_test_list", needed=False)
    setup = "\n".join([*_tests(row, "test_imports", needed=False), _setup(row)]).strip("\n")
    tests = "\n".join([*shown, *(challenge if challenge_tests else ())])
    tree = shared.compiled(row, "code", solution)
    checked = [shared.compiled(row, "test_list", tests), shared.compiled(row, "test_setup_code", setup)]
    names = shared.used_names(checked, _bound(node for node in tree.body if not _is_import(node)))
    # Modules that tests use are theirs: a program's own `math` may say that anything is close to anything.
    imports = [node for node in tree.body if _is_import(node) and shared.used_names(checked, _bound([node]))]
    setup = "\n".join(filter(None, (*map(ast.unparse, imports), setup)))
    if not names:
        raise row.error("no test in 'test_list' calls what the field 'code' defines")
    return Problem(
        id=published_id(row.scalar("task_id"), row),
        task=Mbpp.info.name,
        question=question,
        target=solution,
        source={
            "name": names[0],
            "names": names,
            "shown": shown,
            "tests": tests,
            "setup": setup,
        },
    )


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _bound(nodes: Iterable[ast.stmt]) -> set[str]:
    return {name for node in nodes for name in programs.bound_by(node)}


def visible_tests(problem: Problem) -> str:
    """The tests that the agents are shown, behind what these need to run."""
    return "\n".join(filter(None, (str(problem.source["setup"]), *map(str, problem.source["shown"]))))


def _tests(row: Row, field: str, *, needed: bool = True) -> list[str]:
    """A list of lines of code.

    Raises:
        DataError: it is none, or empty where it is needed.
    """
    found: list[Any] | None = as_list(row.value(field)) if needed or row.has(field) else []
    if found is None or not all(isinstance(test, str) for test in found):
        raise row.error(f"the field '{field}' is not a list of texts")
    if needed and not any(test.strip() for test in found):
        raise row.error(f"the field '{field}' holds no test")
    return [test.replace("\r\n", "\n").strip() for test in found if test.strip()]


def _setup(row: Row) -> str:
    return shared.source_of(row, "test_setup_code") if row.has("test_setup_code") else ""
