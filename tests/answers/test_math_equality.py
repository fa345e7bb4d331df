"""When two mathematical answers are the same: the decisions of docs/grading.md, one row each."""

import pytest

from coral.answers import math

EQUAL_BY_SPELLING = [
    ("0.5", "1/2", "a decimal is an exact number"),
    (r"\frac12", r"\dfrac{1}{2}", "spellings of a fraction"),
    ("2/4", "1/2", "value, not form: an unreduced fraction is the same number"),
    ("-3/4", r"\frac{-3}{4}", "where the sign stands"),
    ("2/(-3)", "-2/3", "the same in brackets"),
    ("7 3/4", "31/4", "a mixed number"),
    (r"1\frac{1}{2}", "1.5", "a mixed number in LaTeX"),
    (r"0.\overline{3}", "1/3", "a repeating decimal is exact"),
    ("0.3333333333", "1/3", "ten digits of an endless decimal are a calculator's way to write it"),
    ("1e3", "1000", "scientific notation"),
    (r"1.5 \times 10^{3}", "1500", "the same in LaTeX"),
    (".50", "0.5", "zeros around a decimal"),
    ("01", "1", "leading zero"),
    ("5.", "5", "a final stop"),
    ("+5", "5", "a plus sign"),
    ("\u22125", "-5", "the typographic minus"),
    ("1,234,567", "1234567", "thousands separators"),
    (r"10{,}000", "10000", "a TeX separator"),
    (r"32,\! 349", "32349", "another"),
    ("$18", "18 dollars", "a currency sign is a unit"),
    (r"\$1,000.00", "1000", "escaped, with separator and cents"),
    ("50%", "50", "percent is a unit"),
    (r"90^\circ", "90 degrees", "degrees are a unit"),
    ("5 cm", "5", "one side may leave the unit out"),
    (r"5 \text{ centimeters}", "5 cm", "spellings of a unit"),
    (r"50 \text{ cm}^2", "50 square centimeters", "powers of a unit"),
    ("12 apples", "12", "what is counted is a unit, too"),
    ("2.5 million", "2500000", "a magnitude is a number, not a unit"),
    ("x = 5", "5", "a name"),
    (r"x \in [-2,7]", "[-2,7]", "a named set"),
    ("f(x) = x^2", "x^2", "a named function"),
    ("x = 2 + 3 = 5", "5", "the last link of a chain"),
    ("(p,q) = (3,2)", "(3,2)", "several names"),
    ("x=3, y=4", "y=4, x=3", "names tell which is which"),
    ("x=3, y=4", "3, 4", "without names the order tells"),
    ("1,22", "1.22", "a decimal comma, where the other answer has the point"),
    ("1, 2", "2, 1", "a bare list is a set of solutions"),
    ("10 or 4", "4 or 10", "so is a choice"),
    (r"5 \text{ and } 6", "6,5", "and an enumeration"),
    (r"\{1,2\}", r"\{2,1\}", "sets have no order"),
    (r"\{1,2\}", "1,2", "a bare list is the set"),
    (r"\{5\}", "5", "a set of one solution is that solution"),
    (r"\pm 3", "3, -3", "plus-minus is two values"),
    (r"[0,1)\cup(2,3]", r"(2,3] \cup [0,1)", "a union has no order"),
    (r"\left( 1, 2 \right)", "(1,2)", "sizes of brackets"),
    (r"\text{(A)}", "A", "a letter in brackets"),
    (r"\text{East}", "east", "words in any case"),
    (r"\infty", "inf", "infinity"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "spaces in a matrix"),
    ("11_2", "11_{2}", "a numeral of another base"),
    ("3:4", "3 : 4", "a ratio"),
]

EQUAL_BY_ALGEBRA = [
    ("6 - 3", "3", "arithmetic"),
    (r"\sqrt{4}", "2", "a root"),
    ("2^{10}", "1024", "a power"),
    ("5!", "120", "a factorial"),
    (r"\binom{5}{2}", "10", "a binomial"),
    ("a+b+c", "c+b+a", "the order of a sum"),
    ("xy", "yx", "the order of a product"),
    ("(x+1)^2", "x^2+2x+1", "expansion"),
    (r"\sin^2 x + \cos^2 x", "1", "an identity"),
    (r"\frac{2}{1+i}", "1-i", "complex numbers"),
    (r"e^{2\pi i}", "1", "Euler"),
    (r"1/\sqrt{3}", r"\frac{\sqrt{3}}{3}", "rationalised"),
    ("1.4142135623730951", r"\sqrt{2}", "a float of a root"),
    (r"(\frac{1}{2}, \sqrt{4})", "(0.5, 2)", "element by element"),
    (r"\{\sqrt{4}, 3\}", "3, 2", "unordered, element by element"),
    ("x > 5", "5 < x", "an inequality read from the right"),
    (r"-2 \le x \le 7", "[-2, 7]", "an inequality and its interval"),
    (r"1 \leq |z| \leq \frac{3}{2}", r"[-\frac{3}{2},-1] \cup [1,\frac{3}{2}]", "and its union"),
    ("2x+4y-3=0", r"y=-\frac{1}{2}x+\frac{3}{4}", "one line, two equations"),
    (r"\begin{bmatrix}0.5\\2\end{bmatrix}", r"\begin{pmatrix}\frac{1}{2}\\2\end{pmatrix}", "matrices"),
    (r"\sum_{k=1}^{n} k", r"\frac{n(n+1)}{2}", "a closed form"),
    (r"\sqrt[3]{x}^2", "x^{2/3}", "fractional powers"),
]

DIFFERENT = [
    ("1", "2", "numbers"),
    ("0.5", "50%", "half of what, the question says: percent is a unit, not a factor"),
    ("0.333", "1/3", "three digits are not a third"),
    ("3.14159", r"\pi", "six digits are not pi"),
    ("1.0000000001", "1", "a number with an end has to be exact"),
    ("0.0000001", "0", "small is not zero"),
    ("10^{-20}", "0", "smaller neither"),
    ("1,2", "12", "a comma is no thousands separator anywhere"),
    ("1,23", "123", "nor here"),
    ("(1,2)", "(2,1)", "pairs are ordered"),
    ("(1,2)", "1,2", "a point or interval is no list"),
    ("(1,2)", "[1,2]", "open is not closed"),
    ("(1,2]", "(1,2)", "half-open neither"),
    ("(1,2)", r"\{1,2\}", "nor a set"),
    ("1,2,2", "1,2", "how often counts: 2, 2, 3 are prime factors"),
    ("10 or 4", "10", "one of two is not both"),
    ("x=5", "y=5", "names that differ"),
    ("x=3, y=4", "x=4, y=3", "values that change places"),
    ("x=3, y=4", "4, 3", "without names the order tells"),
    ("2x+1=5", "5", "an equation is not its right side"),
    ("xy=2", "2", "this one neither"),
    ("x<5", "x>5", "directions"),
    ("x<5", r"x \leq 5", "strictness"),
    (r"(-\infty,3)", r"(-\infty,3]", "an end point"),
    (r"\infty", r"-\infty", "two infinities"),
    ("5 cm", "5 m", "units that differ"),
    ("5 percent", "5 dollars", "units of other kinds"),
    ("5 AM", "5 PM", "half a day apart"),
    ("3 boys", "3 girls", "other things counted"),
    ("3 red, 2 blue", "2 red, 3 blue", "colours change places"),
    ("2 million", "2", "a magnitude is no unit"),
    ("A", "B", "letters"),
    ("a", "A", "two variables"),
    ("east", "seat", "words are no products of their letters"),
    (r"\text{Monday}", "Mon", "a unit may not be cut out of a word"),
    ("daylight", "light", "nor here"),
    ("1234_5", "1234", "another base"),
    ("204_5", "54", "the base is part of the answer"),
    (r"\sqrt{x^2}", "x", "not for negative x"),
    (r"\ln 2", r"\log 2", "log without a base is decimal"),
    (r"\frac{1}{x}", "x", "formulas"),
    ("2^{1000}", "2^{1001}", "numbers of 300 digits"),
    ("f(x)", "f(y)", "functions of other things"),
    (r"\emptyset", "0", "no solution is not zero"),
    ("undefined", "0", "neither is this"),
    ("12:30", "12.5", "a time is no decimal"),
    ("5!", "5", "a factorial sign is no exclamation"),
]


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    math.warm_up()


@pytest.mark.parametrize(("a", "b", "why"), EQUAL_BY_SPELLING)
def test_spellings_of_one_answer_need_no_algebra(a: str, b: str, why: str) -> None:
    """What differs in spelling, units, names or order of solutions alone is settled by the fast path."""
    assert math.same_text(a, b), why
    assert math.same_text(b, a), why


@pytest.mark.parametrize(("a", "b", "why"), EQUAL_BY_ALGEBRA)
def test_algebra_finds_equal_values(a: str, b: str, why: str) -> None:
    """Expressions of one value are the same answer, in either order, though their texts differ."""
    assert not math.same_text(a, b), why
    assert math.equivalent(a, b), why
    assert math.equivalent(b, a), why


@pytest.mark.parametrize(("a", "b", "why"), DIFFERENT)
def test_different_answers_stay_different(a: str, b: str, why: str) -> None:
    """Calling two different things equal is the worse mistake."""
    assert not math.equivalent(a, b), why
    assert not math.equivalent(b, a), why


@pytest.mark.parametrize("other", ["", " ", "5", "$", "x"])
@pytest.mark.parametrize("empty", ["", "  ", "\n", "$$", r"\boxed{}"])
def test_an_empty_answer_equals_nothing(empty: str, other: str) -> None:
    """Two failed extractions must not agree, and none may be graded right."""
    assert not math.equivalent(empty, other) or empty.strip() == other.strip() != ""
    assert not math.same_text("", empty)


COSTLY = ["9**9**9", "99999999!", "10^{10^{10}}", "9^{99999}", "x^{99999999}", "1e999999999"]
COSTLY += [
    "(" * 900 + ")" * 900,
    "(" * 30 + "x" + ")" * 30,
    "x" * 1_000_000,
    r"\frac" * 400,
    r"\frac" * 500_000,
]
COSTLY += ["2^{" * 100, r"\frac{1}{" * 60 + "2" + "}" * 60, r"\sqrt{" * 50 + "x" + "}" * 50, r"\{" * 200]
COSTLY += ["1," * 900 + "1", r"\text{" * 300, "$" * 1_900, "\x00", r"\pm" * 50, r"1\pm2, " * 200]


@pytest.mark.parametrize("answer", COSTLY, ids=lambda text: repr(text[:12]))
def test_costly_answers_are_compared_as_text_alone(answer: str) -> None:
    """Numbers nobody can write down, floods and deep nesting cost nothing and equal only themselves."""
    assert not math.equivalent(answer, "3")
    assert not math.equivalent("2x", answer)
    assert math.equivalent(answer, answer)
