"""`choices`: multiple-choice questions of one's own, from records of many shapes.

{"question": "...", "choices": ["...", "..."], "answer": "B"}
{"question": "...", "choices": {"text": ["...", "..."], "label": ["A", "B"]}, "answerKey": "B"}
question,A,B,C,answer
{"question": "...", "correct_answer": "...", "incorrect_answers": ["...", "..."]}
"""

from __future__ import annotations

import re
import reprlib
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from string import ascii_uppercase
from typing import Any, ClassVar, Literal

from coral.errors import ConfigError, DataError, Notice
from coral.notation import shapes
from coral.tasks import files, lettered, sources
from coral.tasks.files import Row
from coral.tasks.identity import content_id, distinct
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
        wrong: field of the wrong answers, or the fields that hold one each, where the right one stands apart.
        shuffle: the choices stand in an order that question and choices alone decide, the same in every run
            and for every seed; always so where data list the right answer apart, or mark it.
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
    wrong: str | tuple[str, ...] = ""
    shuffle: bool = False
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
            f"({problem.target}) is right in all {targets.total()} problems, and so is whoever prefers one "
            "letter: --task.shuffle true gives the choices of each problem an order of their own",
            Notice,
            stacklevel=2,
        )


_TELLING = 10


class _Reader:
    """Reads the records of one data set, whose fields its records tell together."""

    def __init__(self, task: Choices, read: Callable[[], Iterator[Row]]) -> None:
        first = fields.profile(read())
        self._task = task
        self._part = part = _part(task, first)
        said = task.wrong if part == "wrong" else task.choices
        self._columns = self._listed_columns(first, said)
        self._group = fields.grouping(first, task.group)
        named = {"question": task.question, "answer": task.answer, "context": task.context, "id": task.id}
        if not self._columns:
            named[part] = said if isinstance(said, str) else said[0]
        self._marked = part in named and not task.answer and _is_marked(first, named[part])
        self._ordered = task.shuffle or self._marked or part == "wrong"
        best = fields.recognised("best", first) if part == "wrong" else ""  # of TruthfulQA's right ones
        named["answer"] = task.answer or best
        if part == "wrong" and not (named["answer"] or fields.recognised("answer", first)):
            raise first.error(
                "which field holds the right answer, beside the wrong ones?",
                remedy=f"say --task.answer FIELD; the record has: {', '.join(fields.paths(first))}",
            )
        gold = part == "wrong" or (task.gold and not self._marked)
        self._fields = fields.of_task(first, named, gold=gold)
        if not self._columns and part not in self._fields:
            raise first.error(
                "which fields hold the choices?",
                remedy="say --task.choices FIELD, or --task.wrong FIELD of wrong answers, or without choices "
                f"use the task open; the record has: {', '.join(fields.paths(first))}",
            )
        self._mark = "" if self._columns else shapes.separator(first.found(self._fields[part]))
        unnamed = self._columns and not said
        self._fields.tell(
            first.file,
            "; ".join(
                filter(
                    None,
                    (
                        f"choices are split at {self._mark!r}" if self._mark else "",
                        "the problem alone decides the order of its choices" if self._ordered else "",
                        "" if task.gold else fields.UNKNOWN,
                    ),
                )
            ),
            **({part: ", ".join(self._columns)} if unnamed else {}),
            **({"answer": f"'{best}'"} if best and not task.answer else {}),
        )
        self._read = read
        self._first_index = task.first_index

    def _listed_columns(self, first: Row, named: str | tuple[str, ...]) -> tuple[str, ...]:
        """The fields that hold one choice each; none where one field holds them all."""
        if not named:
            usual = fields.recognised(self._part, first)
            return () if usual and first.has(usual) else shapes.columns(tuple(first.fields), self._part)
        names = fields.several(named)
        if len(names) == 1:
            return ()
        for name in names:
            if not first.knows(name):
                raise first.error(
                    f"there is no field '{name}' (--task.{self._part})",
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
        order = list(range(len(listed.texts)))
        if self._ordered:  # by digests: `random` may change with Python, and the file's own order tells
            order.sort(key=lambda place: content_id(question, listed.texts[place]))
        return Problem(
            id=fields.name_of(row, self._fields, question, *listed.texts),
            task=self._task.info.name,
            question=question,
            choices=tuple(listed.texts[place] for place in order),
            target=lettered.letter(order.index(self._target(row, listed))) if self._task.gold else "",
            group=fields.groups(row, self._group),
        )

    def _choices(self, row: Row) -> shapes.Listed:
        if self._columns:
            held = [row.scalar(name) if row.has(name) else "" for name in self._columns]
            listed = shapes.Listed(tuple(_without_blanks(held)), columns=self._columns)
        else:
            value = fields.value(row, self._fields, self._part)
            found = shapes.listed_in(
                value.split(self._mark) if self._mark and isinstance(value, str) else value
            )
            if self._part == "wrong" and (shapes.is_text(value) or value == []):
                found = found or shapes.Listed(shapes.texts_of([value] if value else []))
            if found is None:
                raise row.error(
                    f"the field '{self._fields[self._part]}' is not a list of choices", remedy=_LIST
                )
            listed = found._replace(texts=shapes.unlettered(found.texts))
        if self._part == "wrong":
            listed = self._with_right(row, listed.texts)
        if not 2 <= len(listed.texts) <= len(ascii_uppercase):
            raise row.error(
                f"it has {len(listed.texts)} choice{'s' * (len(listed.texts) != 1)}",
                remedy="2 to 26 can be lettered: fix or delete this record, or use the task open",
            )
        if not all(listed.texts):
            raise row.error("one of the choices is empty", remedy="fix or delete this record")
        twice = next((text for text in listed.texts if listed.texts.count(text) > 1), None)
        if self._marked and twice is not None:
            raise row.error(f"the choice '{twice}' is there twice", remedy=_ONCE)
        return listed

    def _with_right(self, row: Row, wrong: tuple[str, ...]) -> shapes.Listed:
        """The right answer, and behind it the wrong ones that stand apart."""
        name = self._fields["answer"]
        value = row.found(name)
        if files.is_blank(value):
            raise row.error(
                f"the field '{name}' is missing or empty", remedy="fill it in, or delete this record"
            )
        if isinstance(value, Mapping) or (isinstance(value, list) and len(value) != 1):
            raise row.error(
                f"the field '{name}' holds {reprlib.repr(value)}, and one choice has to be right",
                remedy="name a field of one right answer with --task.answer; the task open takes a list",
            )
        right = row.scalar(name)
        if not wrong:
            raise row.error("it has no wrong answer", remedy="add one, or delete this record")
        if right in wrong:
            raise row.error(f"the right answer '{right}' is a wrong one, too", remedy=_ONCE)
        if twice := next((text for text in wrong if text and wrong.count(text) > 1), ""):
            raise row.error(f"the wrong answer '{twice}' is there twice", remedy=_ONCE)
        return shapes.Listed((right, *wrong))

    def _target(self, row: Row, listed: shapes.Listed) -> int:
        """Where the right choice stands, counted from 0.

        Raises:
            DataError: the answer names none, or could name two.
        """
        if self._part == "wrong":
            return 0
        if self._marked:
            return self._marked_place(row, listed)
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
        if (times := listed.texts.count(str(value).strip())) > 1:
            raise row.error(f"the field '{name}' holds {value!r}, as {times} of the choices do", remedy=_ONCE)
        raise row.error(
            f"the field '{name}' holds {value!r}, which names none of the {len(listed.texts)} choices",
            remedy="the answer is a choice's letter, its index, or its own text",
        )

    def _marked_place(self, row: Row, listed: shapes.Listed) -> int:
        marks = shapes.marks_of(listed)
        if marks is None or sum(marks) != 1:
            raise row.error(
                f"the field '{self._fields['choices']}' does not mark one choice as right",
                remedy="give each choice a 1 or a 0, with a single 1; the task open takes several",
            )
        return marks.index(True)

    def _readings(self, value: Any, listed: shapes.Listed) -> Iterator[tuple[AnswerForm, int | None]]:
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
    def _in_range(place: int, listed: shapes.Listed) -> int | None:
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


_ONCE = "change or delete one of the two, or delete this record"
_LIST = 'give a list of texts, {"text": [...], "label": [...]}, or a field for each (--task.choices A,B,C)'


def _part(task: Choices, first: Row) -> str:
    """What the fields hold: all choices, or the wrong ones, beside a right one that stands apart."""
    if task.choices and task.wrong:
        raise ConfigError(
            "--task.choices and --task.wrong name fields of choices, and one of them is read",
            remedy="leave out --task.wrong where a field holds all choices, or else --task.choices",
        )
    names, usual = tuple(first.fields), fields.recognised("choices", first)
    if task.choices or (
        not task.wrong and ((usual and first.has(usual)) or shapes.columns(names, "choices"))
    ):
        return "choices"
    apart = task.wrong or fields.recognised("wrong", first) or shapes.columns(names, "wrong")
    return "wrong" if apart else "choices"


def _is_marked(first: Row, name: str) -> bool:
    """Whether choices are told right or wrong one by one, in records without a field of the answer."""
    name = name or fields.recognised("choices", first)
    listed = shapes.listed_in(first.found(name))
    taken = frozenset({name, fields.recognised("question", first)})
    return bool(listed and shapes.marks_of(listed)) and not fields.recognised("answer", first, taken)


def _without_blanks(held: list[str]) -> list[str]:
    """Short lists leave their last fields empty."""
    while held and not held[-1]:
        held.pop()
    return held


def _lettered(said: str, listed: shapes.Listed) -> int | None:
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
