"""What tests of several rooms share: scripted agents over real records on loopback, and a tokenizer."""

from collections import Counter
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from coral import tasks
from coral.serving.app import ChatServer, Served
from coral.serving.faults import parse_faults
from coral.serving.listen import listening
from coral.serving.scripted import Knowledge, Persona, serve_scripted
from coral.tasks.protocol import Source

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}<|assistant|>"
    "{{ message['content'] }}<|end|>{% else %}<|user|>{{ message['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ("<pad>", "<s>", "<|end|>", "<|user|>", "<|assistant|>", "<unk>")
DATA = Path(__file__).parent / "data" / "hi_tom" / "Hi-ToM_data.sample.json"


class Recording:
    """A model that counts the requests that reach it."""

    def __init__(self, model, counter):
        self._model, self._counter = model, counter
        self.name = model.name

    async def generate(self, request):
        texts = tuple(message.content for message in request.messages)
        self._counter[(texts, request.seed)] += 1
        return await self._model.generate(request)


def refusing(react):
    """A middleware that answers with what `react(number, body)` returns, numbers from 1; None passes on."""
    numbers = count(1)

    @web.middleware
    async def answer(request, handler):
        if request.method == "POST":
            response = react(next(numbers), await request.json())
            if response is not None:
                return response
        return await handler(request)

    return answer


def error(status, message, **headers):
    """An error in OpenAI's form."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response({"error": {"message": message}}, status=status, headers=named)


@asynccontextmanager
async def scripted_server(*, faults="", task="hi_tom", data=DATA, options=None, react=None, **persona):
    """A server; yields (base URL, counter of requests by content). `options` are those of the task."""
    loaded = tasks.load(task, **(options or {}))
    knowledge = Knowledge(loaded, loaded.problems(Source(data=str(data), split="")))
    served = serve_scripted(knowledge, Persona(**{"accuracy": 0.5, "stubbornness": 0.6, **persona}))
    counter = Counter()

    def find(name):
        model = served.find(name)
        return None if model is None else Recording(model, counter)

    server = ChatServer(
        Served(names=served.names, find=find, hint=served.hint), plan=parse_faults(faults, seed=1)
    )
    if react is not None:
        server.app.middlewares.insert(0, refusing(react))
    async with listening(server, host="127.0.0.1", port=0) as url:
        yield url, counter


@pytest.fixture
def serve():
    """Starts a server of scripted agents."""
    return scripted_server


@pytest.fixture
def refusal():
    """Makes errors in OpenAI's form."""
    return error


@pytest.fixture
def data():
    """Real Hi-ToM records."""
    return str(DATA)


def without_times(conversation):
    """What must be the same however often a run was interrupted."""
    plain = msgspec.to_builtins(conversation)
    plain.pop("seconds"), plain.pop("started_at")
    for turn in plain["turns"]:
        probe = [turn["probe"]["reply"]] if "probe" in turn else []
        for reply in [*turn["replies"], *probe]:
            reply.pop("latency_s", None)
    return plain


@pytest.fixture
def content():
    """The conversations of a run by id, without times."""
    return lambda run: {c.id: without_times(c) for c in run.conversations()}


@pytest.fixture(scope="session")
def save_tokenizer():
    """Writes a tokenizer of whole words with a chat template into a folder; returns ids by word."""

    def save(words, folder):
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast

        vocabulary = {word: number for number, word in enumerate((*SPECIAL, *words))}
        raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
        raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=raw,
            bos_token="<s>",
            eos_token="<|end|>",
            pad_token="<pad>",
            unk_token="<unk>",
            additional_special_tokens=["<|user|>", "<|assistant|>"],
        )
        tokenizer.chat_template = TEMPLATE
        tokenizer.save_pretrained(folder)
        return vocabulary

    return save
