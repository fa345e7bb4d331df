"""The scripted agent: right, stubborn and unsure as often as it was told to be."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import openai
import pytest

from coral import prompts
from coral.conversation.mistakes import Mistakes
from coral.conversation.protocols.pair import messages_for
from coral.errors import ConfigError
from coral.models.protocol import Request, Sampling
from coral.serving.scripted import Knowledge, Persona, ScriptedModel, parse_persona, serve_scripted
from coral.serving.scripted_request import ExtractionRequest, SpeakRequest, understand
from coral.types import OPENER, RESPONDER, Answered, FinishReason, Message, Problem, Role, Unsure

SYSTEM = "You and a partner work on one problem together."
STEADY = Persona(accuracy=1, stubbornness=1, unsure=0)
ERRING = Persona(accuracy=0, stubbornness=1, unsure=0)


def request(knowledge: Knowledge, problem: Problem, *replies: str, seed: int = 0, **options: Any) -> Request:
    """The turn that follows `replies`, as Coral's own view renders it."""
    seat = OPENER if len(replies) % 2 else RESPONDER
    opening, briefing = knowledge.task.opening(problem), knowledge.task.briefing(problem, seat)
    messages = messages_for(seat, system=SYSTEM, opening=opening, briefing=briefing, replies=replies)
    n = options.pop("n", 1)
    return Request(messages=messages, sampling=Sampling(**options), seed=seed, n=n)


async def say(knowledge: Knowledge, persona: Persona, asked: Request) -> str:
    generation = await ScriptedModel(knowledge, persona).generate(asked)
    return generation.candidates[0].text


async def answers(knowledge: Knowledge, persona: Persona, problem: Problem, *replies: str) -> list[Any]:
    """What 400 differently seeded requests submit: an answer, or None."""
    beliefs = []
    for seed in range(400):
        text = await say(knowledge, persona, request(knowledge, problem, *replies, seed=seed))
        belief = knowledge.task.read(text, problem)
        beliefs.append(belief.value if isinstance(belief, Answered) else None)
    return beliefs


# How it argues -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gauge", "ring", "sum", "sea"])
async def test_first_answer_is_right_with_probability_accuracy(
    knowledge: Knowledge, problems: dict[str, Problem], name: str
) -> None:
    """Of many first answers, the share `accuracy` is gold; the others are answers, too, and wrong."""
    given = await answers(knowledge, Persona(accuracy=0.7, unsure=0), problems[name])
    assert None not in given
    assert 0.62 < given.count(problems[name].target) / len(given) < 0.78


async def test_gives_in_with_probability_one_minus_stubbornness(
    knowledge: Knowledge, problems: dict[str, Problem]
) -> None:
    """Facing another answer, it takes it over in the share 1 - stubbornness, right or wrong."""
    dispute = ("I get this.\n\nAnswer: (B)", "No.\n\nAnswer: (D)")
    given = await answers(knowledge, Persona(stubbornness=0.75, unsure=0), problems["gauge"], *dispute)
    assert set(given) == {"B", "D"}
    assert 0.17 < given.count("D") / len(given) < 0.33


async def test_only_the_latest_words_of_the_partner_count(
    knowledge: Knowledge, problems: dict[str, Problem]
) -> None:
    """A partner who changed its mind is met at its new answer: agreement, not a dispute."""
    spoken = ("Answer: (B)", "Answer: (D)", "Answer: (B)", "Answer: (B)")
    text = await say(knowledge, STEADY, request(knowledge, problems["gauge"], *spoken))
    assert knowledge.task.read(text, problems["gauge"]) == Answered("B")
    assert "(D)" not in text


async def test_opener_reads_the_first_reply_inside_its_frame(
    knowledge: Knowledge, problems: dict[str, Problem]
) -> None:
    """The opener's first turn already answers what the partner said: a yielding one takes it over."""
    yielding = Persona(accuracy=1, stubbornness=0, unsure=0)
    given = await answers(knowledge, yielding, problems["gauge"], "Surely.\n\nAnswer: (D)")
    assert set(given) == {"D"}


@pytest.mark.parametrize(
    ("persona", "held", "gives_in"),
    [
        (Persona(stubbornness=0.999, unsure=0, patience=3), 2, False),
        (Persona(stubbornness=0.999, unsure=0, patience=3), 3, True),
        (Persona(stubbornness=0.999, unsure=0, patience=0), 9, False),
        (Persona(stubbornness=1, unsure=0, patience=3), 9, False),
    ],
    ids=["not yet", "patience is over", "no patience means no end", "the stubborn never do"],
)
async def test_caves_after_its_patience(
    knowledge: Knowledge, problems: dict[str, Problem], persona: Persona, held: int, gives_in: bool
) -> None:
    """An agent that held on for `patience` turns gives in, unless nothing moves it."""
    spoken = ["Answer: (B)", "Answer: (D)"] * held
    text = await say(knowledge, persona, request(knowledge, problems["gauge"], *spoken))
    assert knowledge.task.read(text, problems["gauge"]) == Answered("D" if gives_in else "B")


async def test_unsure_share_and_unsure_partner(knowledge: Knowledge, problems: dict[str, Problem]) -> None:
    """It has no answer yet in the share `unsure`; to an unsure partner it repeats its own answer."""
    given = await answers(knowledge, Persona(unsure=0.3), problems["gauge"])
    assert 0.22 < given.count(None) / len(given) < 0.38
    text = await say(
        knowledge, STEADY, request(knowledge, problems["gauge"], "Answer: (C)", "I am not sure yet.")
    )
    assert knowledge.task.read(text, problems["gauge"]) == Answered("C")


async def test_alone_it_always_answers(knowledge: Knowledge, problems: dict[str, Problem]) -> None:
    """Chain of thought has one turn, so nobody is unsure in it."""
    system = prompts.render(prompts.builtin("cot"), instruction=knowledge.task.instruction)
    opening = knowledge.task.opening(problems["ring"])
    asked = Request(
        messages=(Message(Role.SYSTEM, system), Message(Role.USER, opening)), sampling=Sampling(), n=20
    )
    generation = await ScriptedModel(knowledge, Persona(unsure=1, accuracy=1)).generate(asked)
    read = {knowledge.task.read(candidate.text, problems["ring"]) for candidate in generation.candidates}
    assert read == {Answered("blue_box")}


async def test_words_vary(knowledge: Knowledge, problems: dict[str, Problem]) -> None:
    """Candidates of one request differ in words and quote the problem."""
    asked = request(knowledge, problems["ring"], n=30)
    generation = await ScriptedModel(knowledge, STEADY).generate(asked)
    texts = {candidate.text for candidate in generation.candidates}
    assert len(texts) >= 8
    assert any("Mara puts the ring into the red_box" in text for text in texts)


async def test_unknown_problem_gets_no_answer(knowledge: Knowledge) -> None:
    """About a text that is in no problem it says that it does not know."""
    asked = Request(messages=(Message(Role.USER, "What is love?"),), sampling=Sampling())
    text = await say(knowledge, STEADY, asked)
    assert text.startswith("I do not know this problem")
    assert isinstance(knowledge.task.read(text, knowledge.index.problems[0]), Unsure)
    assert await say(knowledge, STEADY, Request(messages=(), sampling=Sampling())) == text


# What it understands -----------------------------------------------------------------------------------


async def test_extraction_prompt_is_answered_with_what_the_rules_read(
    knowledge: Knowledge, problems: dict[str, Problem]
) -> None:
    """Asked by Coral's extraction prompt, it names the answer of the message, not its own."""
    for reply, expected in [
        ("You said\n# Message\nI get this.\n\nAnswer: (C)", "Answer: C"),
        ("I am not sure yet.", "Answer: not sure yet"),
        ("Who knows?", "Answer: not sure yet"),
    ]:
        text = prompts.render(
            prompts.builtin("extraction"),
            question=knowledge.task.opening(problems["gauge"]),
            reply=reply,
            instruction=knowledge.task.instruction,
        )
        asked = Request(messages=(Message(Role.USER, text),), sampling=Sampling(max_tokens=32))
        assert await say(knowledge, ERRING, asked) == expected
    unknown = prompts.render(prompts.builtin("extraction"), question="?", reply="Answer: A", instruction="")
    read = understand((Message(Role.USER, unknown),), knowledge.index)
    assert read == ExtractionRequest(problem=None, reply="Answer: A")


@pytest.mark.parametrize("name", ["gauge", "gauge-late", "ring", "lamp", "sum", "secret", "secret-2"])
@pytest.mark.parametrize("num_replies", [0, 1, 2, 5])
def test_problem_and_speakers_are_recognised(
    knowledge: Knowledge, problems: dict[str, Problem], name: str, num_replies: int
) -> None:
    """From Coral's own messages: the problem (even where only briefings differ), and who said what."""
    replies = [f"turn {index}" for index in range(num_replies)]
    read = understand(request(knowledge, problems[name], *replies).messages, knowledge.index)
    assert isinstance(read, SpeakRequest)
    assert read.problem == problems[name]
    assert read.partner == tuple(replies[(num_replies - 1) % 2 :: 2][: (num_replies + 1) // 2])
    assert read.own == tuple(replies[num_replies % 2 :: 2][: num_replies // 2])
    assert not read.alone


def test_longest_matching_problem_wins_and_white_space_does_not_matter(
    knowledge: Knowledge, problems: dict[str, Problem]
) -> None:
    """Re-wrapped text is found; a text on one line is, too."""
    opening = knowledge.task.opening(problems["ring"])
    assert knowledge.index.find(" ".join(opening.split())) == problems["ring"]
    assert knowledge.index.find(f"Please.\n{opening}\nThank you.") == problems["ring"]
    assert knowledge.index.find("Mara puts the ring into the red_box.") is None


# Its mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "possible"),
    [
        ("gauge", {"A", "C", "D"}),
        ("ring", {"red_box"}),
        ("sea", {"no"}),
        ("sum", {"43", "44", "41", "84", "52"}),
    ],
    ids=["another choice", "another thing of the story", "the opposite", "a number close by"],
)
async def test_mistakes_are_plausible_and_wrong(
    knowledge: Knowledge, problems: dict[str, Problem], name: str, possible: set[str]
) -> None:
    """A wrong answer is of the kind that the problem asks for, and never gold."""
    given = set(await answers(knowledge, ERRING, problems[name]))
    assert given <= possible
    assert given


async def test_no_wrong_answer_means_unsure(quiz: Any, problems: dict[str, Problem]) -> None:
    """Where no wrong answer can be thought of, the agent has none, rather than gold by accident."""
    lonely = Problem(id="x", task="quiz", question="Who?", target="Mara")
    assert await Mistakes(quiz, [lonely]).draw(lonely, random.Random(0)) is None
    text = await say(Knowledge(quiz, [lonely]), ERRING, request(Knowledge(quiz, [lonely]), lonely))
    assert "not sure yet" in text


# The protocol ------------------------------------------------------------------------------------------


async def test_same_request_same_text(knowledge: Knowledge, problems: dict[str, Problem]) -> None:
    """A reply follows from seed and request: equal when sent again, another with another seed."""
    asked = request(knowledge, problems["ring"], seed=5, n=3)
    first, again = [await ScriptedModel(knowledge).generate(asked) for _ in range(2)]
    assert first.candidates == again.candidates
    other = await ScriptedModel(knowledge).generate(request(knowledge, problems["ring"], seed=6, n=3))
    assert other.candidates != first.candidates
    reseeded = await ScriptedModel(knowledge, Persona(seed=1)).generate(asked)
    assert reseeded.candidates != first.candidates


async def test_usage_max_tokens_stop_and_logprobs(knowledge: Knowledge, problems: dict[str, Problem]) -> None:
    """Tokens are words: counted, cut at max_tokens with finish_reason length, cut before a stop text."""
    model = ScriptedModel(knowledge, STEADY)
    whole = await model.generate(request(knowledge, problems["ring"], n=2, logprobs=True))
    words = [len(candidate.text.split()) for candidate in whole.candidates]
    assert whole.usage.completion_tokens == sum(words)
    assert [candidate.usage and candidate.usage.completion_tokens for candidate in whole.candidates] == words
    prompt = request(knowledge, problems["ring"]).messages
    assert whole.usage.prompt_tokens == sum(len(message.content.split()) for message in prompt)
    assert [len(candidate.token_logprobs or ()) for candidate in whole.candidates] == words
    assert all(value <= 0 for value in whole.candidates[0].token_logprobs or ())

    cut = (await model.generate(request(knowledge, problems["ring"], max_tokens=5))).candidates[0]
    assert (cut.finish_reason, len(cut.text.split())) == (FinishReason.LENGTH, 5)
    assert whole.candidates[0].text.startswith(cut.text)

    stopped = (
        await model.generate(request(knowledge, problems["ring"], stop=("Answer:", "zzz")))
    ).candidates[0]
    assert stopped.finish_reason is FinishReason.STOP
    assert whole.candidates[0].text.startswith(stopped.text)
    assert "Answer" not in stopped.text


async def test_stream_joins_to_the_reply(knowledge: Knowledge, problems: dict[str, Problem]) -> None:
    """What is streamed word by word is what `generate` returns, white space included."""
    asked = request(knowledge, problems["ring"], n=2, logprobs=True, stop=("Answer:",))
    model = ScriptedModel(knowledge)
    generation = await model.generate(asked)
    deltas = [delta async for delta in model.stream(asked)]
    for index, candidate in enumerate(generation.candidates):
        own = [delta for delta in deltas if delta.index == index]
        assert "".join(delta.text for delta in own) == candidate.text
        assert tuple(v for delta in own for v in delta.token_logprobs or ()) == candidate.token_logprobs
        assert own[-1].finish_reason is candidate.finish_reason
    assert deltas[-1].usage == generation.usage


async def test_latency(knowledge: Knowledge, problems: dict[str, Problem]) -> None:
    """Requests wait `latency_s` side by side, not one after the other."""
    model = ScriptedModel(knowledge, Persona(latency_s=0.05))
    loop = asyncio.get_running_loop()
    started = loop.time()
    generations = await asyncio.gather(
        *(model.generate(request(knowledge, problems["sum"])) for _ in range(20))
    )
    assert min(generation.latency_s for generation in generations) >= 0.045
    assert loop.time() - started < 0.5


# Names -------------------------------------------------------------------------------------------------


def test_name_sets_what_it_says_and_keeps_the_rest() -> None:
    """Options in a model's name replace the server's defaults one by one."""
    default = Persona(accuracy=0.3, seed=4)
    assert parse_persona("scripted", default) == default
    named = parse_persona("scripted:stubbornness=0.8,patience=2", default)
    assert named == Persona(accuracy=0.3, seed=4, stubbornness=0.8, patience=2)


@pytest.mark.parametrize(
    "name",
    [
        "other",
        "scripted:",
        "scripted:accuracy",
        "scripted:speed=1",
        "scripted:accuracy=1.5",
        "scripted:seed=0.5",
        "scripted:accuracy=0.1,accuracy=0.2",
        "scripted:patience=-1",
        "scripted:accuracy=nan",
    ],
)
def test_name_that_means_nothing_is_refused(name: str) -> None:
    """An unknown name, option or value is an error that lists the options."""
    with pytest.raises(ConfigError) as caught:
        parse_persona(name, Persona())
    assert caught.value.remedy


async def test_one_server_plays_two_agents(
    serve: Any, knowledge: Knowledge, problems: dict[str, Problem]
) -> None:
    """Two model names, one process: each answers as its name says, through the official client."""
    served = serve_scripted(knowledge, Persona(unsure=0))
    opening = knowledge.task.opening(problems["ring"])
    async with serve(served) as site, openai.AsyncOpenAI(base_url=site.url, api_key="none") as client:
        told = {}
        for name in ("scripted:accuracy=1", "scripted:accuracy=0"):
            reply = await client.chat.completions.create(
                model=name, messages=[{"role": "user", "content": opening}], n=5, seed=1
            )
            assert reply.model == name
            told[name] = {(choice.message.content or "").splitlines()[-1] for choice in reply.choices}
        with pytest.raises(openai.NotFoundError, match="stubbornness"):
            await client.chat.completions.create(
                model="scripted:stuborness=1", messages=[{"role": "user", "content": opening}]
            )
        listed = [card.id async for card in client.models.list()]
    assert told == {"scripted:accuracy=1": {"Answer: blue_box"}, "scripted:accuracy=0": {"Answer: red_box"}}
    assert listed == ["scripted"]
