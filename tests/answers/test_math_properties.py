"""Equivalence of mathematical answers is reflexive, symmetric and never true for nothing."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from coral.answers import math

NUMBERS = st.one_of(
    st.integers(-10_000, 10_000).map(str),
    st.fractions(max_denominator=50).map(lambda value: rf"\frac{{{value.numerator}}}{{{value.denominator}}}"),
    st.decimals(-100, 100, places=3).map(str),
    st.sampled_from([r"\pi", r"\sqrt{2}", "x", "x+1", "50%", "5 cm", r"2\pi", "no solution", "A", "x=3"]),
)
LISTS = st.lists(NUMBERS, min_size=2, max_size=3)
ANSWERS = st.one_of(
    NUMBERS,
    LISTS.map(", ".join),
    LISTS.map(lambda parts: f"({', '.join(parts)})"),
    LISTS.map(lambda parts: rf"\{{{', '.join(parts)}\}}"),
)
SCRAPS = st.lists(
    st.sampled_from(
        [
            *"0123456789xyE+-*/^=<>(){}[],.;:!$%& \n°²½×CP",
            *(
                r"\frac",
                r"\sqrt",
                r"\pm",
                r"\text{",
                "and ",
                r"\cup",
                " cm",
                " ft^",
                "m/s",
                "pm",
                "choose ",
                "noon",
                "k ",
            ),
        ]
    ),
    max_size=12,
).map("".join)

slow = settings(max_examples=60, deadline=None, derandomize=True)
quick = settings(max_examples=300, deadline=None, derandomize=True)


@quick
@given(st.one_of(st.text(max_size=30), SCRAPS))
def test_reflexive(answer: str) -> None:
    """Whatever has any content equals itself; nothing does not."""
    assert math.same_text(answer, answer) == bool(answer.strip())


@quick
@given(st.one_of(ANSWERS, SCRAPS), st.one_of(ANSWERS, SCRAPS))
def test_same_text_is_symmetric(a: str, b: str) -> None:
    """Which of two answers comes first does not matter."""
    assert math.same_text(a, b) == math.same_text(b, a)


@slow
@given(ANSWERS, ANSWERS)
def test_equivalent_is_symmetric_and_wider_than_same_text(a: str, b: str) -> None:
    """Algebra only adds to what spelling settles, in either order."""
    forth, back = math.equivalent(a, b), math.equivalent(b, a)
    assert forth == back
    assert forth or not math.same_text(a, b)


@quick
@given(st.one_of(ANSWERS, SCRAPS, st.sampled_from(["", " ", "\t\n"])))
def test_empty_equals_nothing(answer: str) -> None:
    """An empty answer is never equal to any."""
    assert not math.same_text("", answer)
    assert not math.same_text(answer, "  ")


@quick
@given(st.fractions(-1_000, 1_000, max_denominator=40), st.fractions(-1_000, 1_000, max_denominator=40))
def test_fractions_are_equal_by_value(a: Fraction, b: Fraction) -> None:
    """Numbers are exact: equal if and only if their values are."""
    assert math.same_text(
        f"{a.numerator}/{a.denominator}", rf"\frac{{{b.numerator}}}{{{b.denominator}}}"
    ) == (a == b)


@quick
@given(ANSWERS)
def test_canonical_form_is_stable(answer: str) -> None:
    """To clean an answer twice changes nothing, and its meaning stays."""
    once = math.parse(answer)
    assert math.parse(once.value) == once
    assert math.same_text(once.value, answer)


@quick
@given(st.one_of(st.text(max_size=60), SCRAPS, SCRAPS.map(lambda scrap: f"Answer: {scrap}")))
def test_reading_never_fails(text: str) -> None:
    """Any text gives a belief, and an answered one is not blank."""
    for belief in (math.read(text), math.parse(text)):
        assert getattr(belief, "value", "x").strip()
