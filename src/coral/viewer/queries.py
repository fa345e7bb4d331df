"""Questions to the index of a run: the list, filtered and sorted, and the counts behind the pictures."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from typing import Any

from coral.errors import ConfigError

KINDS = {
    "lost": ("gave up a right answer for a wrong one", "lost_turn IS NOT NULL"),
    "gained": ("gave up a wrong answer for a right one", "gained_turn IS NOT NULL"),
    "agreed": ("ended in agreement", "stop = 'agreed'"),
    "agreed_right": ("agreed, and right", "agreed AND right"),
    "agreed_wrong": ("agreed on a wrong answer", "agreed AND right = 0"),
    "never_agreed": ("ended without agreement", "stop IN ('max_turns', 'context_full') AND NOT agreed"),
    "rescued": ("wrong at first, right in the end", "first_right = 0 AND right AND turns > 1"),
    "unused": ("right at some turn, but not in the end", "any_right AND right IS NOT 1"),
    "right": ("right in the end", "right"),
    "wrong": ("wrong in the end, or without an answer", "right = 0 AND stop != 'failed'"),
    "model_extracted": ("an answer was read by the extractor model", "by_model"),
    "unreadable": ("an answer could not be read", "unreadable"),
    "forked": ("forked from another conversation", "parent IS NOT NULL"),
    "failed": ("a request failed for good", "stop = 'failed'"),
}
"""Kinds of conversations: what the page calls them, and the condition."""
ORDERS = {
    "id": "natural", "stop": "stop", "turns": "turns", "tokens": "tokens", "seconds": "seconds",
    "right": "right", "lost": "lost_turn", "gained": "gained_turn",
}  # fmt: skip
MOST_ROWS = 500
"""Most rows of one answer."""
_GROUP = "group."


def rows(
    connection: sqlite3.Connection, asked: Mapping[str, str], *, most: int = MOST_ROWS
) -> dict[str, Any]:
    """A part of the list.

    Args:
        asked: `kind`, `turn` and `seat` (of a lost or gained answer), `stop`, `problem`, `text`,
            `group.NAME`, `sort` (with `-` before it: from the end), `offset`, `limit`.
        most: rows of one answer.

    Raises:
        ConfigError: a filter that does not exist, or a value that it does not take.
    """
    where, values = _conditions(asked)
    (count,) = connection.execute(
        f"SELECT count(*) FROM conversations WHERE {where}",  # noqa: S608 - values are bound
        values,
    ).fetchone()
    limit = min(number(asked, "limit", 100), most)
    found = connection.execute(
        f"SELECT * FROM conversations WHERE {where} ORDER BY {_order(asked)} LIMIT ? OFFSET ?",  # noqa: S608
        (*values, limit, number(asked, "offset", 0)),
    ).fetchall()
    return {"count": count, "rows": [_row(one) for one in found]}


def kinds(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Every kind with the number of its conversations."""
    sums = ", ".join(f"coalesce(sum({condition}), 0)" for _, condition in KINDS.values())
    counts = connection.execute(f"SELECT {sums} FROM conversations").fetchone()  # noqa: S608 - our own
    return [
        {"name": name, "title": title, "count": count}
        for (name, (title, _)), count in zip(KINDS.items(), counts, strict=True)
    ]


def flow(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """How many turns of each number, seat and verdict there are."""
    found = connection.execute("SELECT * FROM flow WHERE count > 0 ORDER BY turn, seat")
    return [dict(row) for row in found]


def distribution(connection: sqlite3.Connection, column: str) -> list[dict[str, int]]:
    """A histogram of `turns` or `tokens`, in at most thirty steps of equal width."""
    name = ORDERS[column]
    (most,) = connection.execute(f"SELECT max({name}) FROM conversations").fetchone()  # noqa: S608
    if most is None:
        return []
    width = max(1, -(-(most + 1) // 30))
    found = connection.execute(
        f"SELECT {name} / ? AS step, count(*) AS count FROM conversations WHERE {name} IS NOT NULL "  # noqa: S608
        "GROUP BY step ORDER BY step",
        (width,),
    )
    return [{"from": row["step"] * width, "to": row["step"] * width + width - 1, "count": row["count"]}
            for row in found]  # fmt: skip


def groups(connection: sqlite3.Connection) -> dict[str, list[dict[str, Any]]]:
    """By dimension and value: conversations, those that are scored, and those that are right."""
    by: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(
        "SELECT dimension, value, count(*) AS count, count(right) AS scored, "
        "coalesce(sum(right), 0) AS right FROM groups "
        "JOIN conversations USING (number) WHERE stop != 'failed' GROUP BY dimension, value"
    ):
        by.setdefault(row["dimension"], []).append(dict(row))
    return by


def damaged(connection: sqlite3.Connection) -> list[str]:
    """What could not be read of the run."""
    return [row["message"] for row in connection.execute("SELECT message FROM damaged")]


def failures(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Failed conversations by cause, the most frequent first."""
    found = connection.execute(
        "SELECT failure AS cause, count(*) AS count FROM conversations WHERE stop = 'failed' "
        "GROUP BY failure ORDER BY count DESC LIMIT 20"
    )
    return [dict(row) for row in found]


def _row(found: sqlite3.Row) -> dict[str, Any]:
    hidden = {"number", "natural", "path", "offset"}
    return {name: found[name] for name in found.keys() if name not in hidden}  # noqa: SIM118 - of a Row


def _conditions(asked: Mapping[str, str]) -> tuple[str, list[object]]:
    """The condition of a list in SQL, and the values that are bound in it."""
    terms, values = ["1"], list[object]()
    for name, value in asked.items():
        if name in {"sort", "offset", "limit"} or not value:
            continue
        if name == "kind":
            terms.append(f"({_kind(value)})")
        elif name in {"turn", "seat"}:
            kind = asked.get("kind")
            if kind not in {"lost", "gained"}:
                raise ConfigError(f"`{name}` is of kind=lost or kind=gained", remedy="choose one of them")
            terms.append(f"{kind}_{name} = ?")
            values.append(number(asked, name, 0) if name == "turn" else value)
        elif name in {"stop", "problem"}:
            terms.append(f"{name} = ?")
            values.append(value)
        elif name == "text":
            terms.append("number IN (SELECT rowid FROM texts WHERE texts MATCH ?)")
            values.append(_match(value))
        elif name.startswith(_GROUP):
            terms.append("number IN (SELECT number FROM groups WHERE dimension = ? AND value = ?)")
            values += [name.removeprefix(_GROUP), value]
        else:
            raise ConfigError(f"no filter '{name}'", remedy="kind, turn, seat, stop, problem, text, group.X")
    return " AND ".join(terms), values


def _kind(name: str) -> str:
    if name not in KINDS:
        raise ConfigError(f"no kind '{name}'", remedy=", ".join(KINDS))
    return KINDS[name][1]


def _match(text: str) -> str:
    """The search as FTS5 takes it: all words; a phrase where it is quoted; the last word as a beginning."""
    pieces = re.findall(r'"([^"]+)"|(\S+)', text.replace("\0", " "))
    words = [phrase or word.replace('"', "") for phrase, word in pieces]
    found = " ".join(f'"{word}"' for word in words if word)
    return f"{found}*" if found and not text.rstrip().endswith('"') else found or '""'


def _order(asked: Mapping[str, str]) -> str:
    sort = asked.get("sort") or "id"
    name = sort.removeprefix("-")
    if name not in ORDERS:
        raise ConfigError(f"no column '{name}' to sort by", remedy=", ".join(ORDERS))
    direction = "DESC" if sort.startswith("-") else "ASC"
    column = ORDERS[name]
    return (
        f"{column} IS NULL, {column} {direction}, natural" if column != "natural" else f"natural {direction}"
    )


def number(asked: Mapping[str, str], name: str, default: int) -> int:
    """A whole number that was asked for.

    Raises:
        ConfigError: it is none.
    """
    value = asked.get(name) or str(default)
    if not re.fullmatch(r"\d{1,9}", value):
        raise ConfigError(f"{name}={value} is not a whole number", remedy=f"{name}={default}, for instance")
    return int(value)
