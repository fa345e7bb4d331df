"""The policy as transformers samples it: drawn as the loss takes it to be drawn."""

import asyncio
from pathlib import Path

import msgspec
import pytest

import coral
from coral.errors import ContextOverflow
from coral.models.protocol import Request, Sampling
from coral.rl.policy import TransformersModel, check_padding
from coral.training.encode import load_encoder
from coral.types import Message, Role

torch = pytest.importorskip("torch")

TINY = str(Path(coral.__file__).parent / "assets" / "tiny")


@pytest.fixture(scope="module")
def weights():
    from transformers import AutoModelForCausalLM

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield AutoModelForCausalLM.from_pretrained(TINY, dtype="float32").eval()
    torch.set_num_threads(before)


@pytest.fixture
def policy(weights):
    from transformers import GenerationConfig

    encoder = load_encoder(TINY, None)
    check_padding(encoder)
    model = TransformersModel(encoder, name="policy", context=96)
    model.model = weights
    weights.generation_config = GenerationConfig()
    torch.manual_seed(0)
    return model


def asked(text="Day 6, day 10.", temperature=1.0, max_tokens=24):
    sampling = Sampling(temperature=temperature, max_tokens=max_tokens, logprobs=True, return_token_ids=True)
    return Request(messages=(Message(role=Role.USER, content=text),), sampling=sampling)


async def replies(policy, *requests):
    made = await asyncio.gather(*map(policy.generate, requests), return_exceptions=True)
    return [one if isinstance(one, BaseException) else one.candidates[0] for one in made]


@pytest.mark.parametrize(
    "settings",
    [
        {"repetition_penalty": 3.0},
        {"min_p": 0.9},
        {"top_k": 1},
        {"min_new_tokens": 24},
        {"no_repeat_ngram_size": 1},
        {"temperature": 0.1},
    ],
)
async def test_what_a_checkpoint_says_of_sampling_changes_nothing(policy, settings):
    """Chat models come with a penalty or a cut in generation_config.json, which the loss does not know."""
    from transformers import GenerationConfig

    plain = await replies(policy, *[asked()] * 4)
    policy.model.generation_config = own = GenerationConfig(**settings)
    torch.manual_seed(0)
    assert [one.token_ids for one in await replies(policy, *[asked()] * 4)] == [
        one.token_ids for one in plain
    ]
    assert policy.model.generation_config is own  # it belongs to the checkpoint, and is saved with it


async def test_each_request_is_sampled_as_it_asks(policy):
    """An extractor's request, greedy and short, may wait together with those of the agents."""
    greedy = asked(temperature=0.0, max_tokens=8)
    (alone,) = await replies(policy, greedy)
    long, short, again = await replies(policy, asked(max_tokens=24), greedy, greedy)
    assert short.token_ids == again.token_ids == alone.token_ids
    assert len(short.token_ids) <= 8 < len(long.token_ids)


async def test_log_probabilities_are_those_of_the_sampled_tokens(policy):
    """Also in a batch whose prompts differ in length: of the model's own distribution, as documented."""
    requests = [asked("Day 6. " * times, temperature=0.7) for times in (1, 4)]
    made = await asyncio.gather(*map(policy.generate, requests))
    for one in made:
        reply, prompt = one.candidates[0], one.prompt_token_ids
        with torch.no_grad():
            logits = policy.model(torch.tensor([[*prompt, *reply.token_ids]])).logits[0].log_softmax(-1)
        again = [logits[len(prompt) - 1 + at, token].item() for at, token in enumerate(reply.token_ids)]
        assert reply.token_logprobs == pytest.approx(again, abs=1e-4)


async def test_nobody_waits_for_a_batch_that_failed(policy):
    """What one request does not survive is told to all of its batch; one that is too long is told alone."""
    long, fine = await replies(policy, asked("Day 6. " * 90), asked())
    assert isinstance(long, ContextOverflow)
    assert fine.token_ids
    policy.model = None
    failed = await asyncio.wait_for(replies(policy, asked(), asked()), timeout=60)
    assert all(isinstance(one, AttributeError) for one in failed)


async def test_options_of_the_chat_template_reach_it(policy):
    """As the embedded engine and vLLM take them."""
    policy._encoder.tokenizer.chat_template = "{{ 'Day 6.' if short else 'Day 6, day 10, day 15.' }}"
    lengths = []
    for extra in (None, b'{"chat_template_kwargs": {"short": true}}'):
        sampling = Sampling(max_tokens=2, extra=None if extra is None else msgspec.Raw(extra))
        request = Request(messages=(Message(role=Role.USER, content="?"),), sampling=sampling)
        lengths.append(len((await policy.generate(request)).prompt_token_ids))
    assert lengths[0] > lengths[1]
