"""Two stored runs on the same problems, paired: no model is needed."""

from __future__ import annotations

from coral import sandbox
from coral.errors import ConfigError
from coral.jobs.measure import tally_run, task_of
from coral.metrics import Comparison, compare, metric
from coral.metrics.tally import Tally
from coral.runs.folder import RunFolder
from coral.types import Record

HEADLINES = {"coral": "agreement_correctness_strict", "cot": "accuracy_strict"}
"""Right of all conversations: the only scores of a pair and of one agent that share a denominator."""
FURTHER = (
    "agreement",
    "persuasion",
    "correct_persuasion",
    "assertiveness",
    "conformity",
    "lost_right_answer_rate",
    "gained_right_answer_rate",
    "valid_answer_rate",
    "turns",
    "conversation_tokens",
    "total_tokens",
    "tokens_per_right_answer",
)
"""What is compared beside the headline, where both protocols have it."""


class PairedRuns(Record, frozen=True):
    """Run b against run a.

    Attributes:
        protocols: of a and b.
        unfinished: conversations that each still owes: what is there leans to short ones.
        comparisons: the headline first.
    """

    task: str
    protocols: tuple[str, str]
    unfinished: tuple[int, int]
    comparisons: tuple[Comparison, ...]


async def compare_runs(a: RunFolder, b: RunFolder) -> PairedRuns:
    """Compare two stored runs, paired by problem.

    Raises:
        UserError: a folder cannot be read, or the runs are not about the same problems.
    """
    _check_same_problems(a, b)
    try:
        first, second = await tally_run(a, task_of(a)), await tally_run(b, task_of(b))
    finally:
        await sandbox.close()
    return PairedRuns(
        task=first.task,
        protocols=(first.protocol, second.protocol),
        unfinished=(_owed(a, first), _owed(b, second)),
        comparisons=(_headline(first, second), *_further(first, second)),
    )


def _headline(a: Tally, b: Tally) -> Comparison:
    return compare(a, b, HEADLINES[a.protocol], counterpart=HEADLINES[b.protocol])


def _further(a: Tally, b: Tally) -> list[Comparison]:
    shared = [name for name in FURTHER if {a.protocol, b.protocol} <= set(metric(name).protocols)]
    return [compare(a, b, name) for name in shared]


def _owed(folder: RunFolder, tally: Tally) -> int:
    return max(0, (folder.planned() or 0) - tally.num_conversations)


def _check_same_problems(a: RunFolder, b: RunFolder) -> None:
    """Refuse runs that share no problem, or call two problems by one id."""
    tasks = [str(folder.identity()["task"]["name"]) for folder in (a, b)]
    if tasks[0] != tasks[1]:
        raise ConfigError(
            f"the runs are of two tasks: {tasks[0]} and {tasks[1]}",
            remedy="compare runs on the same problems",
        )
    before, after = _questions(a), _questions(b)
    shared = before.keys() & after.keys()
    if not shared:
        raise ConfigError(
            "the runs share no problem",
            remedy="evaluate both with the same --data, --split, --limit and --seed",
        )
    other = sorted(name for name in shared if before[name] != after[name])
    if other:
        raise ConfigError(
            f"problem {other[0]} is not the same in both runs ({len(other)} of {len(shared)} differ)",
            remedy="evaluate both with the same data and options of the task",
        )


def _questions(folder: RunFolder) -> dict[str, int]:
    """A hash of what was asked, by id: texts need not be kept."""
    return {item.problem.id: hash(item.problem.question) for item in folder.conversations()}
