"""Rewards: what a conversation is worth to one of its seats.

Each is asked for all conversations of a group at once (those about one problem): a majority is a matter of
the group.
"""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from coral.conversation.protocols import ConversationProtocol
from coral.errors import ConfigError, UserError
from coral.metrics.outcome import change_of
from coral.metrics.trace import AnswerClasses, Trace, trace_of
from coral.plugins import FOREIGN, imported
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.types import Conversation, Seat, StopReason

Values = list[dict[Seat, float | None]]
"""The reward of each seat, conversation by conversation; None where it cannot be said."""


@dataclass(frozen=True)
class Held:
    """A conversation of a group with what metrics see of it."""

    conversation: Conversation
    trace: Trace


Rule = Callable[[Sequence[Held], Seat, ConversationProtocol], list[float | None]]
Reward = Callable[[Sequence[Held], Seat, ConversationProtocol], Awaitable[list[float | None]]]


def agreed_right(group: Sequence[Held], seat: Seat, protocol: ConversationProtocol) -> list[float | None]:
    """1 where they came to the right answer together; of one agent alone, where its answer is right."""
    del seat
    return [_share(protocol.outcome(held.trace).right) for held in group]


def own_right(group: Sequence[Held], seat: Seat, protocol: ConversationProtocol) -> list[float | None]:
    """1 where the seat's own last answer is right, whatever the others say."""
    del protocol
    return [_share(change_of(seat, held.trace).last) for held in group]


def belief_gain(group: Sequence[Held], seat: Seat, protocol: ConversationProtocol) -> list[float | None]:
    """The seat's last answer minus its first: 1 found, -1 lost, 0 as before.

    A first turn without an answer gains nothing: else "I am not sure" would be worth a point to begin with.
    """
    del protocol
    changes = [change_of(seat, held.trace) for held in group]
    return [
        None if change.last is None or change.first is None else float(change.gain or 0) for change in changes
    ]


def majority(group: Sequence[Held], seat: Seat, protocol: ConversationProtocol) -> list[float | None]:
    """1 where the answer is what most conversations of the group came to: no gold answer is looked at.

    Of several answers that equally many came to, each counts. No answer is worth 0.
    """
    del seat
    answers = [protocol.outcome(held.trace).answer for held in group]
    votes = Counter(answer for answer in answers if answer is not None)
    most = max(votes.values(), default=0)
    return [float(answer is not None and votes[answer] == most) for answer in answers]


RULES: Mapping[str, Rule] = {rule.__name__: rule for rule in (agreed_right, own_right, belief_gain, majority)}
"""The rewards by name."""


def reward_named(name: str) -> Reward:
    """A reward of ours, or a function `module:function` of (conversation, seat): a number, or None.

    Raises:
        ConfigError: there is none of that name, or it cannot be imported.
    """
    if name in RULES:
        return partial(_of_rule, RULES[name])
    if ":" not in name:
        raise ConfigError(f"no reward '{name}'", remedy=f"give {', '.join(RULES)}, or module:function")
    return partial(_of_function, imported(name, kind="reward", otherwise=f"give {', '.join(RULES)}"), name)


async def _of_rule(
    rule: Rule, group: Sequence[Held], seat: Seat, protocol: ConversationProtocol
) -> list[float | None]:
    return rule(group, seat, protocol)


async def _of_function(
    function: Any, name: str, group: Sequence[Held], seat: Seat, protocol: ConversationProtocol
) -> list[float | None]:
    del protocol
    values: list[float | None] = []
    for held in group:
        try:
            value = function(held.conversation, seat)
            value = await value if inspect.isawaitable(value) else value
            values.append(None if value is None else _finite(float(value)))
        except FOREIGN as error:
            cause = f"{type(error).__name__}: {error}".removesuffix(": ")
            raise UserError(
                f"the reward {name} fails on conversation {held.conversation.id}: {cause}",
                remedy="fix it and run the same command again: the conversations are kept",
            ) from error
    return values


async def reward_group(
    name: str,
    conversations: Sequence[Conversation],
    seats: Sequence[Seat],
    protocol: ConversationProtocol,
    task: Task,
) -> Values:
    """The rewards of conversations about one problem, for each of `seats`.

    A conversation that failed has none: it says nothing about what was said in it.

    Raises:
        UserError: the user's own reward fails.
    """
    problem = conversations[0].problem
    classes = AnswerClasses()

    async def same(a: str, b: str) -> bool:
        return await boundary.same(task, a, b, problem)

    held = [Held(one, await trace_of(one, same, classes)) for one in conversations]
    usable = [one for one in held if one.conversation.stop is not StopReason.FAILED and one.trace.turns]
    rule = reward_named(name)
    found: dict[str, dict[Seat, float | None]] = {}
    for seat in seats:
        values = await rule(usable, seat, protocol)
        for one, value in zip(usable, values, strict=True):
            found.setdefault(one.conversation.id, {})[seat] = value
    return [found.get(one.id, {}) for one in conversations]


def _finite(value: float) -> float:
    """An infinite reward, or one that is no number, leaves its whole group without any."""
    if not math.isfinite(value):
        raise ValueError(f"it gave {value}; a reward is a finite number, or None where it is not known")
    return value


def _share(right: bool | None) -> float | None:
    return None if right is None else float(right)
