"""Which folders the engine takes, and what it says about the others."""

import json
import shutil
from pathlib import Path

import pytest

from coral.engine.checkpoint import open_checkpoint
from coral.engine.tokens import load_template
from coral.engine.weights import build_weights
from coral.errors import ConfigError


@pytest.fixture
def copy(tmp_path: Path, folder: Path):
    """Copies the default folder and changes its config.json."""

    def make(**changes) -> Path:
        target = tmp_path / "model"
        shutil.copytree(folder, target)
        path = target / "config.json"
        config = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({key: value for key, value in config.items() if value != "absent"}))
        return target

    return make


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"architectures": ["Qwen2ForCausalLM"]}, "Qwen2ForCausalLM"),
        ({"hidden_act": "gelu"}, "activation is gelu"),
        ({"attention_bias": True}, "biases"),
        ({"mlp_bias": True}, "biases"),
        ({"sliding_window": 4096}, "sliding window"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantized"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "yarn"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "linear"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "part of each head"),
        ({"num_key_value_heads": 3}, "do not divide"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_plain_llama_is_refused_and_vllm_is_named(copy, changes, why):
    """A model that would be computed wrongly is refused, with the way to run it."""
    with pytest.raises(ConfigError, match=why) as caught:
        open_checkpoint(copy(**changes))
    assert "vLLM" in caught.value.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"architectures": ["MistralForCausalLM"], "sliding_window": None},
        {"num_key_value_heads": "absent", "num_attention_heads": 2, "head_dim": "absent"},
        {"rope_theta": "absent", "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
    ],
    ids=[
        "a Mistral without a window is a Llama",
        "heads default to key-value heads",
        "theta may stand in rope_parameters",
    ],
)
def test_spellings_of_a_plain_llama_are_taken(copy, changes):
    """Old and new spellings of the same facts are understood."""
    config = open_checkpoint(copy(**changes)).config
    assert config.num_heads % config.num_kv_heads == 0
    assert config.rope.rope_theta == (5e5 if "rope_parameters" in changes else 1e4)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "holds no config.json"),
        ("tokenizer.json", "holds no tokenizer.json"),
        ("model.safetensors", "neither"),
    ],
)
def test_a_missing_file_is_named(copy, missing, message):
    """An incomplete folder is refused with the name of what is missing."""
    target = copy()
    (target / missing).unlink()
    with pytest.raises(ConfigError, match=message):
        open_checkpoint(target)


def test_no_folder_and_an_adapter_alone_are_refused(tmp_path: Path):
    """A wrong path and a LoRA adapter each get their own remedy."""
    with pytest.raises(ConfigError, match="no model folder"):
        open_checkpoint(tmp_path / "nowhere")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ConfigError, match="adapter") as caught:
        open_checkpoint(tmp_path)
    assert "merge" in caught.value.remedy


def test_weights_that_do_not_fit_are_refused(copy):
    """A missing tensor, a wrong shape and a tensor without use are each refused by name."""
    with pytest.raises(ConfigError, match="shape"):
        build_weights(open_checkpoint(copy(intermediate_size=100)))


def test_a_tensor_without_use_is_refused(tmp_path: Path, llama_folder):
    """A layer more than config.json says would change the result: it is not silently dropped."""
    target = tmp_path / "deep"
    shutil.copytree(llama_folder(num_hidden_layers=3), target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2}))
    with pytest.raises(ConfigError, match=r"no use for the tensor 'model\.layers\.2"):
        build_weights(open_checkpoint(target))
    (target / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
    with pytest.raises(ConfigError, match=r"lacks the tensor 'model\.layers\.3"):
        build_weights(open_checkpoint(target))


def test_every_end_mark_ends_a_reply(copy):
    """Marks of config, generation config and tokenizer count together: trainers set different ones."""
    target = copy(eos_token_id=[7, 8])
    (target / "generation_config.json").write_text('{"eos_token_id": 9}')
    assert open_checkpoint(target).end_tokens == {1, 7, 8, 9}


def test_the_template_may_stand_in_the_tokenizer_config(copy):
    """Folders of older tools keep the template, or several named ones, in tokenizer_config.json."""
    target = copy()
    (target / "chat_template.jinja").unlink()
    assert load_template(target) is None
    named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes{{ eos_token }}"}]
    for source in ("yes{{ eos_token }}", named):
        names = {"chat_template": source, "eos_token": {"content": "<|end|>", "special": True}}
        (target / "tokenizer_config.json").write_text(json.dumps(names))
        template = load_template(target)
        assert template is not None
        assert template.render([], {}) == "yes<|end|>"
