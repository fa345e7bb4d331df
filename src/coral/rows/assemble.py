"""From runs to a file of rows: two looks at every conversation, three where votes are counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from coral.errors import DataError, UserError
from coral.rows.candidates import RowCandidate, RowCandidates
from coral.rows.caps import ProblemCaps
from coral.rows.disk_rows import DiskRow, DiskRows
from coral.rows.filters import FilterCount
from coral.rows.formats import Format, Render, encode_lineage, encode_row, has_own_lineage
from coral.rows.labels import Labeled, Labeler
from coral.rows.options import RowOptions
from coral.rows.problem_statistics import HeldOut, Note, ProblemStatistics, Shared
from coral.rows.report import Report, RunRecord, describe
from coral.rows.row import DpoRow, KtoRow, Lineage, SftRow, TrainingRow
from coral.rows.run import SampledRun, problem_key
from coral.rows.write import FileType, write_lines, write_rows
from coral.types import Conversation, Message, Role

OnShared = Literal["stop", "drop", "keep"]


class SharedProblems(UserError):
    """The runs hold problems that are kept for evaluation."""


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """What is made of what, and how it is written.

    Attributes:
        folder: where to; exists, and is empty.
        render: for fairseq2 rows.
    """

    options: RowOptions
    runs: tuple[SampledRun, ...]
    held_out: HeldOut
    on_shared: OnShared
    folder: Path
    form: Format
    file_type: FileType
    render: Render | None = None


async def assemble(assembly: Assembly) -> Report:
    """Write the rows; returns the report about them.

    Raises:
        SharedProblems: problems are shared with held-out data, and that was not allowed.
        DataError: no row is left.
        UserError: a run cannot be read, or the chat template refuses a prompt.
        OSError: the disk is full.
    """
    options, runs = assembly.options, assembly.runs
    labeler = Labeler(options)
    if options.score == "majority":
        await labeler.count_votes(runs)
    statistics = ProblemStatistics(runs, assembly.held_out)
    caps = ProblemCaps(options.problem_limit)
    await statistics.take(labeler, drawing(options, caps))
    shared = statistics.shared()
    if assembly.on_shared != "keep":
        _refuse_shared(shared, assembly)
    of_problems = statistics.choose(options, drop_shared=assembly.on_shared == "drop")
    with DiskRows(assembly.folder / ".rows") as disk_rows:
        writer = _Writer(assembly, statistics, caps, disk_rows)
        await writer.collect(labeler)
        found, filters = writer.finish(of_problems)
    return Report(
        kind=options.kind,
        runs=tuple(
            RunRecord(
                name=run.name, conversations=statistics.conversations[run.name], identity=dict(run.identity)
            )
            for run in runs
        ),
        solved=statistics.solved(),
        filters=filters,
        shared=shared,
        reasonings_left_out=statistics.reasonings,
        **found,
    )


def _refuse_shared(shared: Shared, assembly: Assembly) -> None:
    """Stop on shared problems, and on runs whose whole split is for evaluation.

    Raises:
        SharedProblems: says what is shared, and what to do.
    """
    drop = assembly.on_shared == "drop"
    _refuse_splits(shared, assembly, drop=drop)
    if shared.count and not drop:
        examples = ", ".join(shared.examples)
        raise SharedProblems(
            f"{shared.count} problems of the runs are held out: {shared.by_id} by their id, {shared.by_text} "
            f"by their text (such as {examples})",
            remedy="leave them out with --shared drop, or train on them knowingly with --shared keep",
        )


def _refuse_splits(shared: Shared, assembly: Assembly, *, drop: bool) -> None:
    """A split for evaluation may be shared out: if it is said which of its problems are held out, the others
    are for training.
    """
    dealt = {run.name for run in assembly.runs if drop and assembly.held_out.deals(run)}
    for name, split in shared.splits.items():
        if name not in dealt:
            raise SharedProblems(
                f"the run {name} was sampled on the split '{split}', which is meant for evaluation",
                remedy="sample on another split, share this one out with --held_out EVALUATION "
                "--shared drop, or train on it knowingly with --shared keep",
            )


def drawing(options: RowOptions, caps: ProblemCaps) -> Note:
    """Offers the row_candidates of each conversation to `caps`."""
    row_candidates = RowCandidates(options)
    preferring = options.persuasion_bonus > 0

    def offer(run: SampledRun, conversation: Conversation, problem: str, labeled: Labeled) -> None:
        if options.problem_limit is not None:
            for row_candidate in row_candidates.of(run, conversation, labeled):
                caps.offer(problem, row_candidate.priority(preferring=preferring))

    return offer


class _Writer:
    """Makes the rows that are kept, and writes them in their final order."""

    def __init__(
        self, assembly: Assembly, statistics: ProblemStatistics, caps: ProblemCaps, disk_rows: DiskRows
    ) -> None:
        self._assembly, self._statistics, self._caps, self._disk_rows = assembly, statistics, caps, disk_rows
        self._row_candidates = RowCandidates(assembly.options)
        self._drafted = 0
        self._preferring = assembly.options.persuasion_bonus > 0

    async def collect(self, labeler: Labeler) -> None:
        """Make the rows."""
        for run in self._assembly.runs:
            for conversation in run.conversations():
                problem = problem_key(run, conversation)
                if self._statistics.wants(problem):
                    labeled = await labeler.label(run, conversation)
                    self._collect(
                        run,
                        conversation,
                        problem,
                        self._row_candidates.of(run, conversation, labeled),
                    )

    def _collect(
        self,
        run: SampledRun,
        conversation: Conversation,
        problem: str,
        row_candidates: Iterator[RowCandidate],
    ) -> None:
        prompt: tuple[Message, ...] = ()
        made_for = -1
        for row_candidate in row_candidates:
            self._drafted += 1
            if not self._caps.admits(problem, row_candidate.priority(preferring=self._preferring)):
                continue
            if row_candidate.turn != made_for:
                prompt, made_for = run.prompt(conversation, row_candidate.turn), row_candidate.turn
            self._keep(row_of(run, conversation, row_candidate, prompt), conversation, row_candidate)

    def _keep(self, row: TrainingRow, conversation: Conversation, row_candidate: RowCandidate) -> None:
        """Keep a row; its lineage stands behind a tab, which JSON never holds, where it has no column."""
        form = self._assembly.form
        line = encode_row(row, form, self._assembly.render)
        lineage = encode_lineage(row)
        replies = conversation.turns[row_candidate.turn].replies
        mark = DiskRow(
            key=row_candidate.key,
            tie=tie_of(lineage),
            turn=row_candidate.turn,
            chosen_chars=len(replies[row_candidate.candidate].text),
            rejected_chars=0 if row_candidate.rejected is None else len(replies[row_candidate.rejected].text),
            label=bool(row_candidate.label),
            persuaded=row_candidate.persuaded,
        )
        self._disk_rows.add(line if has_own_lineage(form) else line + b"\t" + lineage, mark)

    def finish(self, of_problems: tuple[FilterCount, ...]) -> tuple[dict[str, Any], tuple[FilterCount, ...]]:
        """Write the files; returns what the report says of the rows, and all filters' counts."""
        distinct = self._disk_rows.distinct()
        limit = self._assembly.options.max_rows
        kept = distinct if limit is None else distinct[:limit]
        filters = [*of_problems, *self._row_candidates.counts(), *self._row_counts(len(distinct), len(kept))]
        if not len(kept):
            raise _nothing_left(filters, self._assembly.options)
        self._write(kept)
        found = describe(self._disk_rows, kept, self._assembly.options.kind)
        found["duplicates"] = len(self._disk_rows) - len(distinct)
        return found, tuple(filters)

    def _row_counts(self, distinct: int, kept: int) -> list[FilterCount]:
        options, within = self._assembly.options, len(self._disk_rows)
        counts = []
        if options.problem_limit is not None:
            counts.append(FilterCount(level="rows", name="max_per_problem", kept=within, of=self._drafted))
        if options.duplicates == "drop":
            counts.append(FilterCount(level="rows", name="distinct", kept=distinct, of=within))
        if options.max_rows is not None:
            counts.append(FilterCount(level="rows", name="max_rows", kept=kept, of=distinct))
        return counts

    def _write(self, kept: npt.NDArray[Any]) -> None:
        one, folder = self._assembly, self._assembly.folder
        lines = (line.partition(b"\t")[0] for line in self._disk_rows.lines(kept))
        write_rows(lines, folder, one.file_type, one.options.kind, one.form)
        if not has_own_lineage(one.form):
            (folder / "lineage").mkdir()
            lineages = (line.partition(b"\t")[2] for line in self._disk_rows.lines(kept))
            write_lines(lineages, folder / "lineage" / "train.jsonl")


def tie_of(lineage: bytes) -> int:
    """Decides which of the rows that say the same is kept: the lowest."""
    return int.from_bytes(blake2b(lineage, digest_size=8).digest(), "little")


def row_of(
    run: SampledRun, conversation: Conversation, row_candidate: RowCandidate, prompt: tuple[Message, ...]
) -> TrainingRow:
    """The row that a row_candidate stands for."""
    replies = conversation.turns[row_candidate.turn].replies
    reply = (Message(Role.ASSISTANT, replies[row_candidate.candidate].text),)
    source = Lineage(
        run=run.name,
        conversation=conversation.id,
        turn=row_candidate.turn + 1,
        candidate=row_candidate.candidate,
        rejected=row_candidate.rejected,
    )
    if row_candidate.rejected is not None:
        worse = (Message(Role.ASSISTANT, replies[row_candidate.rejected].text),)
        return DpoRow(
            prompt=prompt, chosen=reply, rejected=worse, margin=round(row_candidate.margin, 6), source=source
        )
    if row_candidate.label is not None:
        return KtoRow(prompt=prompt, completion=reply, label=row_candidate.label, source=source)
    return SftRow(prompt=prompt, completion=reply, source=source)


def _nothing_left(filters: list[FilterCount], options: RowOptions) -> DataError:
    """Where the last row was lost, and what helps."""
    empty = next((count for count in filters if not count.kept), None)
    if empty is None or not empty.of:
        return DataError("no row is left: the runs hold no conversation", remedy="name other runs")
    if empty.name == "with_a_pair":
        return DataError(
            f"no row is left: in none of {empty.of:,} turns stands a right candidate beside one that is not",
            remedy="sample with --candidates 5, at a higher temperature, or more problems",
        )
    cause = f"no row is left: the filter '{empty.name}' kept none of {empty.of:,} {empty.level}"
    if empty.name == "graded" and options.score == "rollouts":
        cause = f"no row is left: none of {empty.of:,} candidates has roll-outs that ended"
        return DataError(cause, remedy="sample with --rollouts 2, or build with another --score")
    loosen = f"give --{empty.name} another value, or " if hasattr(options, empty.name) else ""
    return DataError(cause, remedy=f"{loosen}name other runs")
