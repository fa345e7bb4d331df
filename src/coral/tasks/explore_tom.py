"""ExploreToM: questions about who knows and believes what in a generated story (Sclar et al. 2024).

One csv of 18 columns, one question a row. Read are `story_structure` (the plain story that the published
Coral results use) or `infilled_story` (the same as prose), `question`, `expected_answer`, and for the
groups `qprop=nth_order` and `qprop=params`, such as `(['Petra'], 'brass compass',
'container_location-False')`. The published Coral code reads lines with `story_structure`, `question` and
`expected_answer`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from coral.answers import phrase
from coral.errors import ConfigError
from coral.tasks import phrases, sources
from coral.tasks.files import Row
from coral.tasks.identity import content_id, distinct
from coral.tasks.protocol import Source, TaskInfo
from coral.types import Answered, Belief, Problem, Seat, Unreadable

_COLUMNS = {"structure": "story_structure", "infilled": "infilled_story"}
_KNOWS = ("knows about it", "does not know about it")
_YES_NO = ("yes", "no")
_ASKS_KNOWLEDGE = re.compile(r"\bknows about it\b", re.IGNORECASE)
_ASKS_YES_NO = re.compile(
    r"\byes or no\b|^\W*(?:does|do|did|is|are|was|were|will|would|has|have|can|could)\b", re.IGNORECASE
)
_ASKS_ROOM = re.compile(r"\bwhich room\b", re.IGNORECASE)
_IGNORANT = re.compile(
    r"\b(?:(?:does not|doesn't|doesn’t) know\b|knows nothing\b)(?: about (?:it|that|this)\b)?", re.IGNORECASE
)
_KNOWING = re.compile(r"\bknows\b(?: about (?:it|that|this)\b)?", re.IGNORECASE)
_DENIED = re.compile(
    r"(?:\bnot|n't|n’t|\bnever|\bdoubts?|\bunaware)\b(?! know about it)[^.;,\n]*\bknows about it\b"
)
_ROOM = re.compile(r"\b(?:entered|left|to|in) the ([^.,]+?)(?=\.|$)")
_PERSON = re.compile(r"\b([A-Z][a-z]+) (?:entered|left|moved|told)\b")
_CONTAINER = re.compile(r"\bmoved the [^.,]+? to the ([^.,]+?)(?=[.,]|$)")


@dataclass(frozen=True)
class ExploreTom:
    """ExploreToM.

    Attributes:
        story: `structure`, the plain sentences, or `infilled`, the prose written from them.
    """

    story: Literal["structure", "infilled"] = "structure"

    info: ClassVar[TaskInfo] = TaskInfo(
        name="explore_tom",
        title="ExploreToM: beliefs and knowledge of people in a story",
        size="13,309",
        origin="Meta, https://huggingface.co/datasets/facebook/ExploreToM",
        license="CC-BY-NC-4.0",
        fetch="hf download facebook/ExploreToM --repo-type dataset --local-dir explore_tom",
        splits=sources.SEEDED,
    )
    instruction: ClassVar[str] = (
        'Submit an answer by ending your message with a line that begins with "Answer:" and is as short as '
        'the question allows: the name of a container or room, "yes" or "no", '
        '"knows about it" or "does not know about it".'
    )

    def __post_init__(self) -> None:
        if self.story not in _COLUMNS:
            raise ConfigError(
                f"explore_tom has no story '{self.story}'", remedy=f"it has: {', '.join(_COLUMNS)}"
            )

    def problems(self, source: Source) -> Iterator[Problem]:
        """Stream the problems of a split; see `Task.problems`. A story is in one seeded part only."""
        split = sources.split_of(source, self.info)
        rows = sources.rows(source, self.info)
        problems = distinct((row, _problem(row, _COLUMNS[self.story])) for row in rows)
        return sources.seeded(
            problems, split, source.split_seed, key=lambda problem: str(problem.source["story"])
        )

    def opening(self, problem: Problem) -> str:
        return (
            f"I'm trying to answer a question about this story:\n\n{problem.source['story']}\n\n"
            f"Question: {problem.question}"
        )

    def briefing(self, problem: Problem, seat: Seat) -> str:  # noqa: ARG002 - part of the protocol
        return ""

    def read(self, text: str, problem: Problem) -> Belief:
        return _find(phrase.read, text, problem)

    def parse(self, answer: str, problem: Problem) -> Belief:
        return _find(phrase.parse, answer, problem)

    async def same(self, a: str, b: str, problem: Problem) -> bool:  # noqa: ARG002 - part of the protocol
        return phrase.same(a, b)

    async def grade(self, answer: str, problem: Problem) -> bool | None:
        return phrase.same(answer, problem.target)


def _problem(row: Row, column: str) -> Problem:
    story, question, gold = row.text(column), row.text("question"), row.text("expected_answer")
    belief = phrase.parse(gold, _closed_answers(question))
    return Problem(
        id=content_id(story, question, gold),
        task=ExploreTom.info.name,
        question=question,
        target=belief.value if isinstance(belief, Answered) else gold,
        group=_group(row),
        source={"story": story},
    )


def _closed_answers(question: str) -> tuple[str, ...]:
    """The two answers that a closed question has; none where it asks for a place."""
    if _ASKS_KNOWLEDGE.search(question):
        return _KNOWS
    return _YES_NO if _ASKS_YES_NO.search(question) else ()


def _find(reader: phrases.Reader, text: str, problem: Problem) -> Belief:
    """Read by what the question asks for: one of two answers, or a place that the story names."""
    closed = _closed_answers(problem.question)
    if closed == _KNOWS:
        text = _KNOWING.sub("knows about it", _IGNORANT.sub("does not know about it", text))
        text = _DENIED.sub("is unclear", text)
    if closed:
        return phrases.find(reader, text, closed)
    belief = phrases.find(reader, text, _places(problem), free=True)
    if isinstance(belief, Answered) and phrase.normalize(belief.value) in (*_YES_NO, *_KNOWS):
        return Unreadable("names no place")
    if isinstance(belief, Answered) and belief.value in _PERSON.findall(str(problem.source["story"])):
        return Unreadable("names a person, no place")
    return belief


def _places(problem: Problem) -> tuple[str, ...]:
    """The rooms of the story for a question about rooms, else its containers."""
    pattern = _ROOM if _ASKS_ROOM.search(problem.question) else _CONTAINER
    return tuple(dict.fromkeys(pattern.findall(str(problem.source["story"]))))


def _group(row: Row) -> dict[str, str]:
    group = {}
    if row.has("qprop=nth_order"):
        group["order"] = _order(row)
    if row.has("qprop=params"):
        group["kind"] = _kind(row.text("qprop=params"))
    return group


def _order(row: Row) -> str:
    """How many minds a question looks through. 0 are questions about the world itself, published as -1."""
    value = row.value("qprop=nth_order")
    try:
        return str(max(0, int(value)))
    except ValueError as error:
        raise row.error(f"the field 'qprop=nth_order' holds '{value}', no whole number") from error


def _kind(params: str) -> str:
    """What is asked for: the last parameter, without the flag behind it (`room_location-True`)."""
    try:
        values = ast.literal_eval(params)
    except (ValueError, SyntaxError):
        return "other"
    kind = values[-1] if isinstance(values, tuple) and values else None
    return re.sub(r"-(True|False)$", "", kind).strip("<>") if isinstance(kind, str) else "other"
