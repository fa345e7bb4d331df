"""A comparison as a file: what kind of file, its suffix says."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from coral.comparison.compare import PairedRuns, SeveralRuns
from coral.comparison.rows import as_html, heading, tables_of, title_of
from coral.comparison.tables import Table, latex, markdown
from coral.errors import ConfigError
from coral.metrics import Comparison, adjusted, holm
from coral.store.cells import harmless
from coral.store.whole import whole_file
from coral.version import version

COLUMNS = (
    "run_a", "run_b", "metric", "title", "by", "group", "a", "b", "difference", "low", "high", "p_value",
    "p_holm", "num_problems", "reading_alone",
)  # fmt: skip
"""Of the csv: shares are between 0 and 1, and what is not known is empty."""


def check_output(path: Path) -> Path:
    """Refuse a file that could not be written, before anything is computed.

    Raises:
        ConfigError: the suffix is none of ours, there is such a file, or no folder for it.
    """
    path = path.expanduser()
    if path.suffix.lower() not in WRITERS:
        found = f"'{path.suffix}' is not a kind of file" if path.suffix else "no suffix says the kind of file"
        raise ConfigError(
            f"--output {path}: {found} that a comparison is written as",
            remedy=f"end its name in one of {', '.join(WRITERS)}",
        )
    if path.exists():
        raise ConfigError(f"there is already a file '{path}'", remedy="give another --output")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder '{path.parent}'", remedy="make it, or give another --output")
    return path


def save(several: SeveralRuns, path: Path, *, p_values: bool = False) -> None:
    """Write all of a comparison.

    Raises:
        ConfigError: the file cannot be written.
    """
    content = WRITERS[path.suffix.lower()](several, p_values)
    try:
        with whole_file(path, replace=False) as file:
            file.write(content.encode())
    except OSError as error:
        raise ConfigError(
            f"cannot write '{path}': {error.strerror or error}", remedy="give another --output"
        ) from None


def _as_json(several: SeveralRuns, _p_values: bool) -> str:
    content = {"version": version(), **msgspec.to_builtins(several)}
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n"


def _as_csv(several: SeveralRuns, _p_values: bool) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for runs, other in zip(several.compared, several.others, strict=True):
        for row in _lines(runs):
            writer.writerow(harmless(cell) for cell in (several.baseline, other, *row))
    return file.getvalue()


def _lines(runs: PairedRuns) -> Iterator[tuple[str, ...]]:
    """A line per metric, and per group of the headline."""
    holms = adjusted(holm, [one.p_value for one in runs.comparisons])
    for place, (one, p) in enumerate(zip(runs.comparisons, holms, strict=True)):
        alone = "" if place or runs.reading_alone is None else str(runs.reading_alone).lower()
        yield (one.metric, title_of(one, runs), "", "", *_numbers(one, p), alone)
    first = title_of(runs.comparisons[0], runs)
    for part in runs.groups:
        one = part.comparison
        yield (one.metric, first, runs.by, part.group, *_numbers(one, part.p_holm), "")


def _numbers(one: Comparison, p_holm: float | None) -> tuple[str, ...]:
    values = (one.a, one.b, one.difference, one.low, one.high, one.p_value, p_holm)
    return (*("" if value is None else repr(value) for value in values), str(one.num_problems))


def _as_page(several: SeveralRuns, p_values: bool) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>coral compare</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<style>body{font:16px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}"
        ".wide{overflow-x:auto}td,th{padding:.1em .7em;text-align:right;white-space:nowrap}"
        ".text{text-align:left}td:first-child,th:first-child{white-space:normal}</style></head>\n"
        f"<body>\n{as_html(several, p_values=p_values)}\n</body></html>\n"
    )


def _as_markdown(several: SeveralRuns, p_values: bool) -> str:
    title, *letters = heading(several)
    parts = [f"# {title}", "\n".join(f"- {letter}" for letter in letters)]
    for table, notes in tables_of(several, p_values=p_values):
        parts.append(markdown(_titled(table)))
        parts += ["  \n".join(notes)] if notes else []
    return "\n\n".join(parts) + "\n"


def _as_latex(several: SeveralRuns, p_values: bool) -> str:
    found = tables_of(several, p_values=p_values)
    return "\n".join(latex(_titled(table)._replace(note=" ".join(notes))) for table, notes in found)


def _titled(table: Table) -> Table:
    """With a title where it has none, and without its note, which stands below it."""
    return table._replace(title=table.title or table.header[0] or "runs", note="")


WRITERS: dict[str, Callable[[SeveralRuns, bool], str]] = {
    ".json": _as_json,
    ".csv": _as_csv,
    ".html": _as_page,
    ".md": _as_markdown,
    ".tex": _as_latex,
}
