"""An agent: a model with a system prompt and sampling settings, ready to take a seat."""

from __future__ import annotations

from dataclasses import dataclass

from coral.conversation.controls import ControlPartner
from coral.conversation.sight import Sight
from coral.models.protocol import Model, Sampling
from coral.types import Message, Speaker


@dataclass(frozen=True, kw_only=True)
class Agent:
    """Who speaks.

    Attributes:
        name: of the configured agent.
        system: the rendered system prompt; empty for none.
        system_in_user: the model's chat template knows no system role.
        control: decides what it says, where it is a control partner.
        examples: few-shot examples that it is shown as turns.
        sight: what it is shown of the others' turns; None: everything.
    """

    name: str
    model: Model
    sampling: Sampling
    system: str
    system_in_user: bool = False
    examples: tuple[Message, ...] = ()
    control: ControlPartner | None = None
    sight: Sight | None = None

    @property
    def is_silent(self) -> bool:
        """Whether no model is asked for its words."""
        return self.control is not None and self.control.words == "own"

    @property
    def speaker(self) -> Speaker:
        """How this agent appears in the record of a conversation."""
        return Speaker(name=self.name, model=self.model.name)
