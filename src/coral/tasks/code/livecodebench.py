r"""LiveCodeBench, code generation: contest problems with hidden tests, dated (Jain et al. 2024).

A record as published (`test.jsonl` ... `test6.jsonl` of code_generation_lite); the cases are JSON texts, the
private ones mostly packed (see `cases.py`), and `metadata` is a JSON text with the name of the function:
    {"question_title": "...", "question_content": "...", "platform": "leetcode", "question_id": "2727",
     "contest_id": "biweekly-contest-104", "contest_date": "2023-05-13T00:00:00",
     "starter_code": "class Solution:\n    def ...", "difficulty": "easy",
     "public_test_cases": "[{...}]", "private_test_cases": "eJx...", "metadata": "{\"func_name\": ...}"}

A problem either gives a class to complete (functional tests), or wants a script that reads standard input.
The authors publish no solutions: without the field `solution`, which records of your own may have, only the
tests say what is right.
"""

from __future__ import annotations

import builtins
import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, ClassVar

import msgspec

from coral import jail
from coral.answers import programs
from coral.answers.programs import Form
from coral.errors import ConfigError, DataError, SandboxError
from coral.tasks import sources
from coral.tasks.code import behaviour, cases, shared
from coral.tasks.code.cases import Case
from coral.tasks.files import Row
from coral.tasks.identity import distinct, published_id
from coral.tasks.protocol import Source, TaskInfo
from coral.types import Problem

_ALL_OF = (
    "string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics",
    "itertools", "functools", "operator", "io", "sys", "json", "typing",
)  # fmt: skip
"""Modules of which programs of this task use every name as if it were Python's own, a later one's first, and
that they use without importing them: the authors' grader imports all of it."""
_OF_SYS = (
    "argv", "getrecursionlimit", "getsizeof", "intern", "maxsize", "path", "platform", "setrecursionlimit",
    "stderr", "stdin", "stdout", "version",
)  # fmt: skip
"""Those of `sys`, which differ from one interpreter to the next."""
RECURSION = 50_000
"""Calls within calls that the authors' grader permits."""
MEMORY_MIB = 1_024
_CALLED = "call_of_the_method_asked_for"
_PUBLIC, _HIDDEN = "public_test_cases", "private_test_cases"


@dataclass(frozen=True, kw_only=True)
class LiveCodeBench(shared.ProgramAnswers):
    """LiveCodeBench's code generation. `seeded-train`, `-validation` and `-test` are parts of the data, to
    train on one.

    Attributes:
        timeout_s: seconds that a program may take for one test case.
        allow_unsafe_code: where no jail works, run programs as the user's own.
        start_date: only problems of contests on this day or later, such as 2024-08-01.
        end_date: only those on this day or earlier.
        difficulty: only this one: easy, medium or hard.
        platform: only this one: leetcode, atcoder or codeforces.
    """

    timeout_s: float = 6.0
    start_date: str = ""
    end_date: str = ""
    difficulty: str = ""
    platform: str = ""

    info: ClassVar[TaskInfo] = TaskInfo(
        name="livecodebench",
        title="LiveCodeBench: dated contest problems, graded by hidden tests",
        size="400 to 1,055 test, by release",
        origin="Jain et al., https://huggingface.co/datasets/livecodebench/code_generation_lite",
        license="CC (the data's card), problems of their platforms",
        fetch="hf download livecodebench/code_generation_lite test.jsonl --repo-type dataset --local-dir lcb",
        splits=("test", *sources.SEEDED_SPLITS),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("start_date", "end_date"):
            told = getattr(self, name)
            if told and _day(told) is None:
                raise ConfigError(
                    f"livecodebench cannot take {name}={told!r}", remedy="give a day, such as 2024-08-01"
                )

    def problems(self, source: Source) -> Iterator[Problem]:
        """Stream the problems that the filters let pass; see `Task.problems`."""
        rows = self.gradable(self._rows(source), source)
        return sources.seeded_part(source, distinct((row, _problem(row)) for row in rows))

    def _rows(self, source: Source) -> Iterator[Row]:
        there: dict[str, set[str]] = {"difficulty": set(), "platform": set(), "contest_date": set()}
        passed = False
        for row in sources.rows(source, self.info):
            told = {name: row.text(name) for name in there}
            for name, value in told.items():
                there[name].add(value)
            if self._passes(row, told):
                passed = True
                yield row
        if not passed:
            days = sorted(there["contest_date"])
            raise DataError(
                f"no problem of {source.data} passes the filters",
                remedy=f"it holds {', '.join(sorted(there['difficulty']))} problems of "
                f"{', '.join(sorted(there['platform']))} from {days[0][:10]} to {days[-1][:10]}",
            )

    def _passes(self, row: Row, told: dict[str, str]) -> bool:
        held = _day(told["contest_date"])
        if held is None:
            raise row.error(f"the field 'contest_date' holds {told['contest_date']!r}, which is no date")
        first, last = _day(self.start_date) or date.min, _day(self.end_date) or date.max
        fits = (
            not wanted or wanted.casefold() == told[name].casefold()
            for name, wanted in (("difficulty", self.difficulty), ("platform", self.platform))
        )
        return first <= held <= last and all(fits)

    def opening(self, problem: Problem) -> str:
        starter = str(problem.source["starter"])
        form = (
            f"The program has to complete this code:\n\n```python\n{starter}\n```"
            if starter
            else "The program has to read from standard input and to write to standard output."
        )
        return f"I'm trying to write a Python program for this problem:\n\n{problem.question}\n\n{form}"

    def form(self, problem: Problem) -> Form:
        return _form(problem.source)

    def limits(self, seconds: float) -> jail.Limits:
        return jail.Limits(wall_s=seconds, cpu_s=seconds, memory_mib=MEMORY_MIB)

    def runnable(self, program: str, problem: Problem) -> str:
        """A program with what the authors' grader gives it; a plain function as the method asked for."""
        method = str(problem.source["method"])
        if method and "Solution" not in programs.defined(program):
            program = f"{program}\n\n\nclass Solution:\n    {method} = staticmethod({method})\n"
        given = programs.with_helpers(program, [_given()])
        return programs.behind_future(given, f"__import__('sys').setrecursionlimit({RECURSION})")

    async def grade(self, answer: str, problem: Problem) -> bool | None:
        """Whether it passes all tests, public and hidden; None where no check could be made."""
        program, method = self.runnable(answer, problem), str(problem.source["method"])
        try:
            for case in _all_cases(problem):
                passes = (
                    self._passes_call(program, case, method) if method else self._passes_script(program, case)
                )
                if not await passes:
                    return False
        except SandboxError:
            return None
        return True

    async def _passes_call(self, program: str, case: Case, method: str) -> bool:
        outcome = await jail.check(
            program,
            _assertion(case, method),
            setup=_SETUP,
            names=["Solution"],
            limits=self.limits(self.timeout_s),
            driver=self.driver(),
        )
        return outcome.kind == "passed"

    async def _passes_script(self, program: str, case: Case) -> bool:
        room = len(case.output.encode("utf-8", "surrogatepass")) // 1_024 * 2 + 64
        limits = msgspec.structs.replace(self.limits(self.timeout_s), output_kib=room)
        outcome = await jail.run_script(program, stdin=case.input, limits=limits, driver=self.driver())
        return _ended_well(outcome) and same_output(outcome.stdout, case.output)

    async def key(self, program: str, problem: Problem) -> str:
        """What a program does with the inputs of the public test cases alone."""
        public = cases.read(str(problem.source["public"]))
        ready = self.runnable(program, problem)
        method = str(problem.source["method"])
        if method:
            called = f"{ready}\n\n\ndef {_CALLED}(*args):\n    return Solution().{method}(*args)\n"
            results = await jail.call(
                called,
                _CALLED,
                [_arguments(case) for case in public],
                limits=self.limits(self.timeout_s),
                driver=self.driver(),
            )
            listed = [msgspec.structs.replace(one, value=_listed(one.value)) for one in results]
            return behaviour.key_of(program, listed)
        runs = [
            await jail.run_script(
                ready, stdin=case.input, limits=self.limits(self.timeout_s), driver=self.driver()
            )
            for case in public
        ]
        if not any(map(_ended_well, runs)):
            return behaviour.textual(program)
        return behaviour.digest(
            f"{'' if _ended_well(run) else run.kind}:{list(map(_shown, _lines(run.stdout)))}" for run in runs
        )


@lru_cache
def _given() -> str:
    """Imports of all names that programs may use, but for Python's own, which none of them replaces."""
    lines = []
    for name in _ALL_OF:
        module = importlib.import_module(name)
        public = getattr(module, "__all__", None) or [one for one in vars(module) if one[0] != "_"]
        public = _OF_SYS if name == "sys" else public
        lines.append(f"from {name} import {', '.join(sorted({*public} - {*dir(builtins)}))}")
    return "\n".join([*lines, *(f"import {name}" for name in _ALL_OF if name != "typing")])


def _problem(row: Row) -> Problem:
    method = _method(row)
    for field in (_PUBLIC, _HIDDEN):
        _check(row, field, method)
    source = {
        "name": "Solution" if method else "",
        "method": method,
        "starter": shared.source_of(row, "starter_code") if row.has("starter_code") else "",
        "public": row.text(_PUBLIC),
        "hidden": cases.kept(row.text(_HIDDEN), row),
    }
    return Problem(
        id=published_id(row.scalar("question_id"), row),
        task=LiveCodeBench.info.name,
        question=f"{row.text('question_title')}\n\n{row.text('question_content')}",
        target=_solution(row, source) if row.has("solution") else "",
        group={name: row.text(name) for name in ("difficulty", "platform")},
        source=source,
    )


def _form(source: dict[str, Any]) -> Form:
    return Form(name=str(source["name"]), method=str(source["method"]))


def _solution(row: Row, source: dict[str, Any]) -> str:
    solution = shared.source_of(row, "solution")
    shared.compiled(row, "solution", solution)
    if not programs.defines(solution, _form(source)):
        asked = (
            f"defines neither a class Solution with a method {source['method']} nor a function of that name"
            if source["method"]
            else "writes nothing"
        )
        raise row.error(f"the field 'solution' {asked}")
    return solution


def _method(row: Row) -> str:
    """The method that functional tests call; "" where a script is asked for."""
    if not row.has("metadata"):
        return ""
    told = row.value("metadata")
    try:
        metadata = json.loads(told) if isinstance(told, str) else told
    except ValueError as error:
        raise row.error(f"the field 'metadata' is not JSON: {error}") from None
    name = metadata.get("func_name") if isinstance(metadata, dict) else None
    if name is not None and not (isinstance(name, str) and name.isidentifier()):
        raise row.error(f"the field 'metadata' names no function: {name!r}")
    return name or ""


def _check(row: Row, field: str, method: str) -> None:
    """Refuse test cases of another kind than the problem, or whose values are no JSON."""
    try:
        found = cases.read(row.text(field))
    except cases.NotCases as error:
        raise row.error(f"the field '{field}' holds {error}") from None
    kind = "functional" if method else "stdin"
    if not found and field == _PUBLIC:
        raise row.error(f"the field '{field}' holds no test case")
    for number, case in enumerate(found, 1):
        if case.testtype != kind:
            why = f"'metadata' names {'a' if method else 'no'} function"
            raise row.error(f"test case {number} of '{field}' is of the kind {case.testtype}, but {why}")
        if method:
            try:
                _arguments(case)
                json.loads(case.output)
            except ValueError as error:
                raise row.error(f"test case {number} of '{field}' is not JSON: {error}") from None


def _all_cases(problem: Problem) -> list[Case]:
    return [*cases.read(str(problem.source["public"])), *cases.hidden(problem.source["hidden"], _HIDDEN)]


# Comparing ----------------------------------------------------------------------------------------------

_SETUP = """\
import json

def listed(value):
    return list(value) if isinstance(value, tuple) else value
"""


def _ended_well(run: jail.Outcome) -> bool:
    """Whether only its output counts: with which code a script exits is no matter, an exception is."""
    return run.kind in ("finished", "exit")


def _arguments(case: Case) -> list[Any]:
    return [json.loads(line) for line in case.input.split("\n") if line.strip()]


def _assertion(case: Case, method: str) -> str:
    """One test: what the method returns is the output, a tuple, but none within it, as good as a list."""
    args = ", ".join(f"json.loads({line!r})" for line in case.input.split("\n") if line.strip())
    return f"assert listed(Solution().{method}({args})) == json.loads({case.output!r})"


def _listed(value: Any) -> Any:
    """As the tests read it."""
    return list(value) if isinstance(value, tuple) else value


def same_output(written: str, wanted: str) -> bool:
    """Whether a script wrote what was wanted: equal lines but for blanks at their ends, or lines of equal
    numbers and nothing else. So the authors' grader has it.
    """
    return list(map(_shown, _lines(written))) == list(map(_shown, _lines(wanted)))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _shown(line: str) -> str:
    """A line, or of one that holds numbers alone a form that all of their spellings share."""
    numbers = list(map(_number, line.split()))
    return line if None in numbers else f"\n{numbers}"  # no line begins so


def _number(word: str) -> str | None:
    try:
        number = Decimal(word)
    except InvalidOperation:
        return None
    if not number.is_finite():
        return None if number.is_nan() else f"{number}"
    sign, digits, exponent = number.as_tuple()
    text = "".join(map(str, digits))
    short = text.rstrip("0")
    return f"{'-' * sign}{short}e{int(exponent) + len(text) - len(short)}" if short else "0"


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10]) if text else None
    except ValueError:
        return None
