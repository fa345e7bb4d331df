"""Wrong answers that somebody could really give to a problem."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from coral.tasks import boundary
from coral.tasks.protocol import Fallible, Task
from coral.types import Answered, Problem

_OPPOSITES = {
    "yes": "no",
    "no": "yes",
    "true": "false",
    "false": "true",
    "correct": "incorrect",
    "incorrect": "correct",
    "knows about it": "does not know about it",
    "does not know about it": "knows about it",
}
_MAX_MISTAKES = 4
_POPULAR_SHARE = 0.6
"""How many of the wrong answers are the most popular one: people err alike."""


class Mistakes:
    """The wrong answers of each problem, checked against the task's own equivalence, most popular first."""

    def __init__(
        self, task: Task, problems: Iterable[Problem], favourites: Mapping[str, str] | None = None
    ) -> None:
        """Start knowing none.

        Args:
            problems: whose answers are wrong answers to others; only looked at where a problem itself tells
                none.
            favourites: wrong answers that somebody gave, by the problem's id: they come first.
        """
        self._task, self._favourites = task, favourites or {}
        self._problems = problems
        self._known: dict[str, tuple[str, ...]] = {}

    async def draw(self, problem: Problem, rng: random.Random) -> str | None:
        """A wrong answer; None where none could be thought of."""
        mistakes = await self.of(problem)
        if not mistakes:
            return None
        return mistakes[0] if rng.random() < _POPULAR_SHARE else rng.choice(mistakes)

    async def of(self, problem: Problem) -> tuple[str, ...]:
        """The wrong answers of a problem, at most four: the same ones whoever asks, and when."""
        if problem.id not in self._known:
            self._known[problem.id] = await self._think(problem)
        return self._known[problem.id]

    @cached_property
    def _targets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(problem.target for problem in self._problems))

    async def _think(self, problem: Problem) -> tuple[str, ...]:
        found: list[str] = []
        for text in self._ideas(problem):
            belief = boundary.parse(self._task, text, problem)
            if not isinstance(belief, Answered) or belief.value in found:
                continue
            if await self._is_wrong(belief.value, problem):
                found.append(belief.value)
            if len(found) == _MAX_MISTAKES:
                break
        return tuple(found)

    async def _is_wrong(self, answer: str, problem: Problem) -> bool:
        """Whether an answer is another one than the gold; where many are right, whether it is wrong, too."""
        if (
            isinstance(self._task, Fallible)
            and await boundary.grade(self._task, answer, problem) is not False
        ):
            return False
        return not await boundary.same(self._task, answer, problem.target, problem)

    def _ideas(self, problem: Problem) -> Iterator[str]:
        """Candidates in a fixed order per problem, the most tempting kinds first."""
        if problem.id in self._favourites:
            yield self._favourites[problem.id]
        yield from self._own_ideas(problem)

    def _own_ideas(self, problem: Problem) -> Iterator[str]:
        if isinstance(self._task, Fallible):
            yield from self._task.mistakes(problem)
            return
        rng = random.Random(problem.id)  # noqa: S311 - repeatable on purpose
        if problem.choices:
            letters = [chr(ord("A") + index) for index in range(len(problem.choices))]
            yield from rng.sample(letters, len(letters))
            return
        if problem.target.lower() in _OPPOSITES:
            yield _OPPOSITES[problem.target.lower()]
            return
        if re.search(r"\d", problem.target):
            yield from _near_numbers(problem.target, rng)
            return
        yield from self._other_answers(problem, rng)

    def _other_answers(self, problem: Problem, rng: random.Random) -> list[str]:
        """Answers to other problems: those that this one mentions, if there are any."""
        statement = self._task.opening(problem)
        others = [text for text in self._targets if text != problem.target and text.lower() not in _OPPOSITES]
        mentioned = [text for text in others if _mentions(statement, text)]
        tempting = mentioned or others
        return rng.sample(tempting, min(len(tempting), 2 * _MAX_MISTAKES))


def _near_numbers(target: str, rng: random.Random) -> Iterator[str]:
    """The target with its last whole number a little off: slips of counting and of a factor."""
    *_, last = re.finditer(r"\d+", target)
    value = int(last.group())
    slips = [value + 1, value + 2, abs(value - 1), value * 2, value + 10]
    for slip in rng.sample(slips, len(slips)):
        yield f"{target[: last.start()]}{slip}{target[last.end() :]}"


def _mentions(statement: str, answer: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", statement) is not None
