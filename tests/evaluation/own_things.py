"""A task, metrics and a protocol of a user, in a module that can be imported by name."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from coral import Answered, Problem, TaskInfo, Unreadable
from coral.conversation.messages import dialogue, said
from coral.metrics.outcome import last_answer


@dataclass
class Sums:
    """Sums of two digits.

    Attributes:
        most: how many.
    """

    most: int = 4
    digits: tuple[int, ...] = (3, 4)
    notes: object = field(default=None, repr=False)

    info = TaskInfo(name="sums")
    instruction = "End with: answer N."

    def problems(self, source):
        del source
        for number in range(self.most):
            question = f"{number} + {self.digits[0]}"
            yield Problem(
                id=str(number), task="sums", question=question, target=str(number + self.digits[0]),
                group={"parity": str(number % 2)},
            )  # fmt: skip

    def opening(self, problem):
        return f"What is {problem.question}?"

    def briefing(self, problem, seat):
        del problem, seat
        return ""

    def read(self, text, problem):
        del problem
        return Answered(text.split()[-1]) if "answer" in text else Unreadable("no answer")

    def parse(self, answer, problem):
        del problem
        return Answered(answer)

    async def same(self, a, b, problem):
        del problem
        return a == b

    async def grade(self, answer, problem):
        return answer == problem.target


def adds(messages):
    """Adds up what the first question asks for."""
    said = " ".join(message["content"] for message in messages)
    a, b = said.partition("What is ")[2].partition("?")[0].split(" + ")
    return f"answer {int(a) + int(b)}"


def ends_right(trace):
    return trace.turns[-1].correct


def words(trace, conversation):
    assert trace.turns
    return float(sum(len(turn.reply.text.split()) for turn in conversation.turns))


def right_of_turns(trace):
    return sum(turn.correct is True for turn in trace.turns), len(trace.turns)


def raises(trace):
    return trace.nothing


def raises_at_times(trace, conversation):
    del trace
    if conversation.problem.id == "0":
        raise LookupError("no zero")
    return True


def says_nothing(trace):
    del trace


def is_a_word(trace):
    del trace
    return "many"


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Options of the protocol below."""

    times: int = 2
    again: Literal["again", "once more"] = "again"


@dataclass(frozen=True, kw_only=True)
class Times:
    """One agent is asked so many times, and its last answer counts."""

    name: ClassVar[str] = "times"
    takes: ClassVar[frozenset[str]] = frozenset()
    options: ClassVar[type] = Asking
    system_prompt: ClassVar[str] = "cot"
    min_agents: ClassVar[int] = 1
    max_agents: ClassVar[int] = 1
    answers_once: ClassVar[bool] = False

    agent: str = "agent"
    asking: Asking = Asking()
    prompts: ClassVar[dict[str, str]] = {}

    @classmethod
    def build(cls, settings):
        return cls(agent=settings.agents[0], asking=settings.options)

    @property
    def speakers(self):
        return {"responder": self.agent}

    @property
    def max_turns(self):
        return self.asking.times

    def next_seat(self, turns):
        return "responder" if len(turns) < self.asking.times else None

    def messages(self, seat, told, turns):
        del seat
        texts = [text for turn in turns for text in (said(turn), self.asking.again)]
        return dialogue(told, told.problem, texts)

    async def ending(self, turns, same):
        del turns, same

    def outcome(self, trace):
        return last_answer(trace)


def ends_right_by(trace):
    return trace.turns[-1].correct
