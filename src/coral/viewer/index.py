"""What the viewer looks up: one row per conversation in SQLite, beside the run, made from the run's files.

The files stay the truth. The index covers each of them up to some line, follows them while a run writes, and
is made anew where it no longer fits: `view.sqlite` may be deleted at any time.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import sqlite3
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from coral import workers
from coral.comparison.facts import control_of, headline
from coral.comparison.kinds import turn_of
from coral.conversation import protocols
from coral.errors import RunFolderError, UserError
from coral.evaluation.measure import as_decided
from coral.metrics.outcome import Outcome, Rules, change_of
from coral.metrics.trace import trace_of
from coral.store.folder import RunFolder
from coral.store.lines import Line, line_files, read_file
from coral.store.stored import conversation_of, line_at
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.tasks.registry import task_of
from coral.types import Answered, Conversation, Reply, StopReason, Unsure, Usage

FILE = "view.sqlite"
_VERSION = 4
"""Raised by every change of what is indexed; an index of another version is made anew."""
BATCH = 500
"""Conversations per transaction: a search waits for no more, and a kill loses no more."""

_SCHEMA = """
CREATE TABLE files (path TEXT PRIMARY KEY, covered INTEGER, last INTEGER, digest BLOB);
CREATE TABLE damaged (path TEXT, offset INTEGER, message TEXT);
CREATE TABLE conversations (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, natural TEXT, problem TEXT, cluster TEXT,
    sample INTEGER, path TEXT, offset INTEGER, stop TEXT, agreed INTEGER, right INTEGER, turns INTEGER,
    tokens INTEGER,
    seconds REAL, strip TEXT, lost_turn INTEGER, lost_seat TEXT, gained_turn INTEGER, gained_seat TEXT,
    first_right INTEGER, any_right INTEGER, by_model INTEGER, unreadable INTEGER, parent TEXT, failure TEXT
);
CREATE INDEX by_natural ON conversations (natural);
CREATE INDEX by_problem ON conversations (problem);
CREATE TABLE groups (number INTEGER, dimension TEXT, value TEXT);
CREATE INDEX by_value ON groups (dimension, value, number);
CREATE TABLE flow (
    turn INTEGER, seat TEXT, verdict TEXT, count INTEGER, PRIMARY KEY (turn, seat, verdict)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE texts USING fts5(text, content='', tokenize='unicode61 remove_diacritics 2');
"""

WORKING = threading.Lock()
"""Held by whoever runs a loop that grades or compares in a thread: the workers serve one loop at a time."""

VERDICTS = {"r": "right", "w": "wrong", "u": "unsure", "x": "unreadable", "n": "not graded"}
"""Of a turn, by the letter that stands for it in a strip."""


Step = tuple[int, str, str]
"""A turn's number, seat and verdict."""


def verdict_of(reply: Reply) -> str:
    """The letter of a reply's verdict; see `VERDICTS`."""
    if isinstance(reply.belief, Answered):
        return {True: "r", False: "w", None: "n"}[reply.correct]
    return "u" if isinstance(reply.belief, Unsure) else "x"


class RunIndex:
    """The index of one run. Threads may share it: each gets a connection of its own.

    Attributes:
        path: of the index.
        task: that of the run; None where it cannot be loaded here, and answers are compared by their words.
        note: why it cannot.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.identity = folder.identity()
        self.rules: Rules = protocols.stored(self.identity)
        self.task: Task | None = None
        self.note = ""
        try:
            self.task = task_of(folder)
        except UserError as error:
            self.note = str(error)
        self.path = _place(folder)
        self._local = threading.local()
        self._prepare()
        self._made = self.path.stat()

    @property
    def beside_control(self) -> bool:
        """The agent speaks first, beside a control partner: its last answer counts, as in studies."""
        return headline(self.rules, control_of(self.identity)) == "final_accuracy"

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = _connect(self.path)
        return found

    def is_current(self) -> bool:
        """Whether it is of what lies there now: not where the run was deleted, or made again."""
        try:
            is_there = os.path.samestat(self.path.stat(), self._made)
            return is_there and self.folder.identity() == self.identity and self._fits()
        except (OSError, RunFolderError, sqlite3.Error):
            return False

    def update(self, on_taken: Callable[[int], None] = lambda _: None) -> None:
        """Take in what the run has written since.

        Args:
            on_taken: called with the number of lines of each part that was taken in.

        Raises:
            RunFolderError: a file cannot be read.
        """
        with WORKING:
            asyncio.run(self._take_in(on_taken))

    def conversation(self, identity: str) -> Conversation | None:
        """One conversation from its file; None where there is none.

        Raises:
            RunFolderError: its line is damaged, or the run is gone.
        """
        row = self.connection.execute(
            "SELECT path, offset FROM conversations WHERE id = ?", (identity,)
        ).fetchone()
        if row is not None:
            with suppress(RunFolderError):  # the file is another one since, or has none of it
                found = conversation_of(line_at(self.folder.path / row["path"], row["offset"]))
                if found.id == identity:
                    return found
        return self.folder.conversation(identity)

    def _prepare(self) -> None:
        """Keep the index that is there if it fits, else begin a new one."""
        with suppress(sqlite3.DatabaseError, RunFolderError):
            if self.connection.execute("PRAGMA user_version").fetchone()[0] == _VERSION and self._fits():
                return
        if found := self._local.__dict__.pop("connection", None):
            found.close()
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.connection.executescript(_SCHEMA)
        self.connection.execute(f"PRAGMA user_version = {_VERSION}")

    def _fits(self) -> bool:
        """Whether each file still holds, where the index ends, the line that it ended with."""
        for row in self.connection.execute("SELECT path, covered, last, digest FROM files"):
            path = self.folder.path / row["path"]
            if not path.is_file() or path.stat().st_size < row["covered"]:
                return False
            if row["covered"] and _digest(line_at(path, row["last"])) != row["digest"]:
                return False
        return True

    async def _take_in(self, on_taken: Callable[[int], None]) -> None:
        async with workers.in_use():
            for path in self._files():
                lines = read_file(path, start=self._covered(path))
                while batch := list(islice(lines, BATCH)):
                    await self._add(path, batch)
                    on_taken(len(batch))

    def _files(self) -> list[Path]:
        folders = [part.path / "conversations" for part in self.folder.parts() or [self.folder]]
        return [path for folder in folders for path in line_files(folder)]

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder.path).as_posix()

    def _covered(self, path: Path) -> int:
        row = self.connection.execute(
            "SELECT covered FROM files WHERE path = ?", (self._name(path),)
        ).fetchone()
        return row["covered"] if row else 0

    async def _add(self, path: Path, lines: list[Line]) -> None:
        found = []
        damaged = []
        for line in lines:
            try:
                conversation = conversation_of(line)
                found.append((line, conversation, await self._outcome(conversation)))
            except RunFolderError as error:
                damaged.append((self._name(path), line.offset, str(error)))
        last = lines[-1]
        with self.connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            flow: Counter[Step] = Counter()
            for line, conversation, outcome in found:
                _insert(connection, self._name(path), line.offset, conversation, outcome, flow)
            connection.executemany(
                "INSERT INTO flow VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET count = count + excluded.count",
                [(*step, count) for step, count in flow.items()],
            )
            connection.executemany("INSERT INTO damaged VALUES (?, ?, ?)", damaged)
            connection.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                (self._name(path), last.offset + len(last.text), last.offset, _digest(last)),
            )

    async def _outcome(self, conversation: Conversation) -> Outcome:
        async def same(a: str, b: str) -> bool:
            return a == b or (
                self.task is not None and await boundary.same(self.task, a, b, conversation.problem)
            )

        trace = as_decided(await trace_of(conversation, same), conversation)
        outcome = self.rules.outcome(trace)
        if not self.beside_control:
            return outcome
        change = change_of(next(iter(self.rules.speakers)), trace)
        return msgspec.structs.replace(outcome, right=change.last)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # what is lost in a power cut is made anew
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _place(folder: RunFolder) -> Path:
    """Beside the run; where nothing can be written there, among the temporary files of this user."""
    if os.access(folder.path, os.W_OK):
        return folder.path / FILE
    name = hashlib.blake2b(str(folder.path.resolve()).encode(), digest_size=8).hexdigest()
    place = Path(tempfile.gettempdir()) / f"coral-view-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    if place.stat().st_uid != os.getuid():
        raise RunFolderError(f"{place} belongs to somebody else", remedy="set TMPDIR to a folder of your own")
    return place / f"{name}.sqlite"


def _digest(line: Line) -> bytes:
    return hashlib.blake2b(line.text, digest_size=16).digest()


def _insert(
    connection: sqlite3.Connection,
    path: str,
    offset: int,
    conversation: Conversation,
    outcome: Outcome,
    flow: Counter[Step],
) -> None:
    """Add a row. Of several lines about one conversation the first that did not fail counts, or the last."""
    before = connection.execute(
        "SELECT number, stop, strip FROM conversations WHERE id = ?", (conversation.id,)
    ).fetchone()
    if before is not None:
        if before["stop"] != StopReason.FAILED.value:
            return
        flow.subtract(_verdicts(before["strip"], conversation))
        for table in ("conversations", "groups"):
            connection.execute(f"DELETE FROM {table} WHERE number = ?", (before["number"],))  # noqa: S608
    row = {"path": path, "offset": offset, **_facts(conversation, outcome)}
    flow.update(_verdicts(row["strip"], conversation))
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    number = connection.execute(
        f"INSERT INTO conversations ({names}) VALUES ({marks})",  # noqa: S608 - our own names
        tuple(row.values()),
    ).lastrowid
    connection.executemany(
        "INSERT INTO groups VALUES (?, ?, ?)",
        [(number, dimension, value) for dimension, value in conversation.problem.group.items()],
    )
    connection.execute(
        "INSERT INTO texts (rowid, text) VALUES (?, ?)", (number, "\n".join(_texts(conversation)))
    )


def _facts(conversation: Conversation, outcome: Outcome) -> Mapping[str, Any]:
    turns, seats = conversation.turns, list(conversation.speakers)
    verdicts = [verdict_of(turn.reply) for turn in turns]
    lost, gained = turn_of(conversation, "lost"), turn_of(conversation, "gained")
    failure = conversation.failure
    spent = Usage.total(
        usage for turn in turns if (usage := turn.usage or turn.reply.usage) is not None
    ).completion_tokens
    return {
        "id": conversation.id,
        "natural": natural(conversation.id),
        "problem": conversation.problem.id,
        "cluster": conversation.problem.cluster or conversation.problem.id,
        "sample": int(conversation.id.rpartition("#")[2] or 0),
        "stop": conversation.stop.value,
        "agreed": outcome.agreed,
        "right": outcome.right,
        "turns": len(turns),
        "tokens": spent,
        "seconds": conversation.seconds,
        "strip": "".join(
            f"{seats.index(turn.seat)}{verdict}" for turn, verdict in zip(turns, verdicts, strict=True)
        ),
        "lost_turn": lost,
        "lost_seat": lost and turns[lost - 1].seat,
        "gained_turn": gained,
        "gained_seat": gained and turns[gained - 1].seat,
        "first_right": turns[0].reply.correct if turns else None,
        "any_right": "r" in verdicts,
        "by_model": any(turn.reply.extraction.by == "model" for turn in turns),
        "unreadable": "x" in verdicts,
        "parent": conversation.parent and conversation.parent.conversation,
        "failure": failure and f"{failure.type}: {failure.message}",
    }


def _verdicts(strip: str, conversation: Conversation) -> list[Step]:
    """The steps of a strip: those of a conversation with the same seats."""
    seats = list(conversation.speakers)
    return [
        (turn, seats[int(seat)], verdict)
        for turn, (seat, verdict) in enumerate(re.findall(r"(\d+)([a-z])", strip), 1)
    ]


def _texts(conversation: Conversation) -> Iterator[str]:
    """What is searched: what was said, and the problem."""
    yield conversation.id
    yield conversation.opening
    for turn in conversation.turns:
        yield from (reply.text for reply in turn.replies)


def natural(identity: str) -> str:
    """A key whose order puts 9 before 10."""
    return re.sub(r"\d+", lambda found: f"{len(found[0]):03d}{found[0]}", identity)
