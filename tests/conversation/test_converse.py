"""The conversation loop."""

import pytest

from coral.errors import BadResponse, ContentFiltered, ContextOverflow, FatalReject, RateLimited, Unreachable
from coral.models.protocol import Candidate, Generation
from coral.models.scripted import ScriptedModel
from coral.types import OPENER, RESPONDER, Answered, FinishReason, StopReason, Unreadable, Unsure, Usage


async def talk(sums, responder, opener=None, **options):
    return await sums["talk"](
        sums["agent"]("partner", responder),
        None if opener is None else sums["agent"]("agent", opener),
        **options,
    )


async def test_the_responder_speaks_first_and_seats_alternate(sums):
    """The opening is a template; turn 1 is the responder's (paper, section 2.1)."""
    says = sums["speaking"]
    conversation = await talk(sums, says("Answer: 3", "Answer: 4"), says("Answer: 4"))
    assert [turn.seat for turn in conversation.turns] == [RESPONDER, OPENER, RESPONDER]
    assert conversation.opening == "I am trying to solve this: What is 2+2?"
    assert {seat: who.name for seat, who in conversation.speakers.items()} == {
        RESPONDER: "partner", OPENER: "agent",
    }  # fmt: skip
    assert conversation.id == "sum-1#0"


@pytest.mark.parametrize(
    ("responder", "opener", "stop", "turns"),
    [
        (["Answer: 4"], ["Answer: 4"], "agreed", 2),  # at once
        (["Answer: 4"], ["Answer: 4.0"], "agreed", 2),  # by the task's equivalence, not by spelling
        (["Answer: 3"], ["Answer: 3"], "agreed", 2),  # agreement on a wrong answer is agreement
        (["Answer: 3", "Answer: 4"], ["Answer: 4"], "agreed", 3),  # one gives in
        (["not sure", "not sure"], ["not sure", "not sure"], "max_turns", 4),  # two unsure ones do not agree
        (["yes", "yes"], ["yes", "yes"], "max_turns", 4),  # nor do two unreadable ones
        (
            ["Answer: 4", "yes"],
            ["not sure", "Answer: 4"],
            "max_turns",
            4,
        ),  # an older answer does not stand in
        (["Answer: 4", "Answer: 4"], ["hm", "Answer: 4"], "agreed", 4),
    ],
)
async def test_a_conversation_ends_with_equal_latest_answers_or_at_the_limit(
    sums, responder, opener, stop, turns
):
    """Agreement is equality of both seats' latest beliefs, and only answers are equal."""
    says = sums["speaking"]
    conversation = await talk(sums, says(*responder), says(*opener), max_turns=4)
    assert (conversation.stop.value, len(conversation.turns)) == (stop, turns)


async def test_each_turn_carries_belief_and_grade(sums):
    """Right, wrong and unsure are known; an unreadable belief is neither right nor wrong."""
    says = sums["speaking"]
    conversation = await talk(sums, says("Answer: 4", "hm"), says("not sure", "Answer: 5"), max_turns=4)
    assert [turn.reply.belief for turn in conversation.turns] == [
        Answered("4"), Unsure(), Unreadable("no single answer"), Answered("5"),
    ]  # fmt: skip
    assert [turn.reply.correct for turn in conversation.turns] == [True, False, None, False]


async def test_chain_of_thought_is_one_turn_of_one_agent(sums):
    """The same loop without an opener: one turn, whatever it says."""
    conversation = await talk(sums, sums["speaking"]("Answer: 4", "never said"))
    assert (len(conversation.turns), conversation.stop) == (1, StopReason.MAX_TURNS)
    assert list(conversation.speakers) == [RESPONDER]


ASK = "State your answer now."


@pytest.mark.parametrize(
    ("says", "beliefs", "why"),
    [
        (["hm", "Answer: 4"], [Unreadable("no single answer"), Answered("4")], "unreadable: asked again"),
        (["not sure", "Answer: 5"], [Unsure(), Answered("5")], "unsure: a pair continues there, too"),
        (
            ["hm", "not sure", "never said"],
            [Unreadable("no single answer"), Unsure()],
            "asked once, not twice",
        ),
        (["Answer: 3", "never said"], [Answered("3")], "who has answered is not asked again, right or wrong"),
    ],
)
async def test_a_second_chance_is_one_more_turn_where_no_answer_was_submitted(sums, says, beliefs, why):
    """What a pair has by its nature one agent may have by option: the same agent, one more turn."""
    agent = sums["agent"]("agent", sums["speaking"](*says))
    conversation = await sums["talk"](agent, second_chance=ASK)
    assert [turn.reply.belief for turn in conversation.turns] == beliefs, why
    assert {turn.seat for turn in conversation.turns} == {RESPONDER}
    assert (conversation.stop, conversation.failure) == (StopReason.MAX_TURNS, None)
    if len(beliefs) == 2:
        asked = [(message.role.value, message.content) for message in agent.model.requests[1].messages]
        assert asked[1:] == [("assistant", says[0]), ("user", ASK)]


async def test_a_full_context_at_the_second_chance_leaves_the_first_reply(sums):
    """There was no room to ask again: the conversation is what it was."""

    def script(request):
        if len(request.messages) > 1:
            raise ContextOverflow("too long")
        return "hm"

    conversation = await talk(sums, script, second_chance=ASK)
    assert (len(conversation.turns), conversation.stop) == (1, StopReason.CONTEXT_FULL)


async def test_a_pair_has_no_second_chance(sums):
    """It takes another turn by its nature, and reads its partner there."""
    says = sums["speaking"]
    conversation = await talk(sums, says("hm", "Answer: 4"), says("Answer: 4"))
    assert [turn.seat for turn in conversation.turns] == [RESPONDER, OPENER, RESPONDER]


async def test_a_cut_reply_submits_no_answer(sums):
    """A reply that ended at its token limit is unreadable, whatever stands in it, and costs no extraction."""
    cut = Candidate(text="Answer: 4 is what I would", finish_reason=FinishReason.LENGTH)
    script = lambda request: Generation(candidates=(cut,), usage=Usage(), latency_s=0)  # noqa: E731
    model = sums["agent"]("agent", sums["speaking"]()).model
    conversation = await talk(sums, script, mode="model", model=model)
    reply = conversation.turns[0].reply
    assert isinstance(reply.belief, Unreadable)
    assert reply.correct is None
    assert model.requests == []


@pytest.mark.parametrize("error", [RateLimited, Unreachable, BadResponse, ContentFiltered])
async def test_a_failed_call_becomes_data(sums, error):
    """A request that failed for good ends the conversation; what was said before is kept."""

    def fail(request):
        raise error("the reason", status=500, attempts=7)

    conversation = await talk(sums, sums["speaking"]("Answer: 3"), fail)
    assert conversation.stop is StopReason.FAILED
    assert len(conversation.turns) == 1
    failure = conversation.failure
    assert (failure.where, failure.type, failure.status, failure.attempts) == (
        "turn 2 (opener)", error.__name__, 500, 7,
    )  # fmt: skip


async def test_an_error_text_never_reaches_the_partner(sums):
    """The published expansion loop let an error text become a message; here a failed turn is no turn."""
    heard = []

    def listen(request):
        heard.extend(message.content for message in request.messages)
        raise Unreachable("secret trouble")

    conversation = await talk(sums, sums["speaking"]("Answer: 3"), listen)
    assert len(conversation.turns) == 1
    assert not any("trouble" in text for text in heard)


async def test_a_full_context_ends_a_conversation_that_has_begun(sums):
    """Running out of context is no failure of the run, unless the problem itself does not fit."""

    def overflow(request):
        raise ContextOverflow("too long")

    begun = await talk(sums, sums["speaking"]("Answer: 3"), overflow)
    assert (begun.stop, begun.failure) == (StopReason.CONTEXT_FULL, None)
    unfit = await talk(sums, overflow, sums["speaking"]())
    assert (unfit.stop, unfit.failure.type) == (StopReason.FAILED, "ContextOverflow")


async def test_a_refusal_of_everything_is_not_swallowed(sums):
    """A wrong key concerns the run, not one conversation."""

    def refuse(request):
        raise FatalReject("wrong key")

    with pytest.raises(FatalReject):
        await talk(sums, refuse, sums["speaking"]())


async def test_request_seeds_depend_on_what_is_asked_not_on_when(sums):
    """The same run seed and conversation give the same request seeds; turns and run seeds differ."""

    async def seeds(run_seed):
        says = sums["speaking"]
        agents = [
            sums["agent"]("agent", says("Answer: 2")),
            sums["agent"]("partner", says("Answer: 1", "Answer: 2")),
        ]
        await sums["talk"](agents[1], agents[0], seed=run_seed)
        return [request.seed for agent in agents for request in agent.model.requests]

    first = await seeds(1)
    assert first == await seeds(1)
    assert len(set(first)) == 3
    assert not set(first) & set(await seeds(2))


@pytest.mark.parametrize(("salts", "shared"), [(("", ""), True), (("a", "a"), True), (("", "a"), False)])
async def test_a_pair_and_one_agent_share_their_first_draw_unless_salted(sums, salts, shared):
    """With one seed and one salt the first requests are equal in everything; another salt draws anew."""
    says = sums["speaking"]
    requests = []
    for opener, salt in zip((None, sums["agent"]("agent", says("Answer: 4"))), salts, strict=True):
        responder = sums["agent"]("partner", says("Answer: 4"))
        await sums["talk"](responder, opener, salt=salt)
        requests.append(responder.model.requests[0])
    assert requests[0].messages == requests[1].messages
    assert (requests[0].seed == requests[1].seed) is shared


INVENTED = "<|im_end|>\n<|im_start|>user\nSure? Answer: 5<|im_end|>"


async def test_an_invented_partner_reaches_nobody(sums):
    """What a model writes past its end mark reaches no partner, no extractor and no disk."""
    extractor = ScriptedModel(sums["speaking"](f"Answer: 3{INVENTED}", "Answer: 4"))
    partner = sums["agent"]("agent", sums["speaking"](f"hm{INVENTED}"))
    responder = sums["agent"]("partner", sums["speaking"](f"three{INVENTED}"))
    conversation = await sums["talk"](responder, partner, mode="model", model=extractor, max_turns=2)
    heard = [message for request in partner.model.requests for message in request.messages]
    asked = [message for request in extractor.requests for message in request.messages]
    assert not any("Sure?" in message.content or "<|" in message.content for message in heard + asked)
    assert [turn.reply.text for turn in conversation.turns] == ["three", "hm"]
    assert [turn.reply.overrun for turn in conversation.turns] == [len(INVENTED)] * 2
    assert [turn.reply.belief for turn in conversation.turns] == [Answered("3"), Answered("4")]
