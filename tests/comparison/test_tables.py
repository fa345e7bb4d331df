"""What a table looks like in each form: every cell is data."""

import csv
import io

import pytest

from coral.comparison.tables import (
    Table,
    as_csv,
    as_html,
    between,
    explained,
    figure,
    latex,
    markdown,
    p_value,
    percent,
    points,
    share,
)
from coral.metrics import Estimate, detectable_in_points
from coral.metrics.statistics import wilson

NASTY = Table(
    "nasty", "A <b>title</b>", ("arm|x", "50% & more"), (("a_b|c", "<script>"), ("=1+1", "{x}\n$y$ \\ ~^#")),
    "A note & <more>.",
)  # fmt: skip


def test_markdown_keeps_its_columns():
    """A bar or a line break in a cell makes no other column or row."""
    lines = markdown(NASTY).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 4
    assert r"a_b\|c" in rows[2]


def test_html_is_no_markup():
    """Model and arm names are text."""
    page = as_html(NASTY)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<b>" not in page


def test_latex_escapes_everything_special():
    """Each special character of LaTeX is written out; rows end as they must."""
    text = latex(NASTY)
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert r"a\_b\textbar{}c & \textless{}script\textgreater{} \\" in body
    assert r"\{x\} \$y\$ \textbackslash{} \textasciitilde{}\textasciicircum{}\#" in body
    assert r"50\% \& more" in text


def test_texts_stand_to_the_left_and_figures_to_the_right():
    """In a paper and on a page; a minus is no hyphen, unless it joins words."""
    rows = (("pair", "gpt-4", "-1.5 [-3.0, +0.5]", "-"), ("alone", "-", "< 0.0001", "-"))
    table = Table("t", "t", ("arm", "model", "points", "nothing"), rows)
    text = latex(table)
    assert r"\begin{tabular}{llrr}" in text
    assert r"pair & gpt-4 & $-$1.5 [$-$3.0, +0.5] & - \\" in text
    assert as_html(table).count('class="text"') == 6
    assert as_csv(table).splitlines()[2] == "alone,,< 0.0001,"


def test_csv_reads_back_and_holds_no_formula():
    """A spreadsheet reads cells, and none that it would run."""
    rows = list(csv.reader(io.StringIO(as_csv(NASTY))))
    assert rows[0] == ["arm|x", "50% & more"]
    assert rows[2][0] == "'=1+1"
    signed = as_csv(Table("t", "t", ("a",), (("+1.5",), ("-",))))
    assert signed.splitlines()[1] == "+1.5"


def test_figures():
    """Nothing stands for what is not known but a dash."""
    assert (percent(None), points(None), between(None, 1.0), p_value(None)) == ("-",) * 4
    assert (percent(0.123), points(-0.05), between(0.0, 0.161)) == ("12.3%", "-5.0", "[0.0, 16.1]")
    assert (figure(None, None, None), figure(0.1, None, None, signed=True)) == ("-", "+10.0 -")
    assert (detectable_in_points(0.3), detectable_in_points(1.426)) == ("30.0", "over 100")
    assert (p_value(0.00001), p_value(0.0312)) == ("< 0.0001", "0.0312")


EDGES = [
    (0.5, 50, ""),
    (0.06, 50, ""),
    (0.04, 50, "†"),
    (0.0, 200, "†"),
    (0.98, 50, "†"),
    (1.0, 1, ""),  # no interval of one problem
]


@pytest.mark.parametrize(("mean", "problems", "mark"), EDGES)
def test_intervals_that_may_hold_less_often_are_marked(mean, problems, mark):
    """Near 0 and 1 the interval of a share was measured below 93 of 100; a table with such a cell says so."""
    ends = wilson(mean, problems) if problems > 1 else None
    found = Estimate(
        mean=mean, stderr=None, low=ends and ends.low, high=ends and ends.high, n=problems, num_failed=0,
        num_unscored=0, num_problems=problems,
    )  # fmt: skip
    cell = share(found, marked=True)
    assert cell.endswith(f"{'' if ends is None else ']'}{mark} (n = {problems:,})") or ends is None
    assert ("†" in cell) is bool(mark)
    assert "†" not in share(found)
    table = explained(Table("name", "title", ("arm", "right"), (("a", cell),), "A note."))
    assert table.note.startswith("A note.")
    assert ("100 runs" in table.note) is bool(mark)
    assert r"\dag{}" in latex(table) or not mark
