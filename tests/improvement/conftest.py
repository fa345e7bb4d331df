"""A Llama of a few thousand parameters that answers every question with a random letter, and a loop on it."""

import json

import pytest

LETTERS = ("(A)", "(B)", "(C)", "(D)")


@pytest.fixture(scope="session")
def guesser(tmp_path_factory, save_tokenizer):
    """A checkpoint folder. Its replies are "Answer: (X)", whatever the question, with a random letter."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("model") / "guesser"
    vocabulary = save_tokenizer(("Answer:", *LETTERS), folder)
    transformers.set_seed(0)
    shape = transformers.LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=1024,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=True,
    )
    model = transformers.LlamaForCausalLM(shape)
    teach(torch, model, vocabulary)
    model.save_pretrained(folder)
    return folder


def teach(torch, model, vocabulary):
    """A hundred steps: whatever was said before, "Answer:", a letter at random, the end."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    letters = torch.tensor([vocabulary[letter] for letter in LETTERS])
    optimizer = torch.optim.Adam(model.parameters(), 3e-2)
    for _ in range(100):
        asked = torch.randint(len(vocabulary), (32, 24))
        asked[:, -1] = vocabulary["<|assistant|>"]
        said = torch.full((32, 3), vocabulary["Answer:"])
        said[:, 1] = letters[torch.randint(4, (32,))]
        said[:, 2] = vocabulary["<|end|>"]
        labels = torch.cat([torch.full_like(asked, -100), said], 1)
        model(input_ids=torch.cat([asked, said], 1), labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.set_num_threads(threads)


@pytest.fixture
def options(guesser, tmp_path):
    """Options of a small loop: eight problems, two steps of DPO."""
    return {
        "output": str(tmp_path / "out"),
        "model": str(guesser),
        "common": {
            "task": {"name": "sally_anne", "size": 8},
            "max_turns": 3,
            "agent": {"max_tokens": 8, "temperature": 1.0},
        },
        "evaluate": {"split": "test"},
        "sample": {"split": "train", "samples": 1, "candidates": 3},
        "train": {"max_steps": 2, "batch_size": 4, "learning_rate": 1e-3, "device": "cpu", "save_steps": 1},
        "launch": ["env", "OMP_NUM_THREADS=1", "{python}", "-m", "coral", "train", "--config", "{config}"],
    }


@pytest.fixture
def config_file(tmp_path):
    """Writes options as a config file; returns its path."""

    def write(options):
        path = tmp_path / "improve.yaml"
        path.write_text(json.dumps(options))
        return path

    return write
