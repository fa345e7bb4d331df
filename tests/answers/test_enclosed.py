r"""Answers in a form of their own: boxes, tags, fields of JSON."""

import pytest

from coral.answers import choice, enclosed, math, phrase
from coral.types import Answered, Unsure

FOUR = ("ribosome", "mitochondria", "the cell nucleus", "Golgi apparatus")

FORMS = [
    (r"\boxed{\frac{1}{2}} and \fbox{3}", [r"\frac{1}{2}", "3"], "braces in braces"),
    (r"\boxed{\boxed{5}}", [r"\boxed{5}"], "a box in a box is one"),
    (r"\boxed{ torn \boxed{5}", ["5"], "a torn box hides no whole one"),
    (r"\\boxed{5}", ["5"], "escaped once too often"),
    (r"\boxed{\{1\}}", [r"\{1\}"], "escaped braces are none"),
    (r"\boxed{1", [], "torn"),
    ("<answer>(B)</answer>", ["(B)"], "a tag"),
    ("<Final_Answer> B </Final_Answer>", ["B"], "another"),
    ("<answer>B", ["B"], "its end was the stop text"),
    ("<answer>" + "x" * 400 + "</answer>", [], "a message in a tag"),
    ("[ANSWER]B[/ANSWER]", ["B"], "in brackets"),
    ("<|begin_of_box|>B<|end_of_box|>", ["B"], "GLM's box tokens"),
    ('{"answer": "red_box", "confidence": 1}', ["red_box"], "JSON"),
    ("{'final_answer': 'B'}", ["B"], "Python's spelling"),
    ('{"correct_option": "B"}', ["B"], "another name of the field"),
    ('{"answer": 12}', ["12"], "a number"),
    ('{"answer": ["B"]}', ["B"], "a list of one"),
    ('{"answer": true}', ["yes"], "a truth value"),
    ('{"answer": null}', ["not sure"], "nothing"),
    (r'{"answer": "\\frac{1}{2}"}', [r"\frac{1}{2}"], "escaped LaTeX"),
    (r'{"answer": "\frac{1}{2}"}', [r"\frac{1}{2}"], "LaTeX that should have been escaped"),
    ('{"answers": 3, "question": "x"}', [], "other fields"),
    ("x > 3 and [1, 2] and {5}", [], "mathematics"),
]


@pytest.mark.parametrize(("text", "contents", "why"), FORMS)
def test_forms(text, contents, why):
    """Every form gives what stands between its marks."""
    assert [each.content for each in enclosed.find(text)] == contents, why


@pytest.mark.parametrize(
    "text",
    [
        "<answer>(B)</answer>",
        "Steps.\n<answer>\nB\n</answer>",
        "<answer>mitochondria</answer>",
        "<answer>The answer is (B) because of ATP.</answer>",
        "<final_answer>B</final_answer>",
        "[ANSWER]B[/ANSWER]",
        '{"answer": "B"}',
        '```json\n{"reasoning": "It makes ATP.", "answer": "(B)"}\n```',
        '{"reasoning": "I think the answer is (A)? No.", "answer": "B"}',
        '{"choice": "mitochondria"}',
        "The answer is <|begin_of_box|>(B)<|end_of_box|>.",
        "So <|begin_of_box|>B. mitochondria<|end_of_box|>",
        r"\boxed{\text{The answer is (B)}}",
        r"$\text{The answer is (B).}$",
        r"\[\text{Answer: (B)}\]",
    ],
)
def test_letters_in_every_form(text):
    """A8: a letter is read from tags, JSON, GLM's boxes, and LaTeX around a sentence."""
    assert choice.read(text, FOUR) == Answered("B")
    assert choice.parse(text, FOUR) == Answered("B")


@pytest.mark.parametrize(
    "text",
    [
        "Is it <answer>B</answer>?",
        'You said {"answer": "B"}',
        "You wrote <answer>B</answer>, which I doubt.",
        "It is not <answer>B</answer>.",
        "<answer>A</answer> <answer>B</answer>",
        '{"answer": "A"} {"answer": "B"}',
        '{"answer": ["A", "B"]}',
        "Write it like <answer>B</answer>",
    ],
)
def test_a_form_that_is_asked_denied_quoted_or_contradicted_submits_nothing(text):
    """The words around a form count as they do around a box."""
    assert not isinstance(choice.read(text, FOUR), Answered)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"answer": "red_box"}', "red_box"),
        ("<answer>red_box</answer>", "red_box"),
        ('{"answer": "no"}', "no"),
    ],
)
def test_phrases_in_every_form(text, value):
    """A8: a phrase is read from a field whole, without the quotes of JSON."""
    assert phrase.read(text) == phrase.parse(text) == Answered(value)
    assert phrase.read(text, (value, "blue_crate")) == Answered(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"answer": "1200", "confidence_level": "0.9"}', "1200"),
        ('{"answer": 35}', "35"),
        ("<answer>12</answer>", "12"),
        ("<answer>The total is 34.</answer>", "34"),
        ("<|begin_of_box|>12<|end_of_box|>", "12"),
        (r'{"answer": "\\frac{1}{2}"}', r"\frac{1}{2}"),
    ],
)
def test_numbers_in_every_form(text, value):
    """The same for mathematics; a sentence in a tag states its single number."""
    assert math.read(text) == Answered(value)


def test_a_field_that_holds_nothing_is_unsure():
    """`null` says that there is no answer."""
    assert choice.read('{"answer": null}', FOUR) == phrase.read('{"answer": null}') == Unsure()
