"""The test cases of LiveCodeBench: lists of inputs and outputs, as JSON or packed.

Packed are they as base64 of zlib of a pickle of JSON text. A pickle can run any code, so this one is not
unpickled: its instructions are read, and anything but one text is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import pickletools
import zlib
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import msgspec

from coral.errors import DataError
from coral.tasks import files
from coral.tasks.files import Row

LARGEST = 1 << 29
"""Bytes of unpacked test cases of one problem."""
KEPT_IN_RECORD = 16_384
"""Characters of packed test cases that a conversation stores; of more, it stores their place in the file."""

_TEXTS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})
_HARMLESS = frozenset({"PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP"})


class Case(msgspec.Struct, frozen=True):
    """One test case. Functional ones hold an argument a line, and the value returned, each as JSON."""

    input: str
    output: str
    testtype: Literal["stdin", "functional"] = "stdin"


class NotCases(ValueError):
    """A text that is no list of test cases; `str()` says why."""


def read(text: str) -> list[Case]:
    """Test cases, as JSON or packed.

    Raises:
        NotCases: they are neither.
    """
    content = text if text.lstrip()[:1] in {"[", "{"} else unpacked(text)
    try:
        return msgspec.json.decode(content, type=list[Case])
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise NotCases(f"no list of test cases: {error}") from None


def packed(text: str) -> str:
    """Test cases as this task stores them: base64 of zlib of JSON."""
    return base64.b64encode(zlib.compress(text.encode("utf-8", "surrogatepass"), 9)).decode()


def unpacked(text: str) -> str:
    """The JSON text of packed test cases.

    Raises:
        NotCases: it is not packed so, is too large, or its pickle holds more than one text.
    """
    try:
        stream = zlib.decompressobj()
        content = stream.decompress(base64.b64decode(text, validate=True), LARGEST)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise NotCases(f"neither JSON nor packed test cases: {error}") from None
    if stream.unconsumed_tail:
        raise NotCases(f"more than {LARGEST >> 20} MiB of test cases")
    return content.decode("utf-8", "surrogatepass") if content[:1] in {b"[", b"{"} else _pickled(content)


def _pickled(content: bytes) -> str:
    texts: list[str] = []
    try:
        for instruction, argument, _ in pickletools.genops(content):
            if instruction.name in _TEXTS:
                texts.append(str(argument))
            elif instruction.name not in _HARMLESS:
                raise NotCases(f"a pickle of something else than a text ({instruction.name}): not read")
    except NotCases:
        raise
    except (ValueError, IndexError, UnicodeError) as error:
        raise NotCases(f"a damaged pickle: {error}") from None
    if len(texts) != 1:
        raise NotCases(f"a pickle of {len(texts)} texts: not read")
    return texts[0]


def kept(text: str, row: Row) -> str | dict[str, Any]:
    """What a problem keeps of test cases: themselves, packed, or where they stand if they are long."""
    short = packed(text) if text[:1] in {"[", "{"} else text
    if len(short) <= KEPT_IN_RECORD:
        return short
    return {"file": str(Path(row.file).resolve()), "number": row.number, "sha256": _digest(text)}


def hidden(told: str | dict[str, Any], field: str) -> list[Case]:
    """The test cases that `kept` told of.

    Raises:
        DataError: the file that holds them is not there any more, or another one.
    """
    if isinstance(told, str):
        return read(told)
    return _from_file(str(told["file"]), int(told["number"]), str(told["sha256"]), field)


@lru_cache(maxsize=8)
def _from_file(file: str, number: int, sha256: str, field: str) -> list[Case]:
    remedy = "put the data file back where it was when the run was made"
    if not Path(file).is_file():
        raise DataError(f"'{file}' holds the hidden tests of this run, and is not there", remedy=remedy)
    text = str(_fields(Path(file), number).get(field, "")).strip()
    if _digest(text) != sha256:
        raise DataError(f"'{file}' does not hold the hidden tests of this run any more", remedy=remedy)
    return read(text)


def _fields(path: Path, number: int) -> dict[str, Any]:
    """The fields of one record. Of lines, the ones before it are not decoded: a file can have a gigabyte."""
    if path.suffix == ".jsonl":
        with path.open("rb") as stream:
            line = next(islice(stream, number - 1, number), b"{}")
        found: dict[str, Any] = json.loads(line.removeprefix(files.BOM))
        return found
    return next((row.fields for row in files.read(path) if row.number == number), {})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
