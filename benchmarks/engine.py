"""What the embedded engine costs, beside transformers' `generate` on the same model, in one run.

    python benchmarks/engine.py                 # engine and transformers, three rounds each, one BLAS thread
    python benchmarks/engine.py --only engine   # without torch

Measured: 64 requests at a time, prompts of 128 tokens without a common beginning, replies of 64 tokens,
temperature 1; tokens of the replies per CPU second of the whole process. The engine is used as Coral uses it:
chat template, tokenizer, thread, event loop and detokenisation count. For transformers only `generate`
counts. Each measurement is a process of its own. Needs numpy, tokenizers and safetensors; transformers and
torch to compare.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SHAPE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 832,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 2048,
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
NUM_REQUESTS, PROMPT_TOKENS, REPLY_TOKENS = 64, 128, 64
NUM_PASSES = 4
"""Passes in one process; the first warms up and does not count."""

TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


def write_model(folder: Path) -> float:
    """A random Llama whose words are w0, w1, ...; returns its parameters in millions."""
    import numpy as np
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    rng = np.random.default_rng(0)
    tensors = {name: rng.standard_normal(shape, np.float32) * 0.05 for name, shape in shapes().items()}
    for name, values in tensors.items():
        if name.endswith("norm.weight"):
            values[:] = 1.0
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    words = {"<s>": 0, "</s>": 1} | {f"w{number}": number for number in range(2, SHAPE["vocab_size"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(SHAPE))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    return sum(values.size for values in tensors.values()) / 1e6


def shapes() -> dict[str, tuple[int, ...]]:
    width, inner = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    keys = width // SHAPE["num_attention_heads"] * SHAPE["num_key_value_heads"]
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (SHAPE["vocab_size"], width),
        "model.norm.weight": (width,),
    }
    for index in range(SHAPE["num_hidden_layers"]):
        layer = {
            "input_layernorm": (width,),
            "post_attention_layernorm": (width,),
            "self_attn.q_proj": (width, width),
            "self_attn.k_proj": (keys, width),
            "self_attn.v_proj": (keys, width),
            "self_attn.o_proj": (width, width),
            "mlp.gate_proj": (inner, width),
            "mlp.up_proj": (inner, width),
            "mlp.down_proj": (width, inner),
        }
        found |= {f"model.layers.{index}.{name}.weight": shape for name, shape in layer.items()}
    return found


def prompts(seed: int) -> list[list[int]]:
    """64 prompts of 128 random words."""
    import random

    rng = random.Random(seed)
    return [
        [rng.randrange(2, SHAPE["vocab_size"]) for _ in range(PROMPT_TOKENS)] for _ in range(NUM_REQUESTS)
    ]


# What is measured -------------------------------------------------------------------------------------


async def measure_engine(folder: Path) -> dict[str, float]:
    started = time.perf_counter()
    from coral.engine.model import EmbeddedModel

    async with EmbeddedModel(folder) as model:
        start_s = time.perf_counter() - started
        rates = []
        for number in range(NUM_PASSES):
            cpu = time.process_time()
            requests = [make_request(words, seed) for seed, words in enumerate(prompts(number))]
            replies = await asyncio.gather(*map(model.generate, requests))
            tokens = sum(reply.usage.completion_tokens for reply in replies)
            rates.append(tokens / (time.process_time() - cpu))
        first = [await first_token_s(model, words) for words in prompts(99)[:9]]
    return {
        "tokens_per_cpu_s": statistics.median(rates[1:]),
        "start_s": start_s,
        "first_token_ms": 1e3 * statistics.median(first),
        "peak_mib": peak_mib(),
    }


def make_request(words: list[int], seed: int) -> Any:
    from coral.models.protocol import Request, Sampling
    from coral.types import Message, Role

    sampling = Sampling(temperature=1.0, max_tokens=REPLY_TOKENS)
    text = " ".join(f"w{word}" for word in words)
    return Request(messages=(Message(Role.USER, text),), sampling=sampling, seed=seed)


async def first_token_s(model: Any, words: list[int]) -> float:
    started = time.perf_counter()
    stream = model.stream(make_request(words, 0))
    await anext(stream)
    taken = time.perf_counter() - started
    await stream.aclose()
    return taken


def measure_transformers(folder: Path) -> dict[str, float]:
    started = time.perf_counter()
    import torch
    import transformers

    torch.set_num_threads(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    start_s = time.perf_counter() - started
    length = {"min_new_tokens": REPLY_TOKENS, "max_new_tokens": REPLY_TOKENS}
    rates = []
    for number in range(NUM_PASSES):
        tokens = torch.tensor(prompts(number))
        cpu = time.process_time()
        output = model.generate(
            tokens, attention_mask=torch.ones_like(tokens), do_sample=True, top_k=0, pad_token_id=0, **length
        )
        rates.append(output[:, PROMPT_TOKENS:].numel() / (time.process_time() - cpu))
    first = []
    for words in prompts(99)[:9]:
        tokens = torch.tensor([words])
        begin = time.perf_counter()
        model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=1, pad_token_id=0)
        first.append(time.perf_counter() - begin)
    return {
        "tokens_per_cpu_s": statistics.median(rates[1:]),
        "start_s": start_s,
        "first_token_ms": 1e3 * statistics.median(first),
        "peak_mib": peak_mib(),
    }


def peak_mib() -> float:
    """The process's largest resident memory."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


# The run ----------------------------------------------------------------------------------------------


def measure(subject: str, folder: Path) -> dict[str, float]:
    """One measurement in a process of its own, with one thread for BLAS and OpenMP."""
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--measure", subject, str(folder)]
    done = subprocess.run(
        command, env={**os.environ, **one_thread}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=["engine", "transformers"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs=2, metavar=("SUBJECT", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        subject, folder = options.measure[0], Path(options.measure[1])
        engine = subject == "engine"
        print(json.dumps(asyncio.run(measure_engine(folder)) if engine else measure_transformers(folder)))
        return
    subjects = [options.only] if options.only else ["engine", "transformers"]
    with tempfile.TemporaryDirectory() as folder:
        millions = write_model(Path(folder))
        print(f"{millions:.2f}M parameters: {json.dumps(SHAPE)}")
        rounds = [{name: measure(name, Path(folder)) for name in subjects} for _ in range(options.rounds)]
    report(subjects, rounds)


def report(subjects: list[str], rounds: list[dict[str, dict[str, float]]]) -> None:
    print(f"{'median (best) of rounds':24}" + "".join(f"{name:>24}" for name in subjects))
    for metric in rounds[0][subjects[0]]:
        best = max if metric == "tokens_per_cpu_s" else min
        cells = []
        for name in subjects:
            values = [found[name][metric] for found in rounds]
            cells.append(f"{statistics.median(values):,.1f} ({best(values):,.1f})")
        print(f"{metric:24}" + "".join(f"{cell:>24}" for cell in cells))
    if len(subjects) == 2:
        ratios = [
            found["engine"]["tokens_per_cpu_s"] / found["transformers"]["tokens_per_cpu_s"]
            for found in rounds
        ]
        print(f"engine / transformers, round by round: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")


if __name__ == "__main__":
    main()
