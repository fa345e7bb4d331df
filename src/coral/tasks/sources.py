"""From a `Source` to its files: local or on the hub, a file or a folder, published splits or seeded ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

from coral.errors import ConfigError, DataError
from coral.tasks import files, hub
from coral.tasks.files import Row
from coral.tasks.protocol import Source, TaskInfo
from coral.types import Problem

PARTS = ("train", "validation", "test")
"""Seeded parts of a data set whose authors publish no splits: 80, 10 and 10% of it."""

SEEDED = ("all", *PARTS)
"""The splits of such a data set; `all` is the default."""

SEEDED_SPLITS = tuple(f"seeded-{part}" for part in PARTS)
"""Parts of the test split of data that have splits, but too little to train on."""

_BOUNDS = {"train": (0.0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1.0)}
_SPELLINGS = {"train": "train", "training": "train", "test": "test"} | dict.fromkeys(
    ("validation", "valid", "val", "dev"), "validation"
)
_HASHED = (*files.FORMATS, ".gz", ".txt", ".zip")


def split_of(source: Source, info: TaskInfo) -> str:
    """The split asked for, or the default.

    Raises:
        ConfigError: the task has no such split.
    """
    split = source.split or info.splits[0]
    if split not in info.splits:
        same = [_SPELLINGS[split.lower()]] if split.lower() in _SPELLINGS else []
        close = [name for name in same if name in info.splits] or get_close_matches(split, info.splits, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ConfigError(
            f"{info.name} has no split '{split}'", remedy=f"{hint}It has: {', '.join(info.splits)}"
        )
    return split


def locate(source: Source, info: TaskInfo | None = None) -> Path:
    """The local file or folder, fetched from the hub where the source is an address there.

    Raises:
        DataError: no data were named, or they are not there.
    """
    fetch = f"to get the data: {info.fetch}" if info else "see `coral tasks` for where to get the data"
    if source.data is None:
        raise DataError("no data were named", remedy=f"give --data; {fetch}")
    if source.data.startswith(hub.SCHEME):
        return hub.fetch(hub.parse(source.data))
    if "://" in source.data:
        raise DataError(
            f"'{source.data}' is not a local path", remedy="download it, then give the path to --data"
        )
    path = Path(source.data).expanduser()
    if not path.exists():
        raise DataError(f"there is no file or folder '{path}'", remedy=_meant(source.data, fetch))
    return path


def _meant(data: str, fetch: str) -> str:
    """What a path that is not there may have stood for, or else how to get the data."""
    if any(mark in data for mark in "*?["):
        return "name one file, or the folder that holds them"
    if re.fullmatch(r"[\w-]+/[\w.-]+", data) and not files.data_format(data):
        return f"{fetch}. A data set on the hub is hf://datasets/{data}"
    return fetch


def rows(
    source: Source, info: TaskInfo, *, published: tuple[str, ...] = (), split: str | None = None
) -> Iterator[Row]:
    """Stream the records of a source.

    Args:
        published: the splits that the authors publish as files; empty where there are none.
        split: which of them; None for the one that the source asks for.

    Raises:
        DataError: the files cannot be found or read, do not hold that split, or hold no record at all.
    """
    split_of(source, info)
    wanted = source.split if split is None else split
    empty = True
    for path in data_files(locate(source, info), info, published=published, split=wanted):
        for row in files.read(path):
            empty = False
            yield row
    if empty:
        raise DataError(f"{source.data} is empty", remedy="name the file that holds the problems")


def data_files(
    path: Path, info: TaskInfo, *, published: tuple[str, ...] = (), split: str = "all"
) -> list[Path]:
    """The files under a path that hold a split, sorted by name.

    A file or folder tells its split by its name (`test.jsonl`, `test-00000-of-00001.parquet`, `train/`). A
    file of another name is taken as the default split, whole. With no split asked for (""), a single file
    is read whatever its name, and of a folder the default split.

    Raises:
        DataError: there is none, or it holds another split.
    """
    found = [path] if path.is_file() else _walk(path)
    if not found:
        raise DataError(f"no data file in '{path}'", remedy=f"to get the data: {info.fetch}")
    if not published or (path.is_file() and not split):
        return _single_format(found)
    split = split or info.splits[0]
    named = {file: _named_split(file, path, published) for file in found}
    chosen = [file for file in found if named[file] == split]
    if not chosen and split == info.splits[0] and not any(named.values()):
        chosen = found
    if not chosen:
        raise _wrong_split(path, split, sorted({name for name in named.values() if name}))
    return _single_format(chosen)


def in_part(key: str, part: str, seed: int) -> bool:
    """Whether a key falls into a seeded part of `PARTS`.

    The place of a key depends on nothing but seed and key, so the parts never overlap, and a problem stays
    in its part when the file grows or shrinks.
    """
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    low, high = _BOUNDS[part]
    return low <= int.from_bytes(digest[:8], "big") / 2**64 < high


def seeded(
    problems: Iterable[Problem], split: str, seed: int, key: Callable[[Problem], str]
) -> Iterator[Problem]:
    """The problems of a seeded split. Problems of one key stay together, so that no story is in two parts."""
    return (problem for problem in problems if split == "all" or in_part(key(problem), split, seed))


def seeded_part(source: Source, problems: Iterable[Problem]) -> Iterator[Problem]:
    """The part of the test split that one of `SEEDED_SPLITS` asks for; all problems for any other split."""
    part = source.split.removeprefix("seeded-") if source.split in SEEDED_SPLITS else "all"
    return seeded(problems, part, source.split_seed, key=lambda problem: problem.id)


def fingerprint(source: Source, info: TaskInfo | None = None) -> str:
    """What identifies the data of a run: `sha256:<hex>`, as `sha256sum` prints it for a single file.

    A folder's is the hash over the sorted names and hashes of its data files. Data from the hub carry the
    resolved revision before it: `<commit>/sha256:<hex>`. Generated tasks, which have no data, give "".

    Raises:
        DataError: the data are not there or cannot be read.
    """
    if source.data is None:
        return ""
    path = locate(source, info)
    with files.reading(str(path)):
        digest = _hash_file(path) if path.is_file() else _hash_folder(path)
    revision = _hub_revision(path) if source.data.startswith(hub.SCHEME) else ""
    return f"{revision}sha256:{digest}"


def _walk(folder: Path) -> list[Path]:
    """Data files under a folder; hidden ones (`.git`, `.cache`) are not."""
    return [file for file in _visible(folder) if files.data_format(file.name)]


def _visible(folder: Path) -> list[Path]:
    inner = (file for file in folder.rglob("*") if file.is_file())
    return sorted(
        file for file in inner if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def _named_split(file: Path, root: Path, published: tuple[str, ...]) -> str | None:
    """The split a file's name tells, or else the nearest folder's, up to the root given."""
    if file == root:
        return _split_in(file.name, published)
    names = [*reversed(file.relative_to(root).parts)]
    told = (_split_in(name, published) for name in names)
    return next((split for split in told if split), None) or _exact_split(root.name, published)


def _split_in(name: str, published: tuple[str, ...]) -> str | None:
    words = re.split(r"[^a-z0-9]+", name.lower())
    told = {_SPELLINGS[word] for word in words if word in _SPELLINGS} & set(published)
    return told.pop() if len(told) == 1 else None


def _exact_split(name: str, published: tuple[str, ...]) -> str | None:
    split = _SPELLINGS.get(name.lower())
    return split if split in published else None


def _wrong_split(path: Path, split: str, held: list[str]) -> DataError:
    if held:
        message = f"'{path}' holds no split '{split}' but {', '.join(held)}"
        return DataError(message, remedy=f"ask for it with --split {held[0]}, or give other data")
    message = f"'{path}' does not tell which split it holds"
    return DataError(
        message, remedy=f"leave --split out, or put '{split}' into the file's name if it is that split"
    )


def _single_format(chosen: list[Path]) -> list[Path]:
    """Refuse the same records in two formats: they would be read twice."""
    first: dict[str, Path] = {}
    for file in chosen:
        plain = str(file).lower().removesuffix(".gz")
        stem = plain.removesuffix(files.data_format(file.name) or "")
        other = first.setdefault(stem, file)
        if other != file:
            raise DataError(
                f"'{other}' and '{file.name}' look like the same data twice", remedy="give one of them"
            )
    return chosen


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _hash_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in _visible(folder):
        if file.name.lower().endswith(_HASHED):
            digest.update(f"{file.relative_to(folder).as_posix()}\0{_hash_file(file)}\n".encode())
    return digest.hexdigest()


def _hub_revision(path: Path) -> str:
    """The commit: the folder below `snapshots` in the hub's cache."""
    parts = path.parts
    return f"{parts[parts.index('snapshots') + 1]}/" if "snapshots" in parts[:-1] else ""
