"""Several candidates a turn, and conversations rolled out from them."""

import asyncio

import msgspec
import pytest

from coral.conversation.calls import direct
from coral.conversation.selection import Draw
from coral.errors import BadResponse, FatalReject, RateLimited, Unreachable
from coral.models.protocol import Candidate, Generation
from coral.models.scripted import ScriptedModel
from coral.types import OPENER, RESPONDER, Answered, FinishReason, StopReason, Unreadable, Usage

SUM = Usage(prompt_tokens=10, completion_tokens=50)


def several(*texts, cut=(), attempts=1, own=False):
    """One generation of several candidates."""
    return Generation(
        candidates=tuple(
            Candidate(
                text=text,
                finish_reason=FinishReason.LENGTH if index in cut else FinishReason.STOP,
                usage=Usage(prompt_tokens=10, completion_tokens=10) if own else None,
            )
            for index, text in enumerate(texts)
        ),
        usage=SUM,
        latency_s=0.5,
        attempts=attempts,
    )


async def talk(sums, responder, opener=None, *, mode="rules", model=None, max_turns=6, calls=direct, **draw):
    return await sums["talk"](
        sums["agent"]("partner", responder), None if opener is None else sums["agent"]("agent", opener),
        mode=mode, model=model, max_turns=max_turns, calls=calls, draw=Draw(**{"candidates": 3, **draw}),
    )  # fmt: skip


async def test_siblings_are_kept_and_one_goes_on(sums):
    """All candidates of the one request, judged each; the chosen one alone reaches the partner."""
    heard = []

    def opener(request):
        heard.append(request.messages[-1].content)
        return several("Answer: 4", "Answer: 4", "Answer: 4")

    says = lambda request: several("Answer: 4", "Answer: 5", "not sure")  # noqa: E731
    conversation = await talk(sums, says, opener, select="correct")
    first = conversation.turns[0]
    assert [reply.correct for reply in first.replies] == [True, False, False]
    assert (first.chosen, first.reply.belief) == (0, Answered("4"))
    assert [reply.text for reply in first.siblings] == ["Answer: 5", "not sure"]
    assert "Answer: 4" in heard[0]
    assert not any("Answer: 5" in text or "not sure" in text for text in heard)
    assert conversation.stop is StopReason.AGREED


@pytest.mark.parametrize("candidates", [1, 3])
async def test_one_request_draws_all_candidates(sums, candidates):
    """`n` of one request, so that servers read the prompt once."""
    asked = []

    def says(request):
        asked.append(request.n)
        return several(*["Answer: 4"] * request.n)

    await talk(sums, says, says, candidates=candidates)
    assert asked == [candidates, candidates]


async def test_usage_of_several_is_the_turns_and_not_shared_out(sums):
    """Trap 7: a sum over candidates is known of the turn, and unknown of each; retries count once."""
    conversation = await talk(sums, lambda request: several("Answer: 4", "Answer: 5", "hm", attempts=3))
    turn = conversation.turns[0]
    assert (turn.usage, turn.attempts) == (SUM, 3)
    assert [(reply.usage, reply.attempts) for reply in turn.replies] == [(None, 0)] * 3


async def test_usage_that_the_server_tells_apart_is_each_candidates_own(sums):
    """The turn still holds what the whole request cost."""
    conversation = await talk(sums, lambda request: several("Answer: 4", "Answer: 5", "hm", own=True))
    turn = conversation.turns[0]
    assert [reply.usage.completion_tokens for reply in turn.replies] == [10, 10, 10]
    assert turn.usage == SUM


async def test_of_one_candidate_nothing_is_written_that_evaluation_does_not_write(sums):
    """A turn of one candidate looks as it always did."""
    conversation = await talk(sums, lambda request: "Answer: 4", candidates=1)
    assert set(msgspec.to_builtins(conversation.turns[0])) == {"seat", "replies"}
    assert conversation.turns[0].reply.usage.completion_tokens == 2


async def test_chain_of_thought_draws_siblings_in_its_one_turn(sums):
    """The single-agent baseline: K replies, one turn, no partner."""
    conversation = await talk(sums, lambda request: several("Answer: 4", "Answer: 5", "hm"))
    assert (len(conversation.turns), len(conversation.turns[0].replies)) == (1, 3)
    assert conversation.stop is StopReason.MAX_TURNS


@pytest.mark.parametrize("how", ["random", "stratified", "correct", "wrong", "diverse"])
async def test_a_cut_candidate_never_goes_on(sums, how):
    """Whatever is selected for; it stays as a sibling, unreadable."""
    heard = []

    def opener(request):
        heard.append(request.messages[-1].content)
        return several("hm", "Answer: 3 and", "hm", cut=(1,))

    says = lambda request: several("Answer: 4 but", "Answer: 5", "Answer: 5 or", cut=(0, 2))  # noqa: E731
    conversation = await talk(sums, says, opener, select=how, max_turns=4)
    assert all(turn.reply.finish_reason is FinishReason.STOP for turn in conversation.turns)
    assert isinstance(conversation.turns[0].replies[0].belief, Unreadable)
    assert not any("but" in text or "or" in text.split() for text in heard)


async def test_where_none_can_go_on_the_conversation_fails_and_says_why(sums):
    """A clear failure instead of a cut message to the partner; what was said before is kept."""
    opener = lambda request: several("a", "b", "c", cut=(0, 1, 2), attempts=2)  # noqa: E731
    conversation = await talk(sums, lambda request: several("Answer: 4", "x", "y"), opener)
    assert (conversation.stop, len(conversation.turns)) == (StopReason.FAILED, 1)
    failure = conversation.failure
    assert (failure.where, failure.type, failure.attempts) == ("turn 2 (opener)", "NoCandidate", 2)
    assert "none of 3 candidates" in failure.message
    assert "cut by the token limit" in failure.message


@pytest.mark.parametrize("error", [RateLimited, Unreachable, BadResponse])
async def test_a_candidate_whose_extraction_failed_is_lost_alone(sums, error):
    """Of several, the others go on; the reason stands in its belief."""

    def extractor(request):
        if "Answer: 5" in request.messages[0].content:
            raise error("no", attempts=2)
        return "Answer: 4"

    for how in ("random", "wrong", "diverse"):
        conversation = await talk(
            sums, lambda request: several("Answer: 4", "Answer: 5", "Answer: 5"), mode="model",
            model=ScriptedModel(extractor), select=how,
        )  # fmt: skip
        turn = conversation.turns[0]
        assert turn.chosen == 0
        assert error.__name__ in turn.replies[1].belief.reason
        assert turn.replies[1].correct is None


async def test_all_extractions_failed_fails_the_conversation(sums):
    """The failure names the cause, and counts the requests of both models."""

    def extractor(request):
        raise RateLimited("no", attempts=4)

    says = lambda request: several("Answer: 4", "Answer: 5", "Answer: 5")  # noqa: E731
    conversation = await talk(sums, says, mode="model", model=ScriptedModel(extractor))
    assert conversation.stop is StopReason.FAILED
    assert "RateLimited" in conversation.failure.message
    assert conversation.failure.attempts == 1 + 2 * 4


async def test_a_refusal_of_every_extraction_stops_the_run(sums):
    """A wrong key concerns the run, not one candidate."""

    def extractor(request):
        raise FatalReject("wrong key")

    with pytest.raises(FatalReject):
        await talk(
            sums, lambda request: several("a", "b", "c"), mode="model", model=ScriptedModel(extractor)
        )  # fmt: skip


async def test_what_several_say_in_the_same_words_is_extracted_once(sums):
    """The extraction is paid for once, and its verdict holds for all of them."""
    model = ScriptedModel(lambda request: "Answer: 4")
    says = lambda request: several("four", "four", "five less one")  # noqa: E731
    conversation = await talk(sums, says, mode="model", model=model)
    replies = conversation.turns[0].replies
    assert len(model.requests) == 2
    assert [reply.belief for reply in replies] == [Answered("4")] * 3
    assert [reply.extraction.attempts for reply in replies] == [1, 0, 1]
    assert replies[1].extraction.usage is None


async def test_extractions_run_at_the_same_time(sums):
    """Candidates do not wait for each other's extraction."""
    running = most = 0

    async def calls(step, model, request):
        nonlocal running, most
        if "extraction" in step:
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1
        return await model.generate(request)

    model = ScriptedModel(lambda request: "Answer: 4")
    await talk(sums, lambda request: several("a", "b", "c"), mode="model", model=model, calls=calls)
    assert most == 3


async def test_each_request_has_a_step_of_its_own(sums):
    """The journal tells requests by their steps; two with the same step would share an answer."""
    steps = []

    async def calls(step, model, request):
        steps.append(step)
        return await model.generate(request)

    said = iter(range(100))
    says = lambda request: several(*[f"not sure {next(said)}" for _ in range(request.n)])  # noqa: E731
    model = ScriptedModel(lambda request: "not sure yet")
    await talk(sums, says, says, mode="model", model=model, max_turns=3, rollouts=2, calls=calls)
    assert len(set(steps)) == len(steps)
    assert {"2", "2/c1/extraction", "1/c2/r1/3", "1/c2/r1/3/extraction"} <= set(steps)


# Roll-outs --------------------------------------------------------------------------------------------------


def hears(right):
    """Agrees with whatever it hears, so that a candidate decides how the conversation ends."""

    def says(request):
        said = request.messages[-1].content
        answer = "Answer: 4" if right in said else "Answer: 5"
        return several(*[answer] * request.n)

    return says


async def test_a_candidates_value_is_how_conversations_from_it_end(sums):
    """Right candidate: all agree on right; wrong candidate: all agree on wrong."""
    says = lambda request: several("Answer: 4", "Answer: 5", "not sure")  # noqa: E731
    conversation = await talk(sums, says, hears("Answer: 4"), rollouts=2, select="correct")
    right, wrong, unsure = conversation.turns[0].replies
    assert (right.value, wrong.value) == (1.0, 0.0)
    assert [rollout.answer for rollout in right.rollouts] == ["4", "4"]
    assert [rollout.turns for rollout in right.rollouts] == [1, 1]
    assert len(unsure.rollouts) == 2
    assert unsure.value is not None, "a turn without an answer has a value, too"


async def test_a_candidate_that_ends_the_conversation_needs_no_rollout(sums):
    """Its outcome is known: one entry of no turns, and no request for it."""
    agreeing = await talk(
        sums, lambda request: several("Answer: 4", "Answer: 4", "Answer: 4"), hears("Answer: 4"), rollouts=3
    )
    last = agreeing.turns[-1].replies[0].rollouts
    assert [(rollout.stop, rollout.turns, rollout.correct, rollout.spent) for rollout in last] == [
        (StopReason.AGREED, 0, True, ())
    ]
    unsure = lambda request: several(*["not sure"] * request.n)  # noqa: E731
    limited = await talk(sums, unsure, unsure, rollouts=3, max_turns=2)
    last = limited.turns[-1].replies[0].rollouts
    assert [(rollout.stop, rollout.correct) for rollout in last] == [(StopReason.MAX_TURNS, False)]


@pytest.mark.parametrize(("max_turns", "candidates", "rollouts"), [(3, 2, 1), (4, 3, 2), (1, 3, 2)])
async def test_the_number_of_requests_is_that_of_the_documented_formula(
    sums, max_turns, candidates, rollouts
):
    """T + K R T (T - 1) / 2 requests of speakers, where every conversation takes T turns."""
    requests = []

    def unsure(request):
        requests.append(request.n)
        return several(*["not sure"] * request.n)

    await talk(sums, unsure, unsure, max_turns=max_turns, candidates=candidates, rollouts=rollouts)
    rolled = candidates * rollouts * max_turns * (max_turns - 1) // 2
    assert len(requests) == max_turns + rolled
    assert requests.count(1) == rolled


async def test_what_rollouts_cost_is_kept_by_role(sums):
    """So the cost of a conversation is complete."""
    unsure = lambda request: several(*["not sure"] * request.n, attempts=2)  # noqa: E731
    model = ScriptedModel(lambda request: "not sure yet")
    conversation = await talk(sums, unsure, unsure, mode="model", model=model, max_turns=3, rollouts=1)
    spent = {one.role: one for one in conversation.turns[0].replies[0].rollouts[0].spent}
    assert set(spent) == {"agent", "partner", "extractor"}
    assert [(spent[role].calls, spent[role].requests) for role in ("agent", "partner")] == [(1, 2), (1, 2)]
    assert spent["agent"].usage == SUM
    assert (spent["extractor"].calls, spent["extractor"].usage.completion_tokens) == (2, 6)


async def test_a_failed_rollout_says_nothing_about_its_candidate(sums):
    """It is data: it neither fails the conversation nor counts in the value."""

    def opener(request):
        if request.n == 1 and "Answer: 5" in request.messages[-1].content:
            raise Unreachable("gone", attempts=4)
        return several(*["Answer: 4"] * request.n)

    says = lambda request: several("Answer: 4", "Answer: 5", "hm", cut=(2,))  # noqa: E731
    conversation = await talk(sums, says, opener, rollouts=2, select="correct")
    right, broken, cut = conversation.turns[0].replies
    assert conversation.stop is StopReason.AGREED
    assert (right.value, broken.value, cut.value) == (1.0, None, None)
    assert [rollout.failure.type for rollout in broken.rollouts] == ["Unreachable"] * 2
    assert broken.rollouts[0].failure.where == "turn 1/c1/r0/2 (opener)"
    assert cut.rollouts == (), "what cannot be kept is not continued"


async def test_rollouts_of_one_candidate_differ_in_their_seeds(sums):
    """Otherwise R conversations would be one."""
    seeds = []

    def unsure(request):
        seeds.append(request.seed)
        return several(*["not sure"] * request.n)

    await talk(sums, unsure, unsure, max_turns=2, rollouts=4)
    assert len(set(seeds)) == len(seeds)


async def test_rollouts_do_not_change_the_conversation(sums):
    """With and without them the same path is taken."""
    said = {RESPONDER: ["Answer: 5", "Answer: 4", "hm"], OPENER: ["Answer: 3", "Answer: 4", "hm"]}

    def speaks(seat):
        return lambda request: several(*said[seat][: request.n])

    paths = []
    for rollouts in (0, 2):
        conversation = await talk(
            sums, speaks(RESPONDER), speaks(OPENER), rollouts=rollouts, select="diverse"
        )
        paths.append([turn.chosen for turn in conversation.turns])
    assert paths[0] == paths[1]
