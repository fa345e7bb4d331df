"""A person as any face has them: what they are shown, one at a time, and what is kept of it."""

import asyncio
from pathlib import Path

import pytest

from coral.api import evaluate_async, load_run
from coral.errors import ConfigError
from coral.evaluation.config import AgentConfig, EvalConfig
from coral.evaluation.given import Given
from coral.evaluation.progress import Progress
from coral.evaluation.session import run_session
from coral.models.connections import Stopped

DATA = str(Path(__file__).parents[1] / "data" / "gsm8k" / "test.sample.jsonl")
WORDS = ["I say \\boxed{5}", "Hm, no.", "Well, \\boxed{7}"]


def seven(_):
    return "It is \\boxed{7}"


class Scripted:
    """A face whose person says what a script has; stops where it is over."""

    def __init__(self, words, delay_s=0.0):
        self.words, self.views, self._delay_s = list(words), [], delay_s
        self.asked = 0

    async def ask(self, view):
        self.asked += 1
        assert self.asked == 1, "asked for two turns at once"
        await asyncio.sleep(self._delay_s)
        self.asked -= 1
        self.views.append(view)
        if not self.words:
            raise Stopped
        return self.words.pop(0)


def config(path, **more):
    options = {"data": DATA, "limit": 2, "max_turns": 8, "output": str(path), "partner": {"model": "human"}}
    return EvalConfig(task={"name": "gsm8k"}, **{**options, **more})


async def held(face, path, **more):
    given = Given(face=face)
    agent = AgentConfig(model=given.models.add(seven))
    return await run_session(config(path, agent=agent, **more), Progress(), given)


async def test_a_person_is_shown_what_a_model_is_sent(tmp_path):
    """To the letter, in both seats and with a probe; what is new is told from what is known."""
    for opener, probe in (("agent", False), ("partner", False), ("agent", True)):
        sent = []
        replies = iter(WORDS * 9)

        def model(messages, sent=sent, replies=replies):
            sent.append(messages)
            return next(replies)

        options = {"opener": opener, "probe": probe, "limit": 1}
        await evaluate_async(
            "gsm8k", agent=seven, partner=model, data=DATA, max_turns=8,
            output=str(tmp_path / f"{opener}{probe}m"),
            **options,
        )  # fmt: skip
        face = Scripted(WORDS * 9)
        await held(face, tmp_path / f"{opener}{probe}h", **options)
        shown = [[{"role": m.role.value, "content": m.content} for m in view.messages] for view in face.views]
        assert shown == sent
        first, second, *_ = face.views
        assert first.seen == 0
        assert [m.content for m in second.fresh if m.role.value == "user"] == [second.messages[-1].content]


async def test_one_conversation_at_a_time(tmp_path):
    """However many connections there are; the time that is taken is the turn's, and costs no tokens."""
    face = Scripted(["\\boxed{7}"] * 5, delay_s=0.05)
    run = await held(face, tmp_path / "run", limit=5, max_connections=64)
    assert (run.finished, run.summary.models["partner"]) == (5, "human")
    assert len({view.conversation for view in face.views}) == 5
    for conversation in run.conversations():
        reply = conversation.turns[0].reply
        assert reply.latency_s >= 0.05
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (0, 0)
    assert run.summary.usage["partner"].calls == 5


async def test_who_stops_is_owed_the_rest(tmp_path):
    """Nothing fails, and the next session hands over the conversation so far."""
    face = Scripted(WORDS[:2])
    run = await held(face, tmp_path / "run")
    assert (run.summary, run.finished) == (None, 0)
    again = Scripted([WORDS[2], "\\boxed{7}"])
    run = await held(again, tmp_path / "run")
    assert run.finished == 2
    assert [m.content for m in again.views[0].messages if m.role.value == "assistant"] == WORDS[:2]
    assert run.summary.stop_reasons == {"agreed": 2}
    assert load_run(tmp_path / "run").identity()["partner"] == {"model": "human"}


async def test_half_a_surrogate_pair_is_kept_as_a_mark(tmp_path):
    """No file can hold it."""
    run = await held(Scripted(["x \ud83d \\boxed{7}"]), tmp_path / "run", limit=1)
    assert next(run.conversations()).turns[0].reply.text == "x \ufffd \\boxed{7}"


async def test_a_person_in_a_panel(tmp_path):
    """Beside models; what they cost is the models' alone."""
    given = Given(face=Scripted(["\\boxed{7}"] * 4))
    agent = AgentConfig(model=given.models.add(seven))
    agents = ({"model": "human"}, {}, {})
    panel = config(tmp_path / "run", agent=agent, partner={}, agents=agents, protocol="panel")
    run = await run_session(panel, Progress(), given)
    assert run.summary.stop_reasons == {"agreed": 2}
    assert "human" in run.summary.models.values()


async def test_without_a_face_there_is_nobody(tmp_path):
    """As from Python: refused before there is a folder."""
    with pytest.raises(ConfigError, match="nobody is asked here") as refused:
        await evaluate_async("gsm8k", partner="human", agent=seven, data=DATA, output=str(tmp_path / "run"))
    assert "coral chat" in refused.value.remedy
    assert not (tmp_path / "run").exists()
