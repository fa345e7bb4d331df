"""The protocols: `single`, `pair`, `self_refine`, `panel`, one file each, and those that other packages add.

protocol = protocols.build("pair", Settings(agents=("agent", "partner"), max_turns=10))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_type_hints

import msgspec

from coral.conversation.protocols.base import ConversationProtocol, Settings
from coral.conversation.protocols.pair import Pair
from coral.conversation.protocols.single import Single
from coral.errors import ConfigError, UserError
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
    "name_of",
    "names",
    "normal",
    "option_types",
    "options_of",
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


def normal(protocol: str | Mapping[str, Any]) -> str | dict[str, Any]:
    """An option `protocol` under its published name; a mapping only where it holds options of its own."""
    name = name_of(protocol)
    own = {} if isinstance(protocol, str) else {key: x for key, x in protocol.items() if key != "name"}
    name = ALIASES.get(name, name)
    return {"name": name, **own} if own else name


def name_of(protocol: str | Mapping[str, Any]) -> str:
    """The name in an option `protocol`: a text, or a mapping of the name and options."""
    return protocol if isinstance(protocol, str) else str(protocol.get("name", PAIR))


def options_of(name: str) -> type[Any] | None:
    """The class of a protocol's own options; None where it has none.

    Raises:
        ConfigError, BrokenPlugIn: as `kind`.
    """
    found: type[Any] | None = getattr(kind(name), "options", None)
    return found


def option_types(name: str) -> dict[str, Any]:
    """The types of a protocol's own options by name; none where there is no such protocol."""
    try:
        found = options_of(name)
    except UserError:
        return {}
    return get_type_hints(found) if found else {}


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
            options=_stored_options(name, identity.get("protocol_options", {})),
        ),
    )


def _stored_options(name: str, values: Mapping[str, Any]) -> Any:
    own = options_of(name)
    try:
        return None if own is None else msgspec.convert(dict(values), own)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"the protocol {name} cannot read the options of the run: {error}",
            remedy="install the version of the package that made the run",
        ) from None
