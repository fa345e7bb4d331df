"""The prompts of a run in full, so that training rows can be made long after with the very same words."""

from __future__ import annotations

import msgspec

from coral.errors import RunFolderError
from coral.store.folder import RunFolder
from coral.store.schema1 import Prompts1
from coral.types import Message, Record

FILE = "prompts.json"


class RunPrompts(Record, frozen=True):
    """What the models of a run were told.

    Attributes:
        systems: the rendered system prompt of each agent, by its name.
        extraction: the template that asks for a belief.
        protocol: what the protocol says itself, by name.
        second_look: the template that asks an extractor again in mode `hybrid`; empty in other modes.
        probe: what seats are asked off the record; empty where they are not.
        judge: the template that asks a model for a grade; empty where none is asked.
        opening: the template by which problems are stated; empty where it is as the task does.
        examples: few-shot examples by agent, where they are shown as turns.
    """

    systems: dict[str, str]
    extraction: str
    protocol: dict[str, str]
    second_look: str = ""
    probe: str = ""
    judge: str = ""
    opening: str = ""
    examples: dict[str, tuple[Message, ...]] = msgspec.field(default_factory=dict)

    @property
    def texts(self) -> tuple[str, ...]:
        """All of them, to identify them in the record of a run."""
        shown = [
            f"{name} {message.role.value}: {message.content}"
            for name, messages in self.examples.items()
            for message in messages
        ]
        further = filter(None, (self.second_look, self.probe, self.judge, self.opening, *shown))
        return (*self.systems.values(), self.extraction, *self.protocol.values(), *further)


def save_prompts(folder: RunFolder, told: RunPrompts) -> None:
    """Keep the prompts in a run folder.

    Raises:
        RunFolderError: it cannot be written.
    """
    folder.write(FILE, told)


def load_prompts(folder: RunFolder) -> RunPrompts:
    """The prompts that a run folder keeps.

    Raises:
        RunFolderError: it keeps none, or the file is damaged.
    """
    path = folder.path / FILE
    try:
        text = path.read_bytes()
        if "systems" in msgspec.json.decode(text, type=dict[str, msgspec.Raw]):
            return msgspec.json.decode(text, type=RunPrompts)
        told = msgspec.json.decode(text, type=Prompts1)
    except OSError:
        raise RunFolderError(
            f"{folder.path} keeps no prompts",
            remedy="run the command that made it again: for a finished run it sends nothing, and writes them",
        ) from None
    except msgspec.MsgspecError as error:
        raise RunFolderError(f"{path} is damaged: {error}", remedy="restore it from a copy") from None
    return RunPrompts(
        systems={"agent": told.agent, "partner": told.partner},
        extraction=told.extraction,
        protocol=told.of_protocol,
        second_look=told.second_look,
    )
