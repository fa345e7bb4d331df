"""What is looked at before the first step: which tokens are trained, and which rows are too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coral.errors import ConfigError
from coral.training.config import Kind
from coral.training.encode import Encoded, Encoder
from coral.training.rows import REPLIES, Row


@dataclass(frozen=True, kw_only=True)
class ShownReply:
    """One reply of a shown row as text: what is context, and what is trained."""

    row: str
    column: str
    context: str
    trained: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """What the check found.

    Attributes:
        kept: rows that are trained on.
        too_long: rows beyond the limit, as (file and line, tokens), longest first.
        equal: file and line of pairs whose replies are the same: nothing can be learned from them.
        controlled: file and line of rows that hold control tokens in what was said: trained on, they would
            teach the model to write other people's turns.
        limit: most tokens of prompt and reply together.
        longest: tokens of the longest row that is kept.
        trained_tokens: tokens that the loss is computed on, in the rows that are kept.
        all_tokens: their tokens altogether.
        shown: the first rows, marked.
    """

    kept: tuple[Row, ...]
    too_long: tuple[tuple[str, int], ...]
    equal: tuple[str, ...]
    controlled: tuple[str, ...]
    limit: int
    longest: int
    trained_tokens: int
    all_tokens: int
    shown: tuple[ShownReply, ...]


def check_rows(rows: Sequence[Row], encoder: Encoder, *, kind: Kind, limit: int, show: int) -> Check:
    """Encode every row, and sort out those beyond `limit` tokens and those that would teach something else.

    Raises:
        ConfigError: the chat template would train something else than a row's replies.
    """
    kept: list[Row] = []
    too_long: list[tuple[str, int]] = []
    shown: list[ShownReply] = []
    equal: list[str] = []
    controlled: list[str] = []
    longest = trained = together = 0
    for row in rows:
        if encoder.holds_control_tokens(row):
            controlled.append(row.where)
            continue
        encoded = encoder.encode(row, REPLIES[kind])
        length = max(reply.length for reply in encoded)
        if length > limit:
            too_long.append((row.where, length))
            continue
        if len(encoded) == 2 and encoded[0].reply == encoded[1].reply:
            equal.append(row.where)
            continue
        kept.append(row)
        longest = max(longest, length)
        trained += sum(len(reply.reply) for reply in encoded)
        together += sum(reply.length for reply in encoded)
        if len(kept) <= show:
            shown.extend(_show(row, reply, encoder) for reply in encoded)
    return Check(
        kept=tuple(kept),
        too_long=tuple(sorted(too_long, key=lambda pair: -pair[1])),
        equal=tuple(equal),
        controlled=tuple(controlled),
        limit=limit,
        longest=longest,
        trained_tokens=trained,
        all_tokens=together,
        shown=tuple(shown),
    )


def refuse_long(check: Check, *, drop: bool, what: str) -> None:
    """Stop where rows are too long, unless they are to be left out, or none would be left.

    Raises:
        ConfigError: says how many there are, and how long the longest is; or why no row is left.
    """
    if not check.too_long:
        _refuse_none(check, what)
        return
    where, tokens = check.too_long[0]
    total = len(check.too_long) + len(check.kept)
    message = (
        f"{len(check.too_long)} of {total} {what} are longer than {check.limit} tokens; "
        f"the longest ({where}) has {tokens}"
    )
    if not drop:
        raise ConfigError(
            message,
            remedy="leave them out with --drop_long, or build shorter rows; a row is never cut",
        )
    if not check.kept:
        raise ConfigError(f"{message}, and none is left", remedy="build shorter rows, or raise the limit")


def _refuse_none(check: Check, what: str) -> None:
    if check.kept:
        return
    lost = {"hold control tokens": check.controlled, "have two replies that are the same": check.equal}
    reasons = ", ".join(f"{len(rows)} {reason} (such as {rows[0]})" for reason, rows in lost.items() if rows)
    raise ConfigError(f"none of the {what} can be trained on: {reasons}", remedy="build the rows again")


def _show(row: Row, encoded: Encoded, encoder: Encoder) -> ShownReply:
    return ShownReply(
        row=row.where,
        column=encoded.name,
        context=encoder.text(encoded.prompt),
        trained=encoder.text(encoded.reply),
    )
