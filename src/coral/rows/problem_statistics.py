"""The first look at the runs: how often each problem is solved, and which problems are held out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator

from coral.rows.filters import Filter, FilterCount, Filters
from coral.rows.labels import Labeled, Labeler, solved
from coral.rows.options import RowOptions
from coral.rows.run import SampledRun, problem_key
from coral.tasks.protocol import Task
from coral.types import Conversation, Problem, Record

Note = Callable[[SampledRun, Conversation, str, Labeled], None]
"""Takes a run, a conversation of it, the problem's key, and the verdicts."""

EVALUATION_SPLITS = frozenset(
    ("test", "testing", "validation", "valid", "val", "dev", "development", "eval", "evaluation", "heldout")
)
"""Words in the name of a split that is meant for evaluation."""
TRAINING_SPLITS = frozenset(("train", "training"))
_LABEL = re.compile(r"^\(?[a-z][.)]\s+")
_EXAMPLES = 5


class Shared(Record, frozen=True):
    """Problems of the runs that are also held out for evaluation.

    Attributes:
        checked: held-out problems that were compared with.
        by_id: problems with a held-out problem's id.
        by_text: problems with other ids that a held-out problem states in the same words.
        splits: runs (by name) that were sampled on a split that is meant for evaluation.
        examples: some of the problems.
    """

    checked: int
    by_id: int
    by_text: int
    splits: dict[str, str]
    examples: tuple[str, ...]

    @property
    def count(self) -> int:
        """Problems that are shared."""
        return self.by_id + self.by_text


class Solved(Record, frozen=True):
    """How many problems are solved how often.

    Attributes:
        unknown: no try of theirs could be graded.
    """

    problems: int
    always: int
    sometimes: int
    never: int
    unknown: int


class HeldOut:
    """Problems that are kept for evaluation, by id and by what they say."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._texts: set[bytes] = set()
        self._splits: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, task: Task, problem: Problem) -> None:
        """Hold a problem out. Two data sets may have an id in common, so each text counts."""
        self._ids.add(f"{task.info.name}/{problem.id}")
        self._texts.add(text_digest(task, problem))

    def add_split(self, task: Task, split: str) -> None:
        """Note that problems of a split are held out: whoever says which shares the split out knowingly."""
        self._splits.add((task.info.name, split))

    def deals(self, run: SampledRun) -> bool:
        """Whether it is said which problems of a run's split are held out."""
        return (run.task_name, split_of(run)) in self._splits

    def find(self, task: Task, problem: Problem) -> str | None:
        """How a problem is known to be held out: "id", "text", or None if it is not."""
        if f"{task.info.name}/{problem.id}" in self._ids:
            return "id"
        return "text" if self._texts and text_digest(task, problem) in self._texts else None


def text_digest(task: Task, problem: Problem) -> bytes:
    """Identifies what a problem says, whatever its id, the order of its choices, case and spaces.

    That is its statement and whatever else its source tells, such as what only one seat is told.
    """
    told = [task.opening(problem), *_told(problem)]
    lines = {_LABEL.sub("", " ".join(line.casefold().split())) for text in told for line in text.splitlines()}
    return hashlib.blake2b("\n".join(sorted(lines - {""})).encode(), digest_size=16).digest()


def _told(problem: Problem) -> list[str]:
    """What a problem's source says beside its statement."""
    return [value for value in problem.source.values() if isinstance(value, str)]


class _Facts:
    """What is known of one problem.

    Attributes:
        stated: what it said when it was compared with what is held out.
    """

    __slots__ = ("shared", "solved", "stated", "tries")

    def __init__(self) -> None:
        self.shared: str | None = None
        self.stated: int | None = None
        self.solved = 0
        self.tries = 0

    @property
    def solve_rate(self) -> float | None:
        return self.solved / self.tries if self.tries else None


class ProblemStatistics:
    """Facts about every problem of the runs.

    Attributes:
        conversations: seen, of each run by its name.
        reasonings: conversations of thinking models, whose reasoning rows leave out.
    """

    def __init__(self, runs: Iterable[SampledRun], held_out: HeldOut) -> None:
        self._runs = tuple(runs)
        self._held_out = held_out
        self._facts: dict[str, _Facts] = {}
        self._wanted: frozenset[str] = frozenset()
        self.conversations: dict[str, int] = {run.name: 0 for run in self._runs}
        self.reasonings = 0

    async def take(self, labeler: Labeler, note: Note) -> None:
        """Stream the runs once; `note` is shown every conversation."""
        for run in self._runs:
            for conversation in run.conversations():
                self.conversations[run.name] += 1
                key = problem_key(run, conversation)
                facts = self._facts.setdefault(key, _Facts())
                self._look_for(run, conversation.problem, facts)
                labeled = await labeler.label(run, conversation)
                solutions, tries = solved(run, conversation, labeled)
                facts.solved += solutions
                facts.tries += tries
                note(run, conversation, key, labeled)
                self.reasonings += any(turn.reply.reasoning for turn in conversation.turns)

    def _look_for(self, run: SampledRun, problem: Problem, facts: _Facts) -> None:
        """Compare a problem with what is held out: by its id once, by its text wherever that is another."""
        stated = hash((problem.question, problem.choices, *_told(problem)))
        if stated != facts.stated:
            facts.stated = stated
            facts.shared = facts.shared or self._held_out.find(run.task, problem)

    def shared(self) -> Shared:
        """Problems that are held out, too."""
        found = {key: facts.shared for key, facts in self._facts.items() if facts.shared}
        return Shared(
            checked=len(self._held_out),
            by_id=sum(how == "id" for how in found.values()),
            by_text=sum(how == "text" for how in found.values()),
            splits={run.name: split for run in self._runs if (split := evaluation_split(run))},
            examples=tuple(sorted(found)[:_EXAMPLES]),
        )

    def solved(self) -> Solved:
        """How many problems are solved how often."""
        rates = [facts.solve_rate for facts in self._facts.values()]
        return Solved(
            problems=len(rates),
            always=rates.count(1.0),
            sometimes=sum(rate is not None and 0 < rate < 1 for rate in rates),
            never=rates.count(0.0),
            unknown=rates.count(None),
        )

    def choose(self, options: RowOptions, *, drop_shared: bool) -> tuple[FilterCount, ...]:
        """Decide which problems rows are made of; returns what each filter kept."""
        filters = Filters("problems", _problem_filters(options, drop_shared=drop_shared))
        self._wanted = frozenset(key for key, facts in self._facts.items() if filters.admits(facts))
        return filters.counts()

    def wants(self, problem: str) -> bool:
        """Whether rows are made of a problem."""
        return problem in self._wanted


def split_of(run: SampledRun) -> str:
    """The split that a run was sampled on."""
    return str(run.identity["split"]) or run.task.info.splits[0]


def evaluation_split(run: SampledRun) -> str | None:
    """The split that a run was sampled on, if its name says that it is meant for evaluation."""
    split = split_of(run)
    return split if is_for_evaluation(split) else None


def is_for_evaluation(split: str) -> bool:
    """Whether a split's name says that it is meant for evaluation: `test`, `val_2`, `mmlu-dev`."""
    words = set(
        re.split(r"[^a-z]+", split.lower().replace("held_out", "heldout").replace("held-out", "heldout"))
    )
    return bool(words & EVALUATION_SPLITS) and not words & TRAINING_SPLITS


def _problem_filters(options: RowOptions, *, drop_shared: bool) -> Iterator[Filter[_Facts]]:
    if drop_shared:
        yield Filter("not_held_out", lambda facts: facts.shared is None)
    low, high = options.min_solve_rate, options.max_solve_rate
    if low > 0:
        yield Filter("min_solve_rate", lambda facts: facts.solve_rate is not None and facts.solve_rate >= low)
    if high < 1:
        yield Filter(
            "max_solve_rate", lambda facts: facts.solve_rate is not None and facts.solve_rate <= high
        )
