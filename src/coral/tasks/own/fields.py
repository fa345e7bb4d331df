"""Which fields of a user's records hold what: named by options, or recognised by their usual names."""

from __future__ import annotations

import re
import reprlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from coral.errors import ConfigError, Notice
from coral.tasks import files, sources
from coral.tasks.files import Row
from coral.tasks.identity import content_id, published_id
from coral.tasks.protocol import Source, TaskInfo

PUBLISHED = ("test", "validation", "train")

USUAL: dict[str, tuple[str, ...]] = {
    "question": (
        "question", "problem", "prompt", "query", "instruction", "input", "stem", "question_stem",
        "question_text", "text", "sentence", "goal", "ctx",
    ),
    "choices": (
        "choices", "options", "candidates", "alternatives", "endings", "answer_choices", "answer_options",
        "mc1_targets",
    ),
    "wrong": (
        "incorrect_answers", "wrong_answers", "distractors", "incorrect_choices", "wrong_choices",
        "incorrect_options", "wrong_options", "incorrect_answer", "wrong_answer", "distractor", "incorrect",
        "wrong",
    ),
    "best": ("best_answer",),
    "answer": (
        "answer", "label", "target", "gold", "answer_key", "correct_answer", "correct_option",
        "correct_choice", "right_answer", "correct", "answer_index", "answer_idx", "correct_index", "answers",
        "gold_answer", "gold_label", "ground_truth", "final_answer", "expected_answer", "expected",
        "expected_output", "reference_answer", "reference", "ideal", "key", "solution", "output", "response",
        "completion", "cop", "correct_answers", "best_answer",
    ),
    "context": ("context", "passage", "article", "paragraph", "story", "input"),
    "id": ("id", "question_id", "problem_id", "uid", "qid"),
}  # fmt: skip
"""The names that records of published data sets use, the likelier ones first. `Answer Key` is answer_key."""


def plain(name: str) -> str:
    """A name without what only tells spellings apart: case, spaces, `_` and `-`."""
    return re.sub(r"[\s_-]+", "", name.lower())


def profile(rows: Iterable[Row]) -> Row:
    """What all records have together: every field of any of them, with the first value that is not blank.

    Fields that the first record lacks are recognised, too.
    """
    rows = iter(rows)
    first = next(rows)
    known = dict(first.fields)
    for row in rows:
        for name, value in row.fields.items():
            if files.is_blank(known.get(name)):
                known[name] = value
    return Row(fields=known, file=first.file, number=first.number, unit=first.unit)


def recognised(part: str, first: Row, taken: frozenset[str] = frozenset()) -> str:
    """The field that holds a part by one of its usual names, sooner one that is not blank; "" without one.

    Args:
        first: the records' `profile`.
        taken: fields that hold another part.
    """
    there = {plain(name): name for name in first.fields}
    found = [there[plain(name)] for name in USUAL[part] if plain(name) in there]
    free = [name for name in found if name not in taken]
    return next((name for name in free if first.has(name)), next(iter(free), ""))


class Fields(Mapping[str, str]):
    """The name of the field that holds each part of a problem, as far as a data set has it.

    A part that an option names must be there; one that is recognised is said.
    """

    def __init__(self, first: Row, named: Mapping[str, str], *, needed: tuple[str, ...]) -> None:
        """Look at what the records have.

        Args:
            first: their `profile`.
            named: by the user's options; "" where a part is to be recognised.
            needed: parts without which there is no problem.

        Raises:
            ConfigError: a field that was named is not there.
            DataError: a needed part is not recognised.
        """
        self._names = {part: name for part, name in named.items() if name}
        for part, name in self._names.items():
            if not first.knows(name):
                raise ConfigError(
                    f"{first.file} has no field '{name}' (--task.{part})",
                    remedy=f"its records have: {', '.join(paths(first))}",
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
                    remedy=f"say --task.{part} FIELD{without}; the record has: {', '.join(paths(first))}"
                    + _HEADERLESS * (files.data_format(first.file) in (".csv", ".tsv")),
                )

    def _usual(self, part: str, first: Row) -> str:
        return recognised(part, first, taken=frozenset(self._names.values()))

    def tell(self, file: str, more: str = "", **recognised: str) -> None:
        """Say what was recognised, so that a wrong guess is seen.

        Args:
            more: what else was taken from the data.
            recognised: what the task itself recognised, by its part.
        """
        parts = {part: f"'{name}'" for part, name in self._recognised.items()} | recognised
        found = ", ".join(f"{part} in {name}" for part, name in parts.items())
        told = "; ".join(filter(None, (found and f"{found} (others: --task.question FIELD ...)", more)))
        if told and files.data_format(file):  # who writes records in Python knows
            warnings.warn(f"{file}: {told}", Notice, stacklevel=2)

    def __getitem__(self, part: str) -> str:
        return self._names[part]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


_HEADERLESS = "; a csv names its columns in its first line"


def paths(row: Row) -> list[str]:
    """The fields of a record, as options name them: `question.stem` where one holds several parts."""
    return [path for name, value in row.fields.items() for path in _paths(name, value)]


def _paths(name: str, value: Any) -> list[str]:
    if isinstance(value, Mapping) and value and all(isinstance(key, str) for key in value):
        return [f"{name}.{key}" for key in value]
    return [name]


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
    question = text(row, fields, "question")
    context = fields.get("context")
    return f"{text(row, fields, 'context')}\n\n{question}" if context and row.has(context) else question


def value(row: Row, fields: Fields, part: str) -> Any:
    """What a record holds of a part that every record needs.

    Raises:
        DataError: it is missing or blank.
    """
    name = fields[part]
    if row.has(name):
        return row.found(name)
    others = ", ".join(path for path in paths(row) if path and row.has(path))
    gold = " or --task.gold false where there is none" if part == "answer" else ""
    raise row.error(
        f"the field '{name}' is missing or empty",
        remedy=f"fill it in, delete the record, or say --task.{part} FIELD{gold}; this record has: {others}",
    )


def text(row: Row, fields: Fields, part: str) -> str:
    """A part that is one text: a number counts as one, and a chat of one message as its content.

    Raises:
        DataError: it is missing, or holds several parts.
    """
    held, name = value(row, fields, part), fields[part]
    if part == "context" and isinstance(held, list) and all(isinstance(item, str) for item in held):
        return "\n\n".join(held)
    if isinstance(held, list) and len(held) == 1 and isinstance(held[0], Mapping) and "content" in held[0]:
        name = f"{name}.0.content"
    elif isinstance(held, Mapping) or (isinstance(held, list) and len(held) > 1):
        keys = list(held) if isinstance(held, Mapping) else list(range(len(held)))
        inner = ".content" if isinstance(held, list) and isinstance(held[-1], Mapping) else ""
        raise row.error(
            f"the field '{name}' holds several parts, not one text",
            remedy=f"name one of them: --task.{part} {name}.{keys[-1]}{inner}; its parts are: "
            f"{', '.join(map(str, keys[:20]))}",
        )
    return row.scalar(name)


UNKNOWN = "no right answers: nothing is graded (--task.gold false)"
"""Said of data whose problems are given without gold."""


def name_of(row: Row, fields: Fields, *texts: str) -> str:
    """The problem's id: the record's own, or a hash of its texts."""
    field = fields.get("id")
    return published_id(row.scalar(field), row) if field and row.has(field) else content_id(*texts)


def several(names: str | tuple[str, ...]) -> tuple[str, ...]:
    """Names of fields: a list of them, or a text with commas between."""
    return tuple(filter(None, map(str.strip, names.split(",")))) if isinstance(names, str) else names


def grouping(first: Row, wanted: str | tuple[str, ...]) -> tuple[str, ...]:
    """The fields that statistics split by.

    Args:
        first: the records' `profile`.

    Raises:
        ConfigError: no record has such a field.
    """
    names = several(wanted)
    for name in names:
        if not first.knows(name):
            raise ConfigError(
                f"{first.file} has no field '{name}' (--task.group)",
                remedy=f"its fields are: {', '.join(paths(first))}",
            )
    return names


def groups(row: Row, names: tuple[str, ...]) -> dict[str, str]:
    """The groups of a record. One whose field is missing or empty is in no group of that name."""
    return {name: _group(row, name) for name in names if row.has(name)}


def _group(row: Row, name: str) -> str:
    value = row.value(name)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping) or (isinstance(value, list) and len(value) != 1):
        raise row.error(
            f"the field '{name}' holds {reprlib.repr(value)}, and a group is one text",
            remedy="name a field of one text or number with --task.group, or a part of this one: "
            f"{name}.{next(iter(value), 0) if isinstance(value, Mapping) else 0}",
        )
    return row.scalar(name)
