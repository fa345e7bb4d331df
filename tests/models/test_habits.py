"""What a model refuses is understood once, changed for all conversations alike, and told."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from coral.errors import FatalReject, Rejected
from coral.models.connections import Connections
from coral.models.protocol import Request, Sampling
from coral.types import Adjustment, FinishReason, Message, Role

ASKED = Request(
    messages=(Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "What is 2 + 2?")),
    sampling=Sampling(temperature=0.2, top_p=0.9, max_tokens=64, logprobs=True),
    seed=5,
)


def _has_system(body):
    return body["messages"][0]["role"] == "system"


REFUSALS = {
    "temperature": (
        lambda body: "temperature" in body,
        "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) is.",
        lambda body: "temperature" not in body and body["top_p"] == 0.9,
    ),
    "top_p": (
        lambda body: "top_p" in body,
        "Unsupported parameter: 'top_p' is not supported with this model.",
        lambda body: "top_p" not in body and body["temperature"] == 0.2,
    ),
    "max_tokens": (
        lambda body: "max_tokens" in body,
        "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
        lambda body: body["max_completion_tokens"] == 64 and "max_tokens" not in body,
    ),
    "seed": (
        lambda body: "seed" in body,
        "Extra inputs are not permitted, field: 'seed'",
        lambda body: "seed" not in body,
    ),
    "logprobs": (
        lambda body: "logprobs" in body,
        "You are not allowed to request logprobs from this model",
        lambda body: "logprobs" not in body,
    ),
    "system": (
        _has_system,
        "System role not supported",
        lambda body: body["messages"] == [{"role": "user", "content": "Be brief.\n\nWhat is 2 + 2?"}],
    ),
}


def _refusing(server, *settings):
    def answer(request):
        for setting in settings:
            refuses, words, _ = REFUSALS[setting]
            if refuses(request.body):
                return server.error(400, words)
        return server.complete(request)

    return answer


@pytest.mark.parametrize("setting", REFUSALS)
async def test_a_refused_setting_is_changed_for_all(server, open_model, setting):
    """The first refusals are sent again, changed; later requests come changed at once; it is told once."""
    server.default = _refusing(server, setting)
    told: list[Adjustment] = []
    async with Connections() as connections:
        connections.adjustments.listener = told.append
        model = await open_model(connections)
        await asyncio.gather(*(model.generate(ASKED) for _ in range(8)))
        first = len(server.requests)
        await model.generate(ASKED)
        other = await open_model(connections)  # another role with the same model
        await other.generate(ASKED)
    assert first <= 16
    assert len(server.requests) == first + 2
    assert all(REFUSALS[setting][2](request.body) for request in server.requests[-10:])
    assert [(made.model, made.setting) for made in told] == [("m", setting)]
    assert REFUSALS[setting][1][:40] in told[0].words


async def test_all_that_is_refused_is_changed_one_after_the_other(server, open_model):
    """A reasoning model refuses several settings, and names one at a time."""
    server.default = _refusing(server, *REFUSALS)
    generation = await (await open_model()).generate(ASKED)
    assert generation.candidates[0].text == "reply 0"
    assert generation.attempts == len(REFUSALS) + 1
    assert server.requests[-1].body.keys() == {"model", "messages", "max_completion_tokens"}


async def test_a_server_that_refuses_both_names_of_the_limit_is_not_asked_for_ever(server, open_model):
    """There is no third name: the refusal stands, with the option that helps."""
    server.default = lambda r: server.error(400, "Unsupported parameter: 'max_tokens' is not supported")
    with pytest.raises(Rejected) as caught:
        await (await open_model()).generate(ASKED)
    assert "--agent.max_tokens null" in caught.value.remedy
    assert len(server.requests) == 2


@pytest.mark.parametrize("setting", ["temperature", "system"])
async def test_what_was_answered_before_is_not_changed_in_mid_run(server, open_model, setting):
    """Conversations of one run are alike: a refusal that comes after answers stands, and names the option."""
    model = await open_model()
    await model.generate(ASKED)
    server.default = _refusing(server, setting)
    with pytest.raises(Rejected) as caught:
        await model.generate(ASKED)
    assert len(server.requests) == 2
    assert {"temperature": "temperature null", "system": "system_in_user true"}[
        setting
    ] in caught.value.remedy


async def test_what_decides_no_text_may_change_at_any_time(server, open_model):
    """The name of the limit or a missing seed changes no conversation."""
    model = await open_model()
    await model.generate(ASKED)
    server.default = _refusing(server, "seed", "max_tokens")
    await model.generate(ASKED)
    assert "seed" not in server.requests[-1].body


async def test_endpoints_that_differ_stop_the_run(server, start_server, open_model, ask):
    """One replica takes the temperature, another refuses it: paid answers are kept, no more are asked for."""
    other = await start_server()
    other.default = _refusing(other, "temperature")
    server.default = replace(server.says(), delay_s=0.2)
    model = await open_model(base_url=(server.url, other.url))
    calls = [model.generate(ask(conversation_id=f"c{number}", temperature=0.2)) for number in range(12)]
    generations = await asyncio.gather(*calls)
    assert len(generations) == 12
    with pytest.raises(FatalReject, match="takes temperature in some requests"):
        await model.generate(ask(temperature=0.2))


async def test_a_session_goes_on_with_what_an_earlier_one_found_out(server, open_model):
    """After a restart of the command the same requests are sent: nothing is refused again."""
    server.default = _refusing(server, *REFUSALS)
    async with Connections() as first:
        await (await open_model(first)).generate(ASKED)
        made = first.adjustments.made
    count = len(server.requests)
    async with Connections() as second:
        model = await open_model(second)
        second.adjustments.restore(made, settled=True)
        assert (await model.generate(ASKED)).attempts == 1
    assert server.requests[-1].body == server.requests[count - 1].body


async def test_a_run_with_answers_is_settled(server, open_model):
    """A server that begins to refuse the temperature between two sessions does not change a begun run."""
    server.default = _refusing(server, "temperature")
    async with Connections() as connections:
        connections.adjustments.restore([], settled=True)
        with pytest.raises(Rejected):
            await (await open_model(connections)).generate(ASKED)


async def test_a_field_of_extra_body_is_the_users_own(server, open_model, ask):
    """What the user put there by hand is not taken away: the refusal names where it stands."""
    server.default = lambda r: server.error(400, "Unrecognized request argument supplied: top_k")
    with pytest.raises(Rejected) as caught:
        await (await open_model()).generate(ask())
    assert "'top_k' in --agent.extra_body" in caught.value.remedy


N_REFUSALS = [
    "Only one completion choice is allowed",
    "n_cmpl cannot be greater than the number of slots, please increase -np",
    "Multiple candidates is not enabled for this model",
    "Unsupported value: 'n' does not support 3 with this model. Only the default (1) value is supported.",
]


@pytest.mark.parametrize("words", N_REFUSALS)
async def test_refused_n_is_asked_for_singly(server, open_model, ask, words):
    """Also of a provider that is known to take `n`: some of its models do not."""
    server.default = lambda r: server.error(400, words) if "n" in r.body else server.complete(r)
    async with Connections() as connections:
        model = await open_model(connections, model="vllm/m")
        for _ in range(2):
            assert len((await model.generate(ask(n=3))).candidates) == 3
        assert [made.setting for made in connections.adjustments.made] == ["n"]
    assert [request.body.get("n") for request in server.requests] == [3, *[None] * 6]


# Thinking ---------------------------------------------------------------------------------------------------


def _thinker(server, needs, *, hidden=False):
    """A model that thinks for `needs` tokens, then replies with 10."""

    def answer(request):
        limit = request.body.get("max_tokens", 10**9)
        thought = "hm " * min(needs, limit)
        usage = {
            "prompt_tokens": 9,
            "completion_tokens": min(needs + 10, limit),
            "completion_tokens_details": {"reasoning_tokens": min(needs, limit)},
        }
        fields = {} if hidden else {"reasoning_content": thought}
        cut = limit < needs + 10
        return server.choices(
            server.choice("" if cut else "four", "length" if cut else "stop", **fields), usage=usage
        )

    return answer


@pytest.mark.parametrize("hidden", [False, True])
async def test_a_model_that_was_cut_thinking_gets_more_tokens(server, open_model, ask, hidden):
    """With the same seed, so it thinks the same thought to its end; and the paid tokens of both count."""
    server.default = _thinker(server, 500, hidden=hidden)
    model = await open_model()
    generation = await model.generate(ask(max_tokens=64))
    assert generation.candidates[0].text == "four"
    assert generation.usage.completion_tokens == 64 + 510
    assert generation.candidates[0].usage.completion_tokens == 510
    assert [request.body["max_tokens"] for request in server.requests] == [64, 64 + 16384]
    assert len({request.body["seed"] for request in server.requests}) == 1
    await model.generate(ask(max_tokens=64))
    assert len(server.requests) == 3, "from now on it has them at once"


async def test_a_model_that_is_seen_to_think_has_the_tokens_from_then_on(server, open_model, ask):
    """Nothing has to be cut first."""
    server.default = _thinker(server, 20)
    async with Connections() as connections:
        model = await open_model(connections)
        for _ in range(2):
            await model.generate(ask(max_tokens=64))
        assert [made.setting for made in connections.adjustments.made] == ["thinking"]
        assert "16,384 tokens more (thinking_tokens)" in connections.adjustments.made[0].change
    assert [request.body["max_tokens"] for request in server.requests] == [64, 64 + 16384]


@pytest.mark.parametrize(("options", "limit"), [({"thinking_tokens": 0}, 64), ({}, None)])
async def test_without_tokens_to_add_a_cut_thought_is_a_cut_reply(server, open_model, ask, options, limit):
    """As a reply that is cut while it speaks: it passes, with its finish reason and its thinking."""
    server.default = server.says(None, "length", reasoning_content="hm")
    candidate = (await (await open_model(**options)).generate(ask(max_tokens=limit))).candidates[0]
    assert (candidate.text, candidate.finish_reason, candidate.reasoning) == ("", FinishReason.LENGTH, "hm")
    assert len(server.requests) == 1


async def test_of_several_candidates_only_the_cut_ones_are_drawn_again(server, open_model, ask):
    """What was paid for and whole is kept."""
    cut = server.choice("", "length", reasoning_content="hm")
    server.plan = [server.choices(server.choice("a"), cut, server.choice("c"))]
    generation = await (await open_model(model="vllm/m")).generate(ask(n=3, max_tokens=64))
    assert [candidate.text for candidate in generation.candidates] == ["a", "c", "reply 0"]
    assert server.requests[1].body["seed"] != server.requests[0].body["seed"]


async def test_tokens_for_thinking_never_fill_the_context(server, open_model, ask):
    """A server with a short context gets fewer of them for this request, not a full conversation."""

    def answer(request):
        if request.body["max_tokens"] > 4000:
            return server.error(
                400, "This model's maximum context length is 4096 tokens and your request has 96"
            )
        return _thinker(server, 500)(request)

    server.default = answer
    generation = await (await open_model()).generate(ask(max_tokens=64))
    assert generation.candidates[0].text == "four"
    assert server.requests[-1].body["max_tokens"] == 64 + 2048


async def test_more_tokens_than_the_model_may_write_are_halved_for_all(server, open_model, ask):
    """The limit of replies is the model's: it is found out once."""

    def answer(request):
        if request.body["max_tokens"] > 8192:
            return server.error(400, "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]")
        return _thinker(server, 500)(request)

    server.default = answer
    model = await open_model()
    for _ in range(2):
        assert (await model.generate(ask(max_tokens=64))).candidates[0].text == "four"
    assert [request.body["max_tokens"] for request in server.requests] == [64, 16448, 8256, 4160, 4160]


async def test_a_probe_of_one_token_is_no_sign_of_thinking(server, open_model, ask):
    """Who asks for one token waits for no reply, so an empty one says nothing about thinking."""
    server.default = server.says("", "length")
    async with Connections() as connections:
        await (await open_model(connections)).generate(ask(max_tokens=1))
        assert connections.adjustments.made == []
