"""`choices`: multiple-choice questions of one's own, from records of many shapes.

{"question": "...", "choices": ["...", "..."], "answer": "B"}
{"question": "...", "choices": {"text": ["...", "..."], "label": ["A", "B"]}, "answerKey": "B"}
question,A,B,C,answer
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from string import ascii_uppercase
from typing import Any, ClassVar, Literal, NamedTuple

from coral.errors import DataError
from coral.tasks import files, lettered, sources
from coral.tasks.files import Row
from coral.tasks.identity import distinct
from coral.tasks.own import fields
from coral.tasks.protocol import Source, TaskInfo
from coral.types import Problem

AnswerForm = Literal["letter", "index", "text"]


@dataclass(frozen=True)
class Choices(lettered.SplitContext):
    """Multiple-choice questions of your own.

    Attributes:
        question: field of the question; by default one of the usual names.
        choices: field of the list of choices, or the fields that hold one each.
        answer: field of the right answer: its letter, its place, or its own text.
        gold: false: the records hold no right answers, and nothing is graded.
        context: field of a text that is stated above the question.
        id: field of a name that is unique; by default a hash of what the problem says.
        group: field or fields that statistics split by.
        answer_form: letter, index or text, where a record could be read in two ways.
        first_index: the index of the first choice, where the data do not tell.
        split_context: each seat is told half of the context alone, or half of the choices where there is
            too little context; neither half is the problem.
    """

    question: str = ""
    choices: str | tuple[str, ...] = ""
    answer: str = ""
    gold: bool = True
    context: str = ""
    id: str = ""
    group: str | tuple[str, ...] = ()
    answer_form: AnswerForm | None = None
    first_index: Literal[0, 1] | None = None
    split_context: bool = False

    info: ClassVar[TaskInfo] = TaskInfo(
        name="choices",
        title="Multiple choice: questions of your own",
        size="yours",
        origin="you: jsonl, json, csv, parquet or hf://",
        license="yours",
        fetch="give --data a file of your own with a question, choices and an answer in each record",
        splits=(*fields.PUBLISHED, *sources.SEEDED_SPLITS),
    )

    def problems(self, source: Source) -> Iterator[Problem]:
        """Stream the problems of a split; see `Task.problems`."""
        return sources.seeded_part(source, self.problems_in(lambda: fields.rows(source, self.info)))

    def problems_in(self, read: Callable[[], Iterator[Row]]) -> Iterator[Problem]:
        """The problems of some records.

        Args:
            read: streams the records; called twice where only all of them tell how indices count.
        """
        reader = _Reader(self, read)
        return distinct(((row, self.grouped(reader.problem(row))) for row in read()), option="--task.id")

    def opening(self, problem: Problem) -> str:
        question, choices = self.known(problem)
        return (
            f"I'm trying to solve this problem:\n\n{question}\n\n"
            f"I have to pick one of these choices:\n{lettered.listing(choices)}"
        )


class _Listed(NamedTuple):
    """The choices of one record, and what the data call them, if they do."""

    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()


class _Reader:
    """Reads the records of one data set, whose fields its first record tells."""

    def __init__(self, task: Choices, read: Callable[[], Iterator[Row]]) -> None:
        first = next(read())
        self._task = task
        self._columns = self._listed_columns(first)
        named = {"question": task.question, "answer": task.answer, "context": task.context, "id": task.id}
        if not self._columns:
            named["choices"] = task.choices if isinstance(task.choices, str) else task.choices[0]
        self._fields = fields.of_task(first, named, gold=task.gold)
        if not self._columns and "choices" not in self._fields:
            raise first.error(
                "which fields hold the choices?",
                remedy=f"say --task.choices FIELD, or without choices use the task open; "
                f"the record has: {', '.join(first.fields)}",
            )
        self._fields.tell(first.file, "" if task.gold else fields.UNKNOWN)
        self._read = read
        self._first_index = task.first_index

    def _listed_columns(self, first: Row) -> tuple[str, ...]:
        """The fields that hold one choice each; none where one field holds them all."""
        named = self._task.choices
        if not named:
            usual = any(first.has(name) for name in fields.USUAL["choices"])
            return () if usual else _columns(tuple(first.fields))
        names = fields.several(named)
        if len(names) == 1:
            return ()
        for name in names:
            if name not in first.fields:
                raise first.error(f"there is no field '{name}' (--task.choices)", remedy="name one field")
        return names

    def problem(self, row: Row) -> Problem:
        """The problem of a record.

        Raises:
            DataError: it is none.
        """
        question = fields.statement(row, self._fields)
        listed = self._choices(row)
        return Problem(
            id=fields.name_of(row, self._fields, question, *listed.texts),
            task=self._task.info.name,
            question=question,
            choices=listed.texts,
            target=lettered.letter(self._target(row, listed)) if self._task.gold else "",
            group=fields.groups(row, self._task.group),
        )

    def _choices(self, row: Row) -> _Listed:
        if self._columns:
            held = [row.scalar(name) if row.has(name) else "" for name in self._columns]
            listed = _Listed(tuple(_without_blanks(held)))
        else:
            name = self._fields["choices"]
            found = _listed(row.value(name))
            if found is None:
                raise row.error(f"the field '{name}' is not a list of choices", remedy=_LIST)
            listed = found
        if not 2 <= len(listed.texts) <= len(ascii_uppercase):
            raise row.error(f"it has {len(listed.texts)} choices", remedy="2 to 26 can be lettered")
        if not all(listed.texts):
            raise row.error("one of the choices is empty", remedy="fix or delete this record")
        return listed

    def _target(self, row: Row, listed: _Listed) -> int:
        """Where the right choice stands, counted from 0.

        Raises:
            DataError: the answer names none, or could name two.
        """
        value, name = row.value(self._fields["answer"]), self._fields["answer"]
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        read = {form: place for form, place in self._readings(value, listed) if place is not None}
        if len(set(read.values())) == 1:
            return next(iter(read.values()))
        if read:
            told = " or ".join(f"({lettered.letter(place)}) as {form}" for form, place in read.items())
            raise row.error(
                f"the field '{name}' holds {value!r}, which could be {told}",
                remedy="say which with --task.answer_form letter, index or text",
            )
        raise row.error(
            f"the field '{name}' holds {value!r}, which names none of the {len(listed.texts)} choices",
            remedy="the answer is a choice's letter, its index, or its own text",
        )

    def _readings(self, value: Any, listed: _Listed) -> Iterator[tuple[AnswerForm, int | None]]:
        """In which ways the answer can be read, of those that the user admits."""
        said, wanted, number = str(value).strip(), self._task.answer_form, _index(value)
        text = _place(said, listed.texts)
        if wanted in (None, "text"):
            yield "text", text
        if wanted in (None, "letter"):
            yield "letter", _lettered(said, listed)
        if number is None or wanted not in (None, "index") or (listed.labels and not wanted):
            return
        if text is None or wanted:
            yield "index", self._in_range(number - self._counted_from(), listed)
        else:  # the choices are numbers themselves: in doubt where an index could mean another one
            places = (self._in_range(place, listed) for place in (number, number - 1))
            yield "index", next((place for place in places if place not in (None, text)), None)

    @staticmethod
    def _in_range(place: int, listed: _Listed) -> int | None:
        return place if 0 <= place < len(listed.texts) else None

    def _counted_from(self) -> int:
        """Whether the indices of the data count from 0 or 1: a 0 tells, and so does the number of choices."""
        if self._first_index is None:
            self._first_index = self._seen_first_index()
        return self._first_index

    def _seen_first_index(self) -> Literal[0, 1]:
        zero = last = False
        for row in self._read():
            number = _index(row.value(self._fields["answer"]))
            if number is not None:
                zero, last = zero or number == 0, last or number == len(self._choices(row).texts)
        if zero == last:
            raise DataError(
                f"the field '{self._fields['answer']}' holds indices, and the data do not tell whether they "
                "count from 0 or from 1",
                remedy="say --task.first_index 0 or 1",
            )
        return 0 if zero else 1


_LIST = 'give a list of texts, {"text": [...], "label": [...]}, or a field for each (--task.choices A,B,C)'
_COLUMN = re.compile(r"(?:(?:option|choice|answer|ending|op)[_ ]?)?(?:([A-Za-z])|(\d{1,2}))", re.IGNORECASE)


def _columns(names: tuple[str, ...]) -> tuple[str, ...]:
    """Fields such as `A`, `B`, `C`, `option_a`, `choice1`, `ending0`, from the first one on without a gap."""
    families: dict[str, dict[int, str]] = {}
    for name in names:
        found = _COLUMN.fullmatch(name)
        if found and (found[1] or not name.isdecimal()):
            place = ascii_uppercase.index(found[1].upper()) if found[1] else int(found[2])
            families.setdefault(name[: found.start(found.lastindex or 0)].lower(), {})[place] = name
    for family in families.values():
        start = min(family)
        run = [family[place] for place in range(start, start + len(family)) if place in family]
        if start <= 1 and len(run) == len(family) >= 2:
            return tuple(run)
    return ()


def _listed(value: Any) -> _Listed | None:
    """A list of texts or of `{"text", "label"}`, the same inside out, or a mapping from letter to text."""
    if isinstance(value, str) and value.strip()[:1] == "{":
        value = files.literal(value)
    if isinstance(value, Mapping):
        texts, labels = value.get("text"), value.get("label")
        if isinstance(texts, list) and isinstance(labels, list) and len(texts) == len(labels):
            return _Listed(_texts(texts), _texts(labels))
        held = all(re.fullmatch(r"[A-Z]", str(key)) for key in value)
        return _Listed(_texts(value.values()), _texts(value)) if held else None
    items = files.as_list(value)
    if items is None:
        return None
    if items and all(isinstance(item, Mapping) and "text" in item for item in items):
        labels = [item["label"] for item in items if "label" in item]
        return _Listed(_texts(item["text"] for item in items), _texts(labels) if labels else ())
    if all(isinstance(item, str | int | float | Decimal) and not isinstance(item, bool) for item in items):
        return _Listed(_texts(items))
    return None


def _texts(items: Any) -> tuple[str, ...]:
    return tuple(str(item).strip() for item in items)


def _without_blanks(held: list[str]) -> list[str]:
    """Short lists leave their last fields empty."""
    while held and not held[-1]:
        held.pop()
    return held


def _lettered(said: str, listed: _Listed) -> int | None:
    """The place of a letter, or of a label of the data's own."""
    if listed.labels:
        return _place(said, listed.labels)
    letter = re.fullmatch(r"\(?([A-Za-z])[).:]?", said)
    place = ascii_uppercase.index(letter[1].upper()) if letter else len(listed.texts)
    return place if place < len(listed.texts) else None


def _place(text: str, texts: tuple[str, ...]) -> int | None:
    """Where a text stands, if it does so once."""
    return texts.index(text) if texts.count(text) == 1 else None


def _index(value: Any) -> int | None:
    """A whole number, or a text that is one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"\s*\d{1,3}\s*", value) else None
