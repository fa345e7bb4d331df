"""`open`: questions of one's own with free answers: numbers, mathematics, phrases, or exact texts.

{"question": "...", "answer": "Paris"}
{"question": "...", "answer": ["U.S.", "United States"]}
question,answer
"""

from __future__ import annotations

import datetime as dt
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar, Literal

import msgspec

from coral.answers import math, phrase, prose, quantities
from coral.errors import ConfigError
from coral.notation import lists
from coral.tasks import files, mathematics, phrases, sources
from coral.tasks.files import Row
from coral.tasks.identity import distinct
from coral.tasks.own import fields
from coral.tasks.protocol import Source, TaskInfo
from coral.types import Answered, Belief, Problem, Seat, Unreadable, Unsure

Kind = Literal["number", "math", "phrase", "exact", "text"]

_FORMS: dict[Kind | None, str] = {
    None: "a line of this form: Answer: X, where X is your answer alone, as short as it can be",
    "number": "a line of this form: Answer: X, where X is a number, with its unit if it has one",
    "phrase": "a line of this form: Answer: X, where X is a short phrase and no sentence",
    "exact": "a line of this form: Answer: X, where X is your answer, letter for letter",
    "text": "a line of this form: Answer: X, where X is your whole answer in one sentence",
}


@dataclass(frozen=True)
class Open(mathematics.MathematicalAnswers):
    """Questions of your own with free answers.

    Attributes:
        question: field of the question; by default one of the usual names.
        answer: field of the right answer, or of a list of answers that are all right.
        gold: false: the records hold no right answers, and nothing is graded.
        context: field of a text that is stated above the question.
        id: field of a name that is unique; by default a hash of what the problem says.
        group: field or fields that statistics split by.
        kind: number, math (LaTeX), phrase (case, articles and punctuation do not count), exact (all do) or
            text (sentences, compared as phrases); where it is not given, text with a judge, number where all
            answers of the data are numbers, and phrase elsewhere.
        judge: a model that grades answers which equal none that is accepted: `--task.judge.model MODEL`, and
            the other options of a model.
    """

    question: str = ""
    answer: str = ""
    gold: bool = True
    context: str = ""
    id: str = ""
    group: str | tuple[str, ...] = ()
    kind: Kind | None = None
    judge: dict[str, Any] | None = None

    info: ClassVar[TaskInfo] = TaskInfo(
        name="open",
        title="Free answers: questions of your own",
        size="yours",
        origin="you: jsonl, json, csv, parquet or hf://",
        license="yours",
        fetch="give --data a file of your own with a question and an answer in each record",
        splits=(*fields.PUBLISHED, *sources.SEEDED_SPLITS),
    )

    def __post_init__(self) -> None:
        if self.judge and not self.gold:
            raise ConfigError(
                "a judge compares an answer with the right ones, and gold is false",
                remedy="leave out --task.judge, or take data with answers",
            )

    @property
    def instruction(self) -> str:  # type: ignore[override]
        """The form in which an answer of this kind is to be given."""
        kind = self.kind or ("text" if self.judge else None)
        if kind == "math":
            return mathematics.INSTRUCTION
        return f"Submit an answer by ending your message with {_FORMS[kind]}."

    def problems(self, source: Source) -> Iterator[Problem]:
        """Stream the problems of a split; see `Task.problems`."""
        problems = self.problems_in(lambda: fields.rows(source, self.info), graded=source.graded)
        return sources.seeded_part(source, problems)

    def problems_in(self, read: Callable[[], Iterator[Row]], *, graded: bool = True) -> Iterator[Problem]:
        """The problems of some records.

        Args:
            read: streams the records; called twice where only all of them tell the kind of the answers.
            graded: what grading needs has to be there.
        """
        reader = _Reader(self, read, graded=graded)
        return distinct(((row, reader.problem(row)) for row in read()), option="--task.id")

    def opening(self, problem: Problem) -> str:
        return f"I'm trying to solve this problem:\n\n{problem.question}"

    def briefing(self, problem: Problem, seat: Seat) -> str:  # noqa: ARG002 - part of the protocol
        """Nothing: both seats see the whole problem."""
        return ""

    def read(self, text: str, problem: Problem) -> Belief:
        match _kind(problem):
            case "phrase":
                return phrases.find(phrase.read, text, _accepted(problem), free=True)
            case "exact" | "text":
                return _read_exactly(text, problem)
            case _:
                return super().read(text, problem)

    def parse(self, answer: str, problem: Problem) -> Belief:
        match _kind(problem):
            case "phrase":
                return phrases.find(phrase.parse, answer, _accepted(problem), free=True)
            case "exact" | "text":
                return _exact(prose.unlabel(answer.strip()), problem)
            case _:
                return super().parse(answer, problem)

    async def same(self, a: str, b: str, problem: Problem) -> bool:
        """Whether two answers mean the same; all accepted answers of a problem do."""
        return await self._equal(a, b, problem) or all(
            [await self._is_accepted(answer, problem) for answer in (a, b)]
        )

    async def _is_accepted(self, answer: str, problem: Problem) -> bool:
        return any([await self._equal(answer, one, problem) for one in _accepted(problem)])

    async def _equal(self, a: str, b: str, problem: Problem) -> bool:
        match _kind(problem):
            case "phrase" | "text":
                return phrase.same(a, b) or _number(a) == _number(b) is not None
            case "exact":
                return a == b
            case _:
                return await super().same(a, b, problem)

    async def grade(self, answer: str, problem: Problem) -> bool | None:
        """Whether it is one of the accepted answers; None where there is none, where that could not be
        determined in time, or is for a judge to say.
        """
        if not problem.target:
            return None
        accepted = await self._graded(answer, problem)
        return None if self.judge and not accepted else accepted

    def references(self, problem: Problem) -> tuple[str, ...]:
        """The accepted answers."""
        return _accepted(problem)

    def spelling(self, answer: str, problem: Problem) -> str:
        """The words of a phrase or text; any other answer as it is."""
        worded = _kind(problem) in ("phrase", "text")
        return (phrase.normalize(answer) if worded else "") or answer

    async def _graded(self, answer: str, problem: Problem) -> bool | None:
        if _kind(problem) in ("phrase", "exact", "text"):
            return await self._is_accepted(answer, problem)
        graded = super().grade
        wanted = [msgspec.structs.replace(problem, target=target) for target in _accepted(problem)]
        verdicts = [await graded(answer, one) for one in wanted]
        return True if True in verdicts else None if None in verdicts else False


class _Reader:
    """Reads the records of one data set, whose fields its records tell together."""

    def __init__(self, task: Open, read: Callable[[], Iterator[Row]], *, graded: bool) -> None:
        first = fields.profile(read())
        named = {"question": task.question, "answer": task.answer, "context": task.context, "id": task.id}
        self._task = task
        self._fields = fields.of_task(first, named, gold=task.gold)
        self._group = fields.grouping(first, task.group)
        self._kind: Kind = task.kind or self._kind_of(read())
        if graded and self._kind in {"number", "math"}:
            mathematics.need_library()
        told = "" if task.gold else fields.UNKNOWN
        kinds = "number, math, phrase, exact or text"
        told += "" if task.kind else f"{'; ' * bool(told)}answers are {self._kind}s (--task.kind {kinds})"
        if listed := fields.recognised("choices", first):
            told += f"; '{listed}' is not told to the agents: the task choices would"
        self._fields.tell(first.file, told)

    def _kind_of(self, rows: Iterator[Row]) -> Kind:
        """A judge grades texts. Else all answers of the data are numbers, or they count as phrases, as they
        do where there are none.
        """
        if self._task.judge:
            return "text"
        if not self._task.gold:
            return "phrase"
        texts = (text for row in rows for text in self._answers(row))
        return "phrase" if any(_number(text) is None for text in texts) else "number"

    def problem(self, row: Row) -> Problem:
        """The problem of a record.

        Raises:
            DataError: it is none.
        """
        question = fields.statement(row, self._fields)
        accepted = [self._canonical(text, row) for text in self._answers(row)]
        return Problem(
            id=fields.name_of(row, self._fields, question, *accepted),
            task=self._task.info.name,
            question=question,
            target=accepted[0] if accepted else "",
            group=fields.groups(row, self._group),
            source={"kind": self._kind, **({"accepted": accepted} if len(accepted) > 1 else {})},
        )

    def _answers(self, row: Row) -> list[str]:
        if not self._task.gold:
            return []
        value = fields.value(row, self._fields, "answer")
        if isinstance(value, Mapping):  # as SQuAD and TriviaQA write them
            held = [value[key] for key in ("text", "value", "aliases") if value.get(key)]
            value = [one for part in held for one in (part if isinstance(part, list) else [part])] or value
        texts = [_texts(one) for one in self._several(value, row)]
        if not texts or not all(texts):
            raise row.error(
                f"the field '{self._fields['answer']}' holds {reprlib.repr(value)}, which is not an answer",
                remedy="give a text, a number or a list of them, none of them empty",
            )
        found = list(dict.fromkeys(text for spellings in texts for text in spellings))
        self._refuse_solutions(found, row)
        return found

    def _refuse_solutions(self, answers: list[str], row: Row) -> None:
        """A worked solution is no answer that anybody would give: all would be wrong.

        Raises:
            DataError: an answer is one.
        """
        if self._task.kind in ("exact", "text") or self._task.judge:
            return
        for answer in answers:
            if _SOLUTION.search(answer) and ("####" in answer or self._task.kind != "math"):
                gsm8k = "coral eval gsm8k" if "####" in answer else "--task.kind math"
                raise row.error(
                    f"the field '{self._fields['answer']}' holds a solution, {reprlib.repr(answer)}, and not "
                    "its answer alone",
                    remedy=f"{gsm8k} reads such data; or name the field of the answer with --task.answer",
                )

    def _several(self, value: Any, row: Row) -> list[Any]:
        """The accepted answers: a list's, or those of a text that lists quoted texts, as in csv.

        Raises:
            DataError: a cell such as `[1, 2]` is one answer, or two.
        """
        if not isinstance(value, str) or value.strip()[:1] != "[":
            return list(value) if isinstance(value, list | tuple) else [value]
        listed = lists.as_list(value)
        if not listed or not all(isinstance(one, str | int | float) for one in listed):
            return [value]
        if all(isinstance(one, str) for one in listed) or self._task.kind == "number":
            return listed
        if self._task.kind is None and files.data_format(row.file) in (".csv", ".tsv"):
            raise row.error(
                f"the field '{self._fields['answer']}' holds {value}, which is one answer or several",
                remedy='write several as ["1", "2"], or say what one is: --task.kind math, phrase or exact',
            )
        return [value]

    def _canonical(self, text: str, row: Row) -> str:
        if self._kind in ("phrase", "exact", "text"):
            return text
        if self._kind == "number" and _number(text) is None:
            raise row.error(
                f"the answer '{text}' is not a number", remedy="say --task.kind phrase, math or exact"
            )
        belief = math.parse(text)
        return belief.value if isinstance(belief, Answered) else text


def _texts(value: Any) -> tuple[str, ...]:
    """A text or a number as a text, a truth as both of its names; nothing for blanks and anything else."""
    if isinstance(value, bool):
        return ("yes", "true") if value else ("no", "false")
    is_plain = isinstance(value, str | int | float | Decimal | dt.date)
    text = str(value).strip() if is_plain else ""
    return (text,) if text else ()


_SOLUTION = re.compile(r"\S.*\n\s*####|\S\s.*\\boxed\{", re.DOTALL)
"""Words before the mark of an answer."""
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def _number(text: str) -> Fraction | None:
    """The value of digits, with separators or a currency, or of a number word."""
    number = quantities.read_number(_THOUSANDS.sub("", text).strip(" $€£¥"))
    return None if number is None else number.value


def _kind(problem: Problem) -> str:
    return str(problem.source.get("kind", "phrase"))


def _accepted(problem: Problem) -> tuple[str, ...]:
    return tuple(problem.source.get("accepted", (problem.target,) if problem.target else ()))


_LINE = re.compile(
    r"^[\s*_#>-]*(?:final )?answer[*_]*[ \t]*:[*_]*[ \t]*(?P<answer>\S.*?)[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)


def _read_exactly(text: str, problem: Problem) -> Belief:
    """What stands behind the label in the last line that bears one."""
    lines = [found["answer"] for found in _LINE.finditer(text)]
    if not lines:
        return Unsure() if prose.says_unsure(text) else Unreadable("no line 'Answer: ...'")
    said = lines[-1]
    for mark in ("**", "`", "*"):
        if said.startswith(mark) and said.endswith(mark) and len(said) > 2 * len(mark):
            said = said[len(mark) : -len(mark)].strip()
    return _exact(said, problem)


def _exact(said: str, problem: Problem) -> Belief:
    """The answer as it stands. Where "unknown" is right, it is one."""
    if not said:
        return Unreadable("empty")
    return Unsure() if prose.is_not_sure(said) and said not in _accepted(problem) else Answered(said)
