"""The generated task: gold answers, splits that share nothing, and information that is really split."""

import dataclasses
import random
import re

import pytest

from coral.errors import ConfigError
from coral.tasks.protocol import Source
from coral.tasks.sally_anne import SallyAnne, state
from coral.tasks.stories.events import Entered, Left, Moved, Put, Remark, Told
from coral.tasks.stories.generator import Difficulty, draw_tale
from coral.tasks.stories.questions import draw_question, draw_split_question
from coral.tasks.stories.skeleton import skeleton, split_of
from coral.types import OPENER, RESPONDER, Answered

SPLITS = ("train", "validation", "test")


def problems(split="test", seed=0, **options):
    return list(SallyAnne(**options).problems(Source(data=None, split=split, seed=seed)))


def questions(split, n, draw=draw_question):
    rng = random.Random(f"{split} {draw.__name__}")
    return [draw(rng, split, order % 4, Difficulty()) for order in range(n)]


def test_a_problem_reads_like_this():
    """The wording is part of the task: the shipped model and stored runs depend on it."""
    task = SallyAnne(size=3, max_events=6, max_tells=1, max_distractors=1)
    problem = list(task.problems(Source(data=None, split="test")))[2]
    assert task.opening(problem) == (
        "Story:\n"
        "1 Carl, Ben and Emma entered the attic.\n"
        "2 The ball is in the jar.\n"
        "3 Ben moved the ball to the drawer.\n"
        "4 Carl left the attic.\n"
        "5 Emma moved the ball to the chest.\n"
        "6 Ben moved the ball to the crate.\n"
        "7 Emma moved the ball to the drawer.\n"
        "8 Later Emma told Carl in private that the ball is in the crate.\n"
        "Note: people believe only what they hear from somebody "
        "who stayed in the attic longer than they did.\n"
        "\n"
        "Question: Where does Emma think Carl thinks the ball is?\n"
        "Choices: drawer (A), jar (B), crate (C), chest (D)"
    )
    assert problem.target == "C"
    assert problem.group == {"order": "2"}
    assert problem.id == "sally_anne-b1608244273d"


def test_the_same_seed_gives_the_same_problems_and_a_larger_set_begins_with_the_smaller():
    """Runs can be extended: a problem depends on its seed, split and number alone."""
    assert problems(size=20) == problems(size=40)[:20]
    assert problems(size=20, seed=1) != problems(size=20)


@pytest.mark.parametrize("split_information", [False, True])
def test_no_skeleton_and_no_problem_is_in_two_splits(split_information):
    """A story of the test split is no renamed story of the training split."""
    draw = draw_split_question if split_information else draw_question
    skeletons = {split: {skeleton(q.tale.story) for q in questions(split, 120, draw)} for split in SPLITS}
    for one in SPLITS:
        for other in SPLITS:
            assert one == other or not skeletons[one] & skeletons[other]
    ids = {
        split: {p.id for p in problems(split, size=30, split_information=split_information)}
        for split in SPLITS
    }
    assert len(set().union(*ids.values())) == 90


def renamed(story, name):
    """The story with all words changed and the members of its groups turned around."""
    rename = {
        Entered: lambda e: Entered(tuple(map(name, e.people[::-1])), name(e.room)),
        Left: lambda e: Left(tuple(map(name, e.people[::-1]))),
        Put: lambda e: Put(name(e.thing), name(e.room), name(e.container)),
        Moved: lambda e: Moved(name(e.person), name(e.thing), name(e.container)),
    }
    return tuple(
        rename[type(event)](event)
        if type(event) in rename
        else dataclasses.replace(
            event,
            **{
                field: name(value) if isinstance(value, str) else tuple(map(name, value))
                for field, value in vars(event).items()
                if not isinstance(value, bool)
            },
        )
        for event in story
    )


def test_a_skeleton_is_blind_to_words_and_to_remarks():
    """Renaming, reordering a group, or one more remark must not carry a story to another split."""
    for question in questions("train", 200):
        story = question.tale.story
        twin = renamed(story, lambda word: word[::-1])
        assert skeleton(twin) == skeleton(story)
        assert skeleton((*story, Remark("Anne", "saw a cat"))) == skeleton(story)


def test_a_skeleton_tells_different_stories_apart():
    """Who leaves, what is moved where, and who hears a lie are the story."""
    start = (Entered(("Anne", "Ben"), "hall"), Put("key", "hall", "box"))
    stories = [
        start,
        (*start, Left(("Anne",))),
        (*start, Left(("Anne",)), Moved("Ben", "key", "bag")),
        (*start, Left(("Anne",)), Moved("Ben", "key", "box")),
        (*start, Left(("Anne",)), Told("Ben", ("Anne",), "key", "bag", public=False)),
        (*start, Left(("Anne",)), Told("Ben", ("Anne",), "key", "bag", public=True)),
        (*start, Left(("Anne",)), Told("Anne", ("Ben",), "key", "bag", public=True)),
    ]
    assert len(set(map(skeleton, stories))) == len(stories)


def test_every_split_gets_its_share_of_the_skeletons():
    """80, 10 and 10 % of all skeletons, by hash."""
    rng = random.Random(0)
    skeletons = {
        skeleton(story): story for _ in range(4000) for story in [draw_tale(rng, Difficulty()).story]
    }
    share = {
        split: sum(split_of(s) == split for s in skeletons.values()) / len(skeletons) for split in SPLITS
    }
    assert share == pytest.approx({"train": 0.8, "validation": 0.1, "test": 0.1}, abs=0.03)


def test_the_gold_letter_names_the_place_the_world_computes():
    """The target is the world's answer, and every container of the story is a choice."""
    for question in questions("test", 80):
        place = question.choices[ord(question.target) - ord("A")]
        assert place == question.tale.world.belief(question.chain, question.tale.cast.thing)
        told = {event.container for event in question.tale.story if isinstance(event, Put | Moved | Told)}
        assert told <= set(question.choices)


def test_letters_and_orders_are_balanced_and_reality_is_no_short_cut():
    """Neither a fixed letter nor "where it really is" may pass for reasoning."""
    drawn = questions("test", 400)
    letters = [question.target for question in drawn]
    assert all(60 <= letters.count(letter) <= 140 for letter in "ABCD")
    nested = [question for question in drawn if question.chain]
    real = sum(
        q.tale.world.belief((), q.tale.cast.thing) == q.choices["ABCD".index(q.target)] for q in nested
    )
    assert real / len(nested) < 0.4
    assert [p.group["order"] for p in problems(size=8)] == list("01230123")


OPTIONS = [
    ({"people": 5}, lambda text: re.search(r"^1 (\w+, ){3}\w+ and \w+ entered", text, re.MULTILINE)),
    ({"min_events": 9, "max_events": 9, "max_tells": 0, "max_distractors": 0}, lambda text: "\n11 " in text),
    ({"num_choices": 8}, lambda text: " (H)" in text),
    ({"orders": (3,)}, lambda text: re.search(r"Where does \w+ think \w+ thinks \w+ thinks the", text)),
    ({"max_tells": 0}, lambda text: "told" not in text),
    (
        {"max_tells": 0, "max_distractors": 0, "people": 2},
        lambda text: re.search(r"1 \w+ and \w+ entered", text),
    ),
]


@pytest.mark.parametrize(("options", "shows"), OPTIONS, ids=[str(row[0]) for row in OPTIONS])
def test_difficulty_is_a_matter_of_options(options, shows):
    """Each option changes the problems in the way its name says."""
    task = SallyAnne(size=8, **options)
    for problem in task.problems(Source(data=None, split="test")):
        assert shows(task.opening(problem))


REFUSED = [
    ({"people": 1}, "a story needs two people"),
    ({"people": 2}, "telling needs somebody to be left out"),
    ({"people": 9}, "there are not so many names"),
    ({"size": 0}, "an empty set measures nothing"),
    ({"orders": ()}, "something must be asked"),
    ({"orders": (4,)}, "orders end at 3"),
    ({"min_events": 5, "max_events": 4}, "no number lies between"),
    ({"num_choices": 1}, "one choice is no question"),
    ({"num_choices": 9}, "there are not so many containers"),
    ({"max_tells": -1}, "a negative number of tellings"),
    ({"max_distractors": -1}, "a negative number of remarks"),
]


@pytest.mark.parametrize(("options", "reason"), REFUSED, ids=[row[-1] for row in REFUSED])
def test_options_out_of_range_are_refused_with_a_remedy(options, reason):
    """A wrong option is the user's error, told before anything is generated."""
    with pytest.raises(ConfigError, match="sally_anne cannot take") as caught:
        SallyAnne(**options)
    assert caught.value.remedy, reason


def test_options_that_leave_no_stories_end_with_an_error():
    """Generation never runs for ever: too narrow options are told, not searched without end."""
    narrow = {"min_events": 1, "max_events": 1, "people": 2, "max_tells": 0, "max_distractors": 0}
    with pytest.raises(ConfigError, match=r"too few stories|no [0-9]+ different problems"):
        problems(size=100_000, num_choices=2, **narrow)


def test_a_source_that_does_not_fit_is_refused():
    """Data are never silently ignored, and a split is never guessed."""
    with pytest.raises(ConfigError, match="reads no file"):
        list(SallyAnne().problems(Source(data="stories.json", split="test")))
    with pytest.raises(ConfigError, match="no split 'tets'"):
        list(SallyAnne().problems(Source(data=None, split="tets")))


def test_split_stories_give_each_seat_only_its_own_days():
    """The opening holds the question alone; the two parts share the first day and nothing else."""
    task = SallyAnne(size=40, split_information=True)
    for problem in task.problems(Source(data=None, split="test")):
        assert "entered" not in task.opening(problem)
        parts = [set(task.briefing(problem, seat).splitlines()[1:]) for seat in (OPENER, RESPONDER)]
        assert len(parts[0] & parts[1]) == 1
        assert all(len(part) > 1 for part in parts)


def test_the_two_parts_of_a_split_story_point_to_different_answers():
    """Whoever trusts the own part is right on one seat and wrong on the other: one part cannot settle it."""
    for question in questions("test", 80, draw_split_question):
        gold = question.choices["ABCD".index(question.target)]
        answers = [question.tale.answer_of(witness, question.chain) for witness in question.tale.witnesses]
        assert gold in answers
        assert len(set(answers)) == 2


def test_a_part_of_a_split_story_fits_a_twin_with_another_answer():
    """Let the other witness's days come at another time: the own part stays the same, the answer changes."""
    for question in questions("test", 60, draw_split_question):
        tale, thing = question.tale, question.tale.cast.thing
        visits = [tale.story[start : start + 3] for start in range(0, len(tale.story), 3)]
        first, later = visits[0], visits[1:]
        own = [visit for visit in later if tale.witnesses[0] in visit[0].people]
        other = [visit for visit in later if tale.witnesses[1] in visit[0].people]
        answers = set()
        for order in (own + other, other + own):
            twin = dataclasses.replace(tale, story=sum(order, first))
            seen = [twin.story[index] for index in twin.seen_by(tale.witnesses[0])]
            assert seen == list(sum(own, first))
            answers.add(twin.world.belief(question.chain, thing))
        assert len(answers) == 2


def test_neither_seat_is_favoured_in_split_stories():
    """The decisive part is dealt to the two seats evenly, so a lone seat is right about half the time."""
    rng = random.Random(0)
    decisive = 0
    for question in questions("test", 300, draw_split_question):
        problem = state(question, rng)
        gold = question.choices["ABCD".index(question.target)]
        holder = next(
            w for w in question.tale.witnesses if question.tale.answer_of(w, question.chain) == gold
        )
        decisive += problem.source["opener"].startswith(f"This is what {holder} saw")
    assert 110 <= decisive <= 190


async def test_answers_are_letters():
    """Reading, comparing and grading go by letters, as in every task with choices."""
    task = SallyAnne(size=1)
    problem = next(task.problems(Source(data=None, split="test")))
    right = problem.choices["ABCD".index(problem.target)]
    assert task.read(f"I think so.\nAnswer: ({problem.target})", problem) == Answered(problem.target)
    assert task.parse(right, problem) == Answered(problem.target)
    assert await task.same("A", "A", problem)
    assert not await task.same("A", "B", problem)
    assert await task.grade(problem.target, problem)
    assert task.briefing(problem, OPENER) == ""
