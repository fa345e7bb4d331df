"""Runs as data frames of pandas or polars."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from coral.errors import ConfigError, MissingExtra
from coral.evaluation.identity import config_digest
from coral.evaluation.run import Run
from coral.evaluation.tables import Row, RowsOf, columns, conversation_rows, turn_rows
from coral.store.folder import RunFolder

Library = Literal["pandas", "polars"]


def frame(
    runs: str | Path | Run | RunFolder | Iterable[str | Path | Run | RunFolder],
    *,
    rows: RowsOf = "conversations",
    library: Library = "pandas",
) -> Any:
    """Stored runs as one data frame; a column `run` says from which folder a row comes,
    and runs that differ in their seeds alone have one `config`.

    Args:
        runs: a run, or several: folders, or what `evaluate` and `load_run` return.
        rows: a row per conversation, or per turn.

    Raises:
        UserError: a run cannot be read, or the library is not installed.
    """
    several = [runs] if isinstance(runs, str | Path | Run | RunFolder) else list(runs)
    if rows not in {"conversations", "turns"}:
        raise ConfigError(f"rows must be conversations or turns (got {rows!r})", remedy="give one of them")
    make = turn_rows if rows == "turns" else conversation_rows
    folders = [run if isinstance(run, RunFolder) else RunFolder(run.path if isinstance(run, Run) else run)
               for run in several]  # fmt: skip
    told = [(_of_run(folder), make(folder)) for folder in folders]
    names = ["run", "config", "seed", *columns([row for _, found in told for row in found])]
    return _frame([{**of_run, **row} for of_run, found in told for row in found], names, library)


def _of_run(folder: RunFolder) -> Row:
    """What all rows of a run say: runs that differ in their seeds alone have one `config`."""
    identity = folder.identity()
    return {"run": str(folder.path), "config": config_digest(identity), "seed": identity["seed"]}


def _frame(rows: list[Row], names: list[str], library: Library) -> Any:
    values = {name: [row.get(name) for row in rows] for name in names}
    try:
        if library == "polars":
            import polars as pl

            return pl.DataFrame(values, strict=False)
        import pandas as pd
    except ImportError:
        raise MissingExtra(library, extra="frames", why="a data frame") from None
    return pd.DataFrame(values).convert_dtypes()
