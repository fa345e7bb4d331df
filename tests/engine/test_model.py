"""`EmbeddedModel` as the rest of Coral sees it."""

import asyncio
import time

import msgspec
import pytest

from coral.engine import scheduler
from coral.engine.model import EmbeddedModel, EngineLimits
from coral.engine.text import decode
from coral.engine.tokens import load_template, load_tokenizer
from coral.errors import ConfigError, ContextOverflow, Rejected, Unreachable
from coral.models.protocol import Request, Sampling
from coral.serving.stream import StreamingModel, TokenSplitter
from coral.types import FinishReason, Message, Role


@pytest.fixture
async def model(folder):
    async with EmbeddedModel(folder, name="tiny", limits=EngineLimits(slots=8)) as opened:
        yield opened


async def test_a_request_gives_n_complete_candidates(model, ask):
    """n candidates come back, counted each and together; the prompt counts once."""
    generation = await model.generate(ask("Where is the ball?", n=5, max_tokens=9))
    assert len(generation.candidates) == 5
    assert len({candidate.text for candidate in generation.candidates}) > 1
    counts = [candidate.usage.completion_tokens for candidate in generation.candidates]
    assert generation.usage.completion_tokens == sum(counts)
    assert generation.usage.prompt_tokens == generation.candidates[0].usage.prompt_tokens > 3
    assert all(0 < count <= 9 for count in counts)
    assert generation.latency_s > 0
    assert generation.attempts == 1


async def test_more_candidates_than_slots_take_turns(model, ask):
    """Candidates beyond the slots start as others end; none is lost, and they are the same as in one go."""
    many = await model.generate(ask("story", n=21, max_tokens=5))
    few = await model.generate(ask("story", n=3, max_tokens=5))
    assert len(many.candidates) == 21
    assert [c.text for c in many.candidates[:3]] == [c.text for c in few.candidates]


async def test_the_seed_decides_the_text(model, ask):
    """The same seed gives the same text, another one another; no seed gives a new text each time."""
    requests = [ask("go", seed=seed, max_tokens=12) for seed in (5, 5, 6, None, None, None)]
    texts = [(await model.generate(request)).candidates[0].text for request in requests]
    assert texts[0] == texts[1] != texts[2]
    assert len(set(texts[3:])) > 1


async def test_temperature_zero_is_greedy_whatever_the_seed(model, ask):
    """Greedy candidates of one request are equal, and so are those of other seeds."""
    one = await model.generate(ask("go", seed=1, n=2, temperature=0, max_tokens=20))
    two = await model.generate(ask("go", seed=2, temperature=0, max_tokens=20))
    assert one.candidates[0].text == one.candidates[1].text == two.candidates[0].text


async def test_finish_reasons(folder, ask):
    """A reply cut by max_tokens or the context ends with LENGTH, one that meets a stop string with STOP."""
    async with EmbeddedModel(folder) as model:
        cut = (await model.generate(ask("go", temperature=0, max_tokens=12))).candidates[0]
        assert (cut.finish_reason, cut.usage.completion_tokens) == (FinishReason.LENGTH, 12)
        stop = cut.text[4:6]
        stopped = (await model.generate(ask("go", temperature=0, max_tokens=12, stop=(stop,)))).candidates[0]
        assert stopped.finish_reason is FinishReason.STOP
        assert stopped.text == cut.text[: cut.text.index(stop)]
        full = (await model.generate(ask("go " * 150, seed=3))).candidates[0]
        if full.finish_reason is FinishReason.LENGTH:
            assert full.usage.prompt_tokens + full.usage.completion_tokens == 512


async def test_an_end_mark_ends_the_reply(folder, ask):
    """The end mark is counted, has no text and no log probability."""
    ends = 0
    async with EmbeddedModel(folder) as model:
        for seed in range(8):
            reply = (await model.generate(ask("x", seed=seed, logprobs=True, temperature=1.5))).candidates[0]
            if reply.finish_reason is FinishReason.STOP:
                ends += 1
                assert len(reply.token_logprobs) == reply.usage.completion_tokens - 1
                assert "<|end|>" not in reply.text
    assert ends > 1


async def test_log_probabilities_are_given_where_asked_for(model, ask):
    """One negative number a token, and None where not asked for."""
    reply = (await model.generate(ask("x", max_tokens=5, logprobs=True))).candidates[0]
    assert len(reply.token_logprobs) == 5
    assert all(value < 0 for value in reply.token_logprobs)
    assert (await model.generate(ask("x", max_tokens=5))).candidates[0].token_logprobs is None


async def test_a_history_sent_again_is_not_computed_again(model, ask):
    """The second turn of a conversation computes what is new; the candidates' own words are known, too."""
    first = ask("Anna puts the ball into the red box. " * 4, temperature=0, max_tokens=30)
    generation = await model.generate(first)
    assert generation.usage.cached_tokens == 0
    reply = Message(Role.ASSISTANT, generation.candidates[0].text)
    longer = (*first.messages, reply, Message(Role.USER, "Are you sure?"))
    second = await model.generate(Request(messages=longer, sampling=first.sampling, seed=1))
    assert second.usage.cached_tokens >= generation.usage.prompt_tokens
    again = await model.generate(first)
    assert again.usage.cached_tokens == again.usage.prompt_tokens - 1
    assert again.candidates[0].text == generation.candidates[0].text


async def test_requests_with_one_beginning_compute_it_once(folder, ask):
    """Of requests that come together, the later ones wait a step for the prefix of the first."""
    system = "You read a story and answer the question about it. " * 3
    async with EmbeddedModel(folder) as model:
        requests = [ask(f"story {number}", system=system, max_tokens=2) for number in range(6)]
        usages = [generation.usage for generation in await asyncio.gather(*map(model.generate, requests))]
    assert sorted(usage.cached_tokens == 0 for usage in usages) == [False] * 5 + [True]
    assert all(usage.cached_tokens > 60 for usage in usages if usage.cached_tokens)


async def test_streamed_pieces_are_the_reply(model, ask):
    """Joined by candidate, the pieces are what `generate` returns; the very last one carries the usage."""
    request = ask("naïve café", n=3, max_tokens=25, logprobs=True, stop=("\n",))
    whole = await model.generate(request)
    deltas = [delta async for delta in model.stream(request)]
    for index, candidate in enumerate(whole.candidates):
        own = [delta for delta in deltas if delta.index == index]
        assert "".join(delta.text for delta in own) == candidate.text
        assert sum((delta.token_logprobs for delta in own), ()) == candidate.token_logprobs
        assert [delta.finish_reason for delta in own] == [None] * (len(own) - 1) + [candidate.finish_reason]
    assert [delta.usage is not None for delta in deltas] == [False] * (len(deltas) - 1) + [True]
    assert deltas[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len(deltas) > 6


async def test_it_offers_what_the_server_asks_for(model):
    """The HTTP server streams and splits tokens where a model can; this one can."""
    assert isinstance(model, StreamingModel)
    assert isinstance(model, TokenSplitter)
    text = "Where does Ben think the café 🌍 is?"
    pieces = model.split_tokens(text)
    assert "".join(pieces) == text
    assert len(pieces) > 6
    assert "".join(model.split_tokens("")) == ""


async def test_a_full_context_is_an_overflow(model, ask):
    """Messages that leave no room for a single token are refused as such; one token of room is used."""
    with pytest.raises(ContextOverflow, match="context of 512"):
        await model.generate(ask("x y " * 400))
    with pytest.raises(ContextOverflow):
        async for _ in model.stream(ask("x y " * 400)):
            pass
    assert (await model.generate(ask("fits", max_tokens=1))).usage.completion_tokens == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"extra": msgspec.Raw(b'{"reasoning_effort": "high"}')}, "reasoning_effort"),
        ({"extra": msgspec.Raw(b'{"top_k": "many"}')}, "top_k"),
    ],
    ids=[
        "below zero",
        "no number",
        "empty nucleus",
        "more than all",
        "nothing",
        "unknown option",
        "wrong type",
    ],
)
async def test_options_out_of_range_are_rejected(model, ask, changes, message):
    """A bad option is refused with its name and value, as a server would with 400, before anything runs."""
    with pytest.raises(Rejected, match=message) as caught:
        await model.generate(ask("x", **changes))
    assert caught.value.status == 400


async def test_requests_without_sense_are_rejected(model):
    """No messages, or no candidates, is no request."""
    sampling = Sampling(max_tokens=1)
    with pytest.raises(Rejected, match="no messages"):
        await model.generate(Request(messages=(), sampling=sampling))
    with pytest.raises(Rejected, match="n is 0"):
        await model.generate(Request(messages=(Message(Role.USER, "x"),), sampling=sampling, n=0))


async def test_its_own_options_work(model, ask):
    """`top_k` 1 is greedy; template options reach the template."""
    extra = msgspec.Raw(b'{"top_k": 1, "chat_template_kwargs": {"bos_token": "Anna Anna"}}')
    cut = await model.generate(ask("x", max_tokens=6, extra=extra))
    greedy = await model.generate(ask("x", max_tokens=6, temperature=0))
    assert cut.usage.prompt_tokens > greedy.usage.prompt_tokens
    top = await model.generate(ask("x", max_tokens=6, extra=msgspec.Raw(b'{"top_k": 1}')))
    assert top.candidates[0].text == greedy.candidates[0].text


async def test_a_cancelled_request_frees_its_rows(folder, ask):
    """With one slot, a request given up makes room at once; leaving a stream early does, too."""
    async with EmbeddedModel(folder, limits=EngineLimits(slots=1)) as model:
        long = ask("x", n=2_000, max_tokens=400)  # minutes, if it held its rows
        task = asyncio.ensure_future(model.generate(long))
        waiting = asyncio.ensure_future(model.generate(long))
        await asyncio.sleep(0.05)
        task.cancel()
        waiting.cancel()
        for cancelled in (task, waiting):
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        stream = model.stream(long)
        await anext(stream)
        await stream.aclose()
        await asyncio.wait_for(model.generate(ask("y", max_tokens=3)), 20)


async def test_the_event_loop_stays_free(folder, ask):
    """While the engine computes, the loop goes on: no pause comes near the time of the request."""
    async with EmbeddedModel(folder) as model:
        task = asyncio.ensure_future(model.generate(ask("x " * 100, n=64, max_tokens=60)))
        pauses, last = [], time.monotonic()
        while not task.done():
            await asyncio.sleep(0.001)
            now = time.monotonic()
            pauses.append(now - last)
            last = now
    assert len(pauses) > 20
    assert sorted(pauses)[len(pauses) // 2] < 0.03


async def test_closing_fails_what_is_still_waiting(folder, ask):
    """Leaving the context ends the thread; requests in work get an error instead of hanging."""
    async with EmbeddedModel(folder) as model:
        task = asyncio.ensure_future(model.generate(ask("x", n=64, max_tokens=450)))
        await asyncio.sleep(0.05)
    with pytest.raises(Unreachable, match="closed"):
        await task
    with pytest.raises(Unreachable, match="not open"):
        await model.generate(ask("x"))


async def test_a_model_can_be_opened_again(folder, ask):
    """Open, close, open: the second life gives the same text."""
    model = EmbeddedModel(folder)
    texts = []
    for _ in range(2):
        async with model:
            texts.append((await model.generate(ask("x", max_tokens=8))).candidates[0].text)
    assert texts[0] == texts[1]


async def test_an_unusable_folder_fails_when_opened(tmp_path):
    """The user's error comes out of `async with`, from the thread, as it is."""
    with pytest.raises(ConfigError, match="no model folder"):
        async with EmbeddedModel(tmp_path / "nowhere"):
            pass


async def test_a_folder_without_template_is_no_chat_model(tmp_path, folder, ask):
    """Messages cannot be laid out without a template: the request is refused with the reason."""
    for path in folder.iterdir():
        if path.name != "chat_template.jinja":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    async with EmbeddedModel(tmp_path) as model:
        with pytest.raises(Rejected, match="no chat template"):
            await model.generate(ask("x"))


@pytest.mark.parametrize("limits", [{"slots": 0}, {"prompt_tokens": 0}, {"cache_mib": -1}], ids=str)
def test_limits_that_cannot_work_are_refused(limits):
    """An engine without a slot would wait forever."""
    with pytest.raises(ConfigError):
        EngineLimits(**limits)


def test_the_name_is_the_folder_unless_given(folder):
    """Records name the model as the user did."""
    assert EmbeddedModel(folder).name == str(folder)
    assert EmbeddedModel(folder, name="tiny").name == "tiny"


async def test_requests_in_work_keep_to_the_memory_for_them(folder, ask, monkeypatch):
    """More requests than fit wait for each other, get their usual text, and leave nothing reserved."""
    seen, memories = [], []

    class Watched(scheduler.Memory):
        def __init__(self, num_blocks):
            super().__init__(num_blocks)
            memories.append(self)

        def _take(self, job, blocks):
            taken = super()._take(job, blocks)
            seen.append(self.free)
            return taken

    requests = [ask(f"{'story ' * 15}{number}", n=1 + number % 4, max_tokens=150) for number in range(16)]
    async with EmbeddedModel(folder) as model:
        expected = [reply.candidates for reply in await asyncio.gather(*map(model.generate, requests))]
    monkeypatch.setattr(scheduler, "Memory", Watched)
    async with EmbeddedModel(folder, limits=EngineLimits(memory_mib=1)) as model:
        tasks = [asyncio.ensure_future(model.generate(request)) for request in requests]
        given_up = asyncio.ensure_future(model.generate(ask("story", n=50, max_tokens=400)))
        await asyncio.sleep(0.1)
        given_up.cancel()
        replies = [reply.candidates for reply in await asyncio.gather(*tasks)]
        await model.generate(ask("x", max_tokens=1))
    assert [[c.text for c in reply] for reply in replies] == [[c.text for c in reply] for reply in expected]
    assert min(seen) >= 0, "never more than there is"
    assert min(seen) < 8, "the memory was short"
    assert memories[0].free == memories[0]._all


async def test_a_conversation_beyond_the_memory_is_told_so(llama_folder, ask):
    """A prompt that cannot fit is refused; a reply without a limit ends where the memory does."""
    folder = llama_folder(max_position_embeddings=4096)
    async with EmbeddedModel(folder, limits=EngineLimits(memory_mib=1)) as model:
        with pytest.raises(
            ContextOverflow, match="memory for keys and values holds 1856 of prompt and reply"
        ):
            await model.generate(ask("red box " * 1000))
        reply = await model.generate(ask("red box " * 900, max_tokens=4000))
        assert reply.usage.prompt_tokens + reply.usage.completion_tokens <= 1856


async def test_token_ids_are_what_the_model_read_and_wrote(folder, model, ask):
    """With `return_token_ids`: the prompt as the template makes it, each reply with its end mark, one log
    probability each, whole and streamed alike; the text is what its tokens read.
    """
    tokenizer = load_tokenizer(folder)
    request = ask(
        "story", n=4, max_tokens=40, temperature=2.0, logprobs=True, return_token_ids=True, stop=("q",)
    )
    whole = await model.generate(request)
    prompt = load_template(folder).render(request.messages, {})
    assert list(whole.prompt_token_ids) == tokenizer.encode(prompt, add_special_tokens=False).ids
    deltas = [delta async for delta in model.stream(request)]
    assert [delta.prompt_token_ids for delta in deltas[:2]] == [whole.prompt_token_ids, None]
    for index, candidate in enumerate(whole.candidates):
        own = [delta for delta in deltas if delta.index == index]
        assert sum((delta.token_ids for delta in own), ()) == candidate.token_ids
        assert len(candidate.token_ids) == len(candidate.token_logprobs) == candidate.usage.completion_tokens
        assert decode(tokenizer, candidate.token_ids).startswith(candidate.text)
    plain = await model.generate(ask("story", n=4, max_tokens=40, temperature=2.0, stop=("q",)))
    assert [c.text for c in plain.candidates] == [c.text for c in whole.candidates]
    assert plain.prompt_token_ids is plain.candidates[0].token_ids is None
