"""The engine's numbers and tokens are those of the libraries that the model was made with."""

import json
import urllib.request
from itertools import pairwise

import numpy as np
import pytest

from coral.engine.cache import BLOCK, Blocks
from coral.engine.checkpoint import open_checkpoint
from coral.engine.llama import Batch, Llama, Piece
from coral.engine.tokens import load_template
from coral.engine.weights import build_weights
from coral.types import Message, Role

pytestmark = [
    pytest.mark.real,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def questions(data):
    lines = (data / "mmlu_pro" / "test.sample.jsonl").read_text().splitlines()
    return [json.loads(line)["question"] for line in lines]


def test_logits_equal_those_of_transformers(folder, questions):
    """At the end of each piece of a long prompt, every logit is within 1e-4 of transformers' in float64.

    In float32, transformers itself is up to 7e-5 away from that.
    """
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    checkpoint = open_checkpoint(folder)
    text = load_template(folder).render([Message(Role.USER, "\n".join(questions[:6]))], {})
    tokens = checkpoint.tokenizer.encode(text, add_special_tokens=False).ids[:400]
    with torch.no_grad():
        reference = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
        expected = reference(torch.tensor([tokens])).logits[0].numpy()
    llama = Llama(checkpoint.config, build_weights(checkpoint), slots=4)
    blocks = Blocks(checkpoint.config, -(-len(tokens) // BLOCK), -(-len(tokens) // BLOCK))
    for begin, end in pairwise([0, 1, 9, BLOCK, 200, len(tokens)]):
        logits = llama.forward(Batch([], [], [], [Piece(tokens[begin:end], begin, blocks)]))
        np.testing.assert_allclose(logits[0], expected[end - 1], atol=1e-4)


def test_tokens_are_those_of_llama_cpp(folder, llama_cpp, questions):
    """tokenizer.json splits real questions as llama.cpp splits them with its own vocabulary."""
    tokenizer = open_checkpoint(folder).tokenizer
    for question in questions:
        body = json.dumps({"content": question}).encode()
        with urllib.request.urlopen(f"{llama_cpp.url}/tokenize", data=body) as response:
            theirs = json.load(response)["tokens"]
        assert tokenizer.encode(question, add_special_tokens=False).ids == theirs
