"""What a conversation would teach: the rows that `coral build` makes of it, and what is trained."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from coral import workers
from coral.errors import ConfigError
from coral.rows.options import RowOptions
from coral.rows.preview import OneProblem, preview
from coral.rows.row import TrainingRow
from coral.rows.run import open_run
from coral.types import Conversation
from coral.viewer.index import WORKING, RunIndex

TRAINED = ("chosen", "rejected", "completion")
"""Columns whose words, with the mark that ends them, carry loss. The prompt is context."""


def lessons(index: RunIndex, conversation: Conversation, asked: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows of a conversation, as JSON types.

    Args:
        asked: `kind` and `score`, as `coral build` takes them.

    Raises:
        UserError: an option cannot be, or the run does not keep what its prompts are made of.
    """
    options = _options({name: asked[name] for name in ("kind", "score") if asked.get(name)})
    run = open_run(index.folder.path, Path(index.folder.path).resolve().name, unfinished=True)
    ids = index.connection.execute(
        "SELECT id FROM conversations WHERE problem = ? ORDER BY natural", (conversation.problem.id,)
    ).fetchall()
    held = [found for row in ids if (found := index.conversation(row["id"])) is not None]
    with WORKING:
        rows = asyncio.run(_made(OneProblem.of(run, held), options))
    return [_told(row) for row in rows if row.source.conversation == conversation.id]


async def _made(run: OneProblem, options: RowOptions) -> list[TrainingRow]:
    async with workers.in_use():
        return await preview(run, options)


def _options(values: Mapping[str, str]) -> RowOptions:
    try:
        return msgspec.convert(values, RowOptions)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"no rows like that: {error}",
            remedy="kind is sft, dpo or kto; score correct, majority or rollouts",
        ) from None


def _told(row: TrainingRow) -> dict[str, Any]:
    columns = {name: getattr(row, name) for name in TRAINED if hasattr(row, name)}
    return {
        "turn": row.source.turn,
        "candidate": row.source.candidate,
        "rejected": row.source.rejected,
        "margin": getattr(row, "margin", None),
        "label": getattr(row, "label", None),
        "prompt": len(row.prompt),
        "trained": [
            {"column": name, "text": "\n".join(message.content for message in said)}
            for name, said in columns.items()
        ],
    }
