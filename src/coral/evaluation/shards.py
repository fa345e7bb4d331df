"""A run in shards: what each of its processes leaves for the others, without a word between them.

Each shard is a run folder of its own, below that of the whole run. When it is complete it says so in a file,
which is replaced whole; whoever then finds such a file in every shard measures the whole. Two that end at the
same moment both do, and write the same.
"""

from __future__ import annotations

from coral.evaluation.plan import Plan
from coral.store.folder import RunFolder
from coral.store.shards import Shard, shards
from coral.types import Record

COMPLETE = "complete.json"


class Extent(Record, frozen=True):
    """How far a run goes. Of two with the same identity, the one that is larger in both holds the other."""

    problems: int
    samples: int

    def covers(self, other: Extent) -> bool:
        """Whether a run that goes so far holds all conversations of the other."""
        return self.problems >= other.problems and self.samples >= other.samples


class ShardMark:
    """Says of one shard, and reads of all, how far they are complete."""

    def __init__(self, whole: RunFolder, shard: Shard, plan: Plan, samples: int) -> None:
        self._whole, self._shard = whole, shard
        self._extent = Extent(problems=len(plan.problems), samples=samples)

    def withdraw(self) -> None:
        """Before work begins: what the shard said of less, and the summary of that, hold no longer.

        Raises:
            RunFolderError: the folder cannot be written.
        """
        if not self._is_complete(self._shard):
            self._whole.part(self._shard).remove(COMPLETE)
        self._whole.plan(self._extent.problems * self._extent.samples)

    def set(self) -> None:
        """The shard is complete, and its files are closed.

        Raises:
            RunFolderError: it cannot be written.
        """
        if not self._is_complete(self._shard):
            self._whole.part(self._shard).write(COMPLETE, self._extent)

    def missing(self) -> tuple[str, ...]:
        """The shards that are not complete.

        Raises:
            RunFolderError: what one says is damaged.
        """
        return tuple(str(shard) for shard in shards(self._shard.count) if not self._is_complete(shard))

    def _is_complete(self, shard: Shard) -> bool:
        extent = self._whole.part(shard).read(COMPLETE, Extent)
        return extent is not None and extent.covers(self._extent)
