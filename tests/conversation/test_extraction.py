"""Belief extraction: rules, model, hybrid."""

import dataclasses

import pytest

from coral.conversation.calls import direct
from coral.conversation.extraction import Extractor
from coral.errors import BadResponse, ContentFiltered, RateLimited, Rejected
from coral.models.protocol import Candidate, Generation, Sampling
from coral.models.scripted import ScriptedModel
from coral.prompts import builtin
from coral.types import Answered, FinishReason, Unreadable, Unsure, Usage


def extractor(sums, mode, *said):
    model = ScriptedModel(sums["speaking"](*said)) if mode != "rules" else None
    return Extractor(
        mode=mode, task=sums["task"], model=model, sampling=Sampling(), template=builtin("extraction")
    )


async def extract(sums, tool, text):
    candidate = Candidate(text=text, finish_reason=FinishReason.STOP)
    return await tool.extract(
        candidate, sums["problem"], calls=direct, conversation_id="c", step="1/extraction", seed=0
    )


@pytest.mark.parametrize(("mode", "asked"), [("rules", 0), ("hybrid", 0), ("model", 1)])
async def test_a_plain_answer_costs_a_request_only_in_mode_model(sums, mode, asked):
    """Hybrid asks the model only where the rules find no unambiguous answer."""
    tool = extractor(sums, mode, "Answer: 4")
    belief, extraction = await extract(sums, tool, "So: Answer: 4")
    assert belief == Answered("4")
    assert extraction.by == ("model" if asked else "rules")
    assert len(tool.model.requests if tool.model else []) == asked


async def test_hybrid_asks_where_the_rules_cannot_tell(sums):
    """The model's words are kept as evidence, with what they cost."""
    tool = extractor(sums, "hybrid", "Answer: 4")
    belief, extraction = await extract(sums, tool, "Well, four, I suppose.")
    assert belief == Answered("4")
    assert (extraction.by, extraction.text, extraction.attempts) == ("model", "Answer: 4", 1)
    assert extraction.usage.completion_tokens == 2
    prompt = tool.model.requests[0].messages[0].content
    assert "Well, four, I suppose." in prompt
    assert "What is 2+2?" in prompt


async def test_an_explicit_not_sure_is_no_reason_to_ask(sums):
    """The rules' `Unsure` stands."""
    tool = extractor(sums, "hybrid")
    assert (await extract(sums, tool, "I am not sure yet."))[0] == Unsure()


@pytest.mark.parametrize(
    ("words", "belief"),
    [
        ("Answer: 4", Answered("4")),
        ("answer: 4\n", Answered("4")),
        ("**Answer:** 4", Answered("4")),
        ("Final answer: 4", Answered("4")),
        ("**Answer:** **4**", Answered("4")),
        ("**Final Answer**: 4", Answered("4")),
        ('"Answer: 4"', Answered("4")),
        ("`Answer: 4`", Answered("4")),
        ("4", Answered("4")),  # without the label it was asked for
        ("The message says this.\nAnswer: 4", Answered("4")),  # chatter before the line
        ("Answer: not sure yet", Unsure()),
        ("not sure yet", Unsure()),
    ],
)
async def test_the_extractors_line_is_read(sums, words, belief):
    """The extractor is asked for one line; small deviations of form are read, too."""
    assert (await extract(sums, extractor(sums, "model", words), "text"))[0] == belief


@pytest.mark.parametrize("words", ["Error: extraction network error", "I cannot help with that.", "  \n "])
async def test_anything_else_is_unreadable(sums, words):
    """An extractor's error text or refusal is no answer (trap 3: it was graded as letter E)."""
    assert isinstance((await extract(sums, extractor(sums, "model", words), "text"))[0], Unreadable)


async def test_a_cut_extraction_is_unreadable(sums):
    """Half an answer is none."""
    cut = Candidate(text="Answer: 4", finish_reason=FinishReason.LENGTH)
    model = ScriptedModel(lambda request: Generation(candidates=(cut,), usage=Usage(), latency_s=0))
    tool = Extractor(
        mode="model", task=sums["task"], model=model, sampling=Sampling(), template=builtin("extraction")
    )
    assert isinstance((await extract(sums, tool, "text"))[0], Unreadable)


@pytest.mark.parametrize("error", [BadResponse, ContentFiltered, Rejected])
async def test_a_text_the_extractor_cannot_take_is_unreadable(sums, error):
    """Failures that the same text would cause again are a property of the turn."""

    def fail(request):
        raise error("no", attempts=3)

    tool = Extractor(
        mode="model", task=sums["task"], model=ScriptedModel(fail), sampling=Sampling(),
        template=builtin("extraction"),
    )  # fmt: skip
    belief, extraction = await extract(sums, tool, "text")
    assert isinstance(belief, Unreadable)
    assert extraction.attempts == 3


async def test_an_unreachable_extractor_fails_the_conversation(sums):
    """A network failure says nothing about the turn, so it must not become its belief."""

    def fail(request):
        raise RateLimited("later")

    tool = Extractor(
        mode="model", task=sums["task"], model=ScriptedModel(fail), sampling=Sampling(),
        template=builtin("extraction"),
    )  # fmt: skip
    with pytest.raises(RateLimited):
        await extract(sums, tool, "text")


PROMPTED = "Find the final answer that this message itself submits."


@pytest.mark.parametrize(
    "words",
    [
        'End with "Answer: N". Answer: 4',
        'Below are a problem and a message.\nAnswer: 4\nEnd with  "Answer: N".',
        f"{PROMPTED} Answer: 4",
        "4\nor was it\n5",
        "4\n4",
        "Answer: 4\nAnswer: 5",
    ],
)
async def test_an_echo_of_the_prompt_and_loose_lines_are_unreadable(sums, words):
    """A reply that repeats its instruction may hold its example; several lines hold no one answer."""
    assert isinstance((await extract(sums, extractor(sums, "model", words), "It is 4 or 5."))[0], Unreadable)


@pytest.mark.parametrize("text", ["It is IV.", "2 and 2 make it."])
async def test_hybrid_has_a_number_that_is_not_there_looked_up(sums, text):
    """The rules found nothing, and the model a number that is not there: it must show where it stands."""
    tool = extractor(sums, "hybrid", "Answer: 4", f'Quote: "{text}"')
    belief, extraction = await extract(sums, tool, text)
    assert belief == Answered("4")
    assert (extraction.attempts, extraction.text) == (2, f'Answer: 4\nQuote: "{text}"')
    assert extraction.usage.completion_tokens == 2 + len(f'Quote: "{text}"'.split())
    asked = tool.model.requests[1].messages[0].content
    assert text in asked
    assert "What is 2+2?" in asked


@pytest.mark.parametrize(
    "words", ["Quote: none", "none", "Quote: the sum is four", "Quote: 4", "It is clear."]
)
async def test_a_number_that_nothing_submits_is_not_taken(sums, words):
    """An extractor that works the problem out itself cannot point to the text."""
    belief, extraction = await extract(sums, extractor(sums, "hybrid", "Answer: 4", words), "I am lost.")
    assert isinstance(belief, Unreadable)
    assert extraction.attempts == 2


@pytest.mark.parametrize("text", ["Well, four, I suppose.", "4 it is, or so.", "So 4.0 then"])
async def test_a_number_that_is_there_needs_no_second_look(sums, text):
    """In digits or as a word: one request is enough."""
    tool = extractor(sums, "hybrid", "Answer: 4")
    assert (await extract(sums, tool, text))[0] == Answered("4")
    assert len(tool.model.requests) == 1


async def test_mode_model_takes_the_models_word(sums):
    """As published: one request about every turn, whatever it says."""
    tool = extractor(sums, "model", "Answer: 4")
    assert (await extract(sums, tool, "I am lost."))[0] == Answered("4")
    assert len(tool.model.requests) == 1


async def test_the_second_look_is_a_step_of_its_own(sums):
    """Its name tells it from the first request, so that a resumed run hands out the right reply."""
    steps = []

    async def calls(step, model, request):
        steps.append((step, request.seed))
        return await model.generate(request)

    candidate = Candidate(text="I am lost.", finish_reason=FinishReason.STOP)
    tool = extractor(sums, "hybrid", "Answer: 4", "Quote: none")
    await tool.extract(
        candidate, sums["problem"], calls=calls, conversation_id="c", step="1/extraction", seed="0"
    )
    assert [step for step, _ in steps] == ["1/extraction", "1/extraction/again"]
    assert steps[0][1] != steps[1][1]


async def test_a_second_look_that_is_refused_is_unreadable(sums):
    """What the first request found is not taken, and both are counted."""

    def script(request):
        if "answer in question" in request.messages[0].content:
            raise ContentFiltered("no", attempts=2)
        return "Answer: 4"

    tool = extractor(sums, "hybrid")
    tool = dataclasses.replace(tool, model=ScriptedModel(script))
    belief, extraction = await extract(sums, tool, "I am lost.")
    assert isinstance(belief, Unreadable)
    assert extraction.attempts == 3
