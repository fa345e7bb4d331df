"""The records of a JSON document, in the shapes that tools write."""

from __future__ import annotations

from typing import Any

from coral.errors import DataError

_WRAPPERS = (
    "data", "examples", "items", "problems", "questions", "records", "rows", "samples", "instances",
    "test", "validation", "train",
)  # fmt: skip
"""Under these names documents hold lists of records."""


def records(document: Any, name: str) -> list[Any]:
    """A list, a wrapped one, columns, records by their ids, or one record alone.

    Args:
        name: of the file.

    Raises:
        DataError: it holds several lists of records.
    """
    if not isinstance(document, dict):
        return document if isinstance(document, list) else [document]
    values = list(document.values())
    if values and all(isinstance(value, dict) and value for value in values):
        return _by_key(document)
    if len(values) > 1 and _are_columns(values):
        return [dict(zip(document, cells, strict=True)) for cells in zip(*values, strict=True)]
    wrapped = [key for key in _WRAPPERS if _wraps(document, key)]
    if len(wrapped) > 1:
        raise DataError(
            f"{name} holds several lists of records: {', '.join(wrapped)}",
            remedy="put each into a file of its own, such as test.json and train.json",
        )
    return list(document[wrapped[0]]) if wrapped else [document]


def _by_key(document: dict[str, dict[str, Any]]) -> list[Any]:
    """Columns by row, as pandas writes them, or records by their ids."""
    rows = next(iter(document.values())).keys()
    if all(key.isdecimal() for key in rows) and all(cells.keys() == rows for cells in document.values()):
        return [{name: cells[key] for name, cells in document.items()} for key in rows]
    return [{"id": key, **fields} for key, fields in document.items()]


def _are_columns(values: list[Any]) -> bool:
    """Lists of one length, with something but records in the first one."""
    alike = all(isinstance(value, list) and len(value) == len(values[0]) for value in values)
    return alike and not all(isinstance(item, dict) for item in values[0])


def _wraps(document: dict[str, Any], key: str) -> bool:
    """A record of its own may have examples, too; `data` always wraps."""
    listed = document.get(key)
    if key == "data" or not isinstance(listed, list):
        return isinstance(listed, list)
    whole = any(part in document for part in ("question", "problem", "prompt", "answer"))
    return not whole and all(isinstance(item, dict) for item in listed)
