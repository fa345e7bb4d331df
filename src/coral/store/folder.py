"""The run folder: a run on disk, from the first line on.

DIR/config.yaml           the resolved options; the same command resumes, other options are refused
DIR/run.json              what was run: version, date, data fingerprint, prompts
DIR/prompts.json          the prompts in full, system prompts rendered: training rows are made with them
DIR/conversations/*.jsonl one line a finished conversation, appended when it ends; a big file has an index
DIR/journal/*.jsonl       generations received for conversations that are not finished
DIR/adjustments.json      what was changed for models that refuse what the options say, if anything was
DIR/summary.json          the metrics, once all are finished
DIR/lock                  held while a process works here
DIR/shards/I-of-N/        a run folder per shard, where processes share a run: in place of DIR/conversations
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from coral.config import dump_yaml
from coral.errors import RunFolderError
from coral.store.lines import Appender, decode, line_files, read_lines
from coral.store.lock import holder, sign, take_lock
from coral.store.others import is_of_a_run, kind_of, not_a_run, same_kind, with_other_options
from coral.store.shards import FOLDER, Shard, shards
from coral.store.stored import Endings, StoredConversations
from coral.store.whole import whole_file, write_whole
from coral.types import Adjustment, Conversation


class _Reply(msgspec.Struct, frozen=True):
    generation: msgspec.Raw | None = None


_REPLIES = msgspec.json.Decoder(_Reply)
_ENCODER = msgspec.json.Encoder()
ADJUSTMENTS = "adjustments.json"
BEGUN = "begun"
"""Of `run.json`: when the run began."""


class _Plan(msgspec.Struct, frozen=True):
    conversations: int


class _Shards(msgspec.Struct, frozen=True):
    shards: int | None = None


T = TypeVar("T")


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RunFolderError(
            f"{path} is damaged: {error}",
            remedy="restore the file from a copy; `coral eval` with another --output starts afresh",
        ) from None
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {error.strerror}", remedy="fix its permissions") from None


class RunFolder:
    """A run on disk. Building one touches nothing; `claim` opens it for writing."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.journal_path = self.path / "journal"
        self._stored = StoredConversations(
            lambda: [part.path / "conversations" for part in self.parts() or [self]]
        )
        self._appender = Appender(self.path / "conversations")
        self._lock: int | None = None

    @property
    def has_begun(self) -> bool:
        """Whether a run was started here."""
        return (self.path / "run.json").is_file()

    def parts(self) -> list[RunFolder]:
        """The folders of the shards of a run that is divided; none of one that is not.

        Raises:
            RunFolderError: shards of another division lie here, too.
        """
        division = self.read("run.json", _Shards)
        if division is None or division.shards is None:
            return []
        count = division.shards
        own = [self.part(shard) for shard in shards(count)]
        strays = sorted({*(self.path / FOLDER).glob("*-of-*")} - {part.path for part in own})
        if strays:
            raise RunFolderError(
                f"{self.path} is a run in {count} shards, and holds {strays[0].relative_to(self.path)}",
                remedy="move that folder away: what it holds is of another division",
            )
        return own

    def part(self, shard: Shard) -> RunFolder:
        """The run folder of one shard."""
        return RunFolder(self.path / shard.folder)

    def divide(self, identity: Mapping[str, Any], config: Mapping[str, Any], shard_count: int) -> None:
        """Create the folder of a run in shards, or check that it is of this run and so divided.

        Shards begin at the same moment on many machines: nothing is locked, and all of them write the same.

        Raises:
            RunFolderError: it cannot be written, belongs to another run, or is divided otherwise.
        """
        text = _pretty({**identity, "shards": shard_count})
        if not self.has_begun:
            self._must_know_its_run()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with whole_file(self.path / "run.json", replace=False) as file:
                file.write(_dated(text).encode())
        except FileExistsError:
            self._agree(text, free_while_empty=False)
        except OSError as error:
            raise self._unwritable("run.json", error) from None
        self._replace("config.yaml", dump_yaml(dict(config)))

    @contextmanager
    def claim(
        self,
        identity: Mapping[str, Any],
        config: Mapping[str, Any],
        *,
        lock: bool = True,
        free_while_empty: bool = True,
    ) -> Iterator[None]:
        """Create the folder, or open it again, and keep every other process out meanwhile.

        Args:
            identity: what decides the results; must be the same in every session.
            config: all options of this session.
            lock: False trusts the user that nobody else works there, for file systems without locks.
            free_while_empty: the identity may change until a reply or a conversation is here. False for a
                folder whose results stand elsewhere, as those of a loop or a training do.

        Raises:
            RunFolderError: it cannot be written, another process works in it, or it belongs to another run.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunFolderError(
                f"cannot write to {self.path}: {error.strerror}",
                remedy="choose another folder with --output, or fix its permissions",
            ) from None
        try:
            if lock:
                self._keep_others_out(self._lock)
            self._agree(_pretty(identity), free_while_empty=free_while_empty)
            self._replace("config.yaml", dump_yaml(dict(config)))
            yield
        finally:
            self._appender.close()
            os.close(self._lock)
            self._lock = None

    def check(self) -> None:
        """Make sure that the claimed folder is still there: what is written to a deleted one is lost.

        Raises:
            RunFolderError: it was deleted or moved, or the file of this session's conversations was.
        """
        try:
            is_there = self._lock is not None and os.path.samestat(
                (self.path / "lock").stat(), os.fstat(self._lock)
            )
        except OSError:
            is_there = False
        if not is_there:
            raise RunFolderError(
                f"{self.path} was deleted or moved while the run worked in it",
                remedy="put it back if it was moved, then run the same command again: what is in it is kept",
            )
        self._appender.check()

    def append(self, conversation: Conversation) -> None:
        """Keep a finished conversation.

        Raises:
            RunFolderError: it cannot be written.
        """
        self._appender.append(_ENCODER.encode(conversation))

    def endings(self) -> Endings:
        """Which conversations have ended, well or failed.

        Raises:
            RunFolderError: a stored line is damaged.
        """
        return self._stored.endings()

    def conversations(self) -> Iterator[Conversation]:
        """Stream the stored conversations, each once; of a failed one that was run again, only the last.

        Raises:
            RunFolderError: there is no run here, or a stored line is damaged.
        """
        self._must_hold_conversations()
        yield from self._stored

    def conversation(self, identity: str) -> Conversation | None:
        """A stored conversation by its id, None where there is none.

        Raises:
            RunFolderError: there is no run here, or a line is damaged that had to be read.
        """
        self._must_hold_conversations()
        return self._stored.find(identity)

    def identity(self) -> dict[str, Any]:
        """What the run of conversations was made with.

        Raises:
            RunFolderError: there is no run here, the file is damaged, or it is of a study, a training ...
        """
        stored = self.record()
        if not is_of_a_run(stored):
            raise not_a_run(self.path, stored)
        return stored

    def record(self) -> dict[str, Any]:
        """What a run, or a study or training, was made with.

        Raises:
            RunFolderError: there is nothing of the kind here, or the file is damaged.
        """
        stored = self._run_json()
        stored.pop(BEGUN, None)
        return stored

    def begun(self) -> datetime | None:
        """When the run began; None where version 0.1 made it.

        Raises:
            RunFolderError: there is no run here, or the file is damaged.
        """
        stated = self._run_json().get(BEGUN)
        return datetime.fromisoformat(stated) if isinstance(stated, str) else None

    def _run_json(self) -> dict[str, Any]:
        self._must_exist()
        return _read(self.path / "run.json", dict[str, Any])

    def adjustments(self) -> list[Adjustment]:
        """What was changed for models that refuse what the options say, in all conversations of the run.

        Raises:
            RunFolderError: the file is damaged.
        """
        folders = self.parts() or [self]
        found = [made for folder in folders for made in folder.read(ADJUSTMENTS, list[Adjustment]) or ()]
        return list({(made.model, made.setting, made.change): made for made in found}.values())

    def planned(self) -> int | None:
        """How many conversations the latest session is to have in the end; None where none began.

        Raises:
            RunFolderError: the file is damaged.
        """
        plan = self.read("plan.json", _Plan)
        return plan.conversations if plan else None

    def plan(self, conversations: int) -> None:
        """Note how many conversations the run is to have, and drop the summary of what it was before.

        Raises:
            RunFolderError: the folder cannot be written.
        """
        self.write("plan.json", _Plan(conversations))
        self.remove("summary.json")

    def write(self, name: str, value: object) -> None:
        """Put a JSON file beside the conversations: complete or not at all.

        Raises:
            RunFolderError: it cannot be written.
        """
        self._replace(name, _pretty(value))

    def read(self, name: str, kind: type[T]) -> T | None:
        """What a JSON file beside the conversations says; None where there is none.

        Raises:
            RunFolderError: it is damaged.
        """
        path = self.path / name
        return _read(path, kind) if path.exists() else None

    def remove(self, name: str) -> None:
        """Take a JSON file away, if it is there.

        Raises:
            RunFolderError: the folder cannot be written.
        """
        try:
            (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(name, error) from None

    def _must_exist(self) -> None:
        if not self.has_begun:
            self._must_know_its_run()
            if kind_of(self.path, {}):
                raise not_a_run(self.path, {})
            raise RunFolderError(
                f"{self.path} is not a run folder", remedy="name the folder that `coral eval` printed"
            )

    def _must_hold_conversations(self) -> None:
        stored = self.record()
        if kind_of(self.path, stored):
            raise not_a_run(self.path, stored)

    def _must_know_its_run(self) -> None:
        if line_files(self.path / "conversations"):
            raise RunFolderError(
                f"{self.path} holds conversations, and no run.json that says which run they are of",
                remedy="restore run.json from a copy, or choose another folder with --output",
            )

    def _keep_others_out(self, descriptor: int) -> None:
        if not take_lock(descriptor, self.path):
            raise RunFolderError(
                f"{holder(descriptor)} works in {self.path}",
                remedy="wait for it, stop it, or choose another folder with --output",
            )
        sign(descriptor)
        for left in self.path.glob(".*.partial"):  # by a process that was killed
            left.unlink(missing_ok=True)

    def _agree(self, text: str, *, free_while_empty: bool) -> None:
        """Write the identity of a new run; that of an old one that holds something must say the same."""
        path = self.path / "run.json"
        if not path.exists():
            self._must_know_its_run()
            self._replace(path.name, _dated(text))
            return
        stored = _read(path, dict[str, Any])
        wanted = msgspec.json.decode(text)
        same_kind(self.path, stored, wanted)
        if stored.get("schema") != wanted.get("schema"):
            raise RunFolderError(
                f"{self.path} was made by another version of Coral (schema {stored.get('schema')}, this one "
                f"writes {wanted.get('schema')})",
                remedy="it can be shown, scored, exported and compared, not continued: give another --output",
            )
        if _without_notes(stored) == _without_notes(wanted):
            return
        _same_division(self.path, stored.get("shards"), wanted.get("shards"))
        if free_while_empty and self._holds_nothing():
            self._replace(path.name, _dated(text))
            return
        raise with_other_options(self.path, _without_notes(stored), _without_notes(wanted))

    def _holds_nothing(self) -> bool:
        """Whether nothing that was paid for is here: then the folder may become that of another run.

        Only runs of conversations have a plan. What trainings and loops hold lies elsewhere.
        """
        if not (self.path / "plan.json").is_file():
            return False
        replies = (decode(line, _REPLIES).generation for line in read_lines(self.journal_path))
        is_empty = not any(read_lines(self.path / "conversations"))
        return is_empty and all(reply is None for reply in replies)

    def _replace(self, name: str, text: str) -> None:
        """Write a file completely or not at all."""
        try:
            write_whole(self.path / name, text)
        except OSError as error:
            raise self._unwritable(name, error) from None

    def _unwritable(self, name: str, error: OSError) -> RunFolderError:
        return RunFolderError(
            f"cannot write {self.path / name}: {error.strerror}",
            remedy="free space or fix the folder, then run the same command again",
        )


def _same_division(path: Path, there: int | None, wanted: int | None) -> None:
    """Refuse another number of shards: problems would be dealt otherwise, and some of them held twice."""
    if there == wanted:
        return
    other = "or give another --output for a new run"
    if there is None:
        raise RunFolderError(
            f"{path} holds a run that is not divided into shards",
            remedy=f"leave out --shard and --processes to resume it, {other}",
        )
    now = f", not {wanted}" if wanted else ""
    raise RunFolderError(
        f"{path} holds a run in {there} shards{now}",
        remedy=f"give --shard I/{there} or --processes {there} to resume it, {other}",
    )


def _dated(text: str) -> str:
    """The identity of a run with when it began, in UTC."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return _pretty({**msgspec.json.decode(text), BEGUN: now})


def _without_notes(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What decides a run, of what its file says: by which version and when it began does not."""
    return {name: value for name, value in stored.items() if name not in {"version", BEGUN}}


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"
