"""What a task is: problems from a file, how to state them, and how to read, compare and grade answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from coral.types import Belief, Problem, Seat


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where problems come from.

    Attributes:
        data: local file or folder, or `hf://datasets/OWNER/NAME[@REVISION][/FILE]`; None for generated tasks.
        split: one of the task's `splits`; "" for its default.
        seed: of generated problems and shuffled choices.
        split_seed: of seeded splits. One of its own, so that a run with another `seed` never meets the
            training problems of the first in its test split.
        password: of an encrypted archive (GPQA); never stored.
        graded: answers will be graded, and what that needs has to be there; False: problems are only shown.
    """

    data: str | None
    split: str
    seed: int = 0
    split_seed: int = 0
    password: str | None = None
    graded: bool = True


@dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """What `coral tasks` shows.

    Attributes:
        size: such as "12,032 test / 70 validation".
        origin: who publishes it, and where (URL).
        fetch: the command a user runs to get the file.
        splits: names `--split` takes; the first is the default.
        confidential: the authors ask that no problem is published in plain text.
    """

    name: str
    title: str = ""
    size: str = ""
    origin: str = ""
    license: str = ""
    fetch: str = ""
    splits: tuple[str, ...] = ("test",)
    confidential: bool = False


class Task(Protocol):
    """A task plugs in by the entry point group `coral.tasks`: name -> class.

    The class is built with keyword arguments, which are its `--task.*` options. Those of a package's task all
    have defaults; one of a task that is named by its path may have none, and then has to be given.
    """

    @property
    def info(self) -> TaskInfo:
        """What the task is, and where its data come from. A class attribute of the built-in tasks."""
        ...

    @property
    def instruction(self) -> str:
        """One or two sentences for the system prompt: the form in which an answer is to be given."""
        ...

    def problems(self, source: Source) -> Iterator[Problem]:
        """Stream the problems of a split, in the order of the file.

        Raises:
            DataError: file missing or of unknown form; a record bad (names file, line, field).
        """
        ...

    def opening(self, problem: Problem) -> str:
        """The problem as the opener states it to the partner, choices included."""
        ...

    def briefing(self, problem: Problem, seat: Seat) -> str:
        """What only that seat is told, such as the part of a story its person saw. Empty for most tasks."""
        ...

    def read(self, text: str, problem: Problem) -> Belief:
        """Find by rules the answer that a turn submits, only if it is unambiguous.

        `Unreadable` means: the rules cannot tell (a model may). Never invents an answer.
        """
        ...

    def parse(self, answer: str, problem: Problem) -> Belief:
        """Bring a bare answer, as an extractor model gives it, into canonical form."""
        ...

    async def same(self, a: str, b: str, problem: Problem) -> bool:
        """Whether two canonical answers mean the same: an equivalence relation, so also transitive.

        The loop compares two answers, metrics compare one with the first of each class of equal ones.
        """
        ...

    async def grade(self, answer: str, problem: Problem) -> bool | None:
        """Whether a canonical answer is right; None when that cannot be determined (grader timed out, or the
        problem has no gold answer).
        """
        ...


@runtime_checkable
class Fallible(Protocol):
    """What a task has, beside what all have, whose wrong answers are none of those that mistakes are made of
    elsewhere (other choices, numbers nearby, answers to other problems).
    """

    def mistakes(self, problem: Problem) -> Iterator[str]:
        """Answers that somebody could give and that are most likely wrong, the most tempting first."""
        ...
