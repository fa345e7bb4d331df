"""The same numbers and the same text as transformers."""

import json
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from coral.engine.cache import BLOCK, Blocks
from coral.engine.checkpoint import open_checkpoint
from coral.engine.llama import Batch, Llama, Piece
from coral.engine.model import EmbeddedModel
from coral.engine.weights import build_weights
from coral.models.protocol import Request

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SHIPPED = Path(str(files("coral"))) / "assets" / "tiny"
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
VARIANTS = [
    pytest.param({}, id="grouped queries, untied"),
    pytest.param({"num_key_value_heads": 4, "tie_word_embeddings": True}, id="all heads, tied"),
    pytest.param({"num_key_value_heads": 1, "dtype": "BF16"}, id="one key-value head, bfloat16"),
    pytest.param({"head_dim": 32, "dtype": "F16", "shards": 2}, id="wide heads, float16, two files"),
    pytest.param({"rope_scaling": LLAMA3, "rope_theta": 500000.0}, id="Llama 3.1 positions"),
]
TEXT = "Anna puts the ball into the red box. Ben leaves the room. " * 7


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("options", VARIANTS)
def test_logits_equal_those_of_transformers(llama_folder, options):
    """At every position of a prompt of several blocks, computed in uneven pieces, logits agree to 1e-3."""
    _compare_logits(llama_folder(**options))


@pytest.mark.parametrize("options", VARIANTS)
async def test_greedy_text_equals_that_of_transformers(llama_folder, ask, options):
    """200 greedy tokens are the same text, through the same chat template."""
    request = ask(TEXT, system="naïve café", temperature=0, max_tokens=200)
    await _compare_text(llama_folder(**options), request)


@pytest.mark.skipif(not (SHIPPED / "model.safetensors").exists(), reason="the checkpoint is not in this tree")
async def test_the_shipped_checkpoint_is_the_same_in_transformers(ask):
    """What Coral ships behaves alike in both, so that it can stand in for any other model."""
    _compare_logits(SHIPPED)
    await _compare_text(SHIPPED, ask(TEXT, temperature=0, max_tokens=60))


def _compare_logits(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    tokens = checkpoint.tokenizer.encode(TEXT, add_special_tokens=False).ids
    assert len(tokens) > BLOCK
    llama = Llama(checkpoint.config, build_weights(checkpoint), slots=4)
    blocks = Blocks(checkpoint.config, 4, 4)
    cuts = [0, 1, 2, 10, 63, 64, 65, 80, len(tokens)]
    with torch.no_grad():
        reference = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        expected = reference(torch.tensor([tokens])).logits[0].numpy()
    for begin, end in pairwise(cuts):
        logits = llama.forward(Batch([], [], [], [Piece(tokens[begin:end], begin, blocks)]))
        np.testing.assert_allclose(logits[0], expected[end - 1], atol=1e-3)


async def _compare_text(folder: Path, request: Request) -> None:
    async with EmbeddedModel(folder) as model:
        reply = (await model.generate(request)).candidates[0]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    chat = [{"role": message.role.value, "content": message.content} for message in request.messages]
    inputs = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids, length = inputs["input_ids"], request.sampling.max_tokens
    output = reference.generate(
        ids, attention_mask=inputs["attention_mask"], do_sample=False, max_new_tokens=length, pad_token_id=0
    )
    new = output[0, ids.shape[1] :]
    assert reply.text == tokenizer.decode(new, skip_special_tokens=True)
    assert reply.usage.prompt_tokens == ids.shape[1]
    assert reply.usage.completion_tokens == len(new)


async def test_a_folder_saved_by_transformers_is_read(tmp_path, folder, ask):
    """What a trainer saves with `save_pretrained` is served as it is, bfloat16 and all."""
    shape = json.loads((folder / "config.json").read_text())
    config = transformers.LlamaConfig(**{**shape, "tie_word_embeddings": True})
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    async with EmbeddedModel(tmp_path) as model:
        generation = await model.generate(ask("x", max_tokens=5))
    assert generation.usage.completion_tokens >= 1
