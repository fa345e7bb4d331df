"""`choices`: multiple-choice questions of one's own, from records of many shapes.

{"question": "...", "choices": ["...", "..."], "answer": "B"}
{"question": "...", "choices": {"text": ["...", "..."], "label": ["A", "B"]}, "answerKey": "B"}
question,A,B,C,answer
"""

from __future__ import annotations

import re
import reprlib
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from string import ascii_uppercase
from typing import Any, ClassVar, Literal, NamedTuple

from coral.errors import DataError, Notice
from coral.tasks import lettered, notation, sources
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
        problems = ((row, self.grouped(reader.problem(row))) for row in read())
        return _told_where_all_are_alike(distinct(problems, option="--task.id"))

    def opening(self, problem: Problem) -> str:
        question, choices = self.known(problem)
        return (
            f"I'm trying to solve this problem:\n\n{question}\n\n"
            f"I have to pick one of these choices:\n{lettered.listing(choices)}"
        )


def _told_where_all_are_alike(problems: Iterator[Problem]) -> Iterator[Problem]:
    """Who always takes the first choice would be right, where data list the right one first."""
    targets: Counter[str] = Counter()
    for problem in problems:
        targets[problem.target] += 1
        yield problem
    if len(targets) == 1 and targets.total() >= _TELLING and "" not in targets:
        warnings.warn(
            f"({problem.target}) is right in all {targets.total()} problems: shuffle the choices, or whoever "
            "prefers one letter is right",
            Notice,
            stacklevel=2,
        )


_TELLING = 10


class _Listed(NamedTuple):
    """The choices of one record, what the data call them, if they do, and the fields that hold one each."""

    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


class _Reader:
    """Reads the records of one data set, whose fields its records tell together."""

    def __init__(self, task: Choices, read: Callable[[], Iterator[Row]]) -> None:
        first = fields.profile(read())
        self._task = task
        self._columns = self._listed_columns(first)
        self._group = fields.grouping(first, task.group)
        named = {"question": task.question, "answer": task.answer, "context": task.context, "id": task.id}
        if not self._columns:
            named["choices"] = task.choices if isinstance(task.choices, str) else task.choices[0]
        self._fields = fields.of_task(first, named, gold=task.gold)
        if not self._columns and "choices" not in self._fields:
            raise first.error(
                "which fields hold the choices?",
                remedy=f"say --task.choices FIELD, or without choices use the task open; "
                f"the record has: {', '.join(fields.paths(first))}",
            )
        self._mark = "" if self._columns else _separator(first.found(self._fields["choices"]))
        unnamed = self._columns and not task.choices
        self._fields.tell(
            first.file,
            "; ".join(
                filter(
                    None,
                    (
                        f"choices are split at {self._mark!r}" if self._mark else "",
                        "" if task.gold else fields.UNKNOWN,
                    ),
                )
            ),
            **({"choices": ", ".join(self._columns)} if unnamed else {}),
        )
        self._read = read
        self._first_index = task.first_index

    def _listed_columns(self, first: Row) -> tuple[str, ...]:
        """The fields that hold one choice each; none where one field holds them all."""
        named = self._task.choices
        if not named:
            usual = fields.recognised("choices", first)
            return () if usual and first.has(usual) else _columns(tuple(first.fields))
        names = fields.several(named)
        if len(names) == 1:
            return ()
        for name in names:
            if not first.knows(name):
                raise first.error(
                    f"there is no field '{name}' (--task.choices)",
                    remedy=f"name one field of a list, or one for each choice; the record has: "
                    f"{', '.join(fields.paths(first))}",
                )
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
            group=fields.groups(row, self._group),
        )

    def _choices(self, row: Row) -> _Listed:
        if self._columns:
            held = [row.scalar(name) if row.has(name) else "" for name in self._columns]
            listed = _Listed(tuple(_without_blanks(held)), columns=self._columns)
        else:
            value = fields.value(row, self._fields, "choices")
            found = _listed(value.split(self._mark) if self._mark and isinstance(value, str) else value)
            if found is None:
                raise row.error(
                    f"the field '{self._fields['choices']}' is not a list of choices", remedy=_LIST
                )
            listed = found._replace(texts=_unlettered(found.texts))
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
        value, name = fields.value(row, self._fields, "answer"), self._fields["answer"]
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, list | Mapping):
            raise row.error(
                f"the field '{name}' holds {reprlib.repr(value)}, and one choice has to be right",
                remedy="give one letter, index or text; where several are right, the task open takes a list",
            )
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
        text = _named(said, listed.texts)
        if text is None and number is not None:  # 20.0, where the choice is 20
            text = _place(str(number), listed.texts)
        if wanted in (None, "text"):
            yield "text", text
        if wanted in (None, "letter"):
            yield "letter", _lettered(said, listed)
        numbered = any(label.isdecimal() for label in listed.labels)
        if number is None or wanted not in (None, "index") or (numbered and not wanted):
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
            number = _index(fields.value(row, self._fields, "answer"))
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
_COLUMN = re.compile(
    r"(?:(?:options?|choice|answer|ending|sol|op)[_ -]?)?(?:([A-Za-z])|(\d{1,2}))", re.IGNORECASE
)


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


_TEXTS = ("text", "texts", "value", "content", "option", "choice", "answer")
_LABELS = ("label", "labels", "key", "letter", "id", "name")
"""What a mapping calls a choice, and the name of a choice."""


def _separator(value: Any) -> str:
    """What stands between the choices of a text that is no list in the notation of Python or JSON."""
    if not isinstance(value, str) or value.strip()[:1] in {"[", "(", "{"}:
        return ""
    return next((mark for mark in ("\n", "|", ";") if mark in value.strip()), "")


def _listed(value: Any) -> _Listed | None:
    """A list of texts or of `{"text", "label"}`, the same inside out, or a mapping from label to text."""
    if isinstance(value, str) and value.strip()[:1] == "{":
        value = notation.literal(value)
    if isinstance(value, Mapping):
        return _of_mapping(value)
    items = notation.as_list(value)
    if not items:
        return None
    if all(isinstance(item, tuple) and len(item) == 2 for item in items):  # a map of parquet
        return _of_mapping(dict(items))
    if all(isinstance(item, Mapping) for item in items):
        text, label = (next((name for name in names if name in items[0]), "") for names in (_TEXTS, _LABELS))
        if not all(_is_text(item.get(text)) for item in items):
            return None
        return _Listed(_texts(item[text] for item in items), _labels([item.get(label) for item in items]))
    return _Listed(_texts(items)) if all(map(_is_text, items)) else None


def _of_mapping(value: Mapping[Any, Any]) -> _Listed | None:
    """Lists of texts and labels, or each label with its text; labels without one are left out."""
    text, label = (next((name for name in names if name in value), "") for names in (_TEXTS, _LABELS))
    texts, labels = value.get(text), value.get(label)
    if isinstance(texts, list) and (
        labels is None or (isinstance(labels, list) and len(labels) == len(texts))
    ):
        return _Listed(_texts(texts), _labels(labels or []))
    held = {str(key): choice for key, choice in value.items() if choice is not None}
    short = all(re.fullmatch(r"[A-Za-z]|\d{1,2}", key) for key in held)
    told = all(_is_text(choice) if short else isinstance(choice, str) for choice in held.values())
    return _Listed(_texts(held.values()), tuple(held)) if held and told else None


def _is_text(item: Any) -> bool:
    """Blanks are told apart later, by name."""
    return item is None or isinstance(item, str | int | float | Decimal)


def _labels(labels: list[Any]) -> tuple[str, ...]:
    return () if any(label is None for label in labels) else _texts(labels)


def _texts(items: Iterable[Any]) -> tuple[str, ...]:
    return tuple("" if item is None else str(item).strip() for item in items)


def _unlettered(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The choices without letters of their own: `A. Ann`, `B. Bob` are lettered when they are stated."""
    found = [_OWN_LETTER.fullmatch(text) for text in texts]
    letters = "".join(one[1].upper() for one in found if one)
    return tuple(one[2] for one in found if one) if letters == ascii_uppercase[: len(texts)] else texts


_OWN_LETTER = re.compile(r"\(?([A-Za-z])[).:]\s*(\S.*)", re.DOTALL)


def _without_blanks(held: list[str]) -> list[str]:
    """Short lists leave their last fields empty."""
    while held and not held[-1]:
        held.pop()
    return held


def _lettered(said: str, listed: _Listed) -> int | None:
    """The place of a letter, of a label of the data's own, or of the field that holds a choice."""
    if listed.labels:
        return _named(said, listed.labels)
    place = _named(said, listed.columns)
    if place is not None:
        return place if place < len(listed.texts) else None
    letter = _LETTER.fullmatch(said)
    place = ascii_uppercase.index(letter[1].upper()) if letter else len(listed.texts)
    if not letter or place >= len(listed.texts):
        return None
    return place if not letter[2] or _folded(letter[2]) == _folded(listed.texts[place]) else None


_LETTER = re.compile(
    r"(?:(?:option|choice|answer)[\s_:]*)?\(?([A-Za-z])[).:]{0,2}\s*(.*)", re.IGNORECASE | re.DOTALL
)
"""A letter, and maybe the choice behind it: `B`, `(b)`, `Option B`, `B. Bob`."""


def _named(text: str, texts: tuple[str, ...]) -> int | None:
    """Where a text stands, to the letter or else but for case, spaces and a full stop."""
    place = _place(text, texts)
    return _place(_folded(text), tuple(map(_folded, texts))) if place is None else place


def _place(text: str, texts: tuple[str, ...]) -> int | None:
    """Where a text stands, if it does so once."""
    return texts.index(text) if texts.count(text) == 1 else None


def _folded(text: str) -> str:
    words = unicodedata.normalize("NFKC", text).casefold().split()
    return " ".join(words).removesuffix(".").rstrip()


def _index(value: Any) -> int | None:
    """A whole number, or a text that is one; pandas writes those of a column with gaps as `1.0`."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float | Decimal):
        return int(value) if value == int(value) else None
    return int(float(value)) if isinstance(value, str) and _WHOLE.fullmatch(value.strip()) else None


_WHOLE = re.compile(r"\d{1,3}(?:\.0+)?")
