"""Which answer a message submits, and when the rules abstain."""

import json
import time
from pathlib import Path

import pytest

from coral.answers import math
from coral.types import Answered, Unreadable, Unsure

RESPONSES = Path(__file__).parent.parent / "data" / "responses"

SUBMITTED = [
    (r"So we get \boxed{3}.", "3", "a box without dollar signs; the published code calls it an error"),
    (r"$\boxed{\frac{1}{2}}$", r"\frac{1}{2}", "nested braces"),
    ("$$\n\\boxed{\n\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}\n}\n$$", None, "a box over several lines"),
    (r"$\boxed{\{1, 2\}}$", r"\{1, 2\}", "escaped braces do not count as braces"),
    (r"Hence \boxed 5.", "5", "TeX allows a box without braces"),
    (r"Hence $\boxed\frac12$.", r"\frac12", "the same with a command"),
    (r"\fbox{7}", "7", "fbox is a box"),
    (r"$x = \boxed{\boxed{5}}$", "5", "a box in a box is one box"),
    (r"Thus $\boxed{\sin x}$", r"\sin x", "the published fallback strips character sets and loses this"),
    ("Answer: 42", "42", "a label"),
    ("**Answer:** 12 dollars", "12 dollars", "Markdown, and a unit kept"),
    ("**Final Answer**: 1,234.50 dollars", "1,234.50 dollars", "separators kept for the reader"),
    ("**Answer**\n\n$$x = 5$$", "x = 5", "a heading, and the formula below it"),
    ("Answer $42$", "42", "a label without a colon in front of a formula"),
    ("Answer: no solution", "no solution", "words behind a label"),
    ("Answer: 12 + 3 = 15", "15", "of a computation the result"),
    ("Answer: 10 or 4", "10 or 4", "a label may hold a list"),
    (r"the final answer is $\frac12$.", r"\frac12", "a formula in a sentence"),
    (r"The answer is \(x = 5\), since it holds.", "x = 5", "the reason behind it is no answer"),
    (r"The final answer is $12$ and $13$. I hope it is correct.", "12, 13", "two formulas, one answer"),
    ("The answer is about $3.5 million.", "$3.5 million", "money, and the magnitude that counts"),
    ("The answer is $5. She paid $6 for both.", "$5", "two dollar signs are not always a formula"),
    ("The answer is -3.", "-3", "a sign"),
    ("The answer is 2**10.", "2^10", "Python's power is not Markdown's bold"),
    ("Answer: 9**9**9", "9^9^9", "nor are two of them: 9^99 would be invented"),
    ("Answer: 2**n", "2^n", "a letter above"),
    ("Answer: 2x**2 + 1", "2x^2 + 1", "a letter below, behind a number"),
    ("Answer: 2 ** 10", "2^10", "with spaces"),
    ("The answer is **5**.", "5", "Markdown's bold is not Python's power"),
    (r"\boxed{2 \text{ or } 3}", r"2 \text{ or } 3", "one box holds one answer: a set of two solutions"),
    (r"\boxed{0.5} or \boxed{1/2}", "1/2", "an or between equal ones leaves no choice"),
    (
        r"\boxed{\text{unknown}}. Wait, now the final answer is \boxed{4}.",
        "4",
        "no answer yet is no other one",
    ),
    ("The answer is 12, not 13.", "12", "what it is not does not count"),
    ("Natalia sold 48/2 = 24.\n#### 42", "42", "GSM8K's mark"),
    ("She needs 280 more.\nA: 280", "280", "the last line of GSM8K's solutions"),
    ("The solution to the equation is $x = 7$.", "x = 7", "mathematics speaks of solutions"),
    (r"you said \boxed{12}, but I get \boxed{13}", "13", "the partner's box is not mine"),
    (r"I agree with your answer of \boxed{12}.", "12", "agreement that names the answer"),
    (r"\boxed{1} and \boxed{2}", "1, 2", "boxes that are listed are one answer"),
    (r"$\boxed{1}, \boxed{2}$, and $\boxed{3}$", "1, 2, 3", "three of them"),
    (r"\boxed{1}. Wait, I made an error: \boxed{2}.", "2", "a correction"),
    (r"First \boxed{3}. Therefore the final answer is \boxed{7}.", "7", "the last is announced"),
    (r"So $\boxed{255}$ is earned. Final Answer: The final answer is $10,455$.", "10,455", "so is this"),
    (r"It is 1/2, that is \boxed{0.5}. The answer is $\frac{1}{2}$.", r"\frac{1}{2}", "equal ones agree"),
]

NOT_SUBMITTED = [
    ("I agree.", "names no answer"),
    (r"Is it \boxed{5}?", "a question"),
    ("The answer is not 12.", "a denial"),
    ("If x = 2 the answer is 5.", "a condition"),
    (r"You said the answer is \boxed{12}.", "a quotation"),
    ("The answer is 5 or 6.", "undecided between two"),
    (r"\boxed{1}. Then \boxed{2}.", "two answers, neither the conclusion"),
    (r"\boxed{2} or \boxed{3}", "undecided between two, or two solutions: a reader cannot tell"),
    (r"Answer: $\boxed{2}$, $\boxed{3}$ or $\boxed{4}$", "the same among three"),
    (r"\boxed{?}, \boxed{3}", "one of two is missing"),
    (r"\boxed{5 \text{ (not sure)}}", "an answer in doubt"),
    ("Answer: x**2, not sure", "the same behind a label"),
    (r"Answer: $\boxed{", "a torn box"),
    ("Answer:", "a label without an answer"),
    ("The answer is seven less than the number of apples in the second basket.", "prose"),
    ("3 + 4 = 7, and 7 + 2 = 9.", "steps, no answer"),
    ("", "nothing"),
    ("   \n ", "blank"),
    ("Error: connection refused", "an error message is no answer"),
    (r"\boxed{5}. Hmm, wait, that is wrong.", "taken back"),
]


@pytest.mark.parametrize(("text", "value", "why"), SUBMITTED)
def test_submitted_answer_is_found(text: str, value: str | None, why: str) -> None:
    """A box, a label or a plain statement in the speaker's own name submits an answer."""
    belief = math.read(text)
    assert isinstance(belief, Answered), (why, belief)
    assert value is None or belief.value == value, why


@pytest.mark.parametrize(("text", "why"), NOT_SUBMITTED)
def test_no_answer_is_invented(text: str, why: str) -> None:
    """Where a reader could doubt what is submitted, the rules abstain."""
    assert isinstance(math.read(text), Unreadable), why


UNSURE = [
    "I am not sure yet.",
    "Answer: not sure yet",
    "**Answer:** Not sure yet.",
    "Answer: ?",
    r"\boxed{\text{not sure yet}}",
    r"$\boxed{\text{I am not sure}}$",
    r"The answer is \boxed{\text{unknown}}.",
    r"\boxed{\mathrm{not\ sure\ yet}}",
    r"\boxed{\textbf{\text{I don't know}}}",
    r"\boxed{?}",
    r"Answer: $\text{unknown}$",
]


@pytest.mark.parametrize("text", UNSURE)
def test_unsure_is_no_answer_and_not_unreadable(text: str) -> None:
    """Saying that there is no answer yet is a belief of its own, in a box or any other LaTeX, too: two agents
    in doubt would agree otherwise.
    """
    assert math.read(text) == Unsure()


@pytest.mark.parametrize("text", UNSURE[1:])
def test_unsure_extraction_is_unsure(text: str) -> None:
    """The same in an extractor's reply."""
    assert math.parse(text) == Unsure()


def test_published_extraction_bug_box_on_several_lines() -> None:
    """The published code needs `$\\boxed{..}$` on one line; any balanced box counts here."""
    assert math.read("\\[\n\\boxed{\n\\frac{\n1}{2}\n}\n\\]") == Answered("\\frac{\n1}{2}")
    assert math.same_text("\\frac{\n1}{2}", "1/2")


def test_published_extraction_bug_character_sets() -> None:
    """The published fallback strips sets of characters from both ends and loses `sin x`."""
    assert math.parse("sin x") == Answered("sin x")
    assert math.parse(r"$\text{boxed in}$") == Answered(r"\text{boxed in}")


PARSED = [
    ("42", Answered("42"), "as it is"),
    ("$42$.", Answered("42"), "delimiters and stop"),
    ("Answer: 42", Answered("42"), "the extractor's label"),
    ("**Answer:** $\\frac12$", Answered(r"\frac12"), "and its Markdown"),
    (r"\boxed{5}", Answered("5"), "a box"),
    ("The answer is 42.", Answered("42"), "a sentence is read"),
    ("3 + 4 = 7", Answered("7"), "a computation"),
    ("x = 5", Answered("x = 5"), "a named value keeps its name for the reader"),
    ("no solution", Answered("no solution"), "words"),
    ("$18", Answered("$18"), "money"),
    (
        r"$\text{The midpoints form a regular hexagon}$",
        Answered(r"\text{The midpoints form a regular hexagon}"),
        "",
    ),
    ("not sure yet", Unsure(), "the word the extractor is told to use"),
    ("Answer: not sure yet.", Unsure(), "with label"),
    ("N/A", Unsure(), "another way to say it"),
    ("Answer: **5**", Answered("5"), "emphasis around the value"),
    ("9**9**9", Answered("9^9^9"), "and no power is emphasis"),
    (r"\boxed{1}, \boxed{2}", Answered("1, 2"), "boxes that are listed"),
]


@pytest.mark.parametrize(("text", "belief", "why"), PARSED)
def test_bare_answer_becomes_canonical(text: str, belief: Answered | Unsure, why: str) -> None:
    """What an extractor replies or a data set holds loses its packing and nothing else."""
    assert math.parse(text) == belief, why


@pytest.mark.parametrize(
    "text", ["", "  ", "$$", "Error: timeout", r"\boxed{", "5, not sure", r"\boxed{?}, \boxed{3}"]
)
def test_empty_extraction_is_unreadable(text: str) -> None:
    """An empty or failed extraction never becomes an answer."""
    assert isinstance(math.parse(text), Unreadable)


GOLD = [
    (r"so $x=\boxed{\frac{3}{4}}$.", r"\frac{3}{4}", "MATH's usual form"),
    (r"\boxed{1} then \boxed{2}", "2", "the last counts"),
    (r"The roots are $\boxed{2}$ and $\boxed{-2}$.", "2, -2", "boxes that are listed are one answer"),
    (r"so $x=\boxed{2}$ or $x = \boxed{3}$", "2, 3", "of a solution, or means both"),
    (r"\boxed{1}, \boxed{2}, and \boxed{3}", "1, 2, 3", "three of them"),
    (r"First \boxed{4} chairs stand. Then \boxed{5}, \boxed{6}.", "5, 6", "those before are a step"),
    (r"\[\boxed{7}\] so the answer is \boxed{7}.", "7", "the same twice is said once"),
    (r"$\boxed{\text{(A) } \{x : x > 1\}}$", r"\text{(A) } \{x : x > 1\}", "escaped braces"),
    (r"we get \boxed 7.", "7", "no braces"),
    (r"$\fbox{12}$", "12", "fbox"),
    (r"\boxed{3} and \boxed{", "3", "a torn box does not hide a whole one"),
    ("no box at all", None, "nothing to find"),
    (r"\boxed{}", None, "nothing in it"),
]


@pytest.mark.parametrize(("solution", "gold", "why"), GOLD)
def test_last_boxed_is_the_gold_answer(solution: str, gold: str | None, why: str) -> None:
    """MATH's gold answer is the last complete box of the solution."""
    assert math.last_boxed(solution) == gold, why


def test_real_boxed_responses_are_read_as_their_authors_read_them() -> None:
    """On published GSM8K responses the rules find the recorded answer, or abstain where none is boxed."""
    lines = (RESPONSES / "gsm8k_tora_boxed_responses.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    beliefs = [math.read(row["response"]) for row in rows]
    for row, belief in zip(rows, beliefs, strict=True):
        if "box" in row["response"].rpartition("```")[2]:
            assert isinstance(belief, Answered), row["id"]
            assert math.same_text(belief.value, row["tora_pred"]), row["id"]
        else:
            assert isinstance(belief, Unreadable), row["id"]


def test_real_marked_responses_are_graded_as_published() -> None:
    """On GSM8K's own model solutions the answer behind "A:" gets the published grade."""
    lines = (RESPONSES / "gsm8k_responses.jsonl").read_text(encoding="utf-8").splitlines()
    for row in map(json.loads, lines):
        belief = math.read(row["response"])
        if isinstance(belief, Answered):
            assert math.same_text(belief.value, row["gold"]) == row["is_correct"], row["id"]


FLOODS = ["\\boxed{" * 20_000, "\\frac" * 20_000, "$" * 50_000, "Answer: \\[ " * 5_000, "\n" * 50_000]
FLOODS += ["the answer is " * 2_000, "the answer is $1$, " * 2_000]
FLOODS += ["\\boxed{1} " * 5_000, "(" * 50_000, "the solution is 1. " * 3_000, "A:x" + " " * 50_000 + "y"]


@pytest.mark.parametrize("text", FLOODS, ids=lambda text: repr(text[:12]))
def test_reading_is_quick_on_hostile_text(text: str) -> None:
    """No text makes the rules slow: they run in our own process."""
    start = time.process_time()
    math.read(text)
    math.parse(text)
    math.last_boxed(text)
    assert time.process_time() - start < 2


def test_a_long_turn_is_read_in_a_fraction_of_a_millisecond() -> None:
    """Steps without an answer cost next to nothing: 4 kB in 0.1 ms, and below 1 ms on a busy core."""
    step = "Now $3x + 4 = 10$, so $x = 2$ and 3 * 2 = 6.\n"
    turn = step * 90 + r"Therefore \boxed{2}."
    fastest = 1.0
    for _ in range(20):
        start = time.process_time()
        assert math.read(turn) == Answered("2")
        fastest = min(fastest, time.process_time() - start)
    assert fastest < 0.001
