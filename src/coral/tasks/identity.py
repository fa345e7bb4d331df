"""Names of problems: stable across runs, machines, subsets and the order of the file.

Where authors number their problems, that number is the id. Otherwise it is a hash of what the problem says,
so that a shuffled or shortened file gives the same ids.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterable, Iterator

import msgspec

from coral.errors import Notice
from coral.tasks.files import Row
from coral.types import Problem

_UNSAFE = re.compile(r"[^\w.-]+")
_LONGEST = 80
_CONTENT_ID = re.compile(r"[0-9a-f]{16}")


def published_id(name: object, row: Row) -> str:
    """The authors' own name of a problem, if it is of letters and digits of any script, `.`, `_` and `-`.

    Any other name, such as `C++`, has `-` for what it may not hold, and a digest of itself behind it, so that
    two names are two ids; so has one of more than 80 characters.

    Raises:
        DataError: it is blank.
    """
    whole = str(name).strip()
    if not whole:
        raise row.error(f"{name!r} cannot serve as an id")
    safe = _UNSAFE.sub("-", whole).strip("-.")[:_LONGEST]
    if safe == whole:
        return whole
    return "-".join(part for part in (safe, content_id(whole)[:8]) if part)


def content_id(*texts: str) -> str:
    """16 hex digits of the SHA-256 of the texts: an id for problems that their authors gave none."""
    return hashlib.sha256("\x1f".join(texts).encode()).hexdigest()[:16]


def distinct(problems: Iterable[tuple[Row, Problem]], *, option: str = "") -> Iterator[Problem]:
    """The problems with ids that are unique.

    Two problems of one content id are the same problem twice: the second is named `<id>-2`. Two of one
    published id are an error of the file.

    Repeated problems of data of one's own are told.

    Args:
        option: what tells the field of the ids, where the user can.

    Raises:
        DataError: a published id appears twice.
    """
    seen: dict[str, int] = {}
    again: list[Row] = []
    for row, problem in problems:
        count = seen[problem.id] = seen.get(problem.id, 0) + 1
        if count == 1:
            yield problem
        elif _CONTENT_ID.fullmatch(problem.id):
            again.append(row)
            yield msgspec.structs.replace(problem, id=f"{problem.id}-{count}")
        else:
            other = f", or name a field whose values are unique ({option} FIELD)" if option else ""
            raise row.error(
                f"the id '{problem.id}' is there for the second time",
                remedy=f"delete one of the two records, or give the parts of the data one by one{other}",
            )
    if again and option:
        repeat = "1 record repeats" if len(again) == 1 else f"{len(again)} records repeat"
        place = f"{again[0].unit} {again[0].number}"
        warnings.warn(
            f"{again[0].file}: {repeat} an earlier problem, the first in {place}; each counts as "
            "a problem of its own, so intervals are too narrow",
            Notice,
            stacklevel=2,
        )
