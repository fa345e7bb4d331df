"""Token ids and log probabilities on request: what servers of each kind send, and what is made of it."""

import json

import msgspec
import pytest

from coral.errors import FatalReject

VLLM = {"token_ids": [4, 2], "logprobs": {"content": [{"token": "4", "logprob": -0.5}, {"logprob": -9999.0}]}}
"""A choice as vLLM sends it; the end mark has an id and a log probability, too."""
LLAMA_CPP = {"logprobs": {"content": [{"id": 4, "token": "4", "logprob": -0.5}, {"id": 2, "logprob": -0.1}]}}
ASKED = {"logprobs": True, "return_token_ids": True}
GOOD = {
    "vllm": (VLLM, {"prompt_token_ids": [1, 5, 6]}, (4, 2), (1, 5, 6)),
    "llama.cpp": (LLAMA_CPP, {}, (4, 2), None),
    "both places": ({**LLAMA_CPP, "token_ids": [7, 8]}, {}, (7, 8), None),
    "an odd prompt": (VLLM, {"prompt_token_ids": "1 5 6"}, (4, 2), None),
}
LACKING = {
    "nothing": {},
    "log probabilities alone": {"logprobs": {"content": [{"token": "4", "logprob": -0.5}]}},
    "ids alone": {"token_ids": [4, 2]},
    "not as many": {**VLLM, "token_ids": [4]},
    "ids as texts": {**VLLM, "token_ids": ["4", "2"]},
    "some ids": {"logprobs": {"content": [{"id": 4, "logprob": -0.5}, {"logprob": -0.1}]}},
    "odd log probabilities": {"token_ids": [4, 2], "logprobs": "?"},
}


def answer(server, choice, more):
    body = json.loads(server.choices({**server.choice("4"), **choice}).body)
    return server.json({**body, **more})


@pytest.mark.parametrize("kind", GOOD)
async def test_ids_are_read_as_servers_send_them(server, open_model, ask, kind):
    """vLLM's fields, and llama.cpp's, which says nothing of the prompt."""
    choice, more, ids, prompt = GOOD[kind]
    server.plan = [answer(server, choice, more)]
    generation = await (await open_model()).generate(ask(**ASKED))
    candidate = generation.candidates[0]
    assert (candidate.token_ids, len(candidate.token_logprobs)) == (ids, 2)
    assert generation.prompt_token_ids == prompt
    assert server.requests[0].body["return_token_ids"] is True


@pytest.mark.parametrize("kind", LACKING)
async def test_a_server_that_does_not_give_them_ends_the_run(server, open_model, ask, kind):
    """Asked for and not given is an error that names what helps: every other reply would lack them, too."""
    server.plan = [answer(server, LACKING[kind], {})]
    with pytest.raises(FatalReject, match="gives no token ids") as caught:
        await (await open_model()).generate(ask(**ASKED))
    assert "coral serve" in caught.value.remedy
    assert "leave out return_token_ids for --agent" in caught.value.remedy


@pytest.mark.parametrize(
    "words",
    [
        "Unrecognized request argument supplied: return_token_ids",
        "return_token_ids is not supported",
        "You are not allowed to request logprobs from this model",
    ],
)
async def test_a_refusal_of_the_fields_ends_the_run(server, open_model, ask, words):
    """Log probabilities that ids need are not left out where they are refused."""
    server.default = server.json({"error": {"message": words}}, 400)
    with pytest.raises(FatalReject, match="refused") as caught:
        await (await open_model()).generate(ask(**ASKED))
    assert "leave out return_token_ids for --agent" in caught.value.remedy
    assert len(server.requests) == 1


async def test_without_the_option_nothing_is_asked_read_or_stored(server, open_model, ask):
    """Off, it costs nothing: no field in the request, none in what is kept."""
    server.plan = [answer(server, VLLM, {"prompt_token_ids": [1, 5, 6]})]
    generation = await (await open_model()).generate(ask())
    assert not {"return_token_ids", "logprobs"} & server.requests[0].body.keys()
    kept = msgspec.json.encode(generation)
    assert not any(name in kept for name in (b"token_ids", b"logprobs"))


async def test_several_candidates_asked_for_one_by_one(server, open_model, ask):
    """Each has its own ids; the prompt's are those of the first answer."""
    choices = [
        answer(server, {**VLLM, "token_ids": [number, 2]}, {"prompt_token_ids": [1]}) for number in range(3)
    ]
    server.plan = choices
    model = await open_model(model="llamacpp/m")
    generation = await model.generate(ask(n=3, **ASKED))
    assert sorted(candidate.token_ids[0] for candidate in generation.candidates) == [0, 1, 2]
    assert generation.prompt_token_ids == (1,)
