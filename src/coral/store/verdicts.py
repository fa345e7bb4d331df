"""The verdicts of a run's judge: its journal, which stays, since they also say which answers are equal.

What is asked is whether an answer to a problem is right. Who gave it, in which conversation and when, is no
part of that, so each answer is judged once in a run, and no verdict is asked for again by a later session.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from coral.store.folder import RunFolder
from coral.store.lines import Appender, decode, read_lines
from coral.types import Judgement

FOLDER = "verdicts"


class Judged(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer, and what the judge said of it.

    Attributes:
        problem: its id.
        answer: in the spelling under which equal ones are found.
        id, step: the conversation in which the judge was asked, and where in it: there its cost stands.
    """

    problem: str
    answer: str
    id: str
    step: str
    judgement: Judgement


class Verdicts:
    """What the judge of a run has said so far. Nothing is read before it is needed."""

    def __init__(self, folder: RunFolder | None = None) -> None:
        """Of a run folder, or of nothing that is stored."""
        self._folder = folder
        self._known: dict[tuple[str, str], Judged] | None = None
        self._appender = Appender(folder.path / FOLDER) if folder is not None else None

    def find(self, problem: str, answer: str) -> Judged | None:
        """What was said of an answer; None where it has not been judged.

        Raises:
            RunFolderError: a stored line is damaged.
        """
        return self._all().get((problem, answer))

    def keep(self, judged: Judged) -> None:
        """Keep what the judge has said.

        Raises:
            RunFolderError: it cannot be written.
        """
        if self._appender is not None:
            self._appender.append(msgspec.json.encode(judged))
        self._all()[judged.problem, judged.answer] = judged

    def __iter__(self) -> Iterator[Judged]:
        return iter(self._all().values())

    def close(self) -> None:
        if self._appender is not None:
            self._appender.close()

    def _all(self) -> dict[tuple[str, str], Judged]:
        if self._known is None:
            self._known = {}
            for folder in [] if self._folder is None else self._folder.parts() or [self._folder]:
                for line in read_lines(folder.path / FOLDER):
                    judged = decode(line, _LINES)
                    self._known[judged.problem, judged.answer] = judged
        return self._known


_LINES = msgspec.json.Decoder(Judged)
