"""A task small enough to see through: sums, answered by "Answer: N"."""

import re

import pytest

from coral.conversation.agent import Agent
from coral.conversation.converse import Setting
from coral.conversation.extraction import Extractor
from coral.models.protocol import Sampling
from coral.models.scripted import ScriptedModel
from coral.tasks.protocol import TaskInfo
from coral.types import Answered, Problem, Unreadable, Unsure

PROBLEM = Problem(id="sum-1", task="sums", question="What is 2+2?", target="4")


class Sums:
    info = TaskInfo(name="sums", title="sums", size="1", origin="", license="", fetch="", splits=("all",))
    instruction = 'End with "Answer: N".'

    def problems(self, source):
        return iter([PROBLEM])

    def opening(self, problem):
        return f"I am trying to solve this: {problem.question}"

    def briefing(self, problem, seat):
        return ""

    def read(self, text, problem):
        if "not sure" in text:
            return Unsure()
        found = re.findall(r"Answer: ([\d.]+)", text)
        return Answered(found[0]) if len(found) == 1 else Unreadable("no single answer")

    def parse(self, answer, problem):
        if "not sure" in answer:
            return Unsure()
        return Answered(answer) if re.fullmatch(r"[\d.]+", answer) else Unreadable(f"not a number: {answer}")

    async def same(self, a, b, problem):
        return float(a) == float(b)

    async def grade(self, answer, problem):
        return float(answer) == float(problem.target)


def speaking(*texts):
    """A script that says these texts one after the other."""
    queue = iter(texts)
    return lambda request: next(queue)


def agent(name, script):
    return Agent(name=name, model=ScriptedModel(script, name=f"{name}-model"), sampling=Sampling(), system="")


def setting(mode="rules", model=None, max_turns=6, seed=0, **options):
    extractor = Extractor(
        mode=mode, task=Sums(), model=model, sampling=Sampling(),
        template="{{ question }} {{ reply }} {{ instruction }}",
    )  # fmt: skip
    return Setting(task=Sums(), extractor=extractor, max_turns=max_turns, seed=seed, **options)


@pytest.fixture
def sums():
    """The pieces of a conversation about sums."""
    return {"problem": PROBLEM, "speaking": speaking, "agent": agent, "setting": setting, "task": Sums()}
