"""What a protocol is: who speaks, what they see, when it ends, and what came out.

A protocol is one file with one class. Ours are listed in this package's `__init__`; other packages add theirs
with an entry point of the group `coral.protocols`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from typing_extensions import Self

from coral.conversation.messages import Told
from coral.metrics.outcome import Outcome
from coral.metrics.trace import Trace
from coral.types import Answered, Message, Seat, StopReason, Turn

Same = Callable[[str, str], Awaitable[bool]]
"""Whether two answers to the problem at hand mean the same."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a protocol is built from. Each takes what concerns it.

    Attributes:
        agents: names of the configured agents, `agent` first.
        max_turns: most turns of a conversation.
        opener: in a pair: the agent that states the problem.
        second_chance: of one agent alone: ask once more where its reply submits no answer.
        majority: of a panel: at the limit of turns, what most members hold is the answer.
        instruction: the task's, how to state an answer.
        prompts: of a stored run, in place of today's; see `ConversationProtocol.prompts`.
        options: the protocol's own, an object of its class `options`; None where it has none.
    """

    agents: tuple[str, ...]
    max_turns: int = 20
    opener: str = "agent"
    second_chance: bool = False
    majority: bool = False
    instruction: str = ""
    prompts: Mapping[str, str] = field(default_factory=dict)
    options: Any = None


class ConversationProtocol(Protocol):
    """How agents talk about a problem. A value: it holds no state of any conversation.

    A protocol with options of its own names their class as `options`: a frozen dataclass with defaults, given
    as `--protocol.NAME VALUE` and handed to `build` as `Settings.options`.

    Attributes:
        name: what the option `protocol` calls it.
        takes: options of a run that concern it, of `agents`, `partner`, `opener`, `max_turns`,
            `second_chance` and `majority`. Any other is refused if it is set.
        system_prompt: name of the system prompt that its agents have by default.
        min_agents: how many agents it seats at least; likewise `max_agents`.
        answers_once: nobody is asked for an answer again: there is no first and last one to compare.
        speakers: the name of the agent in each seat, in the order in which they first speak.
        max_turns: most turns of a conversation.
        prompts: what it says itself, by name: kept with a run, so that training rows hold the same words.

    A class may name `further_prompts`: those that it says only where a run brings its own (`--templates.*`).
    """

    name: ClassVar[str]
    takes: ClassVar[frozenset[str]]
    system_prompt: ClassVar[str]
    min_agents: ClassVar[int]
    max_agents: ClassVar[int | None]
    answers_once: ClassVar[bool]

    @property
    def speakers(self) -> Mapping[Seat, str]: ...

    @property
    def max_turns(self) -> int: ...

    @property
    def prompts(self) -> Mapping[str, str]: ...

    @classmethod
    def build(cls, settings: Settings) -> Self:
        """The protocol as a run's options want it.

        Raises:
            ConfigError: they do not fit it.
        """
        ...

    def next_seat(self, turns: Sequence[Turn]) -> Seat | None:
        """Who speaks after `turns`; None: nobody, the conversation is at its limit."""
        ...

    def messages(self, seat: Seat, told: Told, turns: Sequence[Turn]) -> tuple[Message, ...]:
        """The chat messages that `seat` answers to, after `turns`.

        Returns:
            Messages that open (after the system message) and close with `user`, roles alternating.
        """
        ...

    async def ending(self, turns: Sequence[Turn], same: Same) -> StopReason | None:
        """Why it is over after `turns` although somebody could speak; None if it is not."""
        ...

    def outcome(self, trace: Trace) -> Outcome:
        """What came out: agreed or not, which answer, and whether it is right."""
        ...


async def unanimous(turns: Sequence[Turn], seats: Sequence[Seat], same: Same) -> bool:
    """Whether the latest beliefs of all seats are answers that mean the same (paper, section 2.1).

    An unsure or unreadable belief agrees with nothing, and an older answer does not stand in for it.
    """
    latest = {turn.seat: turn.reply.belief for turn in turns}
    answers = {seat: belief.value for seat, belief in latest.items() if isinstance(belief, Answered)}
    if len(answers) < len(seats):
        return False
    own = answers.pop(turns[-1].seat)
    for other in answers.values():
        if not await same(own, other):
            return False
    return True
