"""What is remembered of a run while its conversations stream past: a row of numbers each, and no text."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from zlib import crc32

import msgspec
import numpy as np

from coral.errors import ConfigError
from coral.metrics.arrays import Array, Indices, Mask
from coral.metrics.cost import EXTRACTOR, JUDGE, PriceTable, UsageCounter, calls_of
from coral.metrics.counts import billed_columns, counts_of, needs_gold, roles_of
from coral.metrics.judging import verdicts_of
from coral.metrics.outcome import Rules
from coral.metrics.own import OWN, OwnMetric
from coral.metrics.probes import probe_columns
from coral.metrics.trace import Trace
from coral.types import Conversation, Record, StopReason


class Part(Record, frozen=True):
    """The tally of a part of a run, as a file keeps it: see `Tally.part`.

    Attributes:
        values: single precision, a row of `columns` per conversation.
        keys: 64 bits per row: the problem's number, and a digest of the conversation's id.
        failed: 64 bits per failed conversation: the problem's number.
        groups: of each problem.
        without_gold: numbers of the problems of which no answer has a grade.
        grades_without_target: the task grades answers to problems that state no gold answer.
        clusters: names, by the number of each problem that shares one with others.
    """

    models: dict[str, str]
    judged: dict[str, int]
    usage: dict[str, dict[str, int]]
    stop_reasons: dict[str, int]
    failures: dict[str, int]
    failed_requests: int
    columns: tuple[str, ...]
    values: bytes
    keys: bytes
    failed: bytes
    problems: tuple[str, ...]
    groups: tuple[tuple[tuple[str, str], ...], ...]
    without_gold: tuple[int, ...] = ()
    grades_without_target: bool = False
    clusters: dict[int, str] = msgspec.field(default_factory=dict)


class Tally:
    """Adds up the conversations of one run; `summarize` makes numbers of it.

    A conversation takes about 300 bytes (450 where agent and partner differ), a problem too. Numbers are
    kept in single precision: counts up to 16 million are exact.
    """

    def __init__(
        self,
        *,
        task: str,
        rules: Rules,
        own: Sequence[OwnMetric] = (),
        probed: bool = False,
        judge: str | None = None,
    ) -> None:
        """Start empty, for the conversations of a protocol.

        Args:
            own: metrics that the user adds.
            probed: their seats were asked off the record, too.
            judge: model name of the judge; None where there is none.
        """
        self.own = tuple(own)
        self.probed = probed
        self.judge = judge
        self.judged: Counter[str] = Counter()
        self.task = task
        self.rules = rules
        self.models: dict[str, str] = {}
        self.usage = UsageCounter()
        self.stop_reasons: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.failed_requests = 0
        self.columns: tuple[str, ...] = ()
        self._values = array("f")
        self._keys = array("q")  # of each row its problem, and below that a digest of the conversation's id
        self._failed = array("q")
        self._problems: dict[str, int] = {}
        self._groups: list[tuple[tuple[str, str], ...]] = []
        self._known_groups: dict[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]] = {}
        self._without_target: set[int] = set()
        self._grades_without_target = False
        self._clusters: dict[int, str] = {}

    def add(self, conversation: Conversation, trace: Trace) -> None:
        """Count one conversation, failed ones included.

        Raises:
            ConfigError: it is of another protocol, or between other models, than those before it.
        """
        self._check(conversation)
        self.stop_reasons[conversation.stop.value] += 1
        calls = calls_of(conversation)
        self.usage.add(calls)
        self.judged.update(verdicts_of(conversation))
        self._count_failures(conversation)
        problem = self._number_of(conversation)
        if not conversation.problem.target:
            self._without_target.add(problem)
            graded = any(turn.correct is not None for turn in trace.turns if turn.belief >= 0)
            self._grades_without_target = self._grades_without_target or graded
        if conversation.stop is StopReason.FAILED:
            self._failed.append(problem)
            return
        counts = counts_of(conversation, trace, self.rules, calls=calls)
        if self.probed:
            counts |= probe_columns(conversation, trace, self.rules.speakers, self.rules.max_turns)
        for metric in self.own:
            counts |= metric.counts(conversation, trace)
        self._keep(counts)
        self._keys.append(problem << 32 | crc32(conversation.id.encode()))

    def part(self) -> Part:
        """All that was counted, to be merged into the tally of the whole run."""
        return Part(
            models=self.models,
            judged=dict(self.judged),
            usage=self.usage.sums,
            stop_reasons=dict(self.stop_reasons),
            failures=dict(self.failures),
            failed_requests=self.failed_requests,
            columns=self.columns,
            values=self._values.tobytes(),
            keys=self._keys.tobytes(),
            failed=self._failed.tobytes(),
            problems=tuple(self._problems),
            groups=tuple(self._groups),
            without_gold=tuple(sorted(self._without_target)),
            grades_without_target=self._grades_without_target,
            clusters=self._clusters,
        )

    def merge(self, part: Part) -> None:
        """Count the conversations of a part, which are about other problems than those so far.

        Raises:
            ConfigError: it holds other columns.
        """
        if self.columns and part.columns and self.columns != part.columns:
            other = sorted(set(self.columns) ^ set(part.columns))
            raise ConfigError(
                f"parts of one run hold different columns: {', '.join(other[:3]) or 'in another order'}",
                remedy="measure the run anew: coral score DIR",
            )
        self.models |= part.models
        self.judged.update(part.judged)
        self.usage.merge(part.usage)
        self.stop_reasons.update(part.stop_reasons)
        self.failures.update(part.failures)
        self.failed_requests += part.failed_requests
        self.columns = self.columns or part.columns
        first = len(self._groups)
        self._problems |= {name: first + number for number, name in enumerate(part.problems)}
        self._groups += [self._known_groups.setdefault(group, group) for group in part.groups]
        self._without_target |= {first + number for number in part.without_gold}
        self._grades_without_target = self._grades_without_target or part.grades_without_target
        self._clusters |= {first + number: name for number, name in part.clusters.items()}
        self._values.frombytes(part.values)
        self._keys.frombytes((np.frombuffer(part.keys, np.int64) + (first << 32)).tobytes())
        self._failed.frombytes((np.frombuffer(part.failed, np.int64) + first).tobytes())

    def sort(self) -> None:
        """Order all by ids: sums are alike to the last digit in whatever order the conversations ended."""
        names = sorted(self._problems)
        rank = np.argsort([self._problems[name] for name in names])
        keys = np.array(self._keys, np.int64)
        keys = rank[keys >> 32] << 32 | keys & 0xFFFFFFFF
        order = np.argsort(keys, kind="stable")
        table = np.frombuffer(self._values, np.float32).reshape(len(order), len(self.columns))
        table[:] = table[order]  # in place: each further copy is felt with a million conversations
        self._keys = array("q", keys[order].tobytes())
        self._failed = array("q", rank[np.array(self._failed, np.int64)].tobytes())
        self._without_target = {int(rank[number]) for number in self._without_target}
        self._clusters = {int(rank[number]): name for number, name in self._clusters.items()}
        self._groups = [self._groups[self._problems[name]] for name in names]
        self._problems = {name: number for number, name in enumerate(names)}

    def _check(self, conversation: Conversation) -> None:
        speakers = conversation.speakers
        seats = {seat: speaker.name for seat, speaker in speakers.items()}
        known = [self.models.setdefault(speaker.name, speaker.model) for speaker in speakers.values()]
        models = [speaker.model for speaker in speakers.values()]
        if seats.keys() != self.rules.speakers.keys() or known != models:
            raise ConfigError(
                f"conversation {conversation.id} has the seats {', '.join(seats)} for {', '.join(models)}, "
                f"unlike those before it ({self.protocol}: {', '.join(self.rules.speakers)}, for "
                f"{', '.join(self.models.values())})",
                remedy="measure each run folder by itself",
            )

    def _count_failures(self, conversation: Conversation) -> None:
        """A failed roll-out sent requests, too, but fails no conversation."""
        if conversation.failure is not None:
            self.failures[conversation.failure.type] += 1
            self.failed_requests += conversation.failure.attempts
        for turn in conversation.turns:
            for reply in turn.replies:
                if reply.rollouts:
                    failures = [rollout.failure for rollout in reply.rollouts]
                    self.failed_requests += sum(failure.attempts for failure in failures if failure)

    def _number_of(self, conversation: Conversation) -> int:
        problem = conversation.problem
        number = self._problems.get(problem.id)
        if number is None:
            number = self._problems[problem.id] = len(self._groups)
            group = tuple(problem.group.items())
            self._groups.append(self._known_groups.setdefault(group, group))
            if problem.cluster:
                self._clusters[number] = problem.cluster
        return number

    def _keep(self, counts: dict[str, float]) -> None:
        columns = tuple(counts)
        if columns != self.columns:
            if self.columns:
                raise ConfigError(
                    "some conversations are between agent and partner, others are not",
                    remedy="measure each run folder by itself",
                )
            self.columns = columns
        self._values.extend(counts.values())

    @property
    def num_conversations(self) -> int:
        """All conversations, failed ones included."""
        return self.stop_reasons.total()

    @property
    def num_problems(self) -> int:
        return len(self._problems)

    @property
    def without_gold(self) -> frozenset[int]:
        """Numbers of the problems that state no gold answer, unless the task grades such problems itself."""
        return frozenset() if self._grades_without_target else frozenset(self._without_target)

    @property
    def protocol(self) -> str:
        """The name of the protocol."""
        return self.rules.name

    @property
    def problems(self) -> dict[str, int]:
        """Number of each problem, by id."""
        return self._problems

    @property
    def clusters(self) -> Indices | None:
        """A number for each problem, which problems share that were drawn together; None where none do."""
        if not self._clusters:
            return None
        names = {name: self.num_problems + n for n, name in enumerate(sorted(set(self._clusters.values())))}
        found = np.arange(self.num_problems)
        found[list(self._clusters)] = [names[name] for name in self._clusters.values()]
        return found

    @property
    def cluster_names(self) -> dict[str, str]:
        """The cluster of each problem that shares one with others, by id."""
        ids = list(self._problems)
        return {ids[number]: name for number, name in self._clusters.items()}

    def problems_by_group(self) -> dict[str, dict[str, set[int]]]:
        """The problems of every value of every dimension of `Problem.group`."""
        found: dict[str, dict[str, set[int]]] = {}
        for number, group in enumerate(self._groups):
            for dimension, value in group:
                found.setdefault(dimension, {}).setdefault(value, set()).add(number)
        return found

    def view(self, problems: Collection[int] | None = None) -> View:
        """The conversations on some problems, or on all."""
        problem_of, failed = np.array(self._keys, np.int64) >> 32, np.array(self._failed, np.int64)
        if problems is None:
            return View(self, np.arange(len(problem_of)), problem_of, failed)
        wanted = np.zeros(self.num_problems, bool)
        wanted[list(problems)] = True
        rows = np.flatnonzero(wanted[problem_of])
        return View(self, rows, problem_of[rows], failed[wanted[failed]])

    def values(self, column: str, rows: Indices) -> Array:
        """A column at some rows.

        Raises:
            KeyError: the run has no such column.
        """
        if not self.columns:
            return np.zeros(0)
        if column not in self.columns:
            raise KeyError(column)
        table = np.frombuffer(self._values, np.float32).reshape(-1, len(self.columns))
        values: Array = table[rows, self.columns.index(column)].astype(np.float64)
        return values

    def costs(self, rows: Indices, prices: PriceTable, extractor: str | None) -> Array:
        """USD of each conversation; NaN where a price or a token count is unknown."""
        models = {**self.models, EXTRACTOR: extractor, JUDGE: self.judge}
        costs = np.zeros(len(rows))
        if self.columns:
            for role in roles_of(self.rules):
                tokens = [self.values(column, rows) for column in billed_columns(role)]
                costs += prices.costs(models.get(role), np.stack(tokens, axis=1))
        return costs


class View(msgspec.Struct, frozen=True):
    """Part of a tally.

    Attributes:
        problem_of: the problem of each row.
        failed: the problem of each failed conversation.
    """

    tally: Tally
    rows: Indices
    problem_of: Indices
    failed: Indices

    def agreed_turns(self) -> list[int]:
        """The numbers of turns at which conversations agreed, in order; of one agent alone none."""
        if "agreed_turn" not in self.tally.columns:
            return []
        turns: Array = np.unique(self.column("agreed_turn"))
        return [int(turn) for turn in turns if turn]

    def column(self, name: str) -> Array:
        """A column of the tally, or `agreed_by/T`, `right_by/T`: agreed (and right) within the first T turns.

        Raises:
            KeyError: the run has no such column.
        """
        what, by_turn, limit = name.partition("_by/")
        if name.startswith(OWN):
            return self.tally.values(name, self.rows)
        outcomes = self.tally.values(what, self.rows)
        if by_turn:
            turns = self.tally.values("agreed_turn", self.rows)
            outcomes = np.where((turns > 0) & (turns <= int(limit)), outcomes, 0.0)
        if needs_gold(what) and self.tally.without_gold:
            outcomes[self.lacks_gold(self.problem_of)] = np.nan
        return outcomes

    def lacks_gold(self, problems: Indices) -> Mask:
        """Of each problem, by number, whether nothing about it is right or wrong."""
        return np.isin(problems, list(self.tally.without_gold))
