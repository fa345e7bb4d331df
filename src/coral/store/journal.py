"""The journal: what came of every request of conversations that are not finished yet.

A run that resumes replays the loop; each request that the journal has an answer to is answered from it. So
after a kill only those requests are sent again whose answers had not been read. Where the candidates of a
request come in several responses, each is kept as it arrives. Failures that the same request would meet again
are answers, too: they were paid for, and what followed in the conversation builds on them.
"""

from __future__ import annotations

import shutil
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Literal

import msgspec

from coral.errors import ABOUT_THE_TEXT, ModelError
from coral.models.protocol import Generation, Model, Request
from coral.store.lines import Appender, decode, read_lines
from coral.types import Usage

_KINDS = {kind.__name__: kind for kind in ABOUT_THE_TEXT}


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """A failure that the same request would meet again.

    Attributes:
        attempts: how often it was sent.
        usage: tokens of the replies that came.
    """

    type: Literal["BadResponse", "ContentFiltered", "ContextOverflow", "Rejected"]
    message: str
    status: int | None = None
    attempts: int = 1
    usage: Usage | None = None

    def error(self) -> ModelError:
        """The exception it was."""
        return _KINDS[self.type](self.message, status=self.status, attempts=self.attempts, usage=self.usage)


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of one step of a conversation: a generation, or a refusal.

    Neither: whatever stands above of this step, and of those within it, is not to be used, parts apart.

    Attributes:
        part: which response this is, where the generation is not the whole.
    """

    id: str
    step: str
    generation: Generation | None = None
    refusal: Refusal | None = None
    part: str | None = None


class _Key(msgspec.Struct, frozen=True):
    id: str
    step: str


class _Received:
    """What earlier sessions received of one conversation: whole steps, and parts of unfinished ones."""

    def __init__(self) -> None:
        self.steps: dict[str, Generation | Refusal] = {}
        self.parts: dict[tuple[str, str], Generation] = {}

    def __len__(self) -> int:
        return len(self.steps) + len(self.parts)

    def take(self, entry: Entry) -> None:
        if entry.part is not None and entry.generation is not None:
            self.parts[entry.step, entry.part] = entry.generation
        elif entry.generation is not None:
            self.steps[entry.step] = entry.generation
            for key in [key for key in self.parts if key[0] == entry.step]:
                del self.parts[key]  # the whole holds them
        elif entry.refusal is not None:
            self.steps[entry.step] = entry.refusal
        else:
            for step in [step for step in self.steps if _is_within(step, entry.step)]:
                del self.steps[step]


class Journal:
    """Remembers across sessions what came of requests."""

    def __init__(self, folder: Path, finished: AbstractSet[str]) -> None:
        """Read what earlier sessions left for conversations that are not among `finished`.

        Raises:
            RunFolderError: a line in the middle of a file is damaged.
        """
        self._folder = folder
        self._appender = Appender(folder)
        self._encoder = msgspec.json.Encoder()
        self._received: dict[str, _Received] = {}
        for line in read_lines(folder):
            key = decode(line, _KEYS)
            if key.id not in finished:
                self._received.setdefault(key.id, _Received()).take(decode(line, _ENTRIES))
        self.replayed = sum(map(len, self._received.values()))

    def of(self, conversation_id: str) -> Calls:
        """The calls of one conversation, answered from the journal where it can."""
        return Calls(self, conversation_id, self._received.pop(conversation_id, _Received()))

    def append(self, entry: Entry) -> None:
        """Keep an entry.

        Raises:
            RunFolderError: it cannot be written.
        """
        self._appender.append(self._encoder.encode(entry))

    def check(self) -> None:
        """Make sure that this session's entries are still where they were written.

        Raises:
            RunFolderError: the file was deleted or moved.
        """
        self._appender.check()

    def close(self) -> None:
        self._appender.close()

    def remove(self) -> None:
        """Delete the journal: every conversation is finished, and holds all that stood here."""
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class Calls:
    """Makes the requests of one conversation through a journal (see `conversation.calls`)."""

    def __init__(self, journal: Journal, conversation_id: str, received: _Received) -> None:
        self._journal = journal
        self._id = conversation_id
        self._received = received
        self._failed: list[str] = []

    async def __call__(self, step: str, model: Model, request: Request) -> Generation:
        """The journal's answer, else the model's, which is in the journal before it is returned.

        Raises:
            ModelError: the request failed for good; in an earlier session, where it would fail so again.
        """
        kept = self._received.steps.get(step)
        if isinstance(kept, Generation):
            return kept
        if kept is not None:
            self._failed.append(step)
            raise kept.error()
        if request.n > 1:
            parts = _Parts(self._journal, self._id, step, self._received.parts)
            request = msgspec.structs.replace(request, parts=parts)
        try:
            generation = await model.generate(request)
        except ModelError as error:
            self._note_failure(step, error)
            raise
        self._journal.append(Entry(self._id, step, generation))
        return generation

    def holds(self, step: str) -> bool:
        """Whether the journal knows what came of a step, so that nothing is sent for it."""
        return step in self._received.steps

    def retract(self, step: str) -> None:
        """Note that what came of a step is not to be used: the next session asks again.

        Raises:
            RunFolderError: it cannot be written.
        """
        self._journal.append(Entry(self._id, step))

    def reopen(self, turn: str) -> None:
        """Note that the conversation failed in `turn`: whoever runs it again asks again for what failed it.

        That is each request of the turn that failed. Where none did, none of its replies could be kept: then
        they are drawn anew. Failures in earlier turns stay, since the later turns build on them.

        Raises:
            RunFolderError: it cannot be written.
        """
        failed = [step for step in self._failed if _is_within(step, turn)]
        for step in failed or [turn]:
            self.retract(step)

    def _note_failure(self, step: str, error: ModelError) -> None:
        self._failed.append(step)
        name = type(error).__name__
        if name in _KINDS:
            refusal = Refusal(name, str(error), error.status, error.attempts, error.usage)  # type: ignore[arg-type]
            self._journal.append(Entry(self._id, step, refusal=refusal))


class _Parts:
    """Keeps the parts of one request in the journal."""

    def __init__(
        self, journal: Journal, conversation_id: str, step: str, received: dict[tuple[str, str], Generation]
    ) -> None:
        self._journal, self._id, self._step = journal, conversation_id, step
        self._received = received

    def find(self, name: str) -> Generation | None:
        """The part of this name that an earlier session received."""
        return self._received.get((self._step, name))

    def keep(self, name: str, part: Generation) -> None:
        """Keep a part that has just arrived.

        Raises:
            RunFolderError: it cannot be written.
        """
        self._journal.append(Entry(self._id, self._step, part, part=name))


def _is_within(step: str, whole: str) -> bool:
    """Whether a step is `whole` or, as "3/c1/extraction" of "3", a part of it."""
    return step == whole or step.startswith(f"{whole}/")


_KEYS = msgspec.json.Decoder(_Key)
_ENTRIES = msgspec.json.Decoder(Entry)
