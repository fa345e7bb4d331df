"""ExploreToM, on synthetic rows with the columns and value forms of the published file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coral.errors import ConfigError, DataError
from coral.tasks import registry
from coral.types import Answered, Problem, Unreadable

Load = Callable[..., list[Problem]]
Write = Callable[..., Path]

RECORD = {
    "story_structure": "Petra entered the boathouse. Petra moved the compass to the leather satchel, which "
    "is also located in the boathouse. Oskar moved the compass to the tin box, which is also located there.",
    "question": "In which container is the compass?",
    "expected_answer": "tin box",
}


def test_the_fixture_is_read(load: Load, data: Path) -> None:
    """9 rows of 18 columns, over lines and quotes in the prose; the plain story is the one that is shown."""
    problems = load("explore_tom", data / "explore_tom")
    assert len(problems) == 9
    assert {problem.source["story"].split(".")[0] for problem in problems} == {
        "Petra entered the boathouse",
        "Lin entered the greenhouse",
    }


def test_groups(load: Load, data: Path) -> None:
    """Order and kind of a question come from the columns; -1, which asks for facts, becomes order 0."""
    groups = [tuple(problem.group.values()) for problem in load("explore_tom", data / "explore_tom")]
    assert groups == [
        ("0", "memory-container_location"),
        ("0", "ground_truth-container_location"),
        ("1", "container_location"),
        ("2", "container_location"),
        ("1", "room_location"),
        ("1", "knowledge"),
        ("1", "state_update"),
        ("2", "knowledge"),
        ("2", "knowledge"),
    ]


def test_the_infilled_story(load: Load, data: Path) -> None:
    """`--task.story infilled` shows the prose instead, as problems of other ids."""
    plain = load("explore_tom", data / "explore_tom")
    infilled = load("explore_tom", data / "explore_tom", options={"story": "infilled"})
    assert infilled[0].source["story"].startswith("Rain drummed")
    assert not {problem.id for problem in plain} & {problem.id for problem in infilled}
    with pytest.raises(ConfigError, match="cannot take story='prose'"):
        registry.load("explore_tom", story="prose")


def test_the_converted_form_names_the_same_problems(load: Load, write: Write, data: Path) -> None:
    """The published Coral code reads three fields: the ids are those of the csv, the groups are empty."""
    published = load("explore_tom", data / "explore_tom")
    lines = [
        {
            "story_structure": problem.source["story"],
            "question": problem.question,
            "expected_answer": problem.target,
        }
        for problem in published
    ]
    converted = load("explore_tom", write("explore_tom.jsonl", lines))
    assert [problem.id for problem in converted] == [problem.id for problem in published]
    assert {len(problem.group) for problem in converted} == {0}


@pytest.mark.parametrize(
    ("row", "text", "belief", "why"),
    [
        (0, "Answer: the leather satchel", Answered("leather satchel"), "an article"),
        (0, "Answer: leather_satchel", Answered("leather satchel"), "underscores"),
        (0, "Answer: the tin box in the boathouse", Answered("tin box"), "a container and its room"),
        (0, "Answer: the garden", Answered("the garden"), "a place of no story is an answer, and wrong"),
        (4, "Answer: the boathouse", Answered("boathouse"), "a room"),
        (5, "Answer: Yes.", Answered("yes"), "closed questions have two answers"),
        (7, "Answer: knows about it", Answered("knows about it"), "a phrase"),
        (7, "Answer: does not know about it", Answered("does not know about it"), "not the one inside it"),
        (7, "Answer: doesn't know about it", Answered("does not know about it"), "contracted"),
        (7, "Answer: does not know", Answered("does not know about it"), "shortened"),
    ],
)
def test_reading(load: Load, data: Path, row: int, text: str, belief: Answered, why: str) -> None:
    """Replies in the form asked for are read, in whichever words the answer is put."""
    problem = load("explore_tom", data / "explore_tom")[row]
    assert registry.load("explore_tom").read(text, problem) == belief, why


@pytest.mark.parametrize(
    ("row", "text", "belief"),
    [
        (0, "Answer: yes", None),
        (0, "Answer: knows about it", None),
        (0, "Answer: boathouse", "boathouse"),
        (4, "Answer: tin box", "tin box"),
        (5, "Answer: knows about it", None),
        (5, "Answer: tin box", None),
        (5, "Answer: Yes, Omar does.", "yes"),
        (7, "Answer: yes", None),
        (7, "Answer: Omar knows about it", "knows about it"),
        (7, "Answer: knows nothing about it", "does not know about it"),
        (7, "Answer: Lin does not think that Omar knows about it", None),
        (7, "The answer is: Omar doesn't know about it.", "does not know about it"),
    ],
)
def test_a_reply_is_read_by_what_the_question_asks_for(
    load: Load, data: Path, row: int, text: str, belief: str | None
) -> None:
    """A place, yes or no, or knows or does not: and whatever the gold answer is, the reading is the same."""
    task, problem = registry.load("explore_tom"), load("explore_tom", data / "explore_tom")[row]
    found = task.read(text, problem)
    assert found == Answered(belief) if belief else isinstance(found, Unreadable)
    for gold in ("yes", "no", "knows about it", "does not know about it", "tin box", "boathouse", "nowhere"):
        other = msgspec.structs.replace(problem, target=gold)
        assert task.read(text, other) == found
        assert task.parse(text, other) == task.parse(text, problem)


@pytest.mark.parametrize(
    ("question", "answers"),
    [
        ("Does Omar believe that the box is wet? Answer yes or no.", True),
        ("In which container will Petra search for the room key?", False),
        ("In which room is the container now?", False),
        ("Where will Petra look for it?", False),
    ],
)
def test_the_type_of_a_question(load: Load, write: Write, question: str, answers: bool) -> None:
    """ "Which room" asks for rooms, whatever the thing is called."""
    problem = load("explore_tom", write("a.jsonl", [RECORD | {"question": question}]))[0]
    read = registry.load("explore_tom").read
    assert (read("Answer: yes", problem) == Answered("yes")) is answers
    assert isinstance(read("Answer: tin box or leather satchel", problem), Unreadable)


@pytest.mark.parametrize("row", [0, 5, 7])
@pytest.mark.parametrize("text", ["", "Error: no network", "Answer: tin box or leather satchel or yes or no"])
def test_nothing_is_made_of_nothing(load: Load, data: Path, row: int, text: str) -> None:
    """An empty text, an error and several answers at once are unreadable, and so neither equal nor right."""
    task = registry.load("explore_tom")
    problem = load("explore_tom", data / "explore_tom")[row]
    assert isinstance(task.read(text, problem), Unreadable)


@pytest.mark.parametrize(
    ("row", "answer", "why"),
    [
        (
            7,
            "does not know about it",
            "the published code takes 'knows about it' and its negation for similar",
        ),
        (6, "not sure yet", "the published code grades it right where the gold is 'no'"),
        (0, "lear satchel", "the published code deletes 'the' inside 'leather'"),
        (0, "satchel", "a part of the gold"),
        (0, "a", "a letter of the gold"),
    ],
)
async def test_what_the_published_grader_took_for_right(
    load: Load, data: Path, row: int, answer: str, why: str
) -> None:
    """Only the whole phrase is right."""
    problem = load("explore_tom", data / "explore_tom")[row]
    assert await registry.load("explore_tom").grade(answer, problem) is False, why


def test_a_story_is_in_one_part_only(load: Load, write: Write) -> None:
    """The questions of a story stay together in a seeded split."""
    records = [
        RECORD | {"story_structure": f"{RECORD['story_structure']} {story}", "question": f"{question}?"}
        for story in range(30)
        for question in range(3)
    ]
    path = write("a.jsonl", records)
    stories = [
        {problem.source["story"] for problem in load("explore_tom", path, split=part)}
        for part in ("train", "validation", "test")
    ]
    assert sum(map(len, stories)) == len(set.union(*stories)) == 30


@pytest.mark.parametrize(
    ("change", "message", "why"),
    [
        ({"expected_answer": ""}, "'expected_answer' is missing", "no gold"),
        ({"story_structure": None}, "'story_structure' is missing", "no story"),
        ({"question": 3}, "'question' holds int", "a number"),
        ({"qprop=nth_order": "second"}, "'qprop=nth_order' holds 'second'", "an order that is no number"),
    ],
)
def test_bad_records(load: Load, write: Write, change: dict[str, Any], message: str, why: str) -> None:
    """A bad record is reported with file, line and field."""
    path = write("bad.jsonl", [RECORD, RECORD | change])
    with pytest.raises(DataError, match=message) as caught:
        load("explore_tom", path)
    assert f"{path}, line 2: " in str(caught.value), why


def test_a_person_is_no_place(load: Load, write: Write) -> None:
    """A question for a place is not answered by someone of the story."""
    question = {"question": "In which container will Petra search for the room key?"}
    problem = load("explore_tom", write("a.jsonl", [RECORD | question]))[0]
    task = registry.load("explore_tom")
    assert isinstance(task.read("Answer: Petra", problem), Unreadable)
    assert isinstance(task.parse("Petra", problem), Unreadable)
    assert task.read("Answer: Petra's leather satchel", problem) == Answered("leather satchel")
