"""Letters: kinds of text that real models write, each with specimens, and what is read of them."""

import pytest

from coral.answers import choice
from coral.types import Answered, Belief

FOUR = ("ribosome", "mitochondria", "the cell nucleus", "Golgi apparatus")
LETTERS = ("x", "y", "z", "a", "b")
BOTH = ("(a) and (b)", "(a) only", "(b) only", "neither")
TEN = tuple(f"{number} m" for number in range(10))
HI_TOM = (
    *(
        "red_box",
        "blue_box",
        "green_box",
        "red_pantry",
        "blue_pantry",
        "green_drawer",
        "blue_drawer",
        "red_crate",
    ),
    *(
        "blue_crate",
        "green_crate",
        "green_pantry",
        "red_suitcase",
        "blue_suitcase",
        "green_bathtub",
        "waiting_room",
    ),
)
FURTHER = (
    "\n\nQuestion: What is 2 + 2?\nOptions:\nA. 3\nB. 4\nC. 5\nAnswer: Let's think step by step. "
    "2 + 2 = 4. The answer is (C)."
)


def _check(belief: Belief, letter: str | None) -> None:
    assert belief == Answered(letter) if letter else not isinstance(belief, Answered), belief


@pytest.mark.parametrize(
    ("text", "choices", "letter", "why"),
    [
        ("Answer: (A)", LETTERS, "A", "D reads 'a'; a letter in brackets is a letter"),
        ("Answer: A", LETTERS, "A", "so is a letter behind the label"),
        ("The answer is (a).", LETTERS, "A", "a small one, too"),
        ("The answer is (D).", LETTERS, "D", "the letter of the choice that reads 'a'"),
        ("(A)", LETTERS, "A", "bare"),
        ("A", LETTERS, "A", "bare"),
        ("Answer: (D) a", LETTERS, "D", "letter and text agree"),
        ("Answer: (A) a", LETTERS, None, "letter and text disagree"),
        ("Answer: a", LETTERS, None, "the text of D, or a letter that is no capital"),
        ("Answer: (a) and (b)", BOTH, "A", "all of it is a choice's text"),
        ("The answer is (b) only.", BOTH, "C", "all of it is a choice's text"),
        ("Answer: (B)", BOTH, "B", "a letter alone"),
    ],
)
def test_a_letter_goes_before_a_text_that_looks_like_one(text, choices, letter, why):
    """24 MMLU-Pro questions have a choice that reads "a"; a letter that stands alone is no such text."""
    _check(choice.read(text, choices), letter)
    _check(choice.parse(text, choices), letter)


@pytest.mark.parametrize(
    "text",
    [
        "The answer is (a) and (b).",
        "Answer: (a) and (b)",
        "The answer is (A) and (B).",
        "Answer: both (a) and (b)",
        "Answer: (A), (B)",
        "Answer: (A) & (C)",
        "Answer: A + C",
        "The answer is (A) as well as (C).",
        "The answer is (A), and also (C).",
        "The answer is (A). And (C) too.",
        "Both (A) and (C) is correct.",
        "A and C is correct.",
        "(A) or (C) is the right answer.",
        "The answer is (i) and (ii).",
        "The answer is [A] and [B].",
    ],
)
def test_two_letters_are_none(text):
    """ "(a) and (b)" is not (A)."""
    _check(choice.read(text, FOUR), None)
    _check(choice.parse(text, FOUR), None)


def test_a_small_roman_numeral_is_no_letter():
    """ "(i)" may number a statement of the question; "(I)" is the ninth choice."""
    _check(choice.read("The answer is (i).", TEN), None)
    _check(choice.read("The answer is (I).", TEN), "I")


@pytest.mark.parametrize(
    ("text", "letter", "why"),
    [
        ("The answer is (B)." + FURTHER, "B", "the invented question has another answer"),
        ("(B)" + FURTHER, "B", "behind a bare letter"),
        ("B. mitochondria" + FURTHER, "B", "behind a restated choice"),
        (
            "Energy is made in one place of the cell. " * 9 + FURTHER,
            None,
            "only the invented one is answered",
        ),
        ("The answer is (A) or (B)." + FURTHER, None, "undecided, then an invented question"),
        ("The answer is (B).\n\nOptions:\nA. 3\nB. 4\nAnswer: (A)", "B", "other options"),
        ("The answer is (B).\n\n**Question 2:** What?\n**Answer:** (C)", "B", "numbered"),
        ("The answer is (B).\n\nQ: What?\nA: (C)", "B", "short"),
        ("The answer is B.\n\nQ2. What?\nThe answer is C.", "B", "short and numbered"),
        ("The answer is (B).\n\n### Question\nWhat?\n### Answer\n(C)", "B", "a heading"),
        ("The answer is (B)\n\n---\n\n**Problem 2**\nFind.\nThe answer is (C).", "B", "another heading"),
        ("The answer is (B).\n\nProblem: Find x.\nSolution: The answer is (A).", "B", "a problem"),
        (
            "The answer is (B).\n\nThe following are multiple choice questions.\nThe answer is (D).",
            "B",
            "a header",
        ),
        ("The answer is (B).\n\nHere is another question:\nWhat? The answer is (D).", "B", "announced"),
        ("The answer is (B).\n\nUser: Are you sure?\nAssistant: The answer is (C).", "B", "an invented user"),
        ("The answer is (B).\n\nPartner: I think the answer is (C).", "B", "an invented partner"),
        (
            "The answer is (B).\n\nNow, let's summarize all the answers:\nThe answer is A.\nThe answer is D.",
            "B",
            "",
        ),
        ("Question: Which?\nOptions:\n(A) ribosome\n(B) mitochondria\n\nAnswer: (B)", "B", "restated first"),
        (
            "Let me restate.\n\nQuestion: Which?\nOptions:\n(A) ribosome\n(B) mitochondria\n\nAnswer: (B)",
            "B",
            "restated behind a word of introduction",
        ),
        (
            "I say (A).\n\nOptions:\n(A) ribosome: no\n(B) mitochondria: yes\n\nI was wrong. Answer: (B)",
            "B",
            "its own options are no further question",
        ),
    ],
)
def test_reading_stops_at_an_invented_question(text, letter, why):
    """What a model answers to a question of its own is not its turn's answer."""
    _check(choice.read(text, FOUR), letter)


@pytest.mark.parametrize(
    "text",
    [
        "Let me list them:\n(A) no\n(B) no\n(C)",
        "Options:\n\n(A) ribosome\n(B) mitochondria\n(C) the cell nucleus",
        "Thinking.\n\n(A) ribosome\n\n(B) mitochondria",
        "The answer is one of these:\n- A) ribosome\n- B) mitochondria",
        "The answer is:\n(A) ribosome\n(B) mitochondria\n(C) the cell nucleus",
        "A. ribosome\n\nNo: it makes proteins.\n\nB. mitochondria\n\nYes.",
    ],
)
def test_a_list_of_choices_submits_none(text):
    """Neither its first line nor, where it is cut off, its last one wins."""
    _check(choice.read(text, FOUR), None)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        (r"\text{The answer is (C)}", "C"),
        (r"$\mathbf{(C)}$ is correct", "C"),
        (r"The answer is $\mathrm{C}$.", "C"),
        ("The closest definition is (C).", "C"),
        ("The best description is (B).", "B"),
        ("The most accurate statement is (B)", "B"),
        ("Thus the correct term for this is (D).", "D"),
        ("The wrong definition is (C).", None),
        ("The most common mistake is (C).", None),
        ("The closest definition is not (C).", None),
        ("Is the best description (C)?", None),
        ("Your best description is (C).", None),
        ("Vitamin B is correct.", None),
        ("Hepatitis C is the most likely answer.", None),
        ("Therefore, B is the right answer.", "B"),
        ("So B is correct.", "B"),
        ("Answer: (B) is incorrect, so (C).", None),
    ],
)
def test_other_words_for_the_answer(text, letter):
    """A definition, description or term that is the best one is the one submitted; a name is no letter."""
    _check(choice.read(text, FOUR), letter)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("K. green_pantry\n\nExplanation: Amelia moved it there and left.", "K"),
        ("(K) green_pantry\nBecause she saw it.", "K"),
        ("**K. green_pantry**\n\nAmelia moved it there.", "K"),
        ("K. green_pantry\n\nExplanation: so the answer is (K).", "K"),
        ("(K)\n\nExplanation: Amelia moved it there.", "K"),
        ("K. green_pantry", "K"),
        ("It was moved twice.\n\nK. green_pantry", "K"),
        ("K. green_pantry\n\nExplanation: so the answer is (C).", None),
        ("K. red_box\n\nExplanation: she left.", None),
        ("K. green_pantry\n\nThis is wrong, since she left.", None),
    ],
)
def test_a_choice_as_first_or_last_line(text, letter):
    """421 of 1,200 GPT-4 outputs on Hi-ToM open with the choice and go on with an explanation."""
    _check(choice.read(text, HI_TOM), letter)


@pytest.mark.parametrize(
    "text",
    [
        "✅ **Final Answer: (B)**",
        "> Answer: (B)",
        "Step 1.\n\n> **Final answer:** (B)",
        "Step 1.\n\n> **Answer:**\n> (B)",
        "→ Answer: (B)",
        "🎯 Answer: B",
        "| Answer: (B) |",
        "=> Answer: B",
        "• Answer: B",
        "▶️ **Answer:** B",
        "*** Answer: B ***",
        "1. Answer: B",
        "<b>Answer: (B)</b>",
        "**Final Answer** ➜ (B)",
        "✔ The answer is (B)",
        "[Answer: (B)]",
        "(Answer: B)",
    ],
)
def test_labels_behind_a_mark(text):
    """A9: ticks, arrows, bullets and a quotation that ends the turn do not hide its label."""
    _check(choice.read(text, FOUR), "B")


@pytest.mark.parametrize(
    "text",
    ["> Answer: (B)\n\nI see a problem.", "You said:\n> Answer: (B)", "Your last message\n> Answer: (B)"],
)
def test_a_quoted_label_is_the_partners(text):
    """A quotation that is introduced or commented on is another's."""
    _check(choice.read(text, FOUR), None)


@pytest.mark.parametrize("text", ["答案：C", "Antwort: C", "Réponse : C", "Ответ: C"])
def test_other_languages_are_left_to_a_model(text):
    """A16: the rules know English; elsewhere they abstain."""
    _check(choice.read(text, FOUR), None)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Answer: (A). Wait, actually the answer is (D).", "D"),
        ("(A). No, the correct answer is (B).", "B"),
        ("(A) is what I said. The answer is (A).", "A"),
    ],
)
def test_an_extractors_second_sentence_counts(text, letter):
    """Of a bare letter that a further statement follows, the statement is read, too."""
    _check(choice.parse(text, FOUR), letter)


@pytest.mark.parametrize("text", ["Option C", "Choice C.", "option C"])
def test_an_option_alone_is_an_answer(text):
    """A turn that is nothing but "Option C" submits C."""
    _check(choice.read(text, FOUR), "C")


BRACKETS = ("red", "blue", "C", "<b>", "{A}")


@pytest.mark.parametrize(
    ("text", "letter", "why"),
    [
        ("Answer: <C>", "C", "a pattern that is filled in"),
        ("**Final answer: <B>**", "B", "in bold"),
        ("Answer: < B >", "B", "with spaces"),
        ("The answer is <B>.", "B", "in a sentence"),
        ("Answer: {A}", "A", "braces; E reads '{A}', and a letter goes before a text"),
        ("Answer: [[B]]", "B", "as judges write"),
        ("Answer: ((B))", "B", "doubled"),
        ("Answer: <B> blue", "B", "with its text"),
        ("Answer: <b>B</b>", "B", "emphasis of HTML"),
        ("<strong>Answer: (B)</strong>", "B", "around the label"),
        ("Answer: ~~A~~ B", "B", "struck out"),
        ("~~Answer: A~~\nAnswer: B", "B", "a line that is struck out"),
        ("Answer: <A> or <B>", None, "two"),
        ("Answer: <A>, <B>", None, "two"),
        ("Answer: {A} and {B}", None, "two"),
        ("Answer: [[A]] [[B]]", None, "two"),
        ("Answer: <A/B/C>", None, "a pattern"),
        ("Answer: <X>", None, "no choice"),
        ("Answer: <letter>", None, "a pattern"),
        ("Answer: A < B", None, "a relation"),
        ("Answer: <A> red, <B> blue", None, "a list"),
        ("Answer: B -> A", None, "from one to another"),
        ("Answer: B → A", None, "from one to another"),
        ("Answer: B > A", None, "a relation"),
        ("Answer: B... or A", None, "undecided"),
        ("Answer: B. Or maybe A", None, "undecided"),
    ],
)
def test_letters_in_brackets_of_all_kinds(text, letter, why):
    """Brackets, braces, tags and emphasis around one letter leave it one letter; around two it is none."""
    _check(choice.read(text, BRACKETS), letter)
    _check(choice.parse(text, BRACKETS), letter)
