"""What a conversation would teach: the rows that `coral build` makes of it, and what is trained."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from coral import workers
from coral.errors import ConfigError
from coral.rows.options import RowOptions
from coral.rows.preview import OneProblem, preview
from coral.rows.row import TrainingRow
from coral.rows.run import open_run
from coral.training.tokens import Said, folder_of, trained
from coral.types import Conversation, Message
from coral.viewer.index import WORKING, RunIndex

TRAINED = ("chosen", "rejected", "completion")
"""Columns whose words, with the mark that ends them, carry loss. The prompt is context."""


def lessons(
    index: RunIndex, conversation: Conversation, asked: Mapping[str, str], tokenizer: Path | None = None
) -> list[dict[str, Any]]:
    """The rows of a conversation, as JSON types.

    Args:
        asked: `kind` and `score`, as `coral build` takes them.
        tokenizer: the folder of the model that is to be trained; by default the speaker's own.

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
        return asyncio.run(_made(OneProblem.of(run, held), options, conversation, tokenizer))


async def _made(
    run: OneProblem, options: RowOptions, conversation: Conversation, tokenizer: Path | None
) -> list[dict[str, Any]]:
    async with workers.in_use():
        rows = [row for row in await preview(run, options) if row.source.conversation == conversation.id]
        told, by_folder = [_told(row) for row in rows], dict[Path, list[int]]()
        for number, row in enumerate(rows):
            model = conversation.speakers[conversation.turns[row.source.turn - 1].seat].model
            folder = tokenizer or folder_of(model)
            if folder is None:
                told[number]["why"] = f"no tokenizer of {model} lies on this machine"
            else:
                by_folder.setdefault(folder, []).append(number)
        for folder, numbers in by_folder.items():
            found = await trained(folder, [_said(rows[number]) for number in numbers])
            for number, tokens in zip(numbers, found, strict=True):
                told[number] |= {"tokenizer": folder.name, **_beside(told[number]["trained"], tokens)}
        return told


def _said(row: TrainingRow) -> tuple[Said, list[Said]]:
    def plain(messages: Sequence[Message]) -> Said:
        return tuple((message.role.value, message.content) for message in messages)

    return plain(row.prompt), [plain(said) for said in _columns(row).values()]


def _beside(columns: list[dict[str, Any]], tokens: dict[str, Any]) -> dict[str, Any]:
    """Tokens beside the columns that they are of."""
    if "why" in tokens:
        return tokens
    each = zip(columns, tokens["replies"], strict=True)
    return {"context": tokens["prompt"], "trained": [{**column, "tokens": found} for column, found in each]}


def _options(values: Mapping[str, str]) -> RowOptions:
    try:
        return msgspec.convert(values, RowOptions)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"no rows like that: {error}",
            remedy="kind is sft, dpo or kto; score correct, majority or rollouts",
        ) from None


def _told(row: TrainingRow) -> dict[str, Any]:
    return {
        "turn": row.source.turn,
        "candidate": row.source.candidate,
        "rejected": row.source.rejected,
        "margin": getattr(row, "margin", None),
        "label": getattr(row, "label", None),
        "prompt": len(row.prompt),
        "trained": [
            {"column": name, "text": "\n".join(message.content for message in said)}
            for name, said in _columns(row).items()
        ],
    }


def _columns(row: TrainingRow) -> dict[str, tuple[Message, ...]]:
    return {name: getattr(row, name) for name in TRAINED if hasattr(row, name)}
