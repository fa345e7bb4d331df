"""What the commands do: bring a pool to the wanted number of replicas, tell how it fares, end it.

Nothing of Coral runs between two of them. SLURM, or this machine, keeps the jobs; each job keeps its server;
the folder says who is there.
"""

from __future__ import annotations

import math
import socket
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import msgspec

from coral.cluster.config import PoolConfig
from coral.cluster.local import LocalPlace
from coral.cluster.places import Job, Place
from coral.cluster.ray import RayPlace
from coral.cluster.records import Record, locked, make_folder, read_records, remove_record
from coral.cluster.slurm import SlurmPlace
from coral.config import dump_yaml
from coral.errors import ConfigError, Notice, UserError
from coral.options import build_config, load_yaml_file
from coral.store.whole import write_whole

LOOK_EVERY_S = 1.0
SAVED = "pool.yaml"
"""Of a pool's folder: its options, so that the folder is enough to name it."""

MARGIN_S = 60.0
"""For a scheduler to notice that jobs have ended."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A replica as a command sees it: its record and its job, of which either may be missing."""

    record: Record | None
    job: Job | None

    @property
    def state(self) -> str:
        """The state of the replica; of one that never spoke, that of its job."""
        if self.record is None:
            return self.job.state.lower() if self.job else "gone"
        if self.job is None and self.record.state != "failed":
            return "lost"
        return self.record.shown_state

    @property
    def why(self) -> str:
        """Why it is in that state, as far as anybody said."""
        if self.record is None:
            return self.job.why if self.job else ""
        if self.state != "lost":
            return self.record.why or ""
        return "its job is gone" if self.job is None else f"silent for {self.record.age_s:.0f} s"

    @property
    def is_ready(self) -> bool:
        """Whether it takes requests."""
        return self.state == "ready"


def place_of(config: PoolConfig) -> Place:
    """Where the replicas of a pool run."""
    places: dict[str, Callable[[PoolConfig], Place]]
    places = {"local": LocalPlace, "slurm": SlurmPlace, "ray": RayPlace}
    return places[config.place](config)


def look(config: PoolConfig) -> list[Seen]:
    """Every replica of a pool.

    Raises:
        UserError: there is no such pool, or its place cannot be asked.
    """
    if not config.path.is_dir():
        _check_known(config)
        raise UserError(
            f"there is no pool in {config.path}", remedy="bring it up first: coral cluster up FILE"
        )
    jobs = {job.id: job for job in place_of(config).jobs()}
    latest: dict[tuple[str, int], Record] = {}
    for record in sorted(read_records(config.path), key=lambda record: record.requeued):
        latest[record.job, record.slot] = record  # of a requeued job, the run that is the latest
    seen = [Seen(record=record, job=jobs.get(record.job)) for record in latest.values()]
    spoke = Counter(record.job for record in latest.values())
    for job in jobs.values():
        seen += [Seen(record=None, job=job)] * (config.replicas_per_job - spoke[job.id])
    return seen


def _check_known(config: PoolConfig) -> None:
    """Refuse to act on a pool whose folder was removed or replaced while its replicas ran.

    Raises:
        UserError: names their processes.
    """
    unknown = LocalPlace(config).unknown() if config.place == "local" else []
    if unknown:
        pids = " ".join(map(str, unknown))
        raise UserError(
            f"replicas live that {config.path} does not know, since it was removed or replaced: {pids}",
            remedy=f"put the folder back, or end them: kill {pids}",
        )


def wanted(config: PoolConfig, seen: Sequence[Seen]) -> int:
    """How many replicas are wanted: with `max`, as many as the requests in flight ask for.

    The pool grows by what is in flight now, and shrinks by the most that was in flight of late, so that it
    does not swing. While a replica is not ready, or does not tell, it does not shrink.
    """
    if config.max is None:
        return config.replicas
    living = _staying(seen)
    if config.place == "ray" and living:  # whose own autoscaler follows the requests
        return max(config.min, min(config.max, len(living)))
    records = [one.record for one in living if one.record is not None and one.is_ready]
    now = sum(record.in_flight or 0 for record in records)
    most = [record.most_in_flight for record in records if record.most_in_flight is not None]
    count = len(living) if living else config.replicas
    kept = min(count, math.ceil(sum(most) / config.in_flight)) if 0 < len(most) == len(living) else count
    return max(config.min, min(config.max, max(kept, math.ceil(now / config.in_flight))))


def _staying(seen: Sequence[Seen]) -> list[Seen]:
    """The replicas whose jobs live and do not drain."""
    leaving = {one.job for one in seen if one.state == "draining"}
    living = [one for one in seen if one.job is not None and one.job.state != "STOPPING"]
    return [one for one in living if one.job not in leaving]


def up(config: PoolConfig) -> str:
    """Start or drain the difference between what lives and what is wanted; returns what was done, in words.

    Raises:
        UserError: the place cannot be asked, or another command is at work.
    """
    done = adjust(config)
    if done:
        return done
    seen = look(config)
    return f"{len(_staying(seen))} of {wanted(config, seen)} there"


def adjust(config: PoolConfig) -> str:
    """As `up`; returns nothing where nothing had to be done."""
    if not config.path.exists():
        _check_known(config)  # first, so that the folder can be put back
    make_folder(config.path)
    caution(config)
    with locked(config.path):
        _check_known(config)
        _check_change(config)
        place = place_of(config)
        _forget_the_dead(config, place)
        seen = look(config)
        number, staying = wanted(config, seen), _staying(seen)
        missing = number - len(staying)
        if missing > 0:
            jobs = -(-missing // config.replicas_per_job)
            return f"{len(staying)} of {number} there, {place.add(jobs)} for {missing} more"
        leaving = _least_worth(staying, -missing // config.replicas_per_job)
        if not leaving:
            if isinstance(place, RayPlace) and staying:
                place.add(0)  # it scales by itself: what is new are its limits
            return ""
        return f"{len(staying)} there, {number} wanted: {place.drain(leaving)}"


def caution(config: PoolConfig) -> None:
    """Tell what is most likely not meant, and not forbidden either."""
    if config.place == "slurm" and not any(
        name.startswith("mem") and value for name, value in config.slurm.items()
    ):
        text = "slurm.mem is not set: without a default of the site, a replica takes all memory of its node"
        warnings.warn(text, Notice, stacklevel=2)
    for place in ("slurm", "ray"):
        if getattr(config, place) and config.place != place:
            text = (
                f"`{place}` says nothing here: the place is {config.place}, unless you write `place: {place}`"
            )
            warnings.warn(text, Notice, stacklevel=2)


_LAYOUT = ("name", "place", "replicas_per_job", "nodes")
"""Options that say what a job is: with others, those that live would not be found, or counted wrongly."""
_SERVED = ("server", "setup", "model")


def as_brought_up(config: PoolConfig) -> PoolConfig:
    """The options, with the layout of the last `up`: what lives is found though the file was edited."""
    before = _saved(config)
    return config if before is None else replace(config, **{name: getattr(before, name) for name in _LAYOUT})


def _check_change(config: PoolConfig) -> None:
    """Refuse another layout while replicas of the last one live, and say that they keep their server.

    Raises:
        UserError: names the options; or the place of the last `up` cannot be asked.
    """
    before = _saved(config)
    if before is None:
        return
    layout, served = (
        [name for name in names if getattr(before, name) != getattr(config, name)]
        for names in (_LAYOUT, _SERVED)
    )
    if (layout or served) and (jobs := place_of(before).jobs()):
        if layout:
            was = ", ".join(f"{name} {getattr(before, name)}" for name in layout)
            raise UserError(
                f"{len(jobs)} jobs of the pool in {config.path} live, which were started with {was}",
                remedy="end them first (coral cluster down), or give the same options",
            )
        text = (
            f"replicas that live keep their {served[0]}: the new one takes effect after `coral cluster down`"
        )
        warnings.warn(text, Notice, stacklevel=2)


def _saved(config: PoolConfig) -> PoolConfig | None:
    """The options of the last `up`; None before the first one, or of a version with others."""
    try:
        return build_config(PoolConfig, load_yaml_file(config.path / SAVED), "cluster")
    except ConfigError:
        return None


def _least_worth(seen: Sequence[Seen], count: int) -> list[Job]:
    """The jobs that go when there are too many: with the fewest ready replicas, waiting, the newest."""
    worth: dict[Job, tuple[int, bool, float]] = {}
    for one in seen:
        if one.job is not None:
            ready, _, _ = worth.get(one.job, (0, False, 0.0))
            started = one.record.started if one.record else time.time()
            worth[one.job] = (ready + one.is_ready, one.job.state == "RUNNING", -started)
    return sorted(worth, key=lambda job: worth[job])[:count]


def _forget_the_dead(config: PoolConfig, place: Place) -> None:
    """Remove the records of replicas that have no job any more, and what they left behind."""
    jobs = {job.id for job in place.jobs()}
    records = read_records(config.path)
    latest = {
        (record.job, record.slot): record.requeued for record in sorted(records, key=lambda one: one.requeued)
    }
    here = socket.gethostname() if config.place == "local" else None
    for record in records:
        is_silent = record.shown_state in {"lost", "failed"} or record.node == here
        is_over = record.job not in jobs or record.requeued < latest[record.job, record.slot]
        if is_silent and is_over:
            place.sweep(record)
            remove_record(config.path, record)


def wait_ready(config: PoolConfig, tell: Callable[[str], object]) -> bool:
    """Wait until as many replicas are ready as are wanted; whether they are.

    Args:
        tell: called with the number of ready ones when it changes.
    """
    deadline = time.monotonic() + config.replica.ready_within_s * config.replica.max_failed_starts
    number, told = wanted(config, look(config)), ""
    while True:
        seen = look(config)
        line = summary(number, seen)
        if line != told:
            tell(line)
            told = line
        ready = sum(one.is_ready for one in seen)
        living = sum(one.job is not None and one.state != "failed" for one in seen)
        if ready >= number or living < number or time.monotonic() > deadline:
            return ready >= number
        time.sleep(LOOK_EVERY_S)


def summary(number: int, seen: Sequence[Seen]) -> str:
    """How many are ready of those that are wanted."""
    return f"{sum(one.is_ready for one in seen)} of {number} ready"


def down(config: PoolConfig, *, now: bool = False) -> list[Job]:
    """End a pool, by default when its requests in flight have ended; returns the jobs that would not end.

    Raises:
        UserError: the place cannot be asked, or another command is at work.
    """
    config = as_brought_up(config)
    look(config)
    with locked(config.path):
        _check_known(config)
        place = place_of(config)
        if not now:
            place.drain(place.jobs())
            _await_end(place, config.replica.drain_s + config.replica.stop_within_s + MARGIN_S)
        place.end(place.jobs())
        left = _await_end(place, MARGIN_S)
        if not left:
            for record in read_records(config.path):
                place.sweep(record)
                remove_record(config.path, record)
        return left


def _await_end(place: Place, within_s: float) -> list[Job]:
    deadline = time.monotonic() + within_s
    while (left := place.jobs()) and time.monotonic() < deadline:
        time.sleep(min(LOOK_EVERY_S, 0.2))
    return left


def log_of(config: PoolConfig, replica: str) -> Path:
    """The log of a replica's server, by its id, its job, or the beginning of either.

    Raises:
        UserError: there is none, or there are several.
    """
    folder = config.path / "logs"
    names = sorted(path.name for path in folder.glob("*.log")) if folder.is_dir() else []
    fitting = [name for name in names if name == f"{replica}.log"] or [
        name for name in names if name.startswith(replica)
    ]
    if len(fitting) != 1:
        what = "several replicas are" if fitting else "no replica is"
        raise UserError(f"{what} called '{replica}'", remedy=f"name one of: {', '.join(fitting or names)}")
    return folder / fitting[0]


def outputs(config: PoolConfig) -> list[Path]:
    """What supervisors wrote apart from their servers' logs, the latest at the end: why one did not begin.

    Raises:
        UserError: there is nothing.
    """
    folder = config.path / "logs"
    found = [path for path in folder.glob("*.out") if path.stat().st_size]
    if not found:
        names = ", ".join(sorted(path.stem for path in folder.glob("*.log")))
        raise UserError(
            f"no replica is there in {config.path}",
            remedy=f"name one that was: {names}" if names else "bring it up first: coral cluster up FILE",
        )
    return sorted(found, key=lambda path: path.stat().st_mtime)


def save(config: PoolConfig) -> None:
    """Keep the options of a pool in its folder.

    Raises:
        OSError: the folder cannot be written.
    """
    values = {item.name: getattr(config, item.name) for item in fields(PoolConfig)}
    values["folder"] = str(config.path)  # which is read from any other folder
    write_whole(config.path / SAVED, dump_yaml(msgspec.to_builtins(values)))
