"""Which fields of a user's records hold what: named by options, or recognised by their usual names."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping

from coral.errors import ConfigError, Notice
from coral.tasks import files, sources
from coral.tasks.files import Row
from coral.tasks.identity import content_id, published_id
from coral.tasks.protocol import Source, TaskInfo

PUBLISHED = ("test", "validation", "train")

USUAL: dict[str, tuple[str, ...]] = {
    "question": ("question", "problem", "prompt", "query", "input", "stem", "instruction", "text"),
    "choices": ("choices", "options", "candidates", "alternatives", "endings"),
    "answer": (
        "answer", "label", "target", "gold", "answer_key", "answerKey", "correct_answer", "correct",
        "answer_index", "answer_idx", "answers", "solution", "output", "response", "cop",
    ),
    "context": ("context", "passage", "article", "paragraph", "story"),
    "id": ("id", "question_id", "problem_id", "uid", "qid"),
}  # fmt: skip
"""The names that records of published data sets use, the likelier ones first."""


class Fields(Mapping[str, str]):
    """The name of the field that holds each part of a problem, as far as a data set has it.

    A part that an option names must be there; one that is recognised is said.
    """

    def __init__(self, first: Row, named: Mapping[str, str], *, needed: tuple[str, ...]) -> None:
        """Look at the first record.

        Args:
            named: by the user's options; "" where a part is to be recognised.
            needed: parts without which there is no problem.

        Raises:
            ConfigError: a field that was named is not there.
            DataError: a needed part is not recognised.
        """
        self._names = {part: name for part, name in named.items() if name}
        for part, name in self._names.items():
            if name not in first.fields:
                raise ConfigError(
                    f"{first.file} has no field '{name}' (--task.{part})",
                    remedy=f"its records have: {', '.join(first.fields)}",
                )
        self._recognised = {
            part: name
            for part in USUAL
            if part in named and part not in self._names and (name := self._usual(part, first))
        }
        self._names |= self._recognised
        for part in needed:
            if part not in self._names:
                without = ", or --task.gold false where there is none" if part == "answer" else ""
                raise first.error(
                    f"which field holds the {part}?",
                    remedy=f"say --task.{part} FIELD{without}; the record has: {', '.join(first.fields)}",
                )

    def _usual(self, part: str, first: Row) -> str:
        there = {name.lower(): name for name in first.fields if first.has(name)}
        taken = set(self._names.values())
        found = (there[name.lower()] for name in USUAL[part] if name.lower() in there)
        return next((name for name in found if name not in taken), "")

    def tell(self, file: str, more: str = "") -> None:
        """Say what was recognised, so that a wrong guess is seen.

        Args:
            more: what else was taken from the data.
        """
        found = ", ".join(f"{part} in '{name}'" for part, name in self._recognised.items())
        told = "; ".join(filter(None, (found and f"{found} (others: --task.question FIELD ...)", more)))
        if told and files.data_format(file):  # who writes records in Python knows
            warnings.warn(f"{file}: {told}", Notice, stacklevel=2)

    def __getitem__(self, part: str) -> str:
        return self._names[part]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def of_task(first: Row, named: Mapping[str, str], *, gold: bool) -> Fields:
    """The fields of a task over data of one's own; without gold no field holds an answer.

    Raises:
        ConfigError: an answer's field is named that is not to be read, or a field is not there.
        DataError: a needed part is not recognised.
    """
    if gold:
        return Fields(first, named, needed=("question", "answer"))
    if named["answer"]:
        raise ConfigError(
            "--task.answer names the field of right answers, and --task.gold false says that there are none",
            remedy="leave one of the two out",
        )
    return Fields(
        first, {part: name for part, name in named.items() if part != "answer"}, needed=("question",)
    )


def rows(source: Source, info: TaskInfo) -> Iterator[Row]:
    """The records of a source, of whichever split it asks for.

    Raises:
        DataError: they cannot be read, or there is none.
    """
    split = "test" if source.split in sources.SEEDED_SPLITS else None
    return sources.rows(source, info, published=PUBLISHED, split=split)


def statement(row: Row, fields: Fields) -> str:
    """The question, below its context where there is one.

    Raises:
        DataError: a text is missing.
    """
    question = row.scalar(fields["question"])
    context = fields.get("context")
    return f"{row.text(context)}\n\n{question}" if context and row.has(context) else question


UNKNOWN = "no right answers: nothing is graded (--task.gold false)"
"""Said of data whose problems are given without gold."""


def name_of(row: Row, fields: Fields, *texts: str) -> str:
    """The problem's id: the record's own, or a hash of its texts."""
    field = fields.get("id")
    return published_id(row.scalar(field), row) if field and row.has(field) else content_id(*texts)


def several(names: str | tuple[str, ...]) -> tuple[str, ...]:
    """Names of fields: a list of them, or a text with commas between."""
    return tuple(filter(None, map(str.strip, names.split(",")))) if isinstance(names, str) else names


def groups(row: Row, wanted: str | tuple[str, ...]) -> dict[str, str]:
    """What statistics split by. A record whose field is empty is in no group of that name.

    Raises:
        ConfigError: the record has no such field.
    """
    names = several(wanted)
    for name in names:
        if name not in row.fields:
            raise ConfigError(
                f"{row.file}, {row.unit} {row.number} has no field '{name}' (--task.group)",
                remedy=f"its fields are: {', '.join(row.fields)}",
            )
    return {name: row.scalar(name) for name in names if row.has(name)}
