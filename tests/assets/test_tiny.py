"""The shipped checkpoint: small, complete, and what its card says it is."""

import json
import re
from importlib import resources
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from coral import prompts
from coral.conversation.protocols.pair import messages_for
from coral.tasks.protocol import Source
from coral.tasks.sally_anne import SallyAnne
from coral.types import OPENER, RESPONDER, Role

FOLDER = Path(str(resources.files("coral") / "assets" / "tiny"))
FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
REPLIES = ("I think Anne last saw the ball in the box.\nAnswer: (A)", "You are right.\nAnswer: (A)")


def read(name):
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_file(str(FOLDER / "tokenizer.json"))


def test_the_folder_is_complete_and_small():
    """The package must stay a small download: at most 8 MB of weights in half precision."""
    for name in (*FILES, "README.md", "special_tokens_map.json"):
        assert (FOLDER / name).is_file(), name
    assert (FOLDER / "model.safetensors").stat().st_size <= 8_000_000
    assert read("config.json")["dtype"] in {"bfloat16", "float16"}


def test_the_config_is_that_of_a_llama_for_new_and_old_readers():
    """Readers differ in where they look for the rotary base, so it stands in both places."""
    config = read("config.json")
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"]
    assert config["head_dim"] * config["num_attention_heads"] == config["hidden_size"]
    assert config["tie_word_embeddings"] is True
    assert config["eos_token_id"] == read("generation_config.json")["eos_token_id"]


def test_the_vocabulary_fits_the_model(tokenizer):
    """Every id has an embedding, and the end of a turn is the model's end of text."""
    config = read("config.json")
    assert tokenizer.get_vocab_size() == config["vocab_size"]
    assert tokenizer.token_to_id(read("tokenizer_config.json")["eos_token"]) == config["eos_token_id"]


@pytest.mark.parametrize("split_information", [False, True])
def test_every_word_of_the_problems_and_their_frame_is_one_token(tokenizer, split_information):
    """A word that falls apart would be a word that the model has never seen."""
    task = SallyAnne(size=60, split_information=split_information)
    for problem in task.problems(Source(data=None, split="test")):
        for seat in (OPENER, RESPONDER):
            stated = {"opening": task.opening(problem), "briefing": task.briefing(problem, seat)}
            text = messages_for(seat, system="", replies=REPLIES, **stated)[0].content
            pieces = re.findall(r" \([A-H]\)| ?[A-Za-z]+| ?[0-9]+| ?[^\w\s]|\n", text)
            assert tokenizer.encode(text).tokens == [piece.replace(" ", "▁") for piece in pieces]


ANY_TEXT = [
    "Héllo  wörld",
    "\n\n  indented\tand 中文 🙂",
    "green_treasure_chest",
    prompts.builtin("agent"),
    " ",
    "▁",
]


@pytest.mark.parametrize("text", ANY_TEXT)
def test_any_text_can_be_encoded_and_comes_back(tokenizer, text):
    """Bytes stand in for unknown characters, so no text is refused or lost; only "▁" reads as a space."""
    ids = tokenizer.encode(text).ids
    assert tokenizer.token_to_id("<unk>") not in ids
    assert tokenizer.decode(ids) == text.replace("▁", " ")


def chat():
    task = SallyAnne(size=1)
    problem = next(task.problems(Source(data=None, split="test")))
    return messages_for(
        RESPONDER, system="Be brief.", opening=task.opening(problem), briefing="", replies=REPLIES
    )


def test_transformers_loads_the_folder_as_it_is():
    """`from_pretrained` needs no option, reports no odd weight, and the end of a turn stops generation."""
    transformers = pytest.importorskip("transformers")
    model, report = transformers.LlamaForCausalLM.from_pretrained(FOLDER, output_loading_info=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.config.rope_parameters["rope_theta"] == read("config.json")["rope_theta"]
    messages = [{"role": message.role.value, "content": message.content} for message in chat()]
    inputs = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = model.generate(**inputs, max_new_tokens=80, do_sample=False)
    reply = tokenizer.decode(out[0, inputs["input_ids"].shape[1] :])
    assert re.search(r"\nAnswer: \([A-D]\)<\|end\|>$", reply), reply


def test_the_chat_template_leaves_out_system_messages_and_marks_what_is_generated():
    """The model never saw a system prompt; trainers read from the marks what the assistant wrote."""
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    messages = [{"role": message.role.value, "content": message.content} for message in chat()][:3]
    out = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    marked = [token for token, mark in zip(out["input_ids"], out["assistant_masks"], strict=True) if mark]
    assert tokenizer.decode(marked) == f"{REPLIES[0]}<|end|>"
    text = tokenizer.decode(out["input_ids"])
    assert "Be brief." not in text
    assert text.startswith("<s><|user|>Story:")
    assert messages[0]["role"] == Role.SYSTEM.value
