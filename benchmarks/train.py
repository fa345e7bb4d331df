"""Train models of real sizes with `coral train` on whatever device is there, and say what it took.

    python benchmarks/train.py                     # a model of a few million weights: a check that fits a CPU
    python benchmarks/train.py --shape 1b --steps 60         # Llama-3.2-1B's shape, random weights, on a GPU
    python benchmarks/train.py --shape 8b --jobs dpo_lora --steps 10

The weights are random and so are the scores: what is measured is that the trainings run on this device, their
speed, their memory, and that a training that was killed ends like one that was not. Rows are made by two
embedded models that talk about generated stories; `--row_tokens` lengthens their prompts with more stories.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import signal
import subprocess
import sys
import threading
import time
from importlib import resources
from pathlib import Path

SHAPES = {  # hidden size, inner size, layers, heads, heads of keys and values
    "tiny": (128, 512, 4, 8, 4),
    "1b": (2048, 8192, 16, 32, 8),
    "8b": (4096, 14336, 32, 32, 8),
}
CHARACTERS_PER_TOKEN = 3
JOBS = {
    "sft": ["sft"],
    "dpo": ["dpo"],
    "kto": ["kto"],
    "dpo_lora": ["dpo", "--lora", "true"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--jobs", default="sft,dpo,kto,dpo_lora,resume")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--device_batch_size", type=int, default=4)
    parser.add_argument("--row_tokens", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-train"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    make_rows(options.folder, options.row_tokens)
    make_model(options.folder / options.shape, options.shape)
    print(f"{options.shape}, {options.steps} steps of {options.batch_size} rows on {device()}", flush=True)
    print(
        f"{'job':<10}{'rows/s':>8}{'tokens/s':>10}{'GPU GiB':>9}{'seconds':>9}  loss first, last", flush=True
    )
    for job in options.jobs.split(","):
        if job == "resume":
            resume(options)
        else:
            output = options.folder / f"{options.shape}-{job}"
            print(f"{job:<10}{report(output, options.batch_size, *train(job, options, output))}", flush=True)


def make_rows(folder: Path, row_tokens: int) -> None:
    if not (folder / "trees").exists():
        coral("sample", "sally_anne", "--split", "train", "--limit", "200", "--agent.temperature", "1",
              "--output", folder / "trees")  # fmt: skip
    for kind in ("sft", "dpo", "kto"):
        if not (folder / kind).exists():
            coral("build", folder / "trees", "--kind", kind, "--output", folder / kind)
        lines = (folder / kind / "train.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        stories = [row["prompt"][-1]["content"] for row in rows]
        for number, row in enumerate(rows):
            others = itertools.islice(itertools.cycle(stories), number, None)
            last = row["prompt"][-1]
            while len(last["content"]) < CHARACTERS_PER_TOKEN * row_tokens:
                last["content"] = f"{next(others)}\n\n{last['content']}"
        (folder / f"{kind}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_model(folder: Path, shape: str) -> None:
    """Random weights under the embedded model's tokenizer."""
    if (folder / "config.json").exists():
        return
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(str(resources.files("coral") / "assets" / "tiny"))
    hidden, inner, layers, heads, kv_heads = SHAPES[shape]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=max(len(tokenizer), 128_256 if shape != "tiny" else 0),
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, max_position_embeddings=8192, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, dtype="bfloat16",
    )  # fmt: skip
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train(job: str, options: argparse.Namespace, output: Path) -> tuple[float, float]:
    """Run one training; seconds, and the most memory the GPU held meanwhile in GiB."""
    began, watch = time.perf_counter(), MemoryWatch()
    coral(*command(job, options, output))
    return time.perf_counter() - began, watch.stop()


def command(job: str, options: argparse.Namespace, output: Path, saves: int = 1) -> list[str | Path]:
    kind, *extra = JOBS[job]
    return ["train", kind, *extra, "--model", options.folder / options.shape, "--rows",
            options.folder / f"{kind}.jsonl", "--output", output, "--max_steps", str(options.steps),
            "--batch_size", str(options.batch_size), "--device_batch_size", str(options.device_batch_size),
            "--save_steps", str(max(1, options.steps // saves)), "--logging_steps", "1",
            "--show_rows", "0"]  # fmt: skip


def report(folder: Path, batch_size: int, seconds: float, memory: float) -> str:
    record = json.loads((folder / "train.json").read_text())
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in history if "loss" in line]
    seconds_of_steps = history[-1]["train_runtime"]
    rows_per_s = record["steps"] * batch_size / seconds_of_steps
    tokens_per_s = record["last"].get("num_tokens", math.nan) / seconds_of_steps
    return (
        f"{rows_per_s:>8.1f}{tokens_per_s:>10,.0f}{memory:>9.1f}{seconds:>9.0f}"
        f"  {losses[0]:.3f}, {losses[-1]:.3f}"
    )


def resume(options: argparse.Namespace) -> None:
    """Kill a DPO training behind its first checkpoint, let the same command end it, compare the losses."""
    folder = options.folder / f"{options.shape}-resumed"
    killed = subprocess.Popen(_argv(*command("dpo", options, folder, saves=3)), stdout=subprocess.DEVNULL)
    while killed.poll() is None and not list(folder.glob("checkpoints/checkpoint-*/trainer_state.json")):
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    coral(*command("dpo", options, folder, saves=3))
    record = json.loads((folder / "train.json").read_text())
    print(f"killed, then resumed at step {record['resumed_from']}: losses differ by at most "
          f"{loss_difference(folder, options.folder / f'{options.shape}-dpo'):.2g}", flush=True)  # fmt: skip


def loss_difference(one: Path, other: Path) -> float:
    losses = []
    for folder in (one, other):
        lines = map(json.loads, (folder / "history.jsonl").read_text().splitlines())
        losses.append({line["step"]: line["loss"] for line in lines if "loss" in line})
    assert losses[0].keys() == losses[1].keys()
    return max(abs(losses[0][step] - losses[1][step]) for step in losses[0])


class MemoryWatch:
    """The most memory that the first GPU held, by its driver; nan without one."""

    def __init__(self) -> None:
        self._most, self._done = math.nan, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
        while not self._done.wait(0.5):
            try:
                used = float(subprocess.run(query, capture_output=True, text=True, check=True).stdout) / 1024
            except (OSError, ValueError, subprocess.CalledProcessError):
                return
            self._most = max(used, self._most) if self._most == self._most else used

    def stop(self) -> float:
        self._done.set()
        self._thread.join()
        return self._most


def device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "the CPU"


def _argv(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "coral", *map(str, arguments)]


def coral(*arguments: str | Path) -> None:
    done = subprocess.run(_argv(*arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, arguments))}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


if __name__ == "__main__":
    main()
