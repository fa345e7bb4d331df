"""What has arrived: a line per row in OUTPUT.parts, from which OUTPUT is put together in the rows' order."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from coral.errors import ModelError, RunFolderError
from coral.generation.rows import Row, Rows
from coral.models.protocol import Candidate, Generation
from coral.store.lines import Appender, decode, line_files, read_file
from coral.store.lock import take_lock
from coral.store.whole import whole_file, write_whole
from coral.types import FinishReason

OPTIONS = "options.json"

MISSING, FAILED, ANSWERED = 0, 1, 2


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
    """The folder of what has arrived; claim it before anything else.

    Attributes:
        status: of each row: MISSING, FAILED or ANSWERED.
    """

    def __init__(self, output: Path, rows: Rows) -> None:
        self.folder = output.with_name(f"{output.name}.parts")
        self._output, self._rows = output, rows
        self.status = bytearray(len(rows))
        self._files: list[Path] = []
        self._file_of = array("I", bytes(4 * len(rows)))
        self._offset_of = array("Q", bytes(8 * len(rows)))
        self._pieces: dict[int, dict[str, Generation]] = {}
        self._appender = Appender(self.folder)

    @contextmanager
    def claimed(self, decisive: dict[str, Any]) -> Iterator[None]:
        """Keep other processes out, and read what earlier ones left.

        Args:
            decisive: the options that decide the replies.

        Raises:
            RunFolderError: somebody else works there, or with other options; or OUTPUT is somebody else's.
        """
        if self._output.exists() and not self.folder.exists():
            raise RunFolderError(
                f"{self._output} exists, and is not the work of this command",
                remedy="move it away, or name another --output",
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not take_lock(descriptor, self.folder):
                raise RunFolderError(
                    f"another process works in {self.folder}", remedy="wait for it, or name another --output"
                )
            self._check_options(decisive)
            self.read()
            yield
        finally:
            self._appender.close()
            os.close(descriptor)

    def _check_options(self, decisive: dict[str, Any]) -> None:
        path = self.folder / OPTIONS
        now = msgspec.json.decode(msgspec.json.encode(decisive))
        if not path.exists():
            write_whole(path, msgspec.json.format(msgspec.json.encode(now), indent=1))
            return
        before = msgspec.json.decode(path.read_bytes())
        different = sorted(name for name in now if before.get(name) != now[name])
        if different:
            raise RunFolderError(
                f"{self._output} was begun with other options: {', '.join(different)}",
                remedy=f"give the same ones, name another --output, or delete {self.folder}",
            )

    def read(self) -> None:
        """Learn what has arrived. A row that was changed since counts as missing; the last answer counts."""
        self._files = line_files(self.folder)
        for number, path in enumerate(self._files):
            for line in read_file(path):
                part = decode(line, _DECODER)
                if part.row >= len(self.status) or part.digest != self._rows.digests[part.row]:
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

    def _note_piece(self, row: int, piece: str, generation: Generation | None) -> None:
        if generation is not None and self.status[row] != ANSWERED:
            self._pieces.setdefault(row, {})[piece] = generation

    def pieces(self, row: int) -> Pieces:
        """The candidates of a row that have arrived, where a server sends them one by one."""
        return Pieces(self, row)

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

    def assemble(self, model: str) -> None:
        """Write OUTPUT, whole or not at all: a line per row, in the order of the rows."""
        self.read()
        opened = [path.open("rb") for path in self._files]
        try:
            with whole_file(self._output) as output:
                for number in range(len(self._rows)):
                    file = opened[self._file_of[number]]
                    file.seek(self._offset_of[number])
                    part = _DECODER.decode(file.readline())
                    output.write(_ENCODER.encode(_answered(self._rows[number], part, model)) + b"\n")
        finally:
            for file in opened:
                file.close()


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
