"""What several people read: a sheet each, and what most of them say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from coral.audits.sheet import Text, read_labels
from coral.errors import ConfigError, UserError
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.types import Answered, Belief, Problem

FOLDER = "people"
"""In the folder of an audit: `NAME.csv` for everybody who has read in the page."""
_NAME = re.compile(r"[^\W_][\w .\-]{0,59}")
Said = Mapping[str, Belief]
"""By the text's key."""


def sheet_name(person: str) -> str:
    """The name of a person's sheet.

    Raises:
        UserError: the name is none, or would not do as a file's.
    """
    if not _NAME.fullmatch(person) or person.endswith((".", "-")):
        raise UserError(
            f"'{person}' is no name for a sheet", remedy="up to 60 letters, digits, spaces, dots and hyphens"
        )
    return f"{person}.csv"


def read_people(place: str | Path, texts: Mapping[str, Text], task: Task) -> dict[str, dict[str, Belief]]:
    """What people read, by name: one sheet, or a folder with a sheet each.

    Raises:
        ConfigError: as `read_labels`; or a folder holds no sheet.
    """
    path = Path(place).expanduser()
    if not path.is_dir():
        return {path.stem: read_labels(path, texts, task)}
    sheets = sorted(one for one in path.glob("*.csv") if not one.name.startswith("."))
    if not sheets:
        raise ConfigError(f"{path} holds no sheet", remedy="`coral audit RUN --label` has people fill some")
    return {sheet.stem: read_labels(sheet, texts, task) for sheet in sheets}


async def most_say(people: Mapping[str, Said], texts: Mapping[str, Text], task: Task) -> dict[str, Belief]:
    """For each text what more people read in it than anything else; left out where they are divided."""
    found = {}
    for key in sorted({key for said in people.values() for key in said}):
        said = [readings[key] for readings in people.values() if key in readings]
        chosen = await _most(said, texts[key].problem, task)
        if chosen is not None:
            found[key] = chosen
    return found


async def _most(said: list[Belief], problem: Problem, task: Task) -> Belief | None:
    votes: list[tuple[Belief, int]] = []
    for belief in said:
        for place, (other, count) in enumerate(votes):
            if await _alike(belief, other, problem, task):
                votes[place] = (other, count + 1)
                break
        else:
            votes.append((belief, 1))
    votes.sort(key=lambda vote: -vote[1])
    return None if len(votes) > 1 and votes[0][1] == votes[1][1] else votes[0][0]


async def _alike(a: Belief, b: Belief, problem: Problem, task: Task) -> bool:
    if isinstance(a, Answered) and isinstance(b, Answered):
        return a == b or await boundary.same(task, a.value, b.value, problem)
    return type(a) is type(b)
