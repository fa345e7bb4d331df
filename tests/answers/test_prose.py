"""Statements of an answer in prose, and what the rules make of real responses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coral.answers import choice, enclosed, phrase, prose
from coral.types import Answered, Belief, Unreadable, Unsure

DATA = Path(__file__).parent.parent / "data"
TEN = tuple(f"choice text {index}" for index in range(10))


def _rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / path).read_text(encoding="utf-8").splitlines()]


RESPONSES = _rows("responses/mmlu_pro_responses.jsonl")
LABELS = {row["id"]: row for row in _rows("responses/labels.jsonl")}
MISSED = {"11000", "5023", "2152", "5021"}
"""Responses that submit a letter in words the rules rather leave to a model; see docs/extraction.md."""


@pytest.mark.parametrize("row", RESPONSES, ids=lambda row: row["id"].partition("/")[2])
def test_real_responses_are_read_as_labelled(row: dict[str, Any]) -> None:
    """On 72 real responses the rules read what is submitted or abstain; they never read anything else."""
    belief = choice.read(row["response"], tuple(row["options"]))
    submits = LABELS[row["id"]]["submits"]
    if submits is None or row["id"].rpartition("/")[2] in MISSED:
        assert not isinstance(belief, Answered)
    else:
        assert belief == Answered(submits)


SUFFIXES = (
    " But my partner said the answer is ({}).",
    " Are you sure it isn't ({})?",
    "\n\nYour answer is ({}).",
    '\n\nYou wrote: "The answer is ({})."',
    "\n\nIf the answer were ({}), the first step would fail.",
)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_partners_answer_is_never_taken_for_the_speakers(suffix: str) -> None:
    """Whatever real response comes before it, a sentence about another letter does not become its answer."""
    for row in RESPONSES:
        choices = tuple(row["options"])
        before = choice.read(row["response"], choices)
        own = before.value if isinstance(before, Answered) else None
        other = next(letter for letter in "ABC" if letter != own)
        after = choice.read(row["response"].rstrip() + suffix.format(other), choices)
        assert after == before or not isinstance(after, Answered), row["id"]


@pytest.mark.parametrize("row", _rows("turns/choice_turns.jsonl"), ids=lambda row: row["text"][:60])
def test_written_turns(row: dict[str, Any]) -> None:
    """Turns of a conversation, most of them traps, are read as the people who wrote them meant them."""
    belief: Belief = choice.read(row["text"], TEN)
    if row["submits"]:
        assert belief == Answered(row["submits"])
    else:
        assert isinstance(belief, Unsure if row["unsure"] else Unreadable | Unsure)


def test_unseen_turns_are_read_rightly_or_not_at_all() -> None:
    """On turns that shaped no rule the rules may abstain, but never name a letter it does not submit."""
    for row in _rows("turns/unseen_turns.jsonl"):
        belief = choice.read(row["text"], TEN)
        assert not isinstance(belief, Answered) or belief.value == row["submits"], row["text"]


def test_statements_come_in_order_with_their_place() -> None:
    """A statement knows where it stands, what it states, and whether it is stated as final."""
    text = "I think the answer is red. See step 2.\n\nFinal answer: blue"
    first, last = prose.claims(text)
    assert (first.value, first.final) == ("red.", False)
    assert (last.value, last.final) == ("blue", True)
    assert text[first.end :].startswith("red")
    assert text[last.end :] == "blue"


def test_plain_text_has_no_markup() -> None:
    """Emphasis, typographic quotes, wide colons and quoted lines go; words stay."""
    assert prose.plain("**Answer：** “it’s `x`”\r\n> old\r\nnew") == 'Answer: "it\'s x"\n\nnew'


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        (r"\boxed{3}", ["3"]),
        (r"\boxed{\frac{1}{2}}", [r"\frac{1}{2}"]),
        ("\\boxed{\n x \n}", ["x"]),
        (r"\fbox{a} \boxed {b}", ["a", "b"]),
        (r"\boxed{\{1\}}", [r"\{1\}"]),
        (r"\boxed{1", []),
        ("no box", []),
    ],
)
def test_trap_5_a_box_needs_no_dollars_and_no_single_line(text: str, contents: list[str]) -> None:
    r"""The published code reads `$\boxed{..}$` on one line only; here braces need only balance."""
    assert [content for _, _, content in enclosed.boxes(text)] == contents


def test_trap_5_nothing_is_stripped_by_character_sets() -> None:
    """The published fallback strips sets of characters, so that "sin x" becomes empty; not here."""
    assert phrase.parse("sin x") == Answered("sin x")


def test_errors_are_no_replies() -> None:
    """An error message is recognised as such; prose that speaks of errors is not one."""
    assert prose.is_error("Error: connection refused")
    assert prose.is_error("TimeoutError('late')")
    assert not prose.is_error("The error in step 2 is small.")


@pytest.mark.parametrize(
    "text", [r"\boxed{\text{not sure yet}}", r"Answer: $\text{unknown}$", "Answer: ?", r"\boxed{?}"]
)
def test_doubt_in_latex_is_doubt(text: str) -> None:
    """Letters and phrases are asked for in boxes, too; a box that says "not sure yet" holds neither."""
    beliefs = [read(text, TEN) for read in (choice.read, choice.parse, phrase.read, phrase.parse)]
    assert beliefs == [Unsure()] * 4
    assert phrase.read(text) == Unsure()
