r"""Hi-ToM: beliefs about beliefs, up to the fourth order, with and without deception (He et al. 2023).

A record of Hi-ToM_data.json; the same questions are published as text files, too (`hi_tom_tree.py`):
    {"prompting_type": "CoTP", "deception": false, "story_length": 1, "question_order": 0, "sample_id": 0,
     "story": "1 Avery, Charlotte, ... entered the living_room.\n...",
     "question": "Where is the lettuce really?",
     "choices": "A. blue_drawer, B. green_crate, ...", "answer": "green_drawer"}

Every question is there twice, as CoTP and as VP. 138 of the 600 VP records carry outdated answers, so CoTP
is used. The published Coral code reads lines with `story_structure`, `question` and `expected_answer`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_uppercase
from typing import ClassVar

from coral.answers import choice, phrase
from coral.errors import DataError
from coral.tasks import context, files, hi_tom_tree, lettered, phrases, sources
from coral.tasks.files import Row
from coral.tasks.identity import content_id, distinct, published_id
from coral.tasks.protocol import Source, TaskInfo
from coral.types import Answered, Belief, Problem, Unreadable

log = logging.getLogger(__name__)

NOTE = """\
Take this as given:
(1) Until they leave a place, people there see everything that happens in it.
(2) One person can tell what another thinks only if the two were in the same place, or spoke in private \
or in public.
(3) Everybody is prone to lie. Saying something to others does not change what the speaker believes. \
People tend to trust somebody who left the room later than they did, and all know in which order people left.
(4) Nobody else hears what is said in private, and those who talk know that. A public claim can be heard \
by everyone, and all know that, too."""
"""The rules of the authors' prompts in our words. The json file lacks them; lies cannot be judged without."""

_OPTION = re.compile(r"(?:^|,\s*)([A-Z])\.\s*(.*?)(?=,\s*[A-Z]\.\s|$)")
_NAME = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b")
_PERSON = re.compile(r"\b[A-Z][a-z]+\b")
_WHO = re.compile(r"\b(?:who|whom|whose)\b", re.IGNORECASE)
_LIES = re.compile(r"\b(?:privately told|publicly claimed)\b")


@dataclass(frozen=True)
class HiTom(lettered.SplitContext):
    """Hi-ToM.

    Attributes:
        choices: show the 15 lettered choices. By default, as in the published Coral results, the answer has
            to be produced: the name of a container.
        note: state the rules of the stories, as the authors' own prompts do.
        split_context: each seat is told half of the story's lines alone; neither half is the story.
    """

    choices: bool = False
    note: bool = True
    split_context: bool = False

    info: ClassVar[TaskInfo] = TaskInfo(
        name="hi_tom",
        title="Hi-ToM: beliefs about beliefs, orders 0 to 4",
        size="600",
        origin="He et al., https://github.com/ying-hui-he/Hi-ToM_dataset",
        license="Apache-2.0",
        fetch="curl -fLO https://raw.githubusercontent.com/ying-hui-he/Hi-ToM_dataset/HEAD/Hi-ToM_data.json",
        splits=sources.SEEDED,
    )

    @property
    def instruction(self) -> str:  # type: ignore[override]
        if self.choices:
            return lettered.INSTRUCTION
        return (
            'Submit an answer by ending your message with a line that begins with "Answer:" and then names '
            "one container, spelled as in the story, with its underscores."
        )

    def problems(self, source: Source) -> Iterator[Problem]:
        """Stream the problems of a split; see `Task.problems`. A story is in one seeded part only."""
        split = sources.split_of(source, self.info)
        rows = _without_vanilla(self._rows(source))
        problems = distinct((row, self._problem(row)) for row in rows)
        return sources.seeded(
            problems, split, source.split_seed, key=lambda problem: str(problem.source["story"])
        )

    def _rows(self, source: Source) -> Iterator[Row]:
        path = sources.locate(source, self.info)
        if path.is_dir() and (tree := hi_tom_tree.find(path)):
            yield from hi_tom_tree.read(tree)
        else:
            for file in sources.data_files(path, self.info):
                yield from files.read(file)

    def _problem(self, row: Row) -> Problem:
        story = _story(row)
        question = row.text("question")
        gold = row.text("answer") if row.has("answer") else row.text("expected_answer")
        options = _options(row, gold)
        if self.choices and not options:
            raise row.error("the field 'choices' is missing", remedy="leave the option choices out")
        problem = Problem(
            id=published_id(row.scalar("sample_id"), row)
            if row.has("sample_id")
            else content_id(story, question, gold),
            task=self.info.name,
            question=question,
            choices=options if self.choices else (),
            target=ascii_uppercase[options.index(gold)] if self.choices else gold,
            group={"order": _order(row, question), "deception": _deception(row, story)},
            source={"story": story, "containers": list(options)},
        )
        return self.grouped(problem)

    def opening(self, problem: Problem) -> str:
        asked, choices = self.known(problem)
        parts = ["I'm trying to answer a question about this story:", asked]
        if self.choices:
            parts.append(f"One of these choices is right:\n{lettered.listing(choices)}")
        return "\n\n".join([*parts, NOTE] if self.note else parts)

    def pieces(self, problem: Problem) -> tuple[list[str], str]:
        """The pieces of the story, and the question."""
        return context.pieces(str(problem.source["story"])), f"Question: {problem.question}"

    def known(self, problem: Problem) -> tuple[str, tuple[str, ...]]:
        """The story and the question as both seats know them, and the choices."""
        if self.split_context:
            return super().known(problem)
        return f"{problem.source['story']}\n\nQuestion: {problem.question}", problem.choices

    def read(self, text: str, problem: Problem) -> Belief:
        if self.choices:
            return choice.read(text, problem.choices)
        return _find(phrase.read, text, problem, free=False)

    def parse(self, answer: str, problem: Problem) -> Belief:
        if self.choices:
            return choice.parse(answer, problem.choices)
        return _find(phrase.parse, answer, problem, free=True)

    async def same(self, a: str, b: str, problem: Problem) -> bool:
        return lettered.same(a, b, problem) if self.choices else phrase.same(a, b)

    async def grade(self, answer: str, problem: Problem) -> bool | None:
        return await self.same(answer, problem.target, problem)


def _without_vanilla(rows: Iterator[Row]) -> Iterator[Row]:
    """Leave the VP records out, and say how many they were.

    Raises:
        DataError: nothing else is there.
    """
    kept = left_out = 0
    for row in rows:
        if row.has("prompting_type") and row.text("prompting_type") == "VP":
            left_out += 1
        else:
            kept += 1
            yield row
    if left_out and not kept:
        raise DataError(
            f"all {left_out} records are VP records; 138 of the 600 there are have outdated answers",
            remedy="give the CoTP records: the whole Hi-ToM_data.json, or the folder Hi-ToM_data",
        )
    if left_out:
        log.info("hi_tom: %d VP records left out, %d CoTP records read", left_out, kept)


def _story(row: Row) -> str:
    """The story without the mark `***` that some records end in."""
    text = row.text("story") if row.has("story") else row.text("story_structure")
    return text.removesuffix("***").strip()


def _options(row: Row, gold: str) -> tuple[str, ...]:
    """The containers in `choices`, published as one text: `A. red_box, B. blue_box, ...`."""
    if not row.has("choices"):
        return ()
    found = _OPTION.findall(row.text("choices"))
    letters, options = [letter for letter, _ in found], tuple(option.strip() for _, option in found)
    if letters != list(ascii_uppercase[: len(letters)]) or not letters:
        raise row.error("the field 'choices' is not of the form 'A. one, B. two, ...'")
    if gold not in options:
        raise row.error(f"the answer '{gold}' is none of the choices")
    return options


def _find(reader: phrases.Reader, text: str, problem: Problem, *, free: bool) -> Belief:
    """Read by the containers of the choices, or where there are none by the story's names with a `_`.

    Another name of the story, such as a room, is an answer only if it is all that is stated; a person is no
    place.
    """
    story = str(problem.source["story"])
    names = tuple(dict.fromkeys(_NAME.findall(story)))
    containers = tuple(problem.source["containers"]) or names
    belief = phrases.find(reader, text, containers, others=names, free=free)
    if (
        isinstance(belief, Answered)
        and belief.value not in containers
        and _names_person(text, belief, problem)
    ):
        return Unreadable("names a person, no place")
    return belief


def _names_person(text: str, belief: Answered, problem: Problem) -> bool:
    people = {person.lower() for person in _PERSON.findall(f"{problem.source['story']} {problem.question}")}
    return bool(people.intersection(phrase.normalize(belief.value).split())) or _WHO.search(text) is not None


def _order(row: Row, question: str) -> str:
    """How many minds a question looks through; 0 asks for the fact."""
    if row.has("question_order"):
        return str(row.value("question_order"))
    return str(len(re.findall(r"\bthinks?\b", question)))


def _deception(row: Row, story: str) -> str:
    """Whether people in the story tell each other something, true or not."""
    told = row.value("deception") if row.has("deception") else bool(_LIES.search(story))
    return str(told).lower()
