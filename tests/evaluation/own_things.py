"""A task and metrics of a user, in a module that can be imported by name."""

from dataclasses import dataclass, field

from coral import Answered, Problem, TaskInfo, Unreadable


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
