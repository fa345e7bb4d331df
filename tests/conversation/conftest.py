"""A task small enough to see through: sums, answered by "Answer: N"."""

import re

import pytest

from coral import prompts
from coral.conversation.agent import Agent
from coral.conversation.calls import direct
from coral.conversation.converse import ConversationConfig, converse
from coral.conversation.extraction import Extractor
from coral.conversation.protocols.pair import Pair
from coral.conversation.protocols.single import Single
from coral.models.protocol import Sampling
from coral.models.scripted import ScriptedModel
from coral.tasks.protocol import TaskInfo
from coral.types import OPENER, RESPONDER, Answered, Problem, Unreadable, Unsure

FIRST_REPLY = prompts.builtin("first_reply")

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


def configured(protocol, mode="rules", model=None, seed=0, **options):
    extractor = Extractor(
        mode=mode, task=Sums(), model=model, sampling=Sampling(),
        template="{{ question }} {{ reply }} {{ instruction }}",
    )  # fmt: skip
    return ConversationConfig(task=Sums(), protocol=protocol, extractor=extractor, seed=seed, **options)


async def hold(protocol, agents, *, calls=direct, **options):
    """A conversation by any protocol."""
    config = configured(protocol, **options)
    return await converse(PROBLEM, sample=0, agents=agents, config=config, calls=calls)


async def talk(responder, opener=None, *, max_turns=6, second_chance="", calls=direct, **options):
    """A conversation of two agents, or of one that answers alone."""
    if opener is None:
        protocol, agents = Single(agent="partner", second_chance=second_chance), {RESPONDER: responder}
    else:
        protocol = Pair(max_turns=max_turns, first_reply=FIRST_REPLY)
        agents = {RESPONDER: responder, OPENER: opener}
    return await hold(protocol, agents, calls=calls, **options)


@pytest.fixture
def sums():
    """The pieces of a conversation about sums."""
    return {
        "problem": PROBLEM,
        "speaking": speaking,
        "agent": agent,
        "talk": talk,
        "hold": hold,
        "task": Sums(),
    }
