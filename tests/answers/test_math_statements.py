r"""Statements of mathematics: which value a sentence states, whole or not at all."""

import pytest

from coral.answers import math
from coral.types import Answered

STATED = [
    (r"Final Answer: The largest $n$ is 34.", "34", "what the sentence says it is"),
    (r"Answer: $x$ is 5", "5", "not the variable"),
    (r"Answer: The maximum value of $f(x)$ is $\frac{3}{4}$.", r"\frac{3}{4}", "a formula behind 'is'"),
    (r"Answer: The sum of $a$ and $b$ is $c + 1$.", "c + 1", "among other formulas"),
    ("Answer: She needs 12 eggs.", "12", "the one number"),
    ("Final Answer: Jane started growing Sphere 3 hours ago.", "3", "the one number"),
    ("Answer: 34 is the largest $n$.", "34", "in front"),
    ("Answer: Total cost 12 dollars", "12", "behind words"),
    (r"Answer: The area is $12$ square units.", "12", "with a unit"),
    (r"Answer: So we get \boxed{7} in all.", "7", "the one box"),
    ("The answer is 3 apples + 4 apples = 7 apples.", "7 apples", "the result, never the first number"),
    ("Steps.\n\nThe answer is 12 × 5 = 60.", "60", "the result"),
    ("The answer is 2 + 2 = 4 apples.", "4 apples", "the result"),
    ("The answer is 2√3.", "2√3", "whole"),
    ("The answer is 5 + 3.", "5 + 3", "whole"),
    ("The answer is 10 - 3.", "10 - 3", "whole"),
    ("Answer: 1 hour and 30 minutes", "1 hour and 30 minutes", "whole"),
    ("Answer: 12 dollars per hour", "12 dollars per hour", "whole"),
    ("The answer is 18 because 9+9=18.", "18", "the reason is no part of it"),
    ("The answer is 18 dollars every day at the farmers' market.", "18", "nor is a remark"),
    ("Answer: 12 (twelve)", "12", "nor is an aside"),
    ("The answer is 5 dozen.", "5 dozen", "a magnitude is"),
    ("The answer is $3.5 million.", "$3.5 million", "a magnitude is"),
    ("The answer is\n\\[\nx = 5\n\\]", "x = 5", "displayed"),
    (r"#### \$18", r"\$18", "money behind GSM8K's mark"),
    ("The answer is 5! = 120.", "120", "the mark of a factorial ends no sentence"),
    ("So the answer is 6!.", "6!", "a factorial, whole"),
    ("The answer is 4!", "4", "an exclamation"),
    ("The answer is 3! + 2.", "3! + 2", "whole"),
    ("The answer is 20% of 50 = 10.", "10", "the result"),
    ("The answer is 3 x 4 = 12.", "12", "a cross between digits is a product"),
    ("The answer is 5C2 = 10.", "10", "the result"),
    ("The answer is 8½ miles.", "8½ miles", "whole"),
    ("Answer: 10 dollars and 50 cents", "10 dollars and 50 cents", "an amount, whole"),
    ("Answer: 8 (4 + 4)", "8", "a computation beside its result"),
    ("Answer: 8 (= 2 x 4)", "8", "the same with a sign"),
    ("Answer: 8 [4+4=8]", "8", "and with the result"),
    ("#### 8 (4 + 4)", "8", "behind GSM8K's mark"),
    (r"\boxed{8 (4 + 4)}", "8", "in a box"),
    ("The answer is 0.5 (1/2).", "0.5", "another form"),
    ("Answer: 8 (i.e., 4 + 4)", "8", "an explanation"),
    ("Answer: 8, i.e. 4 + 4", "8", "without brackets"),
    ("Answer: 6 [see above]", "6", "an aside"),
    ("Answer: 2 (x + 1)", "2 (x + 1)", "a product"),
    ("Answer: 2(3+4)", "2(3+4)", "a product"),
    (r"\boxed{\textbf{(A)}\ 15}", "15", "the choice's letter before what it says"),
    (r"\[ \boxed{ \text{(C) } 12 } \]", "12", "the same"),
    ("Answer: (B) 12", "12", "the same"),
    ("Answer: C. 12", "12", "its stop ends no sentence"),
    ("Answer: (B)", "(B)", "a letter alone stays"),
    ("Answer: ~5", "5", "about"),
    ("Answer: ≈ 3.14", "3.14", "about"),
    ("Answer: ✅ 5", "5", "a picture"),
    ("Answer: → 5 🎉", "5", "pictures"),
    ("Answer: ~~41~~ 42", "42", "struck out"),
    ("Answer: <b>42</b>", "42", "emphasis of HTML"),
    ("Answer: <42>", "42", "a pattern that is filled in"),
    ("Answer: = 5", "5", "the sign before a result"),
    ("Answer: C(5, 2) = 10", "10", "the result"),
    ("Answer: 5 choose 2", "5 choose 2", "a number in words"),
    ("The answer is 5P2.", "5P2", "a number"),
    ("Answer: ∞", "∞", "a sign that is an answer"),
    (r"\boxed{\{\}}", r"\{\}", "the empty set"),
    ("Answer: 5. This is since\n2. is too small", "5", "no list of steps"),
    ("Answer: It is 5", "5", "a phrase around it"),
    ("Answer: That's 5.", "5", "a phrase around it"),
    ("Answer: in 2020", "2020", "a preposition"),
    ("Answer: does not exist", "does not exist", "a limit"),
    ("Answer: 5.333...", "5.333...", "an endless decimal, whole"),
    ("Answer: Yes (5 > 3)", "Yes", "with its reason"),
    ("Answer: 25 (twenty-five)", "25", "in words"),
    ("####5####", "5", "marks on both sides"),
]


@pytest.mark.parametrize(("text", "value", "why"), STATED)
def test_the_value_of_a_statement(text, value, why):
    """A label followed by a sentence gives its single box, formula or number; a computation its result."""
    assert math.read(text) == Answered(value), why


UNCLEAR = [
    ("The answer is 1 hour and 30 minutes.", "two numbers"),
    ("The answer is 5 squared.", "another number"),
    ("The answer is 3 and a half.", "another number"),
    ("The answer is 5 plus 3.", "a computation in words"),
    ("The answer is 9 times as large.", "a ratio"),
    ("The answer is 5 to 7.", "a range"),
    ("The answer is 12 out of 20.", "a share"),
    ("The answer is 7 or 8.", "undecided"),
    ("The answer is $5$ or $6$.", "undecided"),
    ("The answer is $5$ more than $x$.", "a part of it"),
    (r"The answer is $\frac{1}{2}$ of $10$.", "a part of it"),
    ("The answer is $x$ is 5.", "garbled"),
    (r"Answer: $3$ hours and $20$ minutes", "two formulas"),
    ("Answer: There are 12 ways to choose 3 books", "two numbers"),
    ("Answer: The 3 values sum to 12", "two numbers"),
    ("Answer: She has half of 12", "half"),
    ("Answer: at least 5", "a bound"),
    ("Answer: not 5", "what it is not"),
    ("Answer: None of the 3 works", "none"),
    ("Answer: Option 3", "the number of an option"),
    ("#### $$", "nothing between the dollars"),
    (r"\boxed{...}", "the place of an answer"),
    (r"Answer: \ldots", "the place of an answer"),
    ("Answer: <number>", "the place of an answer"),
    *((f"Answer: {signs}", "signs alone") for signs in [*"^_\\$=+-*/|%°√~#&✓!", "()", "[]", "{}", "( )"]),
    (r"Answer: \frac{}{}", "a shape without content"),
    (r"\boxed{\sqrt{}}", "a shape without content"),
    (r"\boxed{\quad}", "space"),
    (r"\boxed{\square}", "the place of an answer"),
    (r"\boxed{\underline{\quad}}", "the place of an answer"),
    (r"\boxed{\text{answer}}", "the place of an answer"),
    (r"\boxed{your answer here}", "the place of an answer"),
    (r"\boxed{\text{Your final answer}}", "the place of an answer"),
    ("Answer: [number]", "the place of an answer"),
    ("Answer: [insert the final answer here]", "the place of an answer"),
    ("Answer: the value", "the place of an answer"),
    ("Answer: TBD", "none yet"),
    ("Answer: to be determined", "none yet"),
    ("Answer: 8 (4 + 5)", "a product, or a sum beside another number"),
    ("Answer: 120 (5!)", "a product, or a computation beside its result"),
    ("Answer: 41 42", "two numbers"),
    ("Answer: 5+", "unfinished, or more"),
    ("Answer: 20 / 4 =", "unfinished"),
    ("Answer: 1) 5", "an item of a list"),
    ("Answer: 1. Add 3 and 4.\n2. Divide by 2.", "a list of steps"),
    ("Answer: 1 in 6", "a chance in words"),
    ("Answer: a) 5\nb) 6", "two parts"),
    ("Answer: (a) 5, (b) 6", "two parts"),
    ("Answer: Part (a): 5; Part (b): 6", "two parts"),
    ("Answer: July 4", "a date"),
    ("Answer: March 3, 2020", "a date"),
    ("Answer: 101 (binary)", "in another base"),
    ("Answer: 5 (thousand)", "another number"),
    ("Answer: 24 (2 dozen)", "two numbers"),
    ("Answer: 50% (or 0.5)", "or"),
    ("Answer: 5 (or 6)", "or"),
    ("Answer: 5 more than Tom", "a part of it"),
]


@pytest.mark.parametrize(("text", "why"), UNCLEAR)
def test_no_value_is_cut_out_of_a_statement(text, why):
    """Rules abstain in doubt; they never take the first number of more."""
    assert not isinstance(math.read(text), Answered), why


STANDS = [
    r"If $n$ is odd then there are \boxed{5} ways.",
    r"It could be shown that the value is \boxed{5}.",
    r"Since 2 is not prime, we would get \boxed{5}.",
    r"Before the end there are \boxed{5}.",
    r"Thus, if we look at all cases, he could have picked at most $\boxed{5}$ cards.",
    r"We cannot have fewer than $\boxed{5}$ colors.",
    r"Therefore the student gives her \boxed{5} coins.",
    r"In this case, you can choose the rest in \boxed{5} ways.",
    r"There are no more than \boxed{5} such numbers.",
    r"We get $x=5$, not $x=3$; hence \boxed{5}, since 3 would not work.",
    r"Suppose that $k=2$: the sum is \boxed{5}.",
    r"For example, Sam may say that they want \boxed{5}.",
    r"I agree with your answer of \boxed{5}.",
    r"Assuming the coin is fair, this should be $\boxed{5}$ unless it is bent.",
]


@pytest.mark.parametrize("text", STANDS)
def test_a_box_counts_wherever_it_stands(text):
    """would, could, if, not and before near a box say nothing against it."""
    assert math.read(text) == Answered("5")


FALLS = [
    (r"So it is not \boxed{5}.", "denied"),
    (r"It isn't equal to $\boxed{5}$.", "denied"),
    (r"I don't think that it is \boxed{5}.", "denied"),
    (r"I doubt that it is \boxed{5}.", "denied"),
    (r"\boxed{5} is wrong.", "denied behind it"),
    (r"$\boxed{5}$ cannot be correct, it is not an integer.", "denied behind it"),
    (r"Is it \boxed{5}?", "asked"),
    (r"Why would it be $\boxed{5}$?", "asked"),
    (r'You wrote "\boxed{5}" there.', "quoted"),
    (r"You said it is \boxed{5}.", "the partner's"),
    (r"Your answer is \boxed{5}.", "the partner's"),
    (r"According to you it is \boxed{5}.", "the partner's"),
    (r"I first thought it was \boxed{5}.", "given up"),
    (r"Put it into a box, such as \boxed{5}.", "a pattern"),
    ("> So \\boxed{5}.\n\nI see no reason for that.", "quoted"),
]


@pytest.mark.parametrize(("text", "why"), FALLS)
def test_a_box_that_is_quoted_denied_or_asked_about_does_not_count(text, why):
    """These are the only words that take a box from the speaker."""
    assert not isinstance(math.read(text), Answered), why


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("The answer is 42.\n\nQuestion: What is 1+1?\nAnswer: 2", "42"),
        ("\\boxed{42}\n\nProblem: Find x.\nSolution: \\boxed{3}", "42"),
        ("#### 42\n\nQ: 1+1?\nA: #### 2", "42"),
        ("Problem: Find x.\n\nSolution: \\boxed{3}", "3"),
        ("**Question:** What is x?\n\n**Answer:** 3", "3"),
        ("She has 5 apples and gives them all away. " * 9 + "\n\nQuestion: What is 1+1?\nAnswer: 2", None),
        ("✅ **Final Answer: 12**", "12"),
        ("> Answer: 12", "12"),
    ],
)
def test_invented_questions_and_marked_labels(text, value):
    """Reading stops at a question that the model invents; a mark before a label does not hide it."""
    belief = math.read(text)
    assert belief == Answered(value) if value else not isinstance(belief, Answered)


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 20% of 50.",
        "The answer is 3/4 of 20, which is 15.",
        "Answer: 3 of the 5 boys",
        "Answer: 2 out of 5",
        "Answer: 8 (4 red and 4 blue)",
    ],
)
def test_a_number_among_words_and_other_numbers_is_left_to_a_model(text):
    """Rules abstain in doubt: they neither cut a phrase to its first number nor submit the phrase."""
    assert not isinstance(math.read(text), Answered)
