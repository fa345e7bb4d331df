"""Reads what version 0.1 stored: records of schema 1 become today's.

Until schema 2 a conversation had two fields for its speakers, and the prompts of a run one for each.
"""

from __future__ import annotations

import msgspec

from coral.types import (
    OPENER,
    RESPONDER,
    SCHEMA,
    Conversation,
    Failure,
    Problem,
    Record,
    Speaker,
    StopReason,
    Turn,
)

BEGINNING = b'{"schema":1,'
"""Every stored conversation of that schema begins so."""


class Conversation1(Record, frozen=True):
    """A conversation of schema 1."""

    schema: int
    id: str
    problem: Problem
    responder: Speaker
    opener: Speaker | None
    opening: str
    turns: tuple[Turn, ...]
    stop: StopReason
    seed: int
    started_at: float
    seconds: float
    failure: Failure | None = None

    def current(self) -> Conversation:
        """The same conversation in today's schema."""
        speakers = {RESPONDER: self.responder}
        if self.opener is not None:
            speakers[OPENER] = self.opener
        return Conversation(
            schema=SCHEMA,
            id=self.id,
            problem=self.problem,
            speakers=speakers,
            opening=self.opening,
            turns=self.turns,
            stop=self.stop,
            seed=self.seed,
            started_at=self.started_at,
            seconds=self.seconds,
            failure=self.failure,
        )


class Prompts1(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The prompts of a run of schema 1."""

    agent: str
    partner: str
    extraction: str
    first_reply: str
    second_chance: str = ""
    second_look: str = ""

    @property
    def of_protocol(self) -> dict[str, str]:
        """What the protocol said, in the order in which the run's fingerprint has it."""
        again = {"second_chance": self.second_chance} if self.second_chance else {}
        return {"first_reply": self.first_reply, **again}
