"""The rows that a build would make of one problem, without writing any: to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from coral.rows.assemble import drawing, row_of, tie_of
from coral.rows.candidates import RowCandidates
from coral.rows.caps import ProblemCaps
from coral.rows.formats import encode_lineage
from coral.rows.labels import Labeled, Labeler
from coral.rows.options import RowOptions
from coral.rows.row import TrainingRow
from coral.rows.run import SampledRun, problem_key
from coral.types import Conversation


@dataclass(frozen=True, kw_only=True)
class OneProblem(SampledRun):
    """The part of a run that is about one problem."""

    held: tuple[Conversation, ...]

    @classmethod
    def of(cls, run: SampledRun, held: Sequence[Conversation]) -> OneProblem:
        """These conversations of a run: all that it holds about one problem."""
        whole = {one.name: getattr(run, one.name) for one in fields(SampledRun)}
        return cls(**whole, held=tuple(held))

    def conversations(self) -> Iterator[Conversation]:
        """The conversations about the problem."""
        return iter(self.held)


async def preview(run: OneProblem, options: RowOptions) -> list[TrainingRow]:
    """The rows that `coral build` makes of the conversations about one problem, in their order.

    Limits per turn and problem hold, and of rows that say the same one is kept, the one that a build keeps.
    What depends on other problems does not: `max_rows`, `min_solve_rate`, `max_solve_rate`, what is held out.
    """
    labeler, caps = Labeler(options), ProblemCaps(options.problem_limit)
    if options.score == "majority":
        await labeler.count_votes([run])
    note, labeled = drawing(options, caps), list[tuple[Conversation, Labeled]]()
    for conversation in run.conversations():
        found = await labeler.label(run, conversation)
        note(run, conversation, problem_key(run, conversation), found)
        labeled.append((conversation, found))
    preferring, candidates = options.persuasion_bonus > 0, RowCandidates(options)
    kept: dict[int, tuple[int, TrainingRow]] = {}
    for conversation, found in labeled:
        for one in candidates.of(run, conversation, found):
            if caps.admits(problem_key(run, conversation), one.priority(preferring=preferring)):
                row = row_of(run, conversation, one, run.prompt(conversation, one.turn))
                tie = tie_of(encode_lineage(row))
                if one.key not in kept or tie < kept[one.key][0]:
                    kept[one.key] = tie, row
    return sorted((row for _, row in kept.values()), key=_place)


def _place(row: TrainingRow) -> tuple[str, int, int, int]:
    source = row.source
    return source.conversation, source.turn, source.candidate, source.rejected or 0
