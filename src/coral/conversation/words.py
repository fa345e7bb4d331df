"""What agents without a model say: reasons in varied words, and closings that the task's rules can read."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from enum import Enum


class Move(Enum):
    """What a turn does in the discussion."""

    PROPOSE = "propose"
    REPEAT = "repeat"
    AGREE = "agree"
    HOLD = "hold"
    YIELD = "yield"
    UNSURE = "unsure"
    WITHDRAW = "withdraw"


UNKNOWN_PROBLEM = (
    "I do not know this problem: none of the problems I was given has this text, so I have no answer to it. "
    "I am not sure yet."
)

_BODIES: dict[Move, tuple[str, ...]] = {
    Move.PROPOSE: (
        "Let me take it step by step. {quote}Everything else I tried runs into a contradiction there.",
        "I read it twice. {quote}That rules out the alternatives, as far as I can see.",
        "First I listed what is given, then what is asked. {quote}The rest follows from it.",
        "Here is how I see it. {quote}I checked the remaining steps and found nothing against it.",
        "The tempting reading skips a step. {quote}With that in mind only one result is left.",
    ),
    Move.REPEAT: (
        "Since you have no result yet, here is mine again. {quote}Please check that step.",
        "Take your time. {quote}I went over it once more and came out at the same place.",
        "Let me offer something to test your doubts on. {quote}Does that step hold for you, too?",
    ),
    Move.AGREE: (
        "I worked it out on my own and came to the same result. {quote}",
        "That matches what I have. {quote}So we see it the same way.",
        "I went through your steps and could not find a gap. {quote}",
        "Yes, the step you rely on holds. {quote}",
    ),
    Move.HOLD: (
        "I do not get {theirs} here. {quote}Could you look at that step again?",
        "We part at one step: you take it towards {theirs}. {quote}I think that is where yours slips.",
        "I tried to follow you to {theirs} and could not. {quote}My own steps still stand.",
        "Your reasoning is close, but {theirs} needs something that is not given. {quote}",
        "Let me push back. {quote}That is hard to square with {theirs}.",
    ),
    Move.YIELD: (
        "You have a point: with {mine} I missed something. {quote}I take it back.",
        "I went back to the step where we part, and it was mine that failed. {quote}",
        "That convinces me. {quote}So much for {mine}.",
        "Good catch. {quote}I was too quick with {mine}.",
    ),
    Move.UNSURE: (
        "Two readings still seem possible to me, and I would rather not guess. {quote}",
        "I have not got through all of it. {quote}What do you make of that part?",
        "Let me think aloud. {quote}I cannot close the argument from there.",
    ),
    Move.WITHDRAW: (
        "Hm, your objection makes me doubt my own steps. {quote}I need to go through it again.",
        "I was confident a moment ago, but now I see the gap you mean. {quote}",
    ),
}

_QUOTES = (
    'The part that decides it is "{line}". ',
    'Look at "{line}". ',
    'What matters to me is this: "{line}". ',
    "",
)

_HANDING_OVER = ("So my program is:", "This is what I submit:", "My answer is this program:")
_UNSURE_ENDINGS = ("I am not sure yet.", "So for now: I am not sure yet.")


def body(move: Move, rng: random.Random, *, statement: str, mine: str, theirs: str) -> str:
    """The reasons of a turn, which quote the problem and speak of both answers."""
    line = _quotable(statement, rng)
    quote = rng.choice(_QUOTES).format(line=line) if line else ""
    text = rng.choice(_BODIES[move])
    return text.format(quote=quote, mine=mine, theirs=theirs).strip()


def plain_body(move: Move, rng: random.Random) -> str:
    """The reasons of a turn without a quotation and without naming an answer."""
    bodies = [text for text in _BODIES[move] if "{mine}" not in text and "{theirs}" not in text]
    return rng.choice(bodies).format(quote="").strip() if bodies else "I went through it once more."


def unsure_ending(rng: random.Random) -> str:
    """How a turn ends that submits no answer."""
    return rng.choice(_UNSURE_ENDINGS)


def endings(answer: str, instruction: str, rng: random.Random) -> Iterator[str]:
    """Sentences that submit `answer`, the ones the task's instruction asks for first."""
    letter = re.fullmatch("[A-Z]", answer) is not None
    if "```" in instruction:
        yield f"{rng.choice(_HANDING_OVER)}\n\n{block(answer)}"
    if r"\boxed" in instruction:
        yield rng.choice((rf"The answer is $\boxed{{{answer}}}$.", rf"So I get $\boxed{{{answer}}}$."))
    if letter:
        yield f"Answer: ({answer})"
    yield f"Answer: {answer}"
    yield f"The answer is ({answer})." if letter else f"The answer is {answer}."
    yield rf"The answer is $\boxed{{{answer}}}$."


def is_program(answer: str) -> bool:
    """Whether an answer has several lines: then it is one."""
    return "\n" in answer


def block(program: str) -> str:
    """A program as a message holds it."""
    return f"```python\n{program}\n```"


def spoken(answer: str) -> str:
    """An answer as it is named within a sentence."""
    if is_program(answer):
        return "that program"
    return f"({answer})" if re.fullmatch("[A-Z]", answer) else answer


def _quotable(statement: str, rng: random.Random) -> str:
    """A sentence of the problem that reads well as a quotation, empty if it has none."""
    sentences = re.split(r"\n+|(?<=[.?!])\s+", statement)
    stripped = (re.sub(r"^\d+\s+", "", sentence.strip()).removesuffix(".") for sentence in sentences)
    fitting = [text for text in stripped if 20 <= len(text) <= 140 and re.fullmatch(r'\w[^"?]*[^:"?]', text)]
    return rng.choice(fitting) if fitting else ""
