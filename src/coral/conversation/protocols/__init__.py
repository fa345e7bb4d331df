"""The protocols: `single`, `pair`, `self_refine`, `panel`, one file each, and those that other packages add.

protocol = protocols.build("pair", Settings(agents=("agent", "partner"), max_turns=10))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from coral.conversation.protocols.base import ConversationProtocol, Settings
from coral.conversation.protocols.pair import Pair
from coral.conversation.protocols.single import Single
from coral.errors import ConfigError
from coral.plugins import PlugIns

__all__ = [
    "ALIASES",
    "PAIR",
    "SINGLE",
    "ConversationProtocol",
    "Settings",
    "agents_of",
    "build",
    "check_number",
    "kind",
    "names",
    "stored",
]

SINGLE, PAIR = Single.name, Pair.name
ALIASES = {"single": SINGLE, "pair": PAIR}
"""Other words for the published names, under which runs are stored."""

_HERE = "coral.conversation.protocols"
_PLUG_INS = PlugIns(
    "protocol",
    group="coral.protocols",
    built_in={
        PAIR: f"{_HERE}.pair:Pair",
        SINGLE: f"{_HERE}.single:Single",
        "self_refine": f"{_HERE}.self_refine:SelfRefine",
        "panel": f"{_HERE}.panel:Panel",
    },
    required=(
        "name", "takes", "system_prompt", "min_agents", "max_agents", "answers_once",
        "build", "next_seat", "messages", "ending", "outcome",
    ),
)  # fmt: skip


def names() -> list[str]:
    """The names of all protocols."""
    return _PLUG_INS.names()


def kind(name: str) -> type[ConversationProtocol]:
    """The class of a protocol.

    Raises:
        ConfigError: there is none of that name.
        BrokenPlugIn: the package that adds it cannot be used.
    """
    return cast("type[ConversationProtocol]", _PLUG_INS.load(ALIASES.get(name, name)))


def build(name: str, settings: Settings) -> ConversationProtocol:
    """A protocol as a run's options want it.

    Raises:
        ConfigError: there is none of that name, or the options do not fit it.
        BrokenPlugIn: the package that adds it cannot be used.
    """
    number = len(settings.agents)
    check_number(name, number, f"there are {number}")
    return kind(name).build(settings)


def check_number(name: str, number: int, given: str) -> None:
    """Refuse more or fewer agents than a protocol seats.

    Args:
        given: how the number came about, in words.

    Raises:
        ConfigError: it does not fit.
    """
    found = kind(name)
    if not found.min_agents <= number <= (found.max_agents or number):
        wanted = f"{found.min_agents}" + ("" if found.max_agents else " or more")
        raise ConfigError(
            f"the protocol {name} seats {wanted} agents, and {given}",
            remedy=f"list {wanted} with --agents, or choose another protocol",
        )


def agents_of(identity: Mapping[str, Any]) -> list[str]:
    """The names of the agents of a stored run, by its `run.json`."""
    return [key for key in identity if key in {"agent", "partner"} or key.startswith("agent_")]


def stored(identity: Mapping[str, Any], prompts: Mapping[str, str] | None = None) -> ConversationProtocol:
    """The protocol of a stored run.

    Args:
        identity: its `run.json`.
        prompts: what the protocol said, as the run keeps it; only messages are made of them.

    Raises:
        UserError: the protocol is not installed any more.
    """
    name = str(identity["protocol"])
    return build(
        name,
        Settings(
            agents=tuple(agents_of(identity)[: kind(name).max_agents]),
            max_turns=int(identity.get("max_turns") or Settings.max_turns),
            opener=str(identity.get("opener", "agent")),
            second_chance=bool(identity.get("second_chance")),
            majority=bool(identity.get("majority")),
            prompts=prompts or {},
        ),
    )
