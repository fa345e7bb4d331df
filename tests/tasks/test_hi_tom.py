"""Hi-ToM, on the authors' own records and text files."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coral.errors import ConfigError, DataError
from coral.tasks import registry
from coral.tasks.protocol import Source
from coral.types import Answered, Problem, Unreadable, Unsure

Load = Callable[..., list[Problem]]
Write = Callable[..., Path]

SAMPLE = "Hi-ToM_data.sample.json"


@pytest.fixture
def records(data: Path) -> list[dict[str, Any]]:
    """The 180 records of the sample as published."""
    found: list[dict[str, Any]] = json.loads((data / "hi_tom" / SAMPLE).read_text(encoding="utf-8"))["data"]
    return found


def test_only_cotp_is_read_and_the_rest_is_counted(
    load: Load, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every question is there twice; the VP twin may have an outdated answer: it is left out, and counted."""
    with caplog.at_level(logging.INFO, "coral.tasks.hi_tom"):
        problems = load("hi_tom", data / "hi_tom" / SAMPLE)
    assert len(problems) == 90
    assert caplog.messages == ["hi_tom: 90 VP records left out, 90 CoTP records read"]


@pytest.mark.parametrize(("cotp", "vp"), [(60, 360), (61, 361), (42, 342)])
def test_of_twins_with_different_gold_cotp_wins(
    load: Load, data: Path, records: list[dict[str, Any]], cotp: int, vp: int
) -> None:
    """Where the twins disagree, the CoTP answer is the gold."""
    gold = {record["sample_id"]: record["answer"] for record in records}
    assert gold[cotp] != gold[vp]
    problems = {problem.id: problem for problem in load("hi_tom", data / "hi_tom" / SAMPLE)}
    assert problems[str(cotp)].target == gold[cotp]
    assert str(vp) not in problems


def test_vp_alone_is_refused(load: Load, write: Write, records: list[dict[str, Any]]) -> None:
    """A file of VP records only is not evaluated in silence on outdated answers."""
    path = write("vp.jsonl", [record for record in records if record["prompting_type"] == "VP"])
    with pytest.raises(DataError, match="all 90 records are VP records") as caught:
        load("hi_tom", path)
    assert "CoTP" in caught.value.remedy


def test_no_story_ends_in_stars(load: Load, data: Path, records: list[dict[str, Any]]) -> None:
    """Six stories of the sample end in `***`; without the mark they are the stories of order 0."""
    assert sum(record["story"].endswith("***") for record in records) == 6
    problems = {problem.id: problem for problem in load("hi_tom", data / "hi_tom" / SAMPLE)}
    assert not any("***" in problem.source["story"] for problem in problems.values())
    assert problems["42"].source["story"] == problems["2"].source["story"]


def test_every_opening_states_the_rules(load: Load, data: Path) -> None:
    """The json file lacks the rules by which lies are judged; the opening has them, unless told not to."""
    problem = load("hi_tom", data / "hi_tom" / SAMPLE)[0]
    assert all(f"\n({number}) " in registry.load("hi_tom").opening(problem) for number in (1, 2, 3, 4))
    assert "prone to lie" not in registry.load("hi_tom", note=False).opening(problem)


def test_the_answer_has_to_be_produced(load: Load, data: Path, records: list[dict[str, Any]]) -> None:
    """By default the opening shows no choices, as in the published results."""
    problem = load("hi_tom", data / "hi_tom" / SAMPLE)[0]
    opening = registry.load("hi_tom").opening(problem)
    unseen = [name for name in problem.source["containers"] if name not in problem.source["story"]]
    assert unseen
    assert not any(name in opening for name in unseen)
    assert problem.choices == ()


async def test_with_choices_the_answer_is_a_letter(load: Load, data: Path) -> None:
    """`--task.choices true` shows the 15 choices, and the gold is a letter."""
    task = registry.load("hi_tom", choices=True)
    problem = load("hi_tom", data / "hi_tom" / SAMPLE, options={"choices": True})[0]
    assert len(problem.choices) == 15
    assert (problem.target, problem.choices[10]) == ("K", "green_drawer")
    assert "(K) green_drawer" in task.opening(problem)
    assert task.read("Answer: (K)", problem) == task.read("Answer: green_drawer", problem) == Answered("K")
    assert await task.grade("K", problem) is True
    assert await task.grade("A", problem) is False


@pytest.mark.parametrize(
    ("text", "belief", "why"),
    [
        ("Answer: green_drawer", Answered("green_drawer"), "the form asked for"),
        ("Answer: the green drawer.", Answered("green_drawer"), "words instead of underscores"),
        ("Answer: waiting_room", Answered("waiting_room"), "no choice at all, yet an answer, and wrong"),
        ("Answer: K. green_drawer", Answered("green_drawer"), "its letter before it"),
        ("K. green_drawer\n\nExplanation: Avery left.", Answered("green_drawer"), "a first line, explained"),
        ("green_drawer\n\nExplanation: Avery left.", Answered("green_drawer"), "the same without a letter"),
        (
            "So Owen, who left the waiting_room, looks in the green_drawer.",
            Answered("green_drawer"),
            "an aside",
        ),
    ],
)
def test_reading(load: Load, data: Path, text: str, belief: Answered, why: str) -> None:
    """Container names are normalised; a name that is none of the choices is an answer, too."""
    problem = load("hi_tom", data / "hi_tom" / SAMPLE)[0]
    assert registry.load("hi_tom").read(text, problem) == belief, why


@pytest.mark.parametrize(
    "text",
    [
        "The answer is Emily, who is in the waiting room.",
        "Emily, who is in the waiting room",
        "Answer: Owen is in the waiting_room",
        "Answer: Charlotte, who is in the waiting_room",
        "Therefore Owen is in the waiting_room.",
        "Answer: X",
        "Answer: <container>",
        "Answer: ...",
    ],
)
def test_what_names_no_place_of_the_object(load: Load, data: Path, text: str) -> None:
    """Where a person is, is not where the object is; a placeholder is no name."""
    task, problem = registry.load("hi_tom"), load("hi_tom", data / "hi_tom" / SAMPLE)[0]
    assert isinstance(task.read(text, problem), Unreadable)
    assert isinstance(task.parse(text, problem), Unreadable)


@pytest.mark.parametrize(
    "text",
    [
        "Answer: not yet known",
        "The answer is not yet known.",
        "It is not yet known.",
        "Answer: It is not yet known",
        "The location is not yet known.",
        "Answer: unknown",
        "Answer: undetermined",
        "Answer: nobody knows",
    ],
)
def test_what_is_not_known_is_unsure(load: Load, data: Path, text: str) -> None:
    """ "Not yet known" submits no answer, with the choices shown and without."""
    problem = load("hi_tom", data / "hi_tom" / SAMPLE)[0]
    lettered = load("hi_tom", data / "hi_tom" / SAMPLE, options={"choices": True})[0]
    for task, asked in (
        (registry.load("hi_tom"), problem),
        (registry.load("hi_tom", choices=True), lettered),
    ):
        assert task.read(text, asked) == task.parse(text, asked) == Unsure()


@pytest.mark.parametrize(
    ("answer", "kind", "why"),
    [
        ("green drawer", Answered, "an extractor's spelling"),
        ("the kitchen", Answered, "outside the story, and wrong"),
        ("green_drawer or blue_pantry", Unreadable, "two containers are no answer"),
    ],
)
def test_parsing(load: Load, data: Path, answer: str, kind: type, why: str) -> None:
    """An extractor's word is taken as an answer unless it names several containers."""
    problem = load("hi_tom", data / "hi_tom" / SAMPLE)[0]
    assert isinstance(registry.load("hi_tom").parse(answer, problem), kind), why


def test_the_text_tree_gives_the_same_problems(load: Load, data: Path) -> None:
    """Folder Hi-ToM_data numbers and holds the same questions as the json file."""
    from_json = {problem.id: problem for problem in load("hi_tom", data / "hi_tom" / SAMPLE)}
    from_tree = load("hi_tom", data / "hi_tom" / "Hi-ToM_data")
    assert [problem.id for problem in from_tree] == [
        str(n) for n in (0, 20, 40, 60, 80, 600, 620, 640, 660, 680)
    ]
    assert all(from_json[problem.id] == problem for problem in from_tree)


def test_of_both_trees_the_one_with_answers_is_read(load: Load, data: Path, tmp_path: Path) -> None:
    """A folder that holds Hi-ToM_data and Hi-ToM_prompts is read once, with answers."""
    for name in ("Hi-ToM_data", "Hi-ToM_prompts"):
        shutil.copytree(data / "hi_tom" / name, tmp_path / name)
    assert len(load("hi_tom", tmp_path)) == 10


def test_the_tree_without_answers_is_refused(load: Load, data: Path) -> None:
    """Folder Hi-ToM_prompts lacks the answers: the remedy names the folder that has them."""
    with pytest.raises(DataError, match="there is no answer here") as caught:
        load("hi_tom", data / "hi_tom" / "Hi-ToM_prompts")
    assert "Hi-ToM_data" in caught.value.remedy


def test_the_converted_form_gives_the_same_groups(
    load: Load, write: Write, data: Path, records: list[dict[str, Any]]
) -> None:
    """The published Coral code reads three fields; question and story then tell order and deception."""
    converted = [
        {
            "story_structure": record["story"],
            "question": record["question"],
            "expected_answer": record["answer"],
        }
        for record in records
        if record["prompting_type"] == "CoTP"
    ]
    problems = load("hi_tom", write("hi_tom.jsonl", converted))
    published = load("hi_tom", data / "hi_tom" / SAMPLE)
    assert [problem.group for problem in problems] == [problem.group for problem in published]
    assert len({problem.id for problem in problems}) == 90
    with pytest.raises(DataError, match="'choices' is missing"):
        load("hi_tom", write("hi_tom.jsonl", converted), options={"choices": True})


def test_groups(load: Load, data: Path) -> None:
    """Statistics can split by order 0 to 4 and by deception."""
    groups = [problem.group for problem in load("hi_tom", data / "hi_tom" / SAMPLE)]
    cells = {(group["order"], group["deception"]) for group in groups}
    assert cells == {(order, told) for order in "01234" for told in ("true", "false")}


def test_a_story_is_in_one_part_only(load: Load, data: Path) -> None:
    """Five questions share a story: a seeded split keeps them together, so no story leaks into the test."""
    stories = [
        {problem.source["story"] for problem in load("hi_tom", data / "hi_tom" / SAMPLE, split=part)}
        for part in ("train", "validation", "test")
    ]
    assert sum(map(len, stories)) == len(set.union(*stories)) == 18


@pytest.mark.parametrize(
    ("change", "message", "why"),
    [
        ({"choices": "red_box, blue_box"}, "not of the form 'A. one, B. two, ...'", "no letters"),
        ({"choices": "A. red_box, C. blue_box"}, "not of the form", "a letter left out"),
        ({"answer": "purple_box"}, "'purple_box' is none of the choices", "gold outside the choices"),
        ({"answer": None}, "'expected_answer' is missing", "no gold"),
        ({"story": ""}, "'story_structure' is missing", "no story"),
    ],
)
def test_bad_records(
    load: Load, write: Write, records: list[dict[str, Any]], change: dict[str, Any], message: str, why: str
) -> None:
    """A bad record is reported with file and line."""
    path = write("bad.jsonl", [records[0], records[1] | change])
    with pytest.raises(DataError, match=message) as caught:
        load("hi_tom", path)
    assert f"{path}, line 2: " in str(caught.value), why


def test_unknown_options_and_splits() -> None:
    """What the task does not have is refused before a file is opened."""
    with pytest.raises(ConfigError, match="no option 'notes'"):
        registry.load("hi_tom", notes=True)
    with pytest.raises(ConfigError, match="no split 'dev'"):
        list(registry.load("hi_tom").problems(Source(data="nowhere", split="dev")))
