"""Letters that a turn submits: what is read, and above all what is not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coral.answers import choice
from coral.types import Answered, Unreadable, Unsure

FOUR = ("ribosome", "mitochondria", "the cell nucleus", "Golgi apparatus")
TEN = ("30 m", "42 m", "E. coli", "$50", "None", "60 m", "J. K. Rowling", "x_1", "I and II only", "I only")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is (B).", "B"),
        ("the answer is B", "B"),
        ("B", "B"),
        ("(b)", "B"),
        ("**B**", "B"),
        ("B. mitochondria", "B"),
        ("mitochondria", "B"),
        ("Answer: B", "B"),
        ("Answer: (B) some text", "B"),
        ("**Answer:** (B)", "B"),
        ("**Final answer: B**", "B"),
        ("### Final Answer\n\n**(B)**", "B"),
        ("Final answer:\n(B) mitochondria", "B"),
        ("So the final answer is\n\nB", "B"),
        ("My answer - B", "B"),
        (r"Therefore \boxed{B}.", "B"),
        (r"The answer is $\boxed{\text{(B)}}$.", "B"),
        (r"The final answer is $\textbf{(B)}$", "B"),
        ("the correct option is B.", "B"),
        ("The most likely answer is (B).", "B"),
        ("So the correct answer choice is: B) mitochondria", "B"),
        ("The answer to the question is therefore (B).", "B"),
        ("I agree with you, the answer is (C).", "C"),
        ("I agree with your reasoning that the answer is (C).", "C"),
        ("You're right, so the answer is (C).", "C"),
        ("I think the answer is (C). Do you agree?", "C"),
        ("I believe the answer is (C), what do you think?", "C"),
        ("Let's go with (B).", "B"),
        ("I'll stick with my original answer of (B).", "B"),
        ("We agree on (B).", "B"),
        ("I choose option B because it makes ATP.", "B"),
        ("Option B is correct.", "B"),
        ("I am confident that (B) is the correct answer.", "B"),
        ("B is the best choice.", "B"),
        ("The answer is mitochondria.", "B"),
        ("The correct answer is “mitochondria”.", "B"),
        ("The answer is mitochondria (B).", "B"),
        ("The answer is the cell nucleus", "C"),
        ("The answer is A.", "A"),
        ("The answer is B because (A) and (C) are wrong.", "B"),
        ("The answer is (B), not (C).", "B"),
        ("The answer is “B”.", "B"),
        ("Long work.\n\n**(D)**", "D"),
        ("THE ANSWER IS (D)", "D"),
        ("I don't agree with you. The answer is (D).", "D"),
        ("I disagree, the answer is (D).", "D"),
        ("(A) is wrong because it has no membrane, so the answer is (B).", "B"),
        ("The closest answer is D.", "D"),
    ],
)
def test_reads_what_a_turn_submits(text: str, letter: str) -> None:
    """Every usual way of stating a letter is read, whatever its markup."""
    assert choice.read(text, FOUR) == Answered(letter)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("I agree.", "names no answer"),
        ("I agree with you completely!", "names no answer"),
        ("You said the answer is (B), but that cannot be.", "quotes the partner"),
        ('You wrote "The answer is (B)." I see why.', "quotes the partner"),
        ("> The answer is (B)\n\nI see a problem with that.", "Markdown quotation"),
        ("Partner: The answer is (B).", "transcript of the partner"),
        ("My partner thinks that the answer is (B).", "another's opinion"),
        ("Your answer is (B).", "the partner's answer"),
        ("According to you, the answer is (B).", "the partner's answer"),
        ("The answer is (B), according to you.", "the partner's answer"),
        ("The answer is not (B).", "a denial"),
        ("The answer isn't (B).", "a denial"),
        ("I don't think the answer is (B).", "a denial"),
        ("I doubt that the answer is (B).", "a denial"),
        ("(B) is wrong.", "a verdict against"),
        ("(B) is not correct.", "a verdict against"),
        ("Option B is incorrect.", "a verdict against"),
        ("The claim that the answer is (B) is wrong.", "a denial around the statement"),
        ("is it (C)?", "a question"),
        ("Is the answer (C)?", "a question"),
        ("So the answer is (C)?", "a question"),
        ("The answer is (C), right?", "a question"),
        ("Why do you think the answer is (C)?", "a question"),
        ("Could you explain why the answer is (C)?", "a question"),
        ("Are you sure it isn't (B)?", "a question"),
        ("If the answer were (B), the cell would die.", "a condition"),
        ("If so, the answer is (B).", "a condition"),
        ("Suppose the answer is (B).", "a condition"),
        ("The answer is (B) if the cell is alive.", "a condition behind"),
        ("The answer might be (B).", "a guess"),
        ("Perhaps the answer is (B).", "a guess"),
        ("At first glance the answer is (B).", "a first impression"),
        ("I thought the answer was (B).", "a memory"),
        ("I initially thought the answer is (B).", "a memory"),
        ("Let me check whether the answer is (B).", "a plan"),
        ("Let's verify that the answer is (B).", "a plan"),
        ("A common mistake is to forget the membrane.", "the article A"),
        ("The answer is a matter of definition.", "the article a"),
        ("The answer is A matter of definition.", "the article A, capital"),
        ("I think we should look at the membrane.", "the pronoun I"),
        ("The answer is I think clear.", "the pronoun I"),
        ("The answer is (B) or (C).", "two letters"),
        ("The answer is B, C.", "two letters"),
        ("The answer is either (B) or (C).", "two letters"),
        ("The answer is B and D.", "two letters"),
        ("Answer: B/C", "two letters"),
        ("(A) ribosome\n(B) mitochondria\n(C) nucleus\n(D) Golgi", "the list of choices"),
        ("The options are A, B, C and D.", "the list of choices"),
        ("Now find the correct answer:\n\nA. ribosome\nB. mitochondria", "the list of choices behind a cue"),
        ("The answer is:\n(A) ribosome\n(B) mitochondria", "the list of choices behind a cue"),
        ("The answer is (K).", "out of range"),
        ("Answer: E", "out of range"),
        ("Answer: (B) ribosome", "letter and text disagree"),
        ("The answer is (A).\nThe answer is (B).\nThe answer is (C).", "contradicts itself"),
        ("The answer is (A). The answer is (B).", "contradicts itself"),
        (r"\boxed{A} \boxed{B}", "contradicts itself"),
        ("Answer: A\nAnswer: B", "contradicts itself"),
        ("The answer is (B). Wait, that is not correct.", "taken back"),
        ("The answer is (B). Let me double-check the first step.", "taken back"),
        ("The answer is (B). Hmm, I made a mistake in step 2.", "taken back"),
        ("I think the answer is (B), but I'm not sure.", "states and doubts"),
        ("Answer: (B). But I am not sure yet.", "states and doubts"),
        ("Error: extraction network error", "an error message"),
        ("Answer: the one that makes ATP", "no choice's text"),
        ("The answer is (None of the above).", "no choice"),
        ("The answer is unclear.", "a comment"),
        ("Another possible answer is (B).", "not the one submitted"),
        ("The wrong answer is (B).", "not the one submitted"),
        ("Please give your answer in the form 'Answer: X'.", "the instruction restated"),
        ("The formula is A = B + C.", "letters of a formula"),
        ("Vitamin B is the right approach.", "a letter of a name"),
        (r"So \boxed{B", "a torn box"),
    ],
)
def test_invents_nothing(text: str, why: str) -> None:
    """What is quoted, asked, denied, supposed, remembered, listed or contradictory is no answer."""
    assert isinstance(choice.read(text, FOUR), Unreadable), why


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("I first thought the answer is (A). Actually, the answer is (C).", "C"),
        ("The answer is (A). Wait, I made a mistake. The answer is (C).", "C"),
        (
            "The answer is (A). However, this is not correct. The correct answer is (C). See step 2.",
            "C",
        ),
        ("I think the answer is (A).\nAfter checking:\n\nFinal answer: (C)", "C"),
        ("The answer is (A). On second thought, you are right, the answer is (C).", "C"),
        ("You said the answer is (B), but I think the answer is (C).", "C"),
        ("You said the answer is (B). I disagree. Answer: (C)", "C"),
        ("I was not sure, I admit.\n\nAnswer: (C)", "C"),
        ("The answer is (C). So, to repeat, the answer is C.", "C"),
    ],
)
def test_a_revision_counts_only_with_its_reason(text: str, letter: str) -> None:
    """Of several statements the last counts if the text says that it replaces the others."""
    assert choice.read(text, FOUR) == Answered(letter)


@pytest.mark.parametrize(
    "text",
    [
        "I am not sure yet.",
        "I'm not sure yet. What do you think?",
        "You said the answer is (B), but I'm still not sure.",
        "I don't know which one it is.",
        "I cannot determine the answer from this.",
        "We do not have a final answer yet.",
        "Answer: not sure yet",
    ],
)
def test_unsure_is_said_not_guessed(text: str) -> None:
    """A turn that says that it has no answer, and submits none, is unsure."""
    assert choice.read(text, FOUR) == Unsure()


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is I.", "I"),
        ("The answer is (I).", "I"),
        ("The answer is I and II only.", "I"),
        ("The answer is I only.", "J"),
        ("The answer is E. coli.", "C"),
        ("The answer is J. K. Rowling.", "G"),
        ("The answer is E.", "E"),
        ("Answer: $50", "D"),
        ("Answer: None", "E"),
        (r"The answer is \boxed{42\text{ m}}", "B"),  # the text of a choice, in LaTeX
        ("The answer is I, II and III.", None),
        ("The answer is B. subtilis.", None),
        ("The answer is E = mc^2", None),
    ],
)
def test_letters_that_are_words(text: str, letter: str | None) -> None:
    """I is also a pronoun and a numeral, E. also an initial: only what fits the choices counts."""
    belief = choice.read(text, TEN)
    assert belief == Answered(letter) if letter else isinstance(belief, Unreadable)


@pytest.mark.parametrize(
    ("answer", "belief"),
    [
        ("Answer: (B)", Answered("B")),
        ("B", Answered("B")),
        ("B.", Answered("B")),
        ("b", Answered("B")),
        ("(b)", Answered("B")),
        ("B) mitochondria", Answered("B")),
        ("Answer: B mitochondria", Answered("B")),
        ("**Answer:** B", Answered("B")),
        ("mitochondria", Answered("B")),
        ("The final answer is (B).", Answered("B")),
        ("Answer: not sure yet", Unsure()),
        ("not sure yet", Unsure()),
        ("Answer: Not sure yet.", Unsure()),
        ("Answer: none", Unsure()),
    ],
)
def test_parses_an_extractors_reply(answer: str, belief: object) -> None:
    """A bare answer is read with or without its label, and "not sure yet" is no answer."""
    assert choice.parse(answer, FOUR) == belief


@pytest.mark.parametrize(
    "answer",
    ["", "Answer:", "A or B", "(A) (B)", "A, B", "E", "Z", "xyz", "Error: extraction network error"],
)
def test_garbage_of_an_extractor_is_unreadable(answer: str) -> None:
    """An extractor's reply that names no one choice is no answer."""
    assert isinstance(choice.parse(answer, FOUR), Unreadable)


def test_trap_3_a_failed_extraction_is_never_letter_e() -> None:
    """The published code grades "Error: extraction network error" as the letter E; here it is unreadable."""
    ten = tuple("abcdefghij")
    for text in ("Error: extraction network error", "Answer: Error: extraction network error"):
        assert isinstance(choice.read(text, ten), Unreadable)
        assert isinstance(choice.parse(text, ten), Unreadable)


SUFFIXES = (
    " But my partner said the answer is (A).",
    " Are you sure it isn't (A)?",
    "\n\nIf the answer were (A), the first step would fail.",
    "\n\nYour answer is (A), which I cannot follow.",
    '\n\nYou wrote: "The answer is (A)."',
    "\n\nOption A is wrong.",
)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "text", ["The answer is (B).", "Answer: B.", r"\boxed{B}.", "I see.", "I am not sure yet."]
)
def test_talk_about_another_letter_changes_nothing(text: str, suffix: str) -> None:
    """Words about a partner's answer neither replace the speaker's own nor become one."""
    before, after = choice.read(text, FOUR), choice.read(text + suffix, FOUR)
    assert after == before or isinstance(after, Unreadable | Unsure)


@given(st.text(max_size=300), st.integers(min_value=1, max_value=16))
@settings(max_examples=150, deadline=None)
def test_any_text_gives_a_letter_in_range(text: str, n: int) -> None:
    """Whatever comes in, an answer is one of the letters that exist, and nothing is raised."""
    choices = tuple(f"choice number {index}" for index in range(n))
    for belief in (choice.read(text, choices), choice.parse(text, choices)):
        assert not isinstance(belief, Answered) or 0 <= ord(belief.value) - ord("A") < n


@pytest.mark.parametrize(
    "unit",
    [
        "the answer is ",
        "answer",
        "(A) ",
        "I ",
        "you said ",
        "{",
        "\\boxed{",
        '"',
        "not ",
        "A is correct, ",
        "\n",
        "a",
        "Answer:\n",
        "if the ",
        "the ",
        "(B). The answer is ",
        "* ",
        "the answer is the 'the ",
        "A. ribosome\n",
        "\nOptions:",
        "\nQuestion: x\nOptions:\nA. 1\nB. 2\n",
        "<answer>",
        '"answer": "',
        "> Answer: B\n",
        "(B) is correct ",
        "the closest definition is ",
    ],
)
def test_hostile_text_is_read_in_linear_time(unit: str) -> None:
    """30 kB of any repetition is read at once: no pattern backtracks without bound."""
    text = (unit * (30_000 // len(unit) + 1))[:30_000]
    start = time.process_time()
    choice.read(text, FOUR)
    assert time.process_time() - start < 2
