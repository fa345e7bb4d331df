"""A person at the terminal: shown what their seat sees, asked for their words."""

from __future__ import annotations

import asyncio
import os
import select
import textwrap

from coral.agents.function import in_thread
from coral.agents.person import View
from coral.cli.terminal import Terminal
from coral.errors import ConfigError
from coral.evaluation.config import EvalConfig
from coral.evaluation.people import people_of
from coral.evaluation.progress import Progress
from coral.models.connections import Stopped
from coral.types import Message, Role

INPUT, ERRORS = 0, 2
PASTED_S = 0.02
"""Lines that follow each other so fast were pasted: they are one message."""
LONGEST_LINE = 4095
"""Bytes of a line that a terminal hands over; what is typed beyond is lost there."""
WIDTH = 100
"""Most columns of what is shown."""
HOW = (
    "Enter sends a line. End it with \\ to go on in the next one; pasted lines are one message.\n"
    "Ctrl-D stops: what was said is kept, and the same command resumes."
)


def face_for(config: EvalConfig, progress: Progress, console: Terminal) -> TerminalFace | None:
    """The face of the person who takes part, if one does.

    Raises:
        ConfigError: there is no terminal.
    """
    if not people_of(config):
        return None
    is_terminal = os.isatty(INPUT) and os.isatty(ERRORS)
    if config.human_input == "terminal" and not is_terminal:
        raise ConfigError(
            "a person takes part, and this is not a terminal",
            remedy="run it in one; --human_input stdin takes a line per turn from standard input",
        )
    return TerminalFace(progress, console, is_terminal=os.isatty(INPUT))


class TerminalFace:
    """Shows on standard error, reads from standard input. See `coral.agents.person.Face`.

    Args:
        progress: says how far the run is, and stops it where the person has had enough.
        is_terminal: the input is one: then lines that come at once are one message.
    """

    def __init__(self, progress: Progress, console: Terminal, *, is_terminal: bool) -> None:
        self._progress, self._console, self._is_terminal = progress, console, is_terminal
        self._conversation = ""
        self._before = (0, 0)
        self._buffer = b""
        self._is_over = False
        self._instructions = ""
        self._told_how = False

    async def ask(self, view: View) -> str:
        """What the person says to what is new.

        Raises:
            Stopped: the person has had enough, or the run ends.
        """
        self._show(view)
        while True:
            said = await self._message()
            if said is None:
                self._console.print()
                self._progress.stopping = True
                raise Stopped
            if said.strip():
                self._console.print("sent", style="dim")
                return said.strip()

    # What is shown ------------------------------------------------------------------------------------------

    def _show(self, view: View) -> None:
        if view.conversation != self._conversation:
            self._open(view)
        for index, message in enumerate(view.messages):
            is_own = message.role is Role.ASSISTANT and view.seen  # just said here
            is_known = message.role is Role.SYSTEM and message.content == self._instructions
            if index >= view.seen and not (is_own or is_known):
                self._tell(message, is_first=index < 2)

    def _open(self, view: View) -> None:
        progress, now = self._progress, (self._progress.done, self._progress.agreed)
        if now[0] > self._before[0]:
            ended = "you agree" if now[1] > self._before[1] else "no agreement"
            self._console.print(f"\nThat conversation is over: {ended}.", style="dim")
        self._conversation, self._before = view.conversation, now
        number = f"{progress.kept + progress.done + 1} of {progress.total}"
        self._console.print(f"\n== Problem {number} ==", style="bold")
        if not self._told_how:
            self._told_how = True
            self._console.print(HOW, style="dim")

    def _tell(self, message: Message, *, is_first: bool) -> None:
        """A message, under the name of whose it is."""
        if message.role is Role.ASSISTANT:
            title = "You said"
        elif message.role is Role.SYSTEM:
            title, self._instructions = "Your instructions", message.content
        else:
            title = "The problem" if is_first else "The other"
        self._console.print(f"\n{title}:", style="bold cyan")
        width = min(WIDTH, self._console.width)
        for line in message.content.splitlines():
            self._console.print(textwrap.fill(line, width, initial_indent="  ", subsequent_indent="  "))

    # What is said -------------------------------------------------------------------------------------------

    async def _message(self) -> str | None:
        """A line, or several; None at the end of the input."""
        self._console.print("\nYou> ", style="bold green", end="")
        lines: list[str] = []
        while True:
            line = await self._line()
            if line is None:
                return "\n".join(lines) or None
            if self._is_terminal and len(line) >= LONGEST_LINE:
                cut = f"\nNot sent: terminals cut lines at {LONGEST_LINE:,} bytes. Use several shorter ones."
                self._console.print(cut, style="bold red")
                return ""
            text = line.decode("utf-8", "replace").rstrip("\r")
            if text.endswith("\\"):
                lines.append(text[:-1])
                continue
            lines.append(text)
            if not self._is_pasted():
                return "\n".join(lines)

    async def _line(self) -> bytes | None:
        """The next line, without its end; None where there is none.

        Raises:
            Stopped: the run ends meanwhile.
        """
        while b"\n" not in self._buffer and not self._is_over:
            chunk = await self._read()
            self._is_over = not chunk
            self._buffer += chunk
        line, end, self._buffer = self._buffer.partition(b"\n")
        if self._is_terminal and self._is_over:
            self._is_over = False  # Ctrl-D; where it stood behind words, the next one ends the conversation
        return line if line or end else None

    async def _read(self) -> bytes:
        loop = asyncio.get_running_loop()
        stop: asyncio.Future[object] = loop.create_future()

        def end() -> None:
            if not stop.done():
                stop.set_result(None)

        read: asyncio.Future[object] = asyncio.ensure_future(in_thread(lambda: os.read(INPUT, 65_536)))
        with self._progress.telling(lambda: loop.call_soon_threadsafe(end)):
            await asyncio.wait({read, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not read.done():
            read.cancel()
            raise Stopped
        chunk = read.result()
        assert isinstance(chunk, bytes)
        return chunk

    def _is_pasted(self) -> bool:
        """Whether another line is there already."""
        if not self._is_terminal:
            return False
        return b"\n" in self._buffer or bool(select.select([INPUT], [], [], PASTED_S)[0])
