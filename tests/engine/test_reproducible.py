"""The same request gives the same text, whatever runs beside it."""

import asyncio
import random

import pytest

from coral.engine import llama as llama_module
from coral.engine import weights as weights_module
from coral.engine.attention import AttentionPlan
from coral.engine.model import EmbeddedModel, EngineLimits
from coral.engine.products import Plan, first_exact
from coral.models.protocol import Candidate, Request

NUM_REQUESTS = 24


@pytest.fixture(scope="module")
def requests(ask) -> list[Request]:
    """Requests at temperature 1 that share beginnings, of many lengths, with log probabilities."""
    rng = random.Random(0)
    words = [
        "Anna",
        "Ben",
        "ball",
        "box",
        "basket",
        "room",
        "red",
        "leaves",
        "moves",
        "thinks",
        "where",
        "the",
    ]
    made = []
    for seed in range(NUM_REQUESTS):
        system = " ".join(words * rng.choice([0, 1, 3]))
        text = " ".join(rng.choices(words, k=rng.randrange(1, 60)))
        made.append(ask(text, system=system, seed=seed, max_tokens=rng.randrange(5, 150), logprobs=True))
    return made


async def _alone(folder, requests) -> list[Candidate]:
    async with EmbeddedModel(folder, limits=EngineLimits(cache_mib=0)) as model:
        return [(await model.generate(request)).candidates[0] for request in requests]


async def _crowded(folder, requests, limits: EngineLimits) -> list[Candidate]:
    """All requests, twice each, at random moments; the later answer of each."""
    rng = random.Random(1)

    async def one(index: int) -> tuple[int, Candidate]:
        await asyncio.sleep(rng.random() * 0.1)
        return index, (await model.generate(requests[index])).candidates[0]

    async with EmbeddedModel(folder, limits=limits) as model:
        answers = await asyncio.gather(*(one(index % len(requests)) for index in range(2 * len(requests))))
    assert len({(index, answer.text) for index, answer in answers}) == len(requests)
    return [dict(answers)[index] for index in range(len(requests))]


def _plain(candidates: list[Candidate]) -> list[tuple[str, tuple[float, ...] | None]]:
    """Text and log probabilities; how many tokens were cached may differ."""
    return [(candidate.text, candidate.token_logprobs) for candidate in candidates]


@pytest.mark.parametrize(
    ("slots", "prompt_tokens", "cache_mib", "kv_heads"),
    [(64, 512, 64, 2), (7, 33, 64, 2), (16, 100, 1, 4)],
    ids=["a full batch", "small pieces of prompts, seven rows", "a cache that forgets, lone heads"],
)
async def test_a_reply_does_not_depend_on_its_company(
    llama_folder, requests, slots, prompt_tokens, cache_mib, kv_heads
):
    """Alone or among many, prefixes cached or not: text and log probabilities are equal to the bit."""
    folder = llama_folder(num_key_value_heads=kv_heads)
    limits = EngineLimits(slots=slots, prompt_tokens=prompt_tokens, cache_mib=cache_mib)
    assert _plain(await _crowded(folder, requests, limits)) == _plain(await _alone(folder, requests))


async def test_a_candidate_does_not_depend_on_its_siblings(folder, ask):
    """Candidate 0 of many is the only one of the same request with n=1, beyond several blocks."""
    request = {"text": "story " * 20, "seed": 9, "max_tokens": 200, "logprobs": True}
    many = await _alone(folder, [ask(**request, n=12)])
    single = await _alone(folder, [ask(**request)])
    assert _plain(many) == _plain(single)


@pytest.mark.parametrize(
    "preferred",
    [
        Plan(slab=64, depth=4096, sizes=(8,)),
        Plan(slab=64, depth=4096, sizes=(1,)),
        Plan(slab=8, depth=4096, sizes=tuple(range(8, 65, 8))),
        Plan(slab=12, depth=1280, sizes=(2, 4, 8, 12, 16, 32, 64)),
    ],
    ids=["tiles of one size", "token by token", "slabs of few rows", "small kernels"],
)
async def test_each_plan_that_the_probe_accepts_is_reproducible(folder, requests, monkeypatch, preferred):
    """A plan that another machine would choose is reproducible here, too, if the probe calls it exact here.

    Which plans are exact depends on the kernels of this machine's BLAS. Where the preferred one is not, the
    machine's own choice is tried, without fused attention.
    """

    def plan_products(inputs):
        return first_exact([preferred], set(inputs)) or choose(inputs)

    choose = weights_module.plan_products
    monkeypatch.setattr(weights_module, "plan_products", plan_products)
    monkeypatch.setattr(
        llama_module, "plan_attention", lambda config: AttentionPlan(config.group, fused=False)
    )
    some = requests[::3]
    limits = EngineLimits(slots=9, prompt_tokens=50)
    assert _plain(await _crowded(folder, some, limits)) == _plain(await _alone(folder, some))
