"""Frames on the two descriptors that a process in the jail is started with."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

READY = b"ready\n"
"""What a process writes when it can be given work: no time to start is counted as a program's."""


class Channel:
    """Four bytes of length, then the frame; our input and output, moved out of a program's way."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink

    def read(self) -> bytes:
        """The next frame; the process ends where there will be none."""
        return read_exactly(self._source, int.from_bytes(read_exactly(self._source, 4), "big"))

    def write(self, *parts: bytes) -> None:
        frame = b"".join(parts)
        data = memoryview(len(frame).to_bytes(4, "big") + frame)
        while data:
            data = data[os.write(self._sink, data) :]


def read_exactly(source: int, size: int) -> bytes:
    """So many bytes. Never more: what follows may be a program's own input."""
    received = bytearray()
    while len(received) < size:
        chunk = os.read(source, min(size - len(received), 1 << 20))
        if not chunk:
            leave()
        received += chunk
    return bytes(received)


def leave() -> NoReturn:
    """End without any clean-up: what a program registered for the end does not run."""
    os._exit(0)


def apart() -> Channel:
    """Take the descriptors 0 and 1 for frames; a program has an empty input and an output to nowhere."""
    channel = Channel(os.dup(0), os.dup(1))
    silence(0, 1, 2)
    return channel


def silence(*numbers: int) -> None:
    """Descriptors that read nothing and keep nothing."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in numbers:
        os.dup2(nowhere, number)
