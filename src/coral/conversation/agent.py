"""An agent: a model with a system prompt and sampling settings, ready to take a seat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coral.conversation.controls import ControlPartner
from coral.conversation.messages import said
from coral.conversation.sight import Sight
from coral.models.protocol import Model, Sampling
from coral.types import Conversation, Message, Seat, Speaker, Turn


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

    def unheard(self, seat: Seat, conversation: Conversation) -> tuple[str, ...]:
        """What was said after its last turn in a seat, as it would have been shown that."""
        turns: Sequence[Turn] = conversation.turns
        shown = turns if self.sight is None else self.sight.of(turns, seat, conversation.problem)
        last = max((index for index, turn in enumerate(shown) if turn.seat == seat), default=-1)
        return tuple(said(turn) for turn in shown[last + 1 :])
