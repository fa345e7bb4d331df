"""A task's own code may raise anything: it is counted and named, and ends nothing."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from coral import workers
from coral.conversation.agent import Agent
from coral.conversation.converse import ConversationConfig, converse
from coral.conversation.extraction import Extractor
from coral.conversation.protocols.pair import Pair
from coral.models.protocol import Sampling
from coral.models.scripted import ScriptedModel
from coral.tasks import boundary
from coral.tasks.protocol import TaskInfo
from coral.types import OPENER, RESPONDER, Answered, Problem, StopReason, Unreadable, Unsure

PROBLEM = Problem(id="sum-1", task="sums", question="What is 2+2?", target="4")


class Broken:
    """Raises what it is told to raise, wherever it is asked."""

    info = TaskInfo(name="broken", title="", size="1", origin="", license="", fetch="", splits=("all",))
    instruction = ""

    def __init__(self, error: BaseException, *, sound: tuple[str, ...] = ()) -> None:
        self._error, self._sound = error, sound

    def _answer(self, name: str, answer: Any) -> Any:
        if name in self._sound:
            return answer
        raise self._error

    def problems(self, source):
        return iter([PROBLEM])

    def opening(self, problem):
        return problem.question

    def briefing(self, problem, seat):
        return ""

    def read(self, text, problem):
        return self._answer("read", Answered(text))

    def parse(self, answer, problem):
        return self._answer("parse", Answered(answer))

    async def same(self, a, b, problem):
        return self._answer("same", True)

    async def grade(self, answer, problem):
        return self._answer("grade", True)


ERRORS = [IndexError("no item"), KeyError("x"), RecursionError(), MemoryError(), AssertionError()]


@pytest.fixture(autouse=True)
def _nothing_counted() -> None:
    boundary.failures()


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_what_a_task_raises_becomes_an_answer(error: Exception) -> None:
    """A failing reader makes a text unreadable, a grader leaves its grade unknown, a comparison says no."""
    task = Broken(error)
    for belief in (boundary.read(task, "4", PROBLEM), boundary.parse(task, "4", PROBLEM)):
        assert isinstance(belief, Unreadable)
        assert f"failed: {type(error).__name__}" in belief.reason
    assert await boundary.grade(task, "4", PROBLEM) is None
    assert await boundary.same(task, "4", "5", PROBLEM) is False
    assert await boundary.same(task, "4", "4", PROBLEM) is True
    assert len(boundary.failures()) == 4
    assert boundary.failures() == []


@pytest.mark.parametrize("returned", [None, "4", 4, Answered(4), Answered(None), [], {}], ids=repr)
def test_what_is_no_belief_is_unreadable(returned: Any) -> None:
    """A belief that could not be stored and read again would make the run impossible to resume."""

    class Careless(Broken):
        def read(self, text, problem):
            return returned

    assert isinstance(boundary.read(Careless(KeyError()), "4", PROBLEM), Unreadable)


@pytest.mark.parametrize("belief", [Answered("4"), Unsure(), Unreadable("why")], ids=repr)
def test_beliefs_pass(belief: Any) -> None:
    """What a sound reader says is not touched."""

    class Sound(Broken):
        def read(self, text, problem):
            return belief

    assert boundary.read(Sound(KeyError()), "4", PROBLEM) is belief
    assert boundary.failures() == []


async def test_a_stop_passes() -> None:
    """What ends the process or the run is no failure of the task; `sys.exit()` in its code is one."""
    cannot = Broken(workers.CannotStart("f", "no library"))
    with pytest.raises(KeyboardInterrupt):
        boundary.read(Broken(KeyboardInterrupt()), "4", PROBLEM)
    assert await boundary.grade(Broken(SystemExit()), "4", PROBLEM) is None
    assert await boundary.same(Broken(SystemExit()), "4", "5", PROBLEM) is False
    assert isinstance(boundary.read(Broken(SystemExit(2)), "4", PROBLEM), Unreadable)
    for call in (boundary.grade(cannot, "4", PROBLEM), boundary.same(cannot, "4", "5", PROBLEM)):
        with pytest.raises(workers.CannotStart):
            await call


async def test_each_kind_of_failure_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """The log names the first of a kind with its problem; the count tells of the others."""
    task = Broken(ValueError("no such thing"))
    with caplog.at_level(logging.WARNING, logger="coral"):
        for _ in range(3):
            await boundary.grade(task, "4", PROBLEM)
    assert [record.getMessage() for record in caplog.records] == [
        "the grader of the task broken raised ValueError at problem sum-1: ValueError: no such thing"
    ]
    assert boundary.failures() == ["the grader of the task broken raised ValueError (3 times)"]


@pytest.mark.parametrize(
    ("sound", "stop"),
    [
        ((), StopReason.MAX_TURNS),
        (("read", "parse"), StopReason.MAX_TURNS),
        (("read", "parse", "same"), StopReason.AGREED),
    ],
)
async def test_no_reply_ends_a_conversation_by_an_error(sound: tuple[str, ...], stop: StopReason) -> None:
    """With a broken reader, comparison or grader a conversation comes to its end like any other."""
    task = Broken(TypeError("broken"), sound=sound)
    texts = iter(["4", "5", "6", "7"])

    def agent(name: str) -> Agent:
        model = ScriptedModel(lambda request: next(texts), name=name)
        return Agent(name=name, model=model, sampling=Sampling(), system="")

    extractor = Extractor(mode="rules", task=task, model=None, sampling=Sampling(), template="")
    config = ConversationConfig(task=task, protocol=Pair(max_turns=4), extractor=extractor, seed=0)
    agents = {OPENER: agent("agent"), RESPONDER: agent("partner")}
    held = await converse(PROBLEM, sample=0, agents=agents, config=config)
    assert held.stop is stop
    assert {turn.reply.correct for turn in held.turns} == {None}
