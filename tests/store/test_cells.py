"""Cells of csv files: nothing in them is computed, figures stay figures, and every text comes back."""

import pytest

from coral.store.cells import harmless, restored

TAB, NEW_LINE, RETURN = "\t", "\n", "\r"


@pytest.mark.parametrize(
    "text",
    [
        "=1+1", "=cmd|' /C calc'!A0", "+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "-2+3", "+49 151",
        "@SUM(A1)", "- a list", "--", "-", "+", "@", "=", f"{TAB}=1", f"{RETURN}=1", f"{NEW_LINE}=1",
        "\uff1d1+1", "\uff20SUM(1)", "'=1", "''=1", "'-3", "-1/2", "+x", "-3 apples",
    ],
)  # fmt: skip
def test_what_a_spreadsheet_would_compute_is_text(text):
    """An apostrophe stands before it, and reading takes it away again."""
    cell = harmless(text)
    assert cell == f"'{text}"
    assert restored(cell) == text


@pytest.mark.parametrize(
    "text",
    ["", "x", "Answer: (A)", "'tis", "''",
     "-3", "+4.2", "-3.5%", "-1,024", "+4.2 [-1.0, +9.4]", "1-2", " =1", "a=b", "[-1, +2]"],
)  # fmt: skip
def test_other_texts_and_figures_stay(text):
    """A difference of -3 points is a number in a spreadsheet, too."""
    assert harmless(text) == restored(text) == text


def test_a_nul_is_shown():
    """Every Python reads what any Python wrote: older ones refuse a NUL in a csv file, either way."""
    assert harmless("a\0b") == "a\u2400b"
