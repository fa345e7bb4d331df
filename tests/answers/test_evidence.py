"""Whether a text holds an answer that a model says it submits."""

import pytest

from coral.answers import evidence

FOUR = ("ribosome", "mitochondria", "the cell nucleus", "Golgi apparatus")


@pytest.mark.parametrize(
    ("text", "value", "held"),
    [
        ("So it should be (B).", "B", True),
        ("So it should be (b).", "B", True),
        ("So B, I guess", "B", True),
        ("Option B fits", "B", True),
        ("B", "B", True),
        ("It is made in the mitochondria, then.", "B", True),
        ("Vitamin D fits", "B", False),
        ("A common mistake", "A", False),
        ("I think that it is clear.", "I", False),
        ("The powerhouse of the cell.", "B", False),
    ],
)
def test_letters(text, value, held):
    """A letter that stands apart, or its choice's text; an article and a pronoun are none."""
    assert evidence.holds(text, value, (*FOUR, *("nothing",) * 5)) is held


@pytest.mark.parametrize(
    ("text", "value", "held"),
    [
        ("we get 1,200 in all", "1200", True),
        ("we get 1200.0 in all", "1200", True),
        ("ten men", "10", True),
        ("Seventeen of them", "17", True),
        ("it is 12", "120", False),
        ("it is 120", "12", False),
        ("three quarters, 3 of 4", r"\\frac{3}{4}", True),
        ("three quarters", r"\\frac{3}{4}", False),
        ("x and y", "x + y", True),
        ("she never left", "no", True),
    ],
)
def test_numbers(text, value, held):
    """Every number of a value has to stand in the text, in digits or as a word; other values need not."""
    assert evidence.holds(text, value, ()) is held


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ('"It is the Powerhouse"', True),
        ("the  powerhouse", True),
        ("none", False),
        ("", False),
        ("of", False),
    ],
)
def test_quotes(quote, found):
    """A quotation counts whatever its case, blanks and marks; nothing, two letters and "none" do not."""
    assert evidence.quotes("So it is the powerhouse of **the** cell; none other.", quote) is found
