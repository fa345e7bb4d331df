"""The folder of a pool: the records of its replicas, its lock and its key."""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from coral.errors import UserError
from coral.roster import ReplicaRecord, read_record


class Record(ReplicaRecord, frozen=True, kw_only=True):
    """All that a replica tells of itself. See `coral.cluster.replica`.

    Attributes:
        job: of SLURM as `squeue -r` lists it, or the supervisor's process.
        slot: which of the job's replicas it is.
        most_in_flight: requests at once in the latest `calm_s`, as far as the server tells.
        age_s: seconds since the latest beat, by the clock of the file system.
    """

    id: str
    job: str
    slot: int = 0
    node: str
    pid: int
    log: str
    model: str | None = None
    gpus: str | None = None
    started: float = 0.0
    starts: int = 0
    most_in_flight: float | None = None
    requeued: int = 0
    why: str | None = None
    age_s: float = 0.0

    @property
    def shown_state(self) -> str:
        """Its state, or `lost` where it has been silent for too long."""
        is_lost = self.age_s > self.silent_after_s and self.state != "failed"
        return "lost" if is_lost else self.state


def read_records(folder: Path) -> list[Record]:
    """The records that can be read; a file that cannot is being replaced, or belongs to somebody else."""
    now = _file_time(folder)
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            record = read_record(path, Record)
            if record.id == path.stem:
                found.append(msgspec.structs.replace(record, age_s=now - path.stat().st_mtime))
        except (OSError, msgspec.DecodeError):
            continue
    return found


def remove_record(folder: Path, record: Record) -> None:
    """Forget a replica that is no more."""
    (folder / f"{record.id}.json").unlink(missing_ok=True)


def _file_time(folder: Path) -> float:
    """The present, by the clock that stamps the records."""
    probe = folder / ".clock"
    probe.write_text("")
    return probe.stat().st_mtime


def make_folder(folder: Path) -> None:
    """Make the folder, for its owner alone, and a key for its servers.

    Raises:
        UserError: it cannot be made, or is there for something else.
    """
    try:
        _check_own(folder)
        (folder / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        key = folder / "key"
        key.touch(0o600)
        key.chmod(0o600)
        if not key.read_bytes().strip():  # of a disk that was full when it was made, too
            key.write_text(secrets.token_urlsafe(24) + "\n")
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}", remedy="name another folder for the pool") from None


def _check_own(folder: Path) -> None:
    """Refuse a folder of other files, which would be closed to all that share it.

    Raises:
        UserError: it is one.
        OSError: it cannot be read.
    """
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    others = sorted(name for name in there if not name.startswith("."))
    if others and not there & {"key", "lock"}:
        raise UserError(
            f"{folder} holds other files ({', '.join(others[:3])}): it would be closed to everybody but you",
            remedy="name a folder of the pool's own, such as one in it",
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other commands out of a pool's folder while the context is open.

    Raises:
        UserError: another one is at work.
    """
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another command changes the pool in {folder}", remedy="try again when it has ended"
            ) from None
        yield
