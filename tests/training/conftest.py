"""A Llama of some ten thousand parameters with random weights, its tokenizer, and rows to train it on."""

import json
import random

import pytest

WORDS = ("the", "answer", "is", "A", "B", "C", "I", "think", "where", "ball", "box", "now", "red")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Threads that wait for each other cost a model of this size a thousand times its arithmetic."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory, save_tokenizer):
    """A checkpoint folder: two layers, 48 tokens of context more than any row has."""
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    folder = tmp_path_factory.mktemp("model") / "tiny"
    vocabulary = save_tokenizer(WORDS, folder)
    set_seed(0)
    shape = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(shape).save_pretrained(folder)
    return folder


def make_rows(kind, count=24, words=3):
    """`count` rows of `kind` over half as many problems, as `coral build` writes them."""
    rng = random.Random(0)
    for number in range(count):
        asked = " ".join(rng.choices(WORDS, k=words))
        row = {
            "prompt": [{"role": "user", "content": asked}],
            "conversation": f"p{number // 2}#0",
        }
        good = [{"role": "assistant", "content": "the answer is A"}]
        bad = [{"role": "assistant", "content": "I think the answer is B"}]
        if kind == "dpo":
            yield {**row, "chosen": good, "rejected": bad}
        elif kind == "kto":
            yield {**row, "completion": good if number % 2 else bad, "label": bool(number % 2)}
        else:
            yield {**row, "completion": good}


@pytest.fixture(scope="session")
def row_folders(tmp_path_factory):
    """A folder with rows for each kind."""
    folders = {}
    for kind in ("sft", "dpo", "kto"):
        folders[kind] = tmp_path_factory.mktemp("rows") / kind
        folders[kind].mkdir()
        lines = "".join(json.dumps(row) + "\n" for row in make_rows(kind))
        (folders[kind] / "rows.jsonl").write_text(lines)
    return folders
