"""Which rows are made of a run: the options that `coral build` and `coral.build` take."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from coral.config import ANY, COUNT, NOT_NEGATIVE, SHARE, Options, option
from coral.errors import ConfigError

Kind = Literal["sft", "dpo", "kto"]
Score = Literal["correct", "majority", "rollouts"]
Ended = Literal["any", "agreed", "agreed_and_right"]

_DEFAULTS: dict[Kind, dict[str, Any]] = {
    "sft": {"conversations": "agreed_and_right", "max_per_turn": None, "max_per_problem": None},
    "dpo": {"conversations": "any", "max_per_turn": 2, "max_per_problem": 20},
    "kto": {"conversations": "any", "max_per_turn": 2, "max_per_problem": 20},
}
_CONCERNS: dict[str, tuple[Kind, ...]] = {
    "turns": ("sft",),
    "siblings": ("sft",),
    "min_margin": ("dpo",),
    "agreeing_penalty": ("dpo",),
    "length_penalty": ("dpo",),
    "persuasion_bonus": ("dpo",),
}


@dataclass(frozen=True, kw_only=True)
class RowOptions(Options):
    """What rows are made, of what."""

    kind: Kind = option("dpo", decides=True)
    """sft: prompt and reply. dpo: prompt, better and worse reply. kto: prompt, reply, desirable or not."""
    score: Score = option("correct", decides=True)
    """What makes a reply good. correct: its belief is right. majority: its belief is what most replies about
    the problem hold, no gold needed. rollouts: how conversations ended that were continued from it."""
    conversations: Ended | None = option(None, decides=True)
    """any, agreed, or agreed_and_right. By default agreed_and_right for sft, any for the others."""
    turns: Literal["all", "right"] = option("all", decides=True)
    """sft: all turns of such a conversation, or only those whose reply is right."""
    siblings: bool = option(False, decides=True)
    """sft: also the right candidates that were not chosen."""
    first_turns: int | None = option(None, decides=True, within=COUNT)
    """Only the first n turns of a conversation."""
    seat: str = option("both", decides=True)
    """Whose turns: both (all) seats', or those of one: opener, responder, of a panel agent_2."""
    speaker: str = option("both", decides=True)
    """Whose turns: both (all) agents', or those of one: agent, partner, of a panel agent_2."""
    min_solve_rate: float = option(0.0, decides=True, within=SHARE)
    """Only problems of whose conversations at least this share agreed and was right (single agent: of whose
    replies this share is right)."""
    max_solve_rate: float = option(1.0, decides=True, within=SHARE)
    """Only problems solved at most this often. 1 keeps the easy ones."""
    max_prompt_chars: int | None = option(None, decides=True, within=COUNT)
    """Leave out turns whose prompt is longer, in characters."""
    max_completion_chars: int | None = option(None, decides=True, within=COUNT)
    """Leave out replies that are longer, in characters."""
    max_per_turn: int | None = option(None, decides=True, within=NOT_NEGATIVE)
    """Most rows of a turn; by default 2 for dpo and kto, no limit for sft. 0: no limit."""
    max_per_problem: int | None = option(None, decides=True, within=NOT_NEGATIVE)
    """Most rows of a problem; by default 20 for dpo and kto, no limit for sft. 0: no limit."""
    max_rows: int | None = option(None, decides=True, within=COUNT)
    """Most rows in all: a seeded draw, the same number for runs that are to be compared."""
    min_margin: float = option(0.5, decides=True, within=NOT_NEGATIVE)
    """dpo: the scores of a pair must be farther apart than this."""
    agreeing_penalty: float = option(0.0, decides=True, within=NOT_NEGATIVE)
    """dpo: taken from the score of a reply that is not right and holds the partner's answer (published:
    0.1)."""
    length_penalty: float = option(0.0, decides=True, within=NOT_NEGATIVE)
    """dpo: taken from the score of the longest candidate of a turn, in proportion from the others
    (published: 0.1)."""
    persuasion_bonus: float = option(0.0, decides=True, within=NOT_NEGATIVE)
    """dpo: added to the score of a right reply after which a partner who was not right became right. Its
    pairs come first where a limit applies."""
    majority_share: float = option(0.5, decides=True, within=SHARE)
    """With score majority: a problem counts only if more than this share of its answers agree."""
    duplicates: Literal["drop", "keep"] = option("drop", decides=True)
    """What to do with rows that say the same to the letter."""
    seed: int = option(0, decides=True, within=ANY)
    """Decides draws among equals and the order of the rows."""

    def __post_init__(self) -> None:
        """Check the values, and that they go together.

        Raises:
            ConfigError: names the option and what it may be.
        """
        for name, kind in typing.get_type_hints(type(self)).items():
            _check_type(name, getattr(self, name), kind)
        super().__post_init__()
        if self.min_solve_rate > self.max_solve_rate:
            raise ConfigError(
                f"min_solve_rate {self.min_solve_rate} is above max_solve_rate {self.max_solve_rate}",
                remedy="swap them",
            )
        for item in dataclasses.fields(RowOptions):
            kinds = _CONCERNS.get(item.name)
            if kinds and self.kind not in kinds and getattr(self, item.name) != item.default:
                raise ConfigError(
                    f"{item.name} says nothing about {self.kind} rows",
                    remedy=f"leave it out, or build --kind {kinds[0]}",
                )

    @property
    def ended(self) -> Ended:
        """How conversations must have ended."""
        ended: Ended = self.conversations or _DEFAULTS[self.kind]["conversations"]
        return ended

    @property
    def turn_limit(self) -> int | None:
        """Most rows of a turn, None without limit."""
        return self._limit("max_per_turn")

    @property
    def problem_limit(self) -> int | None:
        """Most rows of a problem, None without limit."""
        return self._limit("max_per_problem")

    def _limit(self, name: str) -> int | None:
        value: int | None = getattr(self, name)
        if value is None:
            value = _DEFAULTS[self.kind][name]
        return value or None


def _check_type(name: str, value: object, kind: Any) -> None:
    """The command line does this by itself; values from Python come as they are."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        choices = typing.get_args(kind)
        words = [repr(choice) for choice in choices if isinstance(choice, str)]
        remedy = f"choose one of {', '.join(words)}" if words else "see `coral build --help`"
        raise ConfigError(f"{name} cannot be {value!r}: {error}", remedy=remedy) from None
