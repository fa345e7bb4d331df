"""Cells of csv files that no spreadsheet takes for a formula, and back."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_QUOTED = re.compile(r"'+[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_FIGURE = re.compile(r"[+-][\d.,]+%?(?: \[[-+\d., ]+\])?")


def harmless(cell: str) -> str:
    """The cell behind an apostrophe where it begins as a formula does; figures with a sign stay figures.

    A NUL is shown as a character: Python 3.10 can neither write it into a csv file nor read it there.
    """
    cell = cell.replace("\0", "\u2400")
    return f"'{cell}" if _FORMULA.match(cell) and not _FIGURE.fullmatch(cell) else cell


def restored(cell: str) -> str:
    """The text that `harmless` made a cell of."""
    return cell[1:] if _QUOTED.match(cell) else cell
