"""MBPP-CR: is this program correct? The sixth task of the Coral paper, whose data were never released.

So the set is made. `coral make mbpp_cr` writes one, of programs that a model wrote or of MBPP's own solutions
with mistakes put into them, and this task reads it. Given MBPP itself, the task makes the second kind itself.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import msgspec

from coral import jail
from coral.answers import verdict
from coral.errors import ConfigError, DataError, Notice
from coral.tasks import sources
from coral.tasks.code import mbpp, review
from coral.tasks.code.review import Checks, Counts, Example, Ran, Recipe
from coral.tasks.code.threads import streamed
from coral.tasks.files import Row
from coral.tasks.identity import distinct
from coral.tasks.protocol import Source, TaskInfo
from coral.types import Belief, Problem, Seat

NAME = "mbpp_cr"
_KNOWN: dict[str, Ran] = {}
"""What programs did that were run while reading; a command reads its data more than once."""
MANY = 200
"""Programs that are run before somebody who waits is told how to wait only once."""


@dataclass(frozen=True, kw_only=True)
class MbppCr:
    """MBPP-CR. Half of the programs are correct.

    Attributes:
        show_tests: the tests of MBPP are shown with the task that the program was written for.
        pairs: made from MBPP: at most so many right and as many wrong programs per problem.
        allow_unsafe_code: made from MBPP: run programs without a jail where there is none.
    """

    show_tests: bool = True
    pairs: int = 1
    allow_unsafe_code: bool = False

    info: ClassVar[TaskInfo] = TaskInfo(
        name=NAME,
        title="MBPP-CR: whether a Python program is correct, half of them are",
        size="about 1,900, made from MBPP's 974 problems",
        origin="made by Coral from MBPP, https://github.com/google-research/google-research/tree/master/mbpp",
        license="CC-BY-4.0",
        fetch=f"{mbpp.Mbpp.info.fetch} && coral make mbpp_cr --data mbpp.jsonl --output mbpp_cr.jsonl",
        splits=sources.SEEDED,
    )
    instruction: ClassVar[str] = (
        'Submit an answer by ending your message with the line "Answer: correct" if the program does what is '
        'asked for, or with the line "Answer: incorrect" if it does not.'
    )

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise ConfigError(
                f"{NAME} cannot take pairs={self.pairs}", remedy="give pairs a whole number from 1 on"
            )

    def problems(self, source: Source) -> Iterator[Problem]:
        """Stream the problems of a split; see `Task.problems`. All programs of a problem are in one split."""
        split = sources.split_of(source, self.info)
        rows = sources.rows(source, self.info)
        first = next(rows)
        read = _read_set if first.has("program") else self._made
        examples = read(chain([first], rows), source)
        return distinct(
            (row, _problem(example)) for row, example in examples if split in ("all", example.split)
        )

    def _made(self, rows: Iterable[Row], source: Source) -> Iterator[tuple[Row, Example]]:
        """Examples made of MBPP's own solutions, while somebody reads."""
        checks = Checks(driver=jail.driver(allow_unsafe_code=self.allow_unsafe_code), known=_KNOWN)
        recipe = Recipe(pairs=self.pairs, seed=source.seed, split_seed=source.split_seed)
        row_of: dict[str, Row] = {}

        def problems() -> Iterator[Problem]:
            for row in rows:
                problem = problem_of(row)
                row_of[problem.id] = row
                yield problem

        counts, told = Counts(), False
        for example in streamed(lambda: examples_of(problems(), recipe, checks, counts)):
            yield row_of[example.problem], example
            if not told and sum(counts.programs.values()) > MANY:
                told = True
                warnings.warn(_slow(source), Notice, stacklevel=2)
        for line in complaints(counts, str(source.data)):
            warnings.warn(line, Notice, stacklevel=2)

    def opening(self, problem: Problem) -> str:
        told = [f"I'm trying to judge a Python program. It was written for this task:\n\n{problem.question}"]
        if self.show_tests:
            told.append(f"It has to pass these tests:\n\n```python\n{problem.source['tests']}\n```")
        told.append(f"This is the program:\n\n```python\n{problem.source['program'].strip()}\n```")
        return "\n\n".join((*told, "Is the program correct?"))

    def briefing(self, problem: Problem, seat: Seat) -> str:  # noqa: ARG002 - part of the protocol
        return ""

    def read(self, text: str, problem: Problem) -> Belief:  # noqa: ARG002 - part of the protocol
        return verdict.read(text)

    def parse(self, answer: str, problem: Problem) -> Belief:  # noqa: ARG002 - part of the protocol
        return verdict.parse(answer)

    async def same(self, a: str, b: str, problem: Problem) -> bool:  # noqa: ARG002 - part of the protocol
        return a == b

    async def grade(self, answer: str, problem: Problem) -> bool | None:
        return answer == problem.target


def problem_of(row: Row) -> Problem:
    """The problem of MBPP in a record; its hidden tests count, too, for the label of a program.

    Raises:
        DataError: it is no record of MBPP, or a bad one.
    """
    if not row.has("code") or not row.has("test_list"):
        fields = ", ".join(sorted(row.fields)[:20])
        raise row.error(
            f"this is neither a program of a set that `coral make {NAME}` wrote nor a record of MBPP",
            remedy=f"give mbpp.jsonl, sanitized-mbpp.json or a set made of them; its fields are: {fields}",
        )
    return mbpp.problem_of(row, challenge_tests=True)


async def examples_of(
    problems: Iterable[Problem], recipe: Recipe, checks: Checks, counts: Counts
) -> AsyncIterator[Example]:
    """Programs made of the problems' own solutions. Whoever reads them runs programs in the jail."""
    async with jail.in_use():
        made = review.in_order(problems, lambda problem: review.mutated(problem, recipe, checks, counts))
        async for example in made:
            yield example


RUNS_HERE = "`coral doctor --jail` shows whether programs run here; if they do, give the data of MBPP"


def complaints(counts: Counts, data: str, *, remedy: str = RUNS_HERE) -> Iterator[str]:
    """What is left out, in sentences.

    Args:
        remedy: what to do where everything is.

    Raises:
        DataError: everything is.
    """
    named = ", ".join(f"{name} ({outcome})" for name, outcome in list(counts.unusable.items())[:3])
    if not counts.examples:
        ran = f"{counts.programs['right']:,} right and {counts.programs['wrong']:,} wrong programs"
        why = f"their own solutions fail here: {named}" if named else ran
        raise DataError(f"no problem of {data} has both right and wrong programs: {why}", remedy=remedy)
    if named:
        yield f"{len(counts.unusable)} problems of {data} left out, whose own solutions fail here: {named}"
    if counts.unbalanced:
        yield f"{counts.unbalanced} problems of {data} left out that have no right or no wrong program"


def _slow(source: Source) -> str:
    return (
        f"the programs are made from {source.data} and run now; `coral make {NAME} --data {source.data} "
        "--output FILE` does that once for all runs"
    )


def _read_set(rows: Iterable[Row], source: Source) -> Iterator[tuple[Row, Example]]:
    """Examples as `coral make` wrote them. Nothing is run.

    Raises:
        DataError: a line is none.
        ConfigError: another division into splits is asked for than the file has.
    """
    for row in rows:
        try:
            example = msgspec.convert(row.fields, Example)
        except msgspec.ValidationError as error:
            raise row.error(f"this is no program of such a set: {error}") from error
        made = example.made.get("split_seed", 0)
        if source.split_seed not in (0, made):
            raise ConfigError(
                f"{row.file} was divided with split_seed {made}, not {source.split_seed}",
                remedy=f"leave out --split_seed, or make the set again with --split_seed {source.split_seed}",
            )
        yield row, example


def _problem(example: Example) -> Problem:
    return Problem(
        id=example.id,
        task=NAME,
        question=example.text,
        target=example.label,
        group={"label": example.label, "operator": example.operator},
        cluster=example.problem,
        source={
            "program": example.program,
            "tests": "\n".join(filter(None, (example.setup, *example.tests))),
            "problem": example.problem,
        },
    )
