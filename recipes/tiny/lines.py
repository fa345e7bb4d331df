"""What examples are made of: lines of a dialogue, and each seat's view of them, as Coral sends it."""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_uppercase

from coral.conversation.protocols.pair import messages_for
from coral.tasks.protocol import Task
from coral.types import RESPONDER, Message, Problem, Role, Seat


@dataclass(frozen=True)
class Line:
    """One turn: what is said, which choice it answers (None: unsure), and whether it is learned."""

    text: str
    choice: str | None
    learned: bool


@dataclass(frozen=True)
class Example:
    """One seat's view of a dialogue: the messages, and for each whether it is learned.

    Attributes:
        given: how the last message begins, as far as it is not learned.
    """

    messages: tuple[Message, ...]
    learned: tuple[bool, ...]
    given: str = ""


def drill(asked: str, said: str, given: str = "") -> Example:
    """One question and its one answer, without a problem; of the answer, what is given is not learned."""
    return Example((Message(Role.USER, asked), Message(Role.ASSISTANT, said)), (False, True), given)


def view(task: Task, problem: Problem, lines: list[Line], seat: Seat) -> Example:
    """The dialogue as this seat sees it, up to its own last line. Empty where it has no line."""
    own = [i for i in range(len(lines)) if (i % 2 == 0) == (seat == RESPONDER)]
    if not own:
        return Example(messages=(), learned=())
    before = [line.text for line in lines[: own[-1]]]
    opening, briefing = task.opening(problem), task.briefing(problem, seat)
    messages = messages_for(seat, system="", opening=opening, briefing=briefing, replies=before)
    messages = (*messages, Message(Role.ASSISTANT, lines[own[-1]].text))
    learned = [False] * len(messages)
    for offset, index in enumerate(reversed(own)):
        learned[len(messages) - 1 - 2 * offset] = lines[index].learned
    return Example(messages=messages, learned=tuple(learned))


def named(choice: str, choices: tuple[str, ...]) -> str:
    """The choice with its letter behind it, as problems list it: "box (B)"."""
    return f"{choice} ({ascii_uppercase[choices.index(choice)]})"


def answer_line(choice: str, choices: tuple[str, ...]) -> str:
    return f"\nAnswer: ({ascii_uppercase[choices.index(choice)]})"
