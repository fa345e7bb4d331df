r"""HumanEval: complete a Python function from its signature and docstring (Chen et al. 2021).

A record as published:
    {"task_id": "HumanEval/0", "prompt": "from typing import List\n\n\ndef has_close_elements(...",
     "entry_point": "has_close_elements", "canonical_solution": "    for idx, elem in ...",
     "test": "def check(candidate):\n    assert ..."}

Four prompts (10, 32, 38, 50) define a helper before the function that is asked for; the tests of three of
them use it. So the helper is given to the tests from the prompt, and to a program that does not repeat it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from coral.answers import programs
from coral.answers.programs import Form
from coral.tasks import sources
from coral.tasks.code import shared, split
from coral.tasks.files import Row
from coral.tasks.identity import distinct, published_id
from coral.tasks.protocol import Source, TaskInfo
from coral.types import Problem, Seat


@dataclass(frozen=True, kw_only=True)
class HumanEval(shared.ProgramAnswers):
    """HumanEval. An id is the authors' with a dash: `HumanEval-0`. `seeded-train`, `-validation` and `-test`
    are parts of it, to train on one.

    Attributes:
        timeout_s: seconds that a program may take for the tests of a problem.
        allow_unsafe_code: where no jail works, run programs as the user's own.
        split_information: one seat is told what the program should do, the other its name and some tests.
    """

    split_information: bool = False

    info: ClassVar[TaskInfo] = TaskInfo(
        name="humaneval",
        title="HumanEval: Python functions from their docstrings, graded by hidden tests",
        size="164 test",
        origin="OpenAI, https://github.com/openai/human-eval",
        license="MIT",
        fetch="curl -fLO https://raw.githubusercontent.com/openai/human-eval/master/data/HumanEval.jsonl.gz",
        splits=("test", *sources.SEEDED_SPLITS),
    )

    def problems(self, source: Source) -> Iterator[Problem]:
        """Stream the problems; see `Task.problems`."""
        rows = self.gradable(sources.rows(source, self.info), source)
        problems = distinct((row, self._problem(row)) for row in rows)
        return sources.seeded_part(source, problems)

    def opening(self, problem: Problem) -> str:
        if self.split_information:
            return split.OPENING
        return (
            "I'm trying to complete this Python function:\n\n"
            f"```python\n{problem.question}\n```\n\n"
            f"The program has to define `{problem.source['name']}`."
        )

    def briefing(self, problem: Problem, seat: Seat) -> str:
        return split.told(problem, seat) if self.split_information else ""

    def form(self, problem: Problem) -> Form:
        prompt = "" if self.split_information else problem.question
        return Form(name=str(problem.source["name"]), prompt=prompt)

    def _problem(self, row: Row) -> Problem:
        problem = _problem(row)
        if not self.split_information:
            return problem
        name = str(problem.source["name"])
        description, signature = split.described(problem.target, name)
        return split.divided(problem, description, signature, split.statements(row.text("test"), name))


def _problem(row: Row) -> Problem:
    name, prompt = row.text("entry_point"), shared.source_of(row, "prompt")
    body, test = shared.source_of(row, "canonical_solution"), shared.source_of(row, "test")
    solution = f"{prompt}\n{body.rstrip()}"
    if not any("check" in programs.bound_by(node) for node in shared.compiled(row, "test", test).body):
        raise row.error("the field 'test' defines no function 'check'")
    tree = shared.compiled(row, "canonical_solution", solution)
    if not programs.defines(solution, Form(name=name)):
        raise row.error(f"'prompt' and 'canonical_solution' do not define the entry point '{name}'")
    return Problem(
        id=published_id(row.scalar("task_id").replace("/", "-"), row),
        task=HumanEval.info.name,
        question=prompt,
        target=solution,
        source={
            "name": name,
            "names": [name],
            "given": _given(tree, name),
            "tests": f"{test}\n\ncheck({name})",
        },
    )


def _given(tree: ast.Module, name: str) -> str:
    """The imports and helpers of the prompt: all that stands before the function that is asked for."""
    before = [node for node in tree.body if name not in programs.bound_by(node)]
    return "\n".join(ast.unparse(node) for node in before)
