"""What has arrived: a line per row, in any order; and the lines of OUTPUT that are made of them."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from coral.errors import ModelError, RunFolderError
from coral.generation.rows import Row, Rows
from coral.models.protocol import Candidate, Generation
from coral.store.lines import Appender, decode, line_files, read_file
from coral.types import Billing, FinishReason, Usage

MISSING, FAILED, ANSWERED = 0, 1, 2

LOOK_EVERY_S = 1.0
"""How often a run looks whether what it wrote is still there: what is written to a deleted file is lost."""


class Failed(msgspec.Struct, frozen=True):
    """Why a row has no reply."""

    code: str
    message: str


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of one row.

    Attributes:
        piece: of a row that is not whole yet, which of its candidates these are.
    """

    row: int
    digest: int
    generation: Generation | None = None
    failed: Failed | None = None
    piece: str | None = None


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Part)


class Parts:
    """What has arrived of some rows, in a folder that nobody else writes to.

    Attributes:
        numbers: of the rows.
        status: of each row of the file: MISSING, FAILED or ANSWERED.
        spent: tokens of all that had arrived when it was read, by how they were paid for, rows that have
            changed since included.
    """

    def __init__(self, folder: Path, rows: Rows, numbers: range) -> None:
        self.folder, self.numbers = folder, numbers
        self._rows = rows
        self.status = bytearray(len(rows))
        self.spent: dict[Billing, Usage] = {}
        self._files: list[Path] = []
        self._file_of = array("I", bytes(4 * len(rows)))
        self._offset_of = array("Q", bytes(8 * len(rows)))
        self._pieces: dict[int, dict[str, Generation]] = {}
        self._appender = Appender(self.folder)
        self._look_at = 0.0

    def close(self) -> None:
        """Close the file that is written to."""
        self._appender.close()

    def read(self) -> None:
        """Learn what has arrived. A row that was changed since counts as missing; the last answer counts."""
        self._files = line_files(self.folder)
        tokens: dict[Billing, list[int]] = {}
        for number, path in enumerate(self._files):
            for line in read_file(path):
                part = decode(line, _DECODER)
                if part.piece is None and part.generation is not None:
                    _add(tokens, part.generation)
                if part.row not in self.numbers or part.digest != self._rows.digests[part.row]:
                    continue
                if part.piece is not None:
                    self._note_piece(part.row, part.piece, part.generation)
                    continue
                status = FAILED if part.generation is None else ANSWERED
                if status == ANSWERED:
                    self._pieces.pop(part.row, None)
                if status >= self.status[part.row]:
                    self.status[part.row] = status
                    self._file_of[part.row], self._offset_of[part.row] = number, line.offset
        for pieces in self._pieces.values():
            for generation in pieces.values():
                _add(tokens, generation)
        self.spent = {
            billing: Usage(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion)
            for billing, (prompt, cached, completion) in tokens.items()
        }

    def _note_piece(self, row: int, piece: str, generation: Generation | None) -> None:
        if generation is not None and self.status[row] != ANSWERED:
            self._pieces.setdefault(row, {})[piece] = generation

    def pieces(self, row: int) -> Pieces:
        """The candidates of a row that have arrived, where a server sends them one by one."""
        return Pieces(self, row)

    def counted(self, row: int) -> Usage | None:
        """What the pieces of a row that have arrived took; `usage` holds those of earlier sessions."""
        pieces = self._pieces.get(row)
        return Usage.total(piece.usage for piece in pieces.values()) if pieces else None

    def find_piece(self, row: int, piece: str) -> Generation | None:
        """Candidates that arrived earlier."""
        return self._pieces.get(row, {}).get(piece)

    def keep_piece(self, row: int, piece: str, generation: Generation) -> None:
        """Keep candidates of a row that is not whole yet."""
        self._append(Part(row, self._rows.digests[row], generation=generation, piece=piece))
        self._note_piece(row, piece, generation)

    def keep(self, row: int, generation: Generation) -> None:
        """Keep the replies to a row."""
        self._append(Part(row, self._rows.digests[row], generation=generation))
        self.status[row] = ANSWERED
        self._pieces.pop(row, None)

    def keep_failure(self, row: int, error: ModelError) -> None:
        """Keep why a row has no reply; the next run asks again."""
        failed = Failed(type(error).__name__, str(error))
        self._append(Part(row, self._rows.digests[row], failed=failed))
        self.status[row] = FAILED

    def _append(self, part: Part) -> None:
        self._appender.append(_ENCODER.encode(part))
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY_S
            self._appender.check()

    def lines(self, model: str) -> Iterator[bytes]:
        """The lines of OUTPUT for these rows, in their order; each row must have a result.

        Raises:
            RunFolderError: what came of some is no longer in the folder.
        """
        self.status = bytearray(len(self._rows))
        self.read()
        lost = sum(self.status[number] == MISSING for number in self.numbers)
        if lost:
            raise RunFolderError(
                f"what came of {lost} rows was deleted from {self.folder} while the run worked in it",
                remedy="run the same command again: it asks for those rows alone",
            )
        opened = [path.open("rb") for path in self._files]
        try:
            for number in self.numbers:
                file = opened[self._file_of[number]]
                file.seek(self._offset_of[number])
                part = _DECODER.decode(file.readline())
                yield _ENCODER.encode(_answered(self._rows[number], part, model)) + b"\n"
        finally:
            for file in opened:
                file.close()


def _add(tokens: dict[Billing, list[int]], generation: Generation) -> None:
    sums, usage = tokens.setdefault(generation.billing, [0, 0, 0]), generation.usage
    for index, count in enumerate((usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)):
        sums[index] += count or 0


class Pieces:
    """The pieces of one row. See `coral.models.protocol.Parts`."""

    def __init__(self, parts: Parts, row: int) -> None:
        self._parts, self._row = parts, row

    def find(self, name: str) -> Generation | None:
        """The piece of this name that arrived earlier."""
        return self._parts.find_piece(self._row, name)

    def keep(self, name: str, part: Generation) -> None:
        """Keep a piece that has just arrived."""
        self._parts.keep_piece(self._row, name, part)


def _answered(row: Row, part: Part, model: str) -> dict[str, Any]:
    """A row with what came of it: a batch line for a batch line, the row itself with two more fields else."""
    name = f"coral-{part.digest:016x}"
    body = None if part.generation is None else _completion(name, part.generation, model)
    if not row.is_batch:
        return {**row.whole, "response": body, "error": part.failed}
    response = None if body is None else {"status_code": 200, "request_id": name, "body": body}
    custom_id = row.whole.get("custom_id")
    return {"id": name, "custom_id": custom_id, "response": response, "error": part.failed}


def _completion(name: str, generation: Generation, model: str) -> dict[str, Any]:
    """A chat completion in OpenAI's form; thinking stands apart from the reply."""
    choices = []
    for index, candidate in enumerate(generation.candidates):
        message = {"role": "assistant", "content": candidate.text}
        if candidate.reasoning:
            message["reasoning_content"] = candidate.reasoning
        known = candidate.finish_reason is not FinishReason.UNKNOWN
        reason = candidate.finish_reason.value if known else None
        choices.append({"index": index, "message": message, "finish_reason": reason, **_tokens(candidate)})
    usage = {
        name: value for name, value in msgspec.structs.asdict(generation.usage).items() if value is not None
    }
    if "prompt_tokens" in usage and "completion_tokens" in usage:
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
    prompt = generation.prompt_token_ids
    more = {} if prompt is None else {"prompt_token_ids": prompt}
    body = {"id": name, "object": "chat.completion", "model": model, "choices": choices, "usage": usage}
    return {**body, **more}


def _tokens(candidate: Candidate) -> dict[str, Any]:
    """Token ids and log probabilities where vLLM puts them; nothing where they were not asked for."""
    if candidate.token_ids is None:
        return {}
    content = [{"logprob": value} for value in candidate.token_logprobs or ()]
    return {"token_ids": candidate.token_ids, "logprobs": {"content": content}}
