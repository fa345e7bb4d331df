"""Short phrases: reading, normal form and equality, with the published matcher's faults as named tests."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coral.answers import phrase
from coral.types import Answered, Unreadable, Unsure

CONTAINERS = ("green_crate", "blue_crate", "red_basket", "red_bucket", "basket", "treasure_chest")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Answer: red_basket", "red_basket"),
        ("**Answer:** red_basket.", "red_basket"),
        ("the final answer is: knows about it", "knows about it"),
        ("So the answer is does not know about it.", "does not know about it"),
        ("She never left.\n\nAnswer: no", "no"),
        ("Final answer:\n\nyes", "yes"),
        ('The answer is "the red basket".', "the red basket"),
        (r"The answer is \boxed{\text{red_basket}}.", "red_basket"),
        ("The answer is red_basket because Anne saw it there.", "red_basket"),
        ("I agree with you, the answer is red_basket.", "red_basket"),
        ("You said the answer is blue_crate, but the answer is red_basket.", "red_basket"),
        ("The answer is blue_crate. Wait, she left before. The answer is red_basket.", "red_basket"),
        ("The answer is the red basket. To sum up, the answer is red_basket.", "red_basket"),
    ],
)
def test_reads_a_stated_phrase(text: str, value: str) -> None:
    """A phrase stated as the answer is read without markup, quotes and reasons."""
    assert phrase.read(text) == Answered(value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("I agree.", "names no answer"),
        ("Anne looks into the red_basket.", "no answer is stated"),
        ("You said the answer is red_basket.", "the partner's"),
        ("Is the answer red_basket?", "a question"),
        ("The answer is not red_basket.", "a denial"),
        ("If she saw it, the answer is red_basket.", "a condition"),
        ("The answer is red_basket. The answer is blue_crate.", "contradicts itself"),
        ("The answer depends on what Anne saw before she went out of the kitchen.", "no phrase"),
        ("Answer: " + "word " * 20, "too long for a phrase"),
        ("Error: extraction network error", "an error message"),
        ("Answer:", "nothing behind the label"),
        ("Answer: ...", "nothing behind the label"),
    ],
)
def test_invents_no_phrase(text: str, why: str) -> None:
    """What is quoted, asked, denied, supposed or contradictory is no answer."""
    assert isinstance(phrase.read(text), Unreadable), why


@pytest.mark.parametrize("reader", [phrase.read, phrase.parse])
@pytest.mark.parametrize(
    "text",
    [
        "Answer: not the red_bucket",
        "Answer: not in the red bucket",
        "Answer: It is no longer in the red_bucket",
        "Answer: It isn't in the red_bucket",
        "Answer: never in the red_bucket",
        "Is it in the red_bucket?",
    ],
)
def test_what_is_denied_or_asked_names_no_candidate(reader, text: str) -> None:
    """A candidate counts where it is stated, not where it is excluded or asked about."""
    assert isinstance(reader(text, CONTAINERS), Unreadable)


def test_a_denial_of_something_else_leaves_the_candidate() -> None:
    """Only the words right before a candidate deny it."""
    assert phrase.read("Answer: the apple was not moved, so red_bucket", CONTAINERS) == Answered("red_bucket")


@pytest.mark.parametrize(
    "answer",
    ["<answer></answer>", "<answer>your answer here</answer>", "Answer: [container]", "Answer: the location"],
)
def test_the_words_of_a_pattern_are_no_answer(answer: str) -> None:
    """An echo of the form in which an answer is asked for creates no belief, candidates or not."""
    assert isinstance(phrase.parse(answer), Unreadable)


@pytest.mark.parametrize(
    "text", ["not yet known", "Answer: still unclear", "Answer: it has not been determined", "Unknown."]
)
def test_unsure_in_other_words(text: str) -> None:
    """What is not known is unsure, behind a label or as the whole of a turn."""
    assert phrase.read(text, CONTAINERS) == Unsure()


@pytest.mark.parametrize("text", ["I am not sure yet.", "Answer: not sure yet", "I don't know yet, sorry."])
def test_unsure_turns(text: str) -> None:
    """A turn that says that it has no answer is unsure, with candidates and without."""
    assert phrase.read(text) == Unsure()
    assert phrase.read(text, CONTAINERS) == Unsure()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Answer: red_basket", "red_basket"),
        ("The answer is in the Red Basket.", "red_basket"),
        ("The answer is the red basket, where Anne put it.", "red_basket"),
        ("The answer is the basket.", "basket"),
        ("red_bucket", "red_bucket"),
        ("Therefore, Anne thinks that it is in the red_basket.", "red_basket"),
        ("She moved it. So Anne will look in the treasure chest.", "treasure_chest"),
    ],
)
def test_reads_the_one_candidate_named(text: str, value: str) -> None:
    """With a list of possible answers the conclusion names exactly one; the longer of two that overlap."""
    assert phrase.read(text, CONTAINERS) == Answered(value)


@pytest.mark.parametrize(
    "text",
    [
        "The answer is the red basket or the blue crate.",
        "The answer is the cupboard.",
        "The answer is the leather bag.",
        "Anne saw the red_basket.",
        "So is it in the red_basket?",
        "So you think that it is in the red_basket.",
        "Therefore Anne does not look in the red_basket.",
        "Therefore it is in the red_basket or in the blue_crate.",
    ],
)
def test_no_or_several_candidates_are_unreadable(text: str) -> None:
    """A conclusion that names none or more than one of the possible answers submits none."""
    assert isinstance(phrase.read(text, CONTAINERS), Unreadable)


@pytest.mark.parametrize(
    ("answer", "belief"),
    [
        ("Answer: red_basket", Answered("red_basket")),
        ("red_basket", Answered("red_basket")),
        ("The answer is red_basket.", Answered("red_basket")),
        ("knows about it", Answered("knows about it")),
        ("yes.", Answered("yes")),
        ("Answer: not sure yet", Unsure()),
        ("not sure yet", Unsure()),
    ],
)
def test_parses_an_extractors_reply(answer: str, belief: object) -> None:
    """A bare phrase is taken as it is; "not sure yet" is no answer."""
    assert phrase.parse(answer) == belief


@pytest.mark.parametrize("answer", ["", "Answer:", "  ", "...", "Error: timeout", "word " * 30])
def test_garbage_of_an_extractor_is_unreadable(answer: str) -> None:
    """An extractor's reply that holds no phrase is no answer."""
    assert isinstance(phrase.parse(answer), Unreadable)


def test_parse_takes_only_candidates_where_there_are_some() -> None:
    """An extractor cannot add an answer to the task's list."""
    assert phrase.parse("Answer: the red basket", CONTAINERS) == Answered("red_basket")
    assert isinstance(phrase.parse("Answer: cupboard", CONTAINERS), Unreadable)
    assert isinstance(phrase.parse("red_basket or blue_crate", CONTAINERS), Unreadable)


@pytest.mark.parametrize(
    ("a", "b", "equal", "why"),
    [
        ("red_basket", "red basket", True, "underscores are spaces"),
        ("in the red basket", "red_basket", True, "preposition and article in front"),
        ("The Red Basket.", "red_basket", True, "case, article, full stop"),
        ("yes.", "Yes", True, "case, full stop"),
        ('"yes"', "yes", True, "quotes"),
        ("", "", False, "an empty answer equals nothing"),
        ("...", "...", False, "nothing but punctuation is empty"),
        ("", "no", False, "an empty answer equals nothing"),
        ("knows about it", "does not know about it", False, "the opposite"),
        ("no", "does not know about it", False, "a part of the text"),
        ("a", "red_basket", False, "a part of the text"),
        ("basket", "red_basket", False, "a part of the text"),
        ("red_bucket", "red_basket", False, "another container"),
        ("leather bag", "lear bag", False, "'the' inside a word"),
        ("not sure yet", "no", False, "no answer"),
        ("not sure yet", "knows about it", False, "no answer"),
        ("key under the mat", "key mat", False, "only what stands in front goes"),
    ],
)
def test_equality(a: str, b: str, equal: bool, why: str) -> None:
    """Equal means equal as wholes, up to case, spelling of spaces, and articles in front."""
    assert phrase.same(a, b) is equal, why
    assert phrase.same(b, a) is equal, why


def test_trap_3_an_empty_extraction_is_never_right_nor_agreed() -> None:
    """The published code grades an empty extraction right, and lets two of them agree."""
    assert isinstance(phrase.parse(""), Unreadable)
    assert not any(phrase.same("", gold) for gold in ("", "no", "red_basket", "knows about it"))


def test_trap_4_parts_of_the_gold_answer_are_wrong() -> None:
    """The published matcher scores these parts right, and deletes "the" inside words."""
    pairs = [("not sure yet", "no"), ("not sure yet", "knows about it"), ("no", "does not know about it")]
    pairs += [("a", "red_basket"), ("basket", "red_basket"), ("", "red_basket")]
    assert not any(phrase.same(answer, gold) for answer, gold in pairs)
    assert phrase.normalize("leather") == "leather"


WORDS = st.lists(
    st.sampled_from(["the", "a", "in", "red", "basket", "_", " ", ".", '"', "leather", "No", "\u201c"]),
    max_size=8,
)
TEXTS = st.text(max_size=60) | WORDS.map(" ".join) | WORDS.map("".join)


@given(TEXTS)
def test_normal_form_is_stable(text: str) -> None:
    """Normalising twice is normalising once, and only an answer that holds something equals itself."""
    form = phrase.normalize(text)
    assert phrase.normalize(form) == form
    assert phrase.same(text, text) is (form != "")
    assert phrase.same(text, form) is (form != "")


@given(TEXTS, TEXTS)
def test_equality_is_symmetric(a: str, b: str) -> None:
    """The order of two answers does not matter."""
    assert phrase.same(a, b) is phrase.same(b, a)


@pytest.mark.parametrize(
    "unit",
    [
        "the ",
        "the 'the ",
        "answer ",
        "red_basket ",
        "Answer: x\n",
        "in ",
        '"',
        "__",
        "{",
        "\n",
        ">\n",
        ", who ",
    ],
)
def test_hostile_text_is_read_in_linear_time(unit: str) -> None:
    """30 kB of any repetition is read and normalised at once."""
    text = (unit * (30_000 // len(unit) + 1))[:30_000]
    start = time.process_time()
    phrase.read(text, CONTAINERS)
    phrase.read(f"Answer: {text}y", CONTAINERS)
    phrase.parse(text)
    phrase.parse(f"box{' ' * 20_000}y")
    phrase.normalize(text)
    assert time.process_time() - start < 2
