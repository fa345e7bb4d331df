"""The scripted agent on the real tasks: what it says is what their rules read."""

from __future__ import annotations

from pathlib import Path

import pytest

from coral import prompts
from coral.conversation.extraction import template_for
from coral.conversation.protocols.pair import messages_for
from coral.models.protocol import Request, Sampling
from coral.serving.scripted import Knowledge, Persona, ScriptedModel
from coral.tasks import registry
from coral.tasks.protocol import Source
from coral.types import OPENER, RESPONDER, Answered, Message, Problem, Role, Unsure

DATA = Path(__file__).parents[1] / "data"
SAMPLES = [
    ("hi_tom", "hi_tom/Hi-ToM_data.sample.json", {}),
    ("hi_tom", "hi_tom/Hi-ToM_data.sample.json", {"choices": True}),
    ("mmlu_pro", "mmlu_pro/test.sample.jsonl", {}),
    ("gsm8k", "gsm8k/test.sample.jsonl", {}),
    ("explore_tom", "explore_tom/SYNTHETIC_fixture.csv", {}),
    ("humaneval", "humaneval/HumanEval.jsonl.gz", {"allow_unsafe_code": True}),
    ("mbpp", "mbpp/mbpp.sample.jsonl", {"allow_unsafe_code": True}),
    ("livecodebench", "livecodebench/SYNTHETIC_fixture.jsonl", {"allow_unsafe_code": True}),
]


def load(name: str, file: str, options: dict[str, bool]) -> Knowledge:
    """The first 40 problems of a sample; 10 where programs are run, for at most a second each."""
    limits = {"timeout_s": 1.0} if options.get("allow_unsafe_code") else {}
    task = registry.load(name, **options, **limits)
    problems = list(task.problems(Source(data=str(DATA / file), split="")))
    return Knowledge(task, problems[: 10 if limits else 40])


async def converse(knowledge: Knowledge, model: ScriptedModel, problem: Problem) -> list[str]:
    """A conversation of the model with itself, up to eight turns or two equal answers."""
    task, replies = knowledge.task, []
    system = prompts.render(prompts.builtin("agent"), instruction=task.instruction)
    answers: list[str | None] = []
    for turn in range(8):
        seat = OPENER if turn % 2 else RESPONDER
        messages = messages_for(
            seat, system=system, opening=task.opening(problem), briefing="", replies=replies
        )
        generation = await model.generate(Request(messages=messages, sampling=Sampling(), seed=turn))
        replies.append(generation.candidates[0].text)
        belief = task.read(replies[-1], problem)
        answers.append(belief.value if isinstance(belief, Answered) else None)
        if answers[-1] is not None and answers[-1:] == answers[-2:-1]:
            break
    return replies


@pytest.mark.parametrize(("name", "file", "options"), SAMPLES)
async def test_every_turn_is_readable(name: str, file: str, options: dict[str, bool]) -> None:
    """In whole conversations no turn is unreadable; as extractor model it reads what the rules read."""
    knowledge = load(name, file, options)
    model = ScriptedModel(knowledge, Persona(unsure=0.15, stubbornness=0.7))
    lengths = set()
    for problem in knowledge.index.problems:
        replies = await converse(knowledge, model, problem)
        lengths.add(len(replies))
        for reply in replies:
            belief = knowledge.task.read(reply, problem)
            assert isinstance(belief, Answered | Unsure), reply
            extracted = belief.value if isinstance(belief, Answered) else "not sure yet"
            assert await extract(knowledge, model, problem, reply) == f"Answer: {extracted}"
    assert len(lengths) > (2 if len(knowledge.index.problems) > 4 else 1)


async def extract(knowledge: Knowledge, model: ScriptedModel, problem: Problem, reply: str) -> str:
    """What the agent answers to Coral's extraction prompt."""
    prompt = prompts.render(
        template_for(knowledge.task),
        question=knowledge.task.opening(problem),
        reply=reply,
        instruction=knowledge.task.instruction,
    )
    generation = await model.generate(
        Request(messages=(Message(Role.USER, prompt),), sampling=Sampling(max_tokens=1_024))
    )
    return generation.candidates[0].text


@pytest.mark.parametrize(("name", "file", "options"), SAMPLES)
@pytest.mark.parametrize("right", [True, False])
async def test_accuracy_is_graded_as_set(name: str, file: str, options: dict[str, bool], right: bool) -> None:
    """At accuracy 1 the task grades every first answer right, at 0 every one wrong."""
    knowledge = load(name, file, options)
    model = ScriptedModel(knowledge, Persona(accuracy=float(right), unsure=0))
    for problem in knowledge.index.problems:
        asked = Request(
            messages=(Message(Role.USER, knowledge.task.opening(problem)),), sampling=Sampling(), seed=1
        )
        text = (await model.generate(asked)).candidates[0].text
        belief = knowledge.task.read(text, problem)
        assert isinstance(belief, Answered), text
        assert await knowledge.task.grade(belief.value, problem) is right, (text, problem.target)
