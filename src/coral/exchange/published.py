"""Output folders of the published code, as run folders: their conversations get intervals.

Read is what that code writes (commit bd18e0f of April 2025): files `T_outputs_step_S_rank_R.jsonl`, T in half
minutes since 1970, with a line per conversation:

    {"conv_result": [{"role": "student", "content": "...", "info": {...}}, ...],
     "metadata": {...}, "metrics": {...}}

The first turn states the problem. `info` holds `status_ok`, `usage`, `extracted_answer`, the `annotation` of
each rater and the `siblings` that were drawn beside the turn; `metadata` the record of the data set.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from coral.errors import DataError, Notice
from coral.tasks.files import NotJson, decode_json

Beliefs = Literal["read", "keep"]

_NAME = re.compile(r"(\d+)_outputs_step_(\d+)_rank_(\d+)\.jsonl")
_BESIDE = {"metrics.json", "settings.json", "config.yaml"}
"""What lies beside the conversations and says nothing about them."""
HALF_MINUTE = 30


class Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Said(msgspec.Struct, frozen=True):
    """One turn, or one that was drawn beside it."""

    role: str
    content: str
    info: Info


class Info(msgspec.Struct, frozen=True):
    """What is known of a turn.

    Attributes:
        usage: of the whole request: of all turns drawn with it.
    """

    status_ok: bool = True
    error: Any = None
    usage: Usage | None = None
    extracted_answer: str | None = None
    annotation: dict[str, Any] = {}
    siblings: tuple[Said, ...] = ()

    @property
    def extractor_words(self) -> str | None:
        """What the model said that was asked for the answer."""
        for name, rated in self.annotation.items():
            if "Extraction" in name and isinstance(rated, dict) and isinstance(rated.get("info"), dict):
                said = rated["info"].get("response")
                return said if isinstance(said, str) else None
        return None


class Line(msgspec.Struct, frozen=True):
    conv_result: tuple[Said, ...]
    metadata: dict[str, Any]
    metrics: dict[str, Any] = {}


class Read(NamedTuple):
    """A conversation, and where it stands.

    Attributes:
        place: file and line.
        started_at: seconds since 1970, to the half minute in which its process began.
    """

    place: str
    started_at: float
    line: Line


@dataclass(frozen=True)
class OutputFolder:
    """An output folder of the published code.

    Attributes:
        files: that hold its conversations, in order.
    """

    path: Path
    files: tuple[Path, ...]

    @staticmethod
    def open(path: Path) -> OutputFolder:
        """Find the files of conversations; of several sessions of one rank, the latest counts, as there.

        Raises:
            DataError: there are none.
        """
        if not path.is_dir():
            raise DataError(
                f"there is no folder '{path}'", remedy="name the folder that holds *_outputs_*.jsonl"
            )
        latest: dict[tuple[str, str], tuple[int, Path]] = {}
        outputs, strangers = [], []
        for file in sorted(path.iterdir()):
            if (named := _NAME.fullmatch(file.name)) is None:
                strangers += [] if file.name in _BESIDE or file.is_dir() else [file.name]
                continue
            outputs.append(file)
            began, *whose = named.groups()
            key = whose[0], whose[1]
            latest[key] = max(latest.get(key, (0, file)), (int(began), file))
        if not outputs:
            raise DataError(
                f"'{path}' holds no file such as 57000000_outputs_step_0_rank_0.jsonl",
                remedy="name the folder that the published code wrote its outputs to",
            )
        chosen = tuple(file for _, file in sorted((key, file) for key, (_, file) in latest.items()))
        older = [file.name for file in outputs if file not in chosen]
        _tell(path, "of earlier sessions are left out", older)
        _tell(path, "are not outputs, and left alone", strangers)
        return OutputFolder(path, chosen)

    def lines(self, *, skip_damaged: bool, quiet: bool = True) -> Iterator[Read]:
        """Stream the conversations.

        Args:
            skip_damaged: leave lines out that cannot be read.
            quiet: do not name those.

        Raises:
            DataError: a file or a line cannot be read.
        """
        for file in self.files:
            began = HALF_MINUTE * float(file.name.partition("_")[0])
            with _opened(file) as lines:
                for number, text in enumerate(lines, 1):
                    if not text.strip():
                        continue
                    try:
                        line = _decoded(text)
                    except NotJson as error:
                        if not skip_damaged:
                            raise DataError(
                                f"{file}, line {number}: {error}",
                                remedy="mend the line, or leave it out with --skip_damaged true",
                            ) from None
                        if not quiet:
                            told = f"{file}, line {number} is left out: {error}"
                            warnings.warn(told, Notice, stacklevel=2)
                        continue
                    yield Read(f"{file.name}:{number}", began, line)


def _opened(file: Path) -> Any:
    try:
        return file.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}", remedy="fix its permissions") from None


def _tell(path: Path, what: str, names: list[str]) -> None:
    if names:
        listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        warnings.warn(f"{path}: {len(names)} files {what}: {listed}", Notice, stacklevel=3)


def _decoded(text: bytes) -> Line:
    """A line by its schema.

    Raises:
        NotJson: it is damaged, or of another schema; says how.
    """
    document = decode_json(text)
    try:
        line = msgspec.convert(document, Line)
    except msgspec.ValidationError as error:
        raise NotJson(f"it is not a conversation of the published code: {error}") from None
    if not line.conv_result:
        raise NotJson("it is not a conversation of the published code: conv_result is empty")
    return line


def task_in(metadata: dict[str, Any]) -> str | None:
    """The task that a record is of, by its fields; None where they fit none.

    Hi-ToM's records have the fields of ExploreToM's in that code.
    """
    fields = metadata.keys()
    for task, needed in (
        ("gpqa", {"Question", "choices", "label"}),
        ("mmlu_pro", {"question", "options", "answer"}),
        ("explore_tom", {"story_structure", "question", "expected_answer"}),
        ("math", {"problem", "answer"}),
    ):
        if needed <= fields:
            return task
    return None
