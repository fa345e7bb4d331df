"""From runs to a file of rows: two looks at every conversation, three where votes are counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from coral.errors import DataError, UserError
from coral.rows.caps import ProblemCaps
from coral.rows.draft import Draft, Drafter
from coral.rows.filters import FilterCount
from coral.rows.formats import Format, Render, encode_lineage, encode_row, has_own_lineage
from coral.rows.judge import Judge, Judged
from coral.rows.options import RowOptions
from coral.rows.report import Report, RunRecord, describe
from coral.rows.row import DpoRow, KtoRow, Lineage, SftRow, TrainingRow
from coral.rows.run import SampledRun, problem_key
from coral.rows.shelf import Shelf, ShelfMark
from coral.rows.survey import HeldOut, Note, Shared, Survey
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
    judge = Judge(options)
    if options.score == "majority":
        await judge.count_votes(runs)
    survey = Survey(runs, assembly.held_out)
    caps = ProblemCaps(options.problem_limit)
    await survey.take(judge, _drawing(options, caps))
    shared = survey.shared()
    if assembly.on_shared != "keep":
        _refuse_shared(shared, assembly)
    of_problems = survey.choose(options, drop_shared=assembly.on_shared == "drop")
    with Shelf(assembly.folder / ".rows") as shelf:
        writer = _Writer(assembly, survey, caps, shelf)
        await writer.collect(judge)
        found, filters = writer.finish(of_problems)
    return Report(
        kind=options.kind,
        runs=tuple(
            RunRecord(
                name=run.name, conversations=survey.conversations[run.name], identity=dict(run.identity)
            )
            for run in runs
        ),
        solved=survey.solved(),
        filters=filters,
        shared=shared,
        reasonings_left_out=survey.reasonings,
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


def _drawing(options: RowOptions, caps: ProblemCaps) -> Note:
    """Offers the drafts of each conversation to `caps`."""
    drafter = Drafter(options)
    preferring = options.persuasion_bonus > 0

    def offer(run: SampledRun, conversation: Conversation, problem: str, judged: Judged) -> None:
        if options.problem_limit is not None:
            for draft in drafter.draft(run, conversation, judged):
                caps.offer(problem, draft.priority(preferring=preferring))

    return offer


class _Writer:
    """Makes the rows that are kept, and writes them in their final order."""

    def __init__(self, assembly: Assembly, survey: Survey, caps: ProblemCaps, shelf: Shelf) -> None:
        self._assembly, self._survey, self._caps, self._shelf = assembly, survey, caps, shelf
        self._drafter = Drafter(assembly.options)
        self._drafted = 0
        self._preferring = assembly.options.persuasion_bonus > 0

    async def collect(self, judge: Judge) -> None:
        """Make the rows."""
        for run in self._assembly.runs:
            for conversation in run.conversations():
                problem = problem_key(run, conversation)
                if self._survey.wants(problem):
                    judged = await judge.judge(run, conversation)
                    self._collect(run, conversation, problem, self._drafter.draft(run, conversation, judged))

    def _collect(
        self, run: SampledRun, conversation: Conversation, problem: str, drafts: Iterator[Draft]
    ) -> None:
        prompt: tuple[Message, ...] = ()
        made_for = -1
        for draft in drafts:
            self._drafted += 1
            if not self._caps.admits(problem, draft.priority(preferring=self._preferring)):
                continue
            if draft.turn != made_for:
                prompt, made_for = run.prompt(conversation, draft.turn), draft.turn
            self._shelve(row_of(run, conversation, draft, prompt), conversation, draft)

    def _shelve(self, row: TrainingRow, conversation: Conversation, draft: Draft) -> None:
        """Keep a row; its lineage stands behind a tab, which JSON never holds, where it has no column."""
        form = self._assembly.form
        line = encode_row(row, form, self._assembly.render)
        lineage = encode_lineage(row)
        replies = conversation.turns[draft.turn].replies
        mark = ShelfMark(
            key=draft.key,
            tie=int.from_bytes(blake2b(lineage, digest_size=8).digest(), "little"),
            turn=draft.turn,
            chosen_chars=len(replies[draft.candidate].text),
            rejected_chars=0 if draft.rejected is None else len(replies[draft.rejected].text),
            label=bool(draft.label),
            persuaded=draft.persuaded,
        )
        self._shelf.add(line if has_own_lineage(form) else line + b"\t" + lineage, mark)

    def finish(self, of_problems: tuple[FilterCount, ...]) -> tuple[dict[str, Any], tuple[FilterCount, ...]]:
        """Write the files; returns what the report says of the rows, and all filters' counts."""
        distinct = self._shelf.distinct()
        limit = self._assembly.options.max_rows
        kept = distinct if limit is None else distinct[:limit]
        filters = [*of_problems, *self._drafter.counts(), *self._row_counts(len(distinct), len(kept))]
        if not len(kept):
            raise _nothing_left(filters, self._assembly.options)
        self._write(kept)
        found = describe(self._shelf, kept, self._assembly.options.kind)
        found["duplicates"] = len(self._shelf) - len(distinct)
        return found, tuple(filters)

    def _row_counts(self, distinct: int, kept: int) -> list[FilterCount]:
        options, within = self._assembly.options, len(self._shelf)
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
        lines = (line.partition(b"\t")[0] for line in self._shelf.lines(kept))
        write_rows(lines, folder, one.file_type, one.options.kind, one.form)
        if not has_own_lineage(one.form):
            (folder / "lineage").mkdir()
            lineages = (line.partition(b"\t")[2] for line in self._shelf.lines(kept))
            write_lines(lineages, folder / "lineage" / "train.jsonl")


def row_of(
    run: SampledRun, conversation: Conversation, draft: Draft, prompt: tuple[Message, ...]
) -> TrainingRow:
    """The row that a draft stands for."""
    replies = conversation.turns[draft.turn].replies
    reply = (Message(Role.ASSISTANT, replies[draft.candidate].text),)
    source = Lineage(
        run=run.name,
        conversation=conversation.id,
        turn=draft.turn + 1,
        candidate=draft.candidate,
        rejected=draft.rejected,
    )
    if draft.rejected is not None:
        worse = (Message(Role.ASSISTANT, replies[draft.rejected].text),)
        return DpoRow(
            prompt=prompt, chosen=reply, rejected=worse, margin=round(draft.margin, 6), source=source
        )
    if draft.label is not None:
        return KtoRow(prompt=prompt, completion=reply, label=draft.label, source=source)
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
