"""Tables of a report, and how they are written: Markdown, HTML, LaTeX and csv."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Sequence
from typing import NamedTuple

from coral.metrics import Estimate
from coral.store.cells import harmless


class Table(NamedTuple):
    """One table.

    Attributes:
        name: of its files.
        note: what stands below it.
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def markdown(table: Table) -> str:
    """The table for `report.md`."""
    lines = [_row(table.header), _row(["---"] * len(table.header)), *map(_row, table.rows)]
    note = f"\n\n{table.note}" if table.note else ""
    return f"## {table.title}\n\n" + "\n".join(lines) + note


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in cells) + " |"


def as_html(table: Table) -> str:
    """The table for `report.html`. Every cell is data, never markup."""
    texts = _texts(table)
    head = _html_row("th", table.header, texts)
    body = "\n".join(_html_row("td", row, texts) for row in table.rows)
    note = f"<p>{html.escape(table.note)}</p>" if table.note else ""
    title = f"<h2>{html.escape(table.title)}</h2>\n" if table.title else ""
    whole = f"<table><thead>{head}</thead>\n<tbody>\n{body}\n</tbody></table>"
    return f'{title}<div class="wide">{whole}</div>{note}'


def _html_row(tag: str, cells: Sequence[str], texts: Sequence[bool]) -> str:
    kinds = (' class="text"' if is_text else "" for is_text in texts)
    parts = (f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))
    return f"<tr>{''.join(parts)}</tr>"


def _texts(table: Table) -> list[bool]:
    """Which columns hold texts, and no figures: the first one, and those whose cells begin with a letter."""
    told = [[row[place] for row in table.rows if row[place] != MISSING] for place in range(len(table.header))]
    return [
        not place or (bool(cells) and all(cell[:1].isalpha() for cell in cells))
        for place, cells in enumerate(told)
    ]


MISSING = "-"
"""Stands for what is not known."""
_MINUS = re.compile(r"(?<![\w.])-(?=\d)")
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "†": r"\dag{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "−": "$-$",
    "×": r"$\times$",
}  # fmt: skip


def latex(table: Table) -> str:
    """The table for a paper: `booktabs`, texts to the left, figures to the right and with a real minus."""
    columns = "".join("l" if is_text else "r" for is_text in _texts(table))
    lines = [" & ".join(map(_escaped, row)) + r" \\" for row in table.rows]
    note = f"% {' '.join(table.note.split())}\n" if table.note else ""
    return (
        f"% {table.title}; \\usepackage{{booktabs}}\n{note}"
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n"
        + " & ".join(map(_escaped, table.header))
        + " \\\\\n\\midrule\n"
        + "\n".join(lines)
        + "\n\\bottomrule\n\\end{tabular}\n"
    )


def _escaped(text: str) -> str:
    spaced = _MINUS.sub("−", " ".join(text.split()))
    return "".join(_LATEX.get(character, character) for character in spaced)


def as_csv(table: Table) -> str:
    """The table as a spreadsheet reads it; a cell that would be a formula there is quoted, one that is not
    known is empty.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.header)
    writer.writerows([harmless(cell) if cell != MISSING else "" for cell in row] for row in table.rows)
    return file.getvalue()


# Figures ----------------------------------------------------------------------------------------------------


def percent(share: float | None) -> str:
    """A share in percent."""
    return "-" if share is None else f"{100 * share:.1f}%"


def points(difference: float | None) -> str:
    """A difference of shares in points."""
    return "-" if difference is None else f"{100 * difference:+.1f}"


def between(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """An interval of shares, in percent or points."""
    if low is None or high is None:
        return "-"
    sign = "+" if signed else ""
    return f"[{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def figure(value: float | None, low: float | None, high: float | None, *, signed: bool = False) -> str:
    """A share, or a difference of shares in points, with its interval."""
    if value is None:
        return "-"
    return f"{points(value) if signed else percent(value)} {between(low, high, signed=signed)}"


EDGE = 0.05
"""How near a share is to 0 or 1 where its interval was measured to hold less often than it says."""
NEAR_EDGE = "†"
NEAR_EDGE_NOTE = (
    f" {NEAR_EDGE} Within {100 * EDGE:.0f} points of 0 or 100% a 95% interval holds the truth in 91 to 98 of "
    "100 runs, since counts jump."
)


def share(found: Estimate | None, *, marked: bool = False) -> str:
    """A share with its interval and what it is of.

    Args:
        marked: say of an interval that it is of a share so near 0 or 1 that it may hold less often.
    """
    if found is None or found.mean is None:
        return "-"
    near = marked and found.low is not None and min(found.mean, 1 - found.mean) < EDGE
    return f"{figure(found.mean, found.low, found.high)}{NEAR_EDGE * near} (n = {found.n:,})"


def explained(table: Table) -> Table:
    """The table, with what the mark of its intervals means where it is used."""
    used = any(NEAR_EDGE in cell for row in table.rows for cell in row)
    return table._replace(note=f"{table.note}{NEAR_EDGE_NOTE}".strip()) if used else table


def amount(found: Estimate | None, form: str = ",.0f") -> str:
    """A quantity with its interval and what it is of."""
    if found is None or found.mean is None:
        return "-"
    low, high = ("-" if end is None else format(end, form) for end in (found.low, found.high))
    return f"{found.mean:{form}} [{low}, {high}] (n = {found.n:,})"


def amount_of(value: float | None, form: str = ",.0f") -> str:
    """A quantity without an interval."""
    return "-" if value is None else format(value, form)


def p_value(p: float | None) -> str:
    """A p-value."""
    if p is None:
        return "-"
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"
