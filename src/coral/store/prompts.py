"""The prompts of a run in full, so that training rows can be made long after with the very same words."""

from __future__ import annotations

import msgspec

from coral.errors import RunFolderError
from coral.store.folder import RunFolder
from coral.types import Record

FILE = "prompts.json"


class RunPrompts(Record, frozen=True):
    """What the models of a run were told.

    Attributes:
        agent: the rendered system prompt of the agent; likewise of the partner.
        extraction: the template that asks for a belief.
        first_reply: the template in which the opener meets its own statement of the problem again.
        second_look: the template that asks an extractor again in mode `hybrid`; empty in other modes.
        second_chance: what a single agent is asked whose reply submits no answer; empty for nothing.
    """

    agent: str
    partner: str
    extraction: str
    first_reply: str
    second_chance: str = ""
    second_look: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """All of them, to identify them in the record of a run."""
        asked_again = filter(None, (self.second_chance, self.second_look))
        return (self.agent, self.partner, self.extraction, self.first_reply, *asked_again)


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
        return msgspec.json.decode(path.read_bytes(), type=RunPrompts)
    except OSError:
        raise RunFolderError(
            f"{folder.path} keeps no prompts",
            remedy="run the command that made it again: for a finished run it sends nothing, and writes them",
        ) from None
    except msgspec.MsgspecError as error:
        raise RunFolderError(f"{path} is damaged: {error}", remedy="restore it from a copy") from None
