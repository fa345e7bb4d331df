"""What the tasks share whose answers are programs."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable
from typing import ClassVar

from coral.answers import code, programs
from coral.answers.programs import Form
from coral.tasks.files import Row
from coral.types import Belief, Problem, Seat

INSTRUCTION = (
    "Submit an answer by putting the complete Python program into one code block at the end of your message, "
    "like this:\n```python\n...\n```\nThe block holds all imports and helper functions and no tests; whoever "
    "agrees with a program repeats it in full."
)


class ProgramAnswers:
    """The part of a `Task` that deals with answers, for tasks whose answers are programs.

    `Problem.source` holds `name`, what the program has to define; `tests` and `setup`, which nobody but the
    grader sees; `names`, what the tests use of the program; and `given`, what a program may use undefined.
    """

    instruction: ClassVar[str] = INSTRUCTION

    def briefing(self, problem: Problem, seat: Seat) -> str:  # noqa: ARG002 - part of the protocol
        """Nothing: both seats see the whole problem."""
        return ""

    def form(self, problem: Problem) -> Form:
        """What a program has to be."""
        return Form(name=str(problem.source["name"]))

    def read(self, text: str, problem: Problem) -> Belief:
        """The last complete code block that is such a program; see `coral.answers.code`."""
        return code.read(text, self.form(problem))

    def parse(self, answer: str, problem: Problem) -> Belief:
        return code.parse(answer, self.form(problem))


def runnable(answer: str, problem: Problem) -> str:
    """A program with what it uses and does not define, as far as the problem gives it."""
    return programs.with_helpers(answer, [str(problem.source.get("given", ""))])


def compiled(row: Row, field: str, text: str) -> ast.Module:
    """The syntax tree of trusted code in a record.

    Raises:
        DataError: it does not compile.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f"line {error.lineno}: " if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise row.error(f"the field '{field}' is not Python that compiles: {line}{reason}") from error


def source_of(row: Row, field: str) -> str:
    """Program text as it is, but for its line ends, and without empty lines around it.

    Raises:
        DataError: the field is missing, blank or no text.
    """
    row.text(field)
    return programs.clean(str(row.value(field)).replace("\r\n", "\n").replace("\r", "\n"))


def used_names(trees: Iterable[ast.AST], defined: set[str]) -> list[str]:
    """Which of the names are used, in order of their first use."""
    found = (node.id for tree in trees for node in _in_order(tree) if isinstance(node, ast.Name))
    return list(dict.fromkeys(name for name in found if name in defined))


def _in_order(tree: ast.AST) -> Iterable[ast.AST]:
    """A tree's nodes, each before those within it: what is called before its arguments."""
    yield tree
    for node in ast.iter_child_nodes(tree):
        yield from _in_order(node)
