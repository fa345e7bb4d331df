"""The rows of a batch, as requests. A row that cannot be read is refused before anything is sent."""

from __future__ import annotations

import hashlib
from array import array
from codecs import BOM_UTF8
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, BinaryIO

import msgspec

from coral.errors import DataError
from coral.generation.config import GenerateConfig
from coral.models.protocol import Request, Sampling
from coral.types import Message, Role

CHAT = "/v1/chat/completions"

_OURS = frozenset({"model", "messages", "n", "seed", "stream", "stream_options"})
"""Fields of a body that are read here, or that decide nothing: the model is the one of the options."""

_OF_A_MESSAGE = frozenset({"role", "content", "reasoning_content", "reasoning"})
"""Fields of a message that may say something: what a model thought is not shown to it again."""

_SAMPLING = ("temperature", "top_p", "stop")
_LENGTHS = ("max_completion_tokens", "max_tokens")

_Count = Annotated[int, msgspec.Meta(ge=1)] | None


class _Known(msgspec.Struct):
    """The types of what a body may say; other fields are the server's."""

    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    max_completion_tokens: _Count = None
    max_tokens: _Count = None
    n: _Count = None
    seed: int | None = None


_DECODER = msgspec.json.Decoder(dict[str, Any])
_ROLES = {role.value: role for role in Role} | {"developer": Role.SYSTEM}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row.

    Attributes:
        number: from 0 on.
        whole: the row as it was read.
        body: what is asked, as in a chat completion.
        is_batch: an OpenAI batch line, which is answered by one.
    """

    number: int
    whole: dict[str, Any]
    body: dict[str, Any]
    is_batch: bool


class Rows:
    """The rows of a file, read where they stand: 16 bytes of memory per row.

    Raises:
        DataError: the file cannot be read, or a row of it; names the line.
    """

    def __init__(self, path: Path, *, limit: int | None) -> None:
        self.path = path
        self._offsets = array("Q", [0])
        self.digests = array("Q")
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise DataError(
                f"{path}: {error.strerror}", remedy="check the name of the file of rows"
            ) from None
        self._lines = array("Q")
        try:
            self._read(limit)
        except BaseException:
            self._file.close()
            raise

    def _read(self, limit: int | None) -> None:
        offset = 0
        for line_number, line in enumerate(self._file, 1):
            if limit is not None and len(self) == limit:
                break
            if line.strip():
                self._lines.append(line_number)
                self._offsets[-1] = offset
                self._check(self._parse(line, len(self.digests)))
                self.digests.append(digest(line))
                self._offsets.append(offset + len(line))
            offset += len(line)
        if not len(self):
            raise DataError(f"{self.path} holds no rows", remedy="write a JSON object per line")

    def __len__(self) -> int:
        return len(self.digests)

    def __getitem__(self, number: int) -> Row:
        self._file.seek(self._offsets[number])
        return self._parse(self._file.readline(), number)

    def __enter__(self) -> Rows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def request(self, number: int, config: GenerateConfig, sampling: Sampling) -> Request:
        """What is asked for a row.

        Args:
            sampling: of the options; what the row says itself comes first.
        """
        row = self[number]
        messages, own = self._request_parts(row)
        if config.agent.system_prompt is not None and messages[0].role is not Role.SYSTEM:
            messages = (Message(Role.SYSTEM, config.agent.system_prompt), *messages)
        seed = row.body.get("seed")
        return Request(
            messages=messages,
            sampling=_merged(sampling, own),
            n=row.body.get("n") or config.n,
            seed=_seed(config.seed, number) if seed is None else seed,
            conversation_id=f"row{number}",
        )

    def _parse(self, line: bytes, number: int) -> Row:
        try:
            whole = _DECODER.decode(line.removeprefix(BOM_UTF8))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._bad(number, f"is not a JSON object: {error}") from None
        if isinstance(whole.get("body"), dict):
            url = whole.get("url", CHAT)
            if url != CHAT:
                raise self._bad(number, f"asks for {url!r}; only {CHAT} can be asked for")
            return Row(number=number, whole=whole, body=whole["body"], is_batch=True)
        if "messages" in whole:
            return Row(number=number, whole=whole, body={"messages": whole["messages"]}, is_batch=False)
        if isinstance(whole.get("prompt"), str):
            messages = [{"role": "user", "content": whole["prompt"]}]
            return Row(number=number, whole=whole, body={"messages": messages}, is_batch=False)
        is_there = "prompt" in whole
        raise self._bad(
            number, "has a prompt that is not a text" if is_there else "has none of body, messages and prompt"
        )

    def _check(self, row: Row) -> None:
        """Refuse a row that cannot be asked.

        Raises:
            DataError: what it asks for has another type.
        """
        self._request_parts(row)
        try:
            msgspec.convert(row.body, _Known)
        except msgspec.ValidationError as error:
            raise self._unusable(row, error) from None

    def _request_parts(self, row: Row) -> tuple[tuple[Message, ...], dict[str, Any]]:
        """The messages of a row, and what it says about sampling.

        Raises:
            DataError: they cannot be used.
        """
        told = row.body.get("messages") or ()
        try:
            if not isinstance(told, (list, tuple, str)):
                raise TypeError("messages is not a list")
            messages = tuple([_message(one) for one in told])
        except (ValueError, TypeError) as error:
            raise self._unusable(row, error) from None
        if not messages:
            raise self._bad(row.number, "has no messages")
        return messages, {name: value for name, value in row.body.items() if name not in _OURS}

    def _unusable(self, row: Row, error: Exception) -> DataError:
        place = self._place(row.number)
        return DataError(f"{place}: {error}", remedy="fix or remove that line; nothing was sent")

    def _bad(self, number: int, what: str) -> DataError:
        return DataError(f"{self._place(number)} {what}", remedy="fix or remove that line; nothing was sent")

    def _place(self, number: int) -> str:
        return f"{self.path}, line {self._lines[number]}"


def digest(line: bytes) -> int:
    """Tells one row from another, and from an earlier version of itself."""
    return int.from_bytes(hashlib.blake2b(line.strip(), digest_size=8).digest(), "big")


def _seed(seed: int, number: int) -> int:
    """The seed of a row, far from those of others: of several candidates, each has the next one."""
    spread = hashlib.blake2b(f"{seed}:{number}".encode(), digest_size=4).digest()
    return int.from_bytes(spread, "big") >> 1


def _message(one: Any) -> Message:
    if not isinstance(one, dict):
        raise TypeError("a message is not an object")
    unsent = [name for name, value in one.items() if value and name not in _OF_A_MESSAGE]
    if unsent:
        raise TypeError(f"a message holds {unsent[0]}, and only role and content are sent")
    content = one.get("content")
    if isinstance(content, list):
        kinds = {part.get("type") if isinstance(part, dict) else None for part in content}
        if kinds - {"text"}:
            raise TypeError("a message holds something other than text")
        content = "".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str):
        raise TypeError("the content of a message is not a text")
    role = one.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise TypeError(f"the role of a message is one of {', '.join(_ROLES)}, and not {role!r}")
    return Message(_ROLES[role], content)


def _merged(sampling: Sampling, own: dict[str, Any]) -> Sampling:
    """The sampling of the options with what a row says itself."""
    if not own:
        return sampling
    rest = dict(own)
    known: dict[str, Any] = {name: rest.pop(name) for name in _SAMPLING if rest.get(name) is not None}
    if "stop" in known:
        known["stop"] = (known["stop"],) if isinstance(known["stop"], str) else tuple(known["stop"])
    for name in _LENGTHS:
        if rest.get(name) is not None:
            known["max_tokens"] = rest.pop(name)
    if rest:
        shared = {} if sampling.extra is None else msgspec.json.decode(sampling.extra)
        known["extra"] = msgspec.Raw(msgspec.json.encode({**shared, **rest}))
    return msgspec.structs.replace(sampling, **known)
