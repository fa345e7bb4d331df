"""Sets of programs to be judged: for each problem as many right ones as wrong ones, each run once.

Without a model both are made of the reference solution. A right program is a rewrite of it, a wrong one a
rewrite with one mistake, so that what a rewrite looks like tells nothing. Tests say which is which: a mistake
that no test finds (most such programs do the same as the reference) is dropped, and so is a program that does
not end, eats its memory or is ended by a signal, since where these limits lie depends on the machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import re
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, TypeVar

import msgspec

from coral import jail
from coral.errors import SandboxError
from coral.mutation import NotAProgram, mutants, normalized, rewrite
from coral.tasks import sources
from coral.tasks.code.shared import runnable
from coral.tasks.identity import content_id
from coral.types import Problem, Record

T, U = TypeVar("T"), TypeVar("U")

Finding = Literal["right", "wrong", "unsettled"]
FINDINGS: dict[str, Finding] = {
    "passed": "right", "failed": "wrong", "exception": "wrong", "exit": "wrong", "syntax": "wrong",
    "time": "unsettled", "memory": "unsettled", "signal": "unsettled", "output": "unsettled",
    "unchecked": "unsettled",
}  # fmt: skip
"""What an outcome of the jail says of a program. An endless one is wrong, but how long is endless? What is
"unchecked" could not be run at all."""

REWRITES = 3
"""Rewrites of a wrong program, beside its mistake; a right one has one more."""
MAX_REWRITES, MAX_MUTANTS = 4, 24
"""Programs that are tried for one place in the set."""
NO_MISTAKE = "none"
"""The operator of a right program."""


class Example(Record, frozen=True, kw_only=True):
    """One program of a set, as a line of its file.

    Attributes:
        problem: the id of the problem that it answers.
        text: what it should do; `tests`: those that are shown, behind `setup`.
        label: correct or incorrect: what running it against all tests of the problem said.
        outcome: how that ended, such as "failed: assert f(2) == 3".
        operator: which mistake was made on purpose; "none" in a right program, "sampled" in a model's.
        split: train, validation or test: the same for all programs of a problem.
        made: its lineage: from what, by whom, with which seeds and versions.
    """

    id: str
    problem: str
    text: str
    setup: str
    tests: tuple[str, ...]
    program: str
    label: Literal["correct", "incorrect"]
    outcome: str
    operator: str
    split: str
    made: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a set is made.

    Attributes:
        pairs: at most so many right and as many wrong programs per problem.
        seed: of what is drawn.
        split_seed: of the splits.
        lineage: what every program of the set has in its lineage.
    """

    pairs: int = 1
    seed: int = 0
    split_seed: int = 0
    lineage: dict[str, Any] = field(default_factory=dict)

    def rng(self, problem: Problem, *what: object) -> random.Random:
        """Random numbers for one purpose, whatever else is drawn, and in which order."""
        return random.Random(":".join(map(str, (self.seed, problem.id, *what))))  # noqa: S311


@dataclass
class Counts:
    """What came of the problems and programs.

    Attributes:
        unusable: problems whose own solution does not pass their tests, by id, with the outcome.
        unbalanced: problems without both right and wrong programs.
        programs: of those run, how many are "right", "wrong" and "unsettled".
        survived: mistakes that no test finds.
    """

    problems: int = 0
    examples: int = 0
    unusable: dict[str, str] = field(default_factory=dict)
    unbalanced: int = 0
    programs: Counter[str] = field(default_factory=Counter)
    survived: int = 0


class Ran(msgspec.Struct, frozen=True):
    """What running a program said."""

    kind: str
    detail: str = ""

    @property
    def finding(self) -> Finding:
        return FINDINGS[self.kind]

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


@dataclass
class Checks:
    """Runs programs in the jail, each once.

    Attributes:
        driver: of the jail, as `jail.driver` names it.
        known: what is known already, by `key`.
        keep: told what came of a program that was run.
    """

    driver: str
    known: dict[str, Ran] = field(default_factory=dict)
    keep: Callable[[str, Ran], None] = lambda _key, _ran: None

    async def run(self, program: str, problem: Problem) -> Ran:
        """What the tests of a problem say of a program.

        Raises:
            UserError: programs cannot be run here.
        """
        key = self.key(program, problem)
        if key not in self.known:
            try:
                outcome = await self._check(program, problem)
            except SandboxError as error:
                return Ran("unchecked", str(error))
            self.known[key] = Ran(outcome.kind, outcome.detail)
            self.keep(key, self.known[key])
        return self.known[key]

    async def _check(self, program: str, problem: Problem) -> jail.Outcome:
        return await jail.check(
            runnable(program, problem),
            str(problem.source["tests"]),
            setup=str(problem.source["setup"]),
            names=[str(name) for name in problem.source["names"]],
            driver=self.driver,
        )

    @staticmethod
    def key(program: str, problem: Problem) -> str:
        """Identifies a program, its tests and the Python that runs both."""
        tests = (problem.source["setup"], problem.source["tests"])
        parts = (program, *map(str, tests), f"{sys.version_info.major}.{sys.version_info.minor}")
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


Maker = Callable[[Problem], Awaitable[list[Example]]]


async def in_order(problems: Iterable[Problem], make: Maker) -> AsyncIterator[Example]:
    """The examples of all problems in their order; some problems ahead are worked on at the same time."""
    width = 2 * (os.cpu_count() or 1)
    waiting: deque[asyncio.Task[list[Example]]] = deque()
    rest = iter(problems)
    try:
        while True:
            waiting.extend(
                asyncio.ensure_future(make(problem)) for problem in islice(rest, width - len(waiting))
            )
            if not waiting:
                return
            for example in await waiting.popleft():
                yield example
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def mutated(problem: Problem, recipe: Recipe, checks: Checks, counts: Counts) -> list[Example]:
    """Programs made of a problem's own solution; none where that does not pass its tests."""
    counts.problems += 1
    reference = await checks.run(problem.target, problem)
    if reference.finding != "right":
        counts.unusable[problem.id] = str(reference)
        return []
    right: list[Example] = []
    wrong: list[Example] = []
    texts: set[str] = set()
    for number in range(recipe.pairs):
        good = await _rewritten(problem, recipe, number, checks, counts, texts)
        bad = await _mistaken(problem, recipe, number, checks, counts, texts)
        if good is None or bad is None:
            break
        right.append(good)
        wrong.append(bad)
    return _balanced(problem, right, wrong, recipe, counts)


async def _rewritten(
    problem: Problem, recipe: Recipe, number: int, checks: Checks, counts: Counts, texts: set[str]
) -> Example | None:
    """A right program that is not in the set yet."""
    for attempt in range(MAX_REWRITES):
        rng = recipe.rng(problem, "right", number, attempt)
        program, rewrites = rewrite(problem.target, rng, REWRITES + 1)
        if program in texts:
            continue
        ran = await checks.run(program, problem)
        counts.programs[ran.finding] += 1
        if ran.finding == "right":
            texts.add(program)
            return _example(problem, program, ran, NO_MISTAKE, recipe, {"rewrites": rewrites})
    return None


async def _mistaken(
    problem: Problem, recipe: Recipe, number: int, checks: Checks, counts: Counts, texts: set[str]
) -> Example | None:
    """A wrong program that is not in the set yet."""
    rng = recipe.rng(problem, "wrong", number)
    base, rewrites = rewrite(problem.target, rng, REWRITES)
    for mutant in islice(mutants(base, rng), MAX_MUTANTS):
        if mutant.program in texts:
            continue
        ran = await checks.run(mutant.program, problem)
        counts.programs[ran.finding] += 1
        counts.survived += ran.finding == "right"
        if ran.finding == "wrong":
            texts.add(mutant.program)
            lineage = {"rewrites": rewrites, "mistake": mutant.operator}
            return _example(problem, mutant.program, ran, mutant.operator, recipe, lineage)
    return None


@dataclass(frozen=True)
class Sample:
    """A program that a model wrote, with what its lineage says of that."""

    program: str
    lineage: dict[str, Any]


async def sampled(
    problem: Problem, samples: Sequence[Sample], recipe: Recipe, checks: Checks, counts: Counts
) -> list[Example]:
    """A model's programs, those that differ in layout and comments alone counted once."""
    counts.problems += 1
    different: dict[str, Sample] = {}
    for sample in samples:
        different.setdefault(_normal(sample.program), sample)
    found: dict[Finding, list[Example]] = {"right": [], "wrong": [], "unsettled": []}
    for sample in different.values():
        ran = await checks.run(sample.program, problem)
        counts.programs[ran.finding] += 1
        found[ran.finding].append(_example(problem, sample.program, ran, "sampled", recipe, sample.lineage))
    for name in ("right", "wrong"):
        recipe.rng(problem, name).shuffle(found[name])
    return _balanced(problem, found["right"], found["wrong"], recipe, counts)


def _normal(program: str) -> str:
    try:
        return normalized(program)
    except NotAProgram:
        return program


def _balanced(
    problem: Problem, right: list[Example], wrong: list[Example], recipe: Recipe, counts: Counts
) -> list[Example]:
    """As many right programs as wrong ones, in an order that tells nothing."""
    count = min(len(right), len(wrong), recipe.pairs)
    counts.unbalanced += count == 0
    chosen = [*right[:count], *wrong[:count]]
    counts.examples += len(chosen)
    recipe.rng(problem, "order").shuffle(chosen)
    return chosen


def _example(
    problem: Problem, program: str, ran: Ran, operator: str, recipe: Recipe, lineage: dict[str, Any]
) -> Example:
    return Example(
        id=f"{problem.id}-{content_id(program)}",
        problem=problem.id,
        text=problem.question,
        setup=str(problem.source["setup"]),
        tests=tuple(map(str, problem.source["shown"])),
        program=program,
        label="correct" if ran.finding == "right" else "incorrect",
        outcome=str(ran),
        operator=operator,
        split=split_of(problem, recipe.split_seed),
        made={**lineage, **recipe.lineage, "seed": recipe.seed, "split_seed": recipe.split_seed},
    )


def split_of(problem: Problem, seed: int) -> str:
    """The split of a problem, and so of its programs; problems of the same words are in the same one."""
    words = " ".join(re.findall(r"\w+", problem.question.casefold()))
    return next(part for part in sources.PARTS if sources.in_part(words, part, seed))
