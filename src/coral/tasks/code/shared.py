"""What the tasks share whose answers are programs: reading, comparing and grading them, in the jail."""

from __future__ import annotations

import ast
import hashlib
import random
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from coral import jail, mutation
from coral.answers import code, programs
from coral.answers.programs import Form
from coral.errors import ConfigError, SandboxError
from coral.tasks.code import behaviour
from coral.tasks.code.inputs import inputs_of
from coral.tasks.files import Row
from coral.tasks.protocol import Source, TaskInfo
from coral.types import Belief, Problem, Seat

T = TypeVar("T")

INSTRUCTION = (
    "Submit an answer by putting the complete Python program into one code block at the end of your message, "
    "like this:\n```python\n...\n```\nThe block holds all imports and helper functions and no tests; whoever "
    "agrees with a program repeats it in full."
)
TIMEOUT_S = 3.0
"""Seconds that a program may take for the tests of a problem."""
INPUT_S = 1.0
"""Seconds that it may take for one input where two programs are compared."""
LONGEST_S = 600.0
_MOST_KEYS, _MOST_REFERENCES = 20_000, 1_000
_KEYS: dict[bytes, str] = {}
"""Of programs that were run, by their text and what makes up their inputs; the oldest are forgotten."""
_REFERENCES: dict[bytes, list[tuple[list[Any], jail.Returned]]] = {}
"""Inputs with what the reference solution does with them, by what makes them up; the oldest are forgotten."""


@dataclass(frozen=True, kw_only=True)
class ProgramAnswers:
    """The part of a `Task` that deals with answers, for tasks whose answers are programs.

    `Problem.source` holds `name`, what the program has to define; `tests` and `setup`, which the grader runs;
    `names`, what these use of the program; and `given`, what a program may use without defining it.
    """

    timeout_s: float = TIMEOUT_S
    allow_unsafe_code: bool = False

    info: ClassVar[TaskInfo]
    instruction: ClassVar[str] = INSTRUCTION

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s <= LONGEST_S:
            raise ConfigError(
                f"a program cannot have timeout_s={self.timeout_s}",
                remedy=f"give timeout_s above 0 and up to {LONGEST_S:g} seconds",
            )

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

    async def same(self, a: str, b: str, problem: Problem) -> bool:
        """Whether two programs have one text, layout and comments aside, or do the same on a fixed list of
        inputs: those of the visible examples, and small changes of them on which the reference solution
        returns a value.
        """
        if programs.normal(a) == programs.normal(b):
            return True
        return await self._key(a, problem) == await self._key(b, problem)

    async def grade(self, answer: str, problem: Problem) -> bool | None:
        """Whether it passes all tests; None where no check could be made."""
        given = problem.source
        try:
            outcome = await jail.check(
                self.runnable(answer, problem),
                str(given["tests"]),
                setup="\n".join(filter(None, (given.get("given", ""), given.get("setup", "")))),
                names=list(given["names"]),
                limits=self.limits(self.timeout_s),
                driver=self.driver(),
            )
        except SandboxError:
            return None
        return outcome.kind == "passed"

    def mistakes(self, problem: Problem) -> Iterator[str]:
        """Programs for agents that have to err: the reference solution with one mistake, and one that does
        nothing.
        """
        if problem.target:
            drawn = random.Random(problem.id)  # noqa: S311 - repeatable on purpose
            yield from (mutant.program for mutant in mutation.mutants(problem.target, drawn))
        yield idle(self.form(problem))

    def gradable(self, rows: Iterable[Row], source: Source) -> Iterator[Row]:
        """The rows, where programs can be run: said before anything is asked of a model.

        Raises:
            UserError: no jail works here, and answers are to be graded.
        """
        for number, row in enumerate(rows):
            if number == 0 and source.graded:
                self.driver()
            yield row

    def driver(self) -> str:
        """The jail that works here.

        Raises:
            UserError: none does.
        """
        return jail.driver(allow_unsafe_code=self.allow_unsafe_code)

    def limits(self, seconds: float) -> jail.Limits:
        """What a program may take in so many seconds."""
        return jail.Limits(wall_s=seconds, cpu_s=seconds)

    def examples(self, problem: Problem) -> str:
        """The text whose calls are the visible examples."""
        return problem.question

    async def _key(self, program: str, problem: Problem) -> str:
        """What programs that are the same have in common, asked once for each text."""
        known = _digest(self._visible(problem), programs.normal(program))
        if known not in _KEYS:
            try:
                key = await self.key(program, problem)
            except SandboxError:
                return behaviour.textual(program)
            _remember(_KEYS, known, key, _MOST_KEYS)
        return _KEYS[known]

    async def key(self, program: str, problem: Problem) -> str:
        """The key of a program; see `behaviour`.

        Raises:
            SandboxError: it could not be run.
        """
        told = await self._reference(problem)
        if not told:
            return behaviour.textual(program)
        if programs.normal(program) == programs.normal(problem.target):
            return behaviour.key_of(program, [result for _, result in told])
        return behaviour.key_of(program, await self._results(program, problem, [args for args, _ in told]))

    async def _reference(self, problem: Problem) -> list[tuple[list[Any], jail.Returned]]:
        """The fixed list: inputs on which the reference solution returns plain data, and these."""
        visible = self._visible(problem)
        if visible not in _REFERENCES:
            inputs = inputs_of(self.examples(problem), self.callee(problem), problem.target)
            results = await self._results(problem.target, problem, inputs) if inputs else []
            told = zip(inputs, results, strict=True)
            plain = [(args, result) for args, result in told if result.kind == "finished" and result.is_plain]
            _remember(_REFERENCES, visible, plain, _MOST_REFERENCES)
        return _REFERENCES[visible]

    def _visible(self, problem: Problem) -> bytes:
        """Stands for all that the fixed list of inputs follows from."""
        given = str(problem.source.get("given", ""))
        parts = (self.info.name, problem.id, self.callee(problem), self.examples(problem), given)
        return _digest(*parts, problem.target)

    async def _results(self, program: str, problem: Problem, inputs: list[list[Any]]) -> list[jail.Returned]:
        return await jail.call(
            self.runnable(program, problem),
            self.callee(problem),
            inputs,
            limits=self.limits(INPUT_S),
            driver=self.driver(),
        )

    def runnable(self, program: str, problem: Problem) -> str:
        """A program with what it may use without defining it."""
        return runnable(program, problem)

    def callee(self, problem: Problem) -> str:
        """The function that is called with inputs."""
        return str(problem.source["name"])


def _digest(*parts: str | bytes) -> bytes:
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        made.update(len(content).to_bytes(8, "big") + content)
    return made.digest()


def _remember(known: dict[bytes, T], name: bytes, value: T, most: int) -> None:
    if len(known) >= most:
        del known[next(iter(known))]
    known[name] = value


def runnable(answer: str, problem: Problem) -> str:
    """A program with what it uses and does not define, as far as the problem gives it."""
    return programs.with_helpers(answer, [str(problem.source.get("given", ""))])


def idle(form: Form) -> str:
    """A program of a form that does nothing."""
    if not form.name:
        return "print()"
    if form.method:
        return f"class {form.name}:\n    def {form.method}(self, *args):\n        return None"
    return f"def {form.name}(*args):\n    return None"


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
