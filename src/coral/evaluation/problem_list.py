"""A file of problem ids, one per line: which problems a run takes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from coral.errors import DataError

REMEDY = "give --problems a file with the id of a problem on each line"


def load_ids(path: str) -> frozenset[str]:
    """The ids that a file lists.

    Raises:
        DataError: it cannot be read, or lists none.
    """
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}", remedy=REMEDY) from None
    ids = frozenset(line.strip() for line in lines if line.strip())
    if not ids:
        raise DataError(f"{path} lists no problem", remedy=REMEDY)
    return ids


def digest(path: str) -> str:
    """Identifies the ids of a file, in whatever order.

    Raises:
        DataError: as `load_ids`.
    """
    return hashlib.sha256("\n".join(sorted(load_ids(path))).encode()).hexdigest()[:16]
