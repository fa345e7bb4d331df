"""Blind judgements: people say which of two conversations on one problem is better, aspect by aspect.

FOLDER/judging.json      what is judged: the runs, the aspects, and the pairs, drawn once
FOLDER/judgements.jsonl  one line per judge, pair and aspect, appended; the latest counts

Nobody sees which run a conversation is of, whether it is right, or what others said. Which of the two stands
on the left is drawn anew for each judge and pair.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from aiohttp import web

from coral.comparison.compare import check_same_task
from coral.errors import ConfigError, RunFolderError, UserError
from coral.store.folder import RunFolder
from coral.store.lines import decode, read_file
from coral.store.whole import write_whole
from coral.types import Conversation, Record, StopReason
from coral.viewer.families import names_of_runs
from coral.viewer.wire import answer, said

DESIGN, JUDGEMENTS = "judging.json", "judgements.jsonl"
FOLDER = "judged"
"""Of a run: judgements that were begun in the viewer."""
PAIRS = 100
"""Most pairs, unless the options say another number."""
ASPECTS = ("verbosity", "politeness", "effective disagreement", "naturalness", "persuasiveness")
"""Those of the paper's study (section 5.3)."""
LONGEST_NAME = 60
"""Characters of a judge's name."""


class Pair(Record, frozen=True):
    """Two conversations on one problem.

    Attributes:
        runs: numbers of the two runs.
        conversations: their ids.
    """

    id: str
    problem: str
    runs: tuple[int, int]
    conversations: tuple[str, str]


class Design(Record, frozen=True):
    """What is judged.

    Attributes:
        runs: the folders.
        names: of the runs, in results.
    """

    runs: tuple[str, ...]
    names: tuple[str, ...]
    aspects: tuple[str, ...]
    seed: int
    pairs: tuple[Pair, ...]


class Judgement(Record, frozen=True):
    """What one judge said of one aspect of a pair.

    Attributes:
        better: number of the run that is better; None: neither.
        left: number of the run that stood on the left.
        at: seconds since the epoch.
    """

    judge: str
    pair: str
    aspect: str
    better: int | None
    left: int
    at: float


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a judge sends: left, right or neither by aspect."""

    judge: str
    pair: str
    choices: dict[str, str]


_DECODER = msgspec.json.Decoder(Judgement)


def draw(
    paths: Sequence[str], *, pairs: int, aspects: Sequence[str], seed: int, names: Sequence[str]
) -> Design:
    """Draw the pairs: problems that all runs have finished, each with two of the runs.

    Raises:
        UserError: fewer than two runs, runs of several tasks, or no problem in common.
    """
    if len(paths) < 2:
        raise ConfigError("two runs are judged against each other", remedy="coral judge RUN RUN --output DIR")
    wanted = tuple(dict.fromkeys(aspect.strip() for aspect in aspects))
    if not wanted or not all(wanted):
        raise ConfigError("no aspect to judge", remedy="--aspects '[naturalness, persuasiveness]'")
    folders = [RunFolder(path) for path in paths]
    for folder in folders[1:]:
        check_same_task(folders[0], folder)
    held = [_first_of_each_problem(folder) for folder in folders]
    shared = sorted(set.intersection(*(set(one) for one in held)))
    if not shared:
        raise ConfigError("the runs share no finished problem", remedy="judge runs on the same problems")
    rng = random.Random(f"judging:{seed}")  # noqa: S311 - repeatable on purpose
    duels = list(combinations(range(len(paths)), 2))
    chosen = rng.sample(shared, min(pairs, len(shared)))
    offset = rng.randrange(len(duels))
    drawn = []
    for number, problem in enumerate(chosen):
        first, second = duels[(number + offset) % len(duels)]
        drawn.append(
            Pair(
                id=f"{number + 1}",
                problem=problem,
                runs=(first, second),
                conversations=(held[first][problem], held[second][problem]),
            )
        )
    where = tuple(str(folder.path.resolve()) for folder in folders)
    return Design(runs=where, names=tuple(names), aspects=wanted, seed=seed, pairs=tuple(drawn))


def judging_of(paths: Sequence[Path]) -> Judging:
    """The judgements of runs that lie in one of them: those that were begun there, or new ones of as many
    pairs and of the aspects that `coral judge` has by default.

    Raises:
        UserError: as `draw`, or a folder cannot be read or written.
    """
    wanted = {str(path.resolve()) for path in paths}
    for begun in sorted(one for path in paths for one in path.glob(f"{FOLDER}/*/{DESIGN}")):
        judging = Judging.resume(begun.parent)
        if set(judging.design.runs) == wanted:
            return judging
    given = [str(path) for path in paths]
    design = draw(given, pairs=PAIRS, aspects=ASPECTS, seed=0, names=names_of_runs(given))
    number = sum(1 for _ in (paths[0] / FOLDER).glob("*")) + 1
    return Judging.begin(paths[0] / FOLDER / f"{number:03}", design)


def _first_of_each_problem(folder: RunFolder) -> dict[str, str]:
    """Id of the first finished conversation of each problem."""
    found: dict[str, str] = {}
    for one in folder.conversations():
        if one.stop is not StopReason.FAILED:
            found[one.problem.id] = min(found.get(one.problem.id, one.id), one.id)
    return found


class Judging:
    """A folder of judgements, read and written."""

    def __init__(self, folder: Path, design: Design) -> None:
        self.folder = folder
        self.design = design
        self._pairs = {pair.id: pair for pair in design.pairs}
        self._runs = [RunFolder(path) for path in design.runs]
        self._said = {(one.judge, one.pair, one.aspect): one for one in _read(folder)}

    @classmethod
    def begin(cls, folder: Path, design: Design) -> Judging:
        """Write the design of new judgements.

        Raises:
            UserError: there are some already, or the folder cannot be written.
        """
        if (folder / DESIGN).exists():
            raise RunFolderError(
                f"{folder} holds judgements",
                remedy=f"`coral judge {folder}` resumes them, or another --output",
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / DESIGN, msgspec.json.format(msgspec.json.encode(design), indent=2))
        except OSError as error:
            raise RunFolderError(
                f"cannot write to {folder}: {error.strerror}", remedy="choose another --output"
            ) from None
        return cls(folder, design)

    @classmethod
    def resume(cls, folder: Path) -> Judging:
        """Open judgements that were begun.

        Raises:
            RunFolderError: there are none, or a file is damaged.
        """
        try:
            design = msgspec.json.decode((folder / DESIGN).read_bytes(), type=Design)
        except OSError:
            raise RunFolderError(
                f"{folder} holds no judgements", remedy="coral judge RUN RUN --output DIR begins them"
            ) from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise RunFolderError(
                f"{folder / DESIGN} is damaged: {error}", remedy="restore it from a copy"
            ) from None
        return cls(folder, design)

    @property
    def judgements(self) -> list[Judgement]:
        """All that count, in the order in which they were first made."""
        return list(self._said.values())

    def progress(self, judge: str) -> tuple[int, int]:
        """How many pairs a judge has judged in all aspects, and how many there are."""
        return sum(self._is_done(judge, pair) for pair in self._pairs), len(self._pairs)

    def next(self, judge: str) -> dict[str, Any] | None:
        """The next pair for a judge, as the page shows it; None when all are judged.

        Raises:
            UserError: the judge has no name, or a conversation is gone.
        """
        _check_name(judge)
        waiting = (pair for pair in _shuffled(self.design, judge) if not self._is_done(judge, pair.id))
        pair = next(waiting, None)
        if pair is None:
            return None
        told = [_told(self._conversation(run, one)) for run, one in self._sides(judge, pair)]
        done, count = self.progress(judge)
        return {
            "pair": pair.id, "problem": told[0]["opening"],
            "left": told[0]["turns"], "right": told[1]["turns"],
            "aspects": list(self.design.aspects), "done": done, "count": count,
        }  # fmt: skip

    def judge(self, judge: str, pair: str, choices: Mapping[str, str]) -> None:
        """Keep what a judge said: left, right or neither, for every aspect.

        Raises:
            UserError: there is no such pair, aspect or choice, or it cannot be written.
        """
        _check_name(judge)
        if pair not in self._pairs:
            raise UserError(f"there is no pair '{pair}'", remedy="reload the page")
        if set(choices) != set(self.design.aspects) or not set(choices.values()) <= {
            "left",
            "right",
            "neither",
        }:
            raise UserError("every aspect needs one choice", remedy="choose left, right or neither for each")
        (left, _), (right, _) = self._sides(judge, self._pairs[pair])
        numbers = {"left": left, "right": right, "neither": None}
        made = [
            Judgement(
                judge=judge, pair=pair, aspect=aspect, better=numbers[choice], left=left, at=time.time()
            )
            for aspect, choice in choices.items()
        ]
        try:
            with (self.folder / JUDGEMENTS).open("a+b") as file:
                _cut_torn_line(file)
                file.write(b"".join(msgspec.json.encode(one) + b"\n" for one in made))
        except OSError as error:
            raise RunFolderError(
                f"cannot write to {self.folder}: {error.strerror}", remedy="free space, then judge it again"
            ) from None
        self._said |= {(one.judge, one.pair, one.aspect): one for one in made}

    def routes(self) -> list[web.RouteDef]:
        """What the page asks of it."""
        return [web.get("/api/judging", self._next), web.post("/api/judging", self._judge)]

    async def _next(self, request: web.Request) -> web.StreamResponse:
        return answer(self.next(request.query.get("judge", "")) or {"done": True})

    async def _judge(self, request: web.Request) -> web.StreamResponse:
        found = await said(request, Said)
        self.judge(found.judge, found.pair, found.choices)
        return answer(self.next(found.judge) or {"done": True})

    def _is_done(self, judge: str, pair: str) -> bool:
        return all((judge, pair, aspect) in self._said for aspect in self.design.aspects)

    def _sides(self, judge: str, pair: Pair) -> tuple[tuple[int, str], tuple[int, str]]:
        """Left and right, for one judge: the number of the run and the conversation's id."""
        a, b = zip(pair.runs, pair.conversations, strict=True)
        return (b, a) if _drawn(self.design.seed, judge, pair.id) % 2 else (a, b)

    def _conversation(self, run: int, identity: str) -> Conversation:
        found = self._runs[run].conversation(identity)
        if found is None:
            raise RunFolderError(
                f"{self._runs[run].path} no longer holds the conversation '{identity}'",
                remedy="restore the run: its conversations are being judged",
            )
        return found


def _read(folder: Path) -> Iterator[Judgement]:
    """The judgements of a folder; a last line without its end was being written when the process died.

    Raises:
        RunFolderError: a line is damaged, or the file cannot be read.
    """
    path = folder / JUDGEMENTS
    return (decode(line, _DECODER) for line in read_file(path)) if path.exists() else iter(())


def _cut_torn_line(file: BinaryIO) -> None:
    """Drop what was being written when a process died: a line behind it would be damaged with it."""
    file.seek(0)
    file.truncate(file.read().rfind(b"\n") + 1)


def _shuffled(design: Design, judge: str) -> list[Pair]:
    """The pairs in a judge's own order."""
    return sorted(design.pairs, key=lambda pair: _drawn(design.seed, judge, f"order {pair.id}"))


def _drawn(seed: int, judge: str, name: str) -> int:
    digest = hashlib.blake2b(f"{seed}\0{judge}\0{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _check_name(judge: str) -> None:
    if not judge.strip() or len(judge) > LONGEST_NAME:
        raise UserError("a judge needs a name", remedy=f"of 1 to {LONGEST_NAME} characters")


def _told(conversation: Conversation) -> dict[str, Any]:
    """What a judge sees: who spoke in which seat, and the words; no model, no belief, no verdict."""
    turns = [{"seat": turn.seat, "text": turn.reply.text} for turn in conversation.turns]
    return {"opening": conversation.opening, "turns": turns}
