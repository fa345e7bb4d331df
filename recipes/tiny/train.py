"""Train the tiny model from scratch on one CPU core.

    python recipes/tiny/train.py --out runs/tiny

Every batch is drawn anew, so no token file is written. The learning rate warms up, stays constant and decays
linearly over the last part. `lesson.pt` is the state at the start of the current lesson: each lesson draws
from a random stream of its own, so `--resume` ends in the weights of a run that was never stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import dialogues
import torch
import vocabulary
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from coral.tasks import split_chain
from coral.tasks.stories.generator import CONTAINERS, NAMES
from coral.types import Role

PROMPT_WEIGHT = 0.1
DECISIVE_WEIGHT = 4.0
"""Weight of the words that decide: the place a reason names, and the letter."""
LESSONS = (
    (2_200_000, dialogues.COPYING),
    (3_000_000, dialogues.LETTERS),
    (3_500_000, dialogues.LOOKING_UP),
    (3_750_000, dialogues.LATER),
    (4_250_000, dialogues.LOOKING_UP),
    (5_150_000, dialogues.SHORT_STORIES),
)
"""Up to how many tokens which lesson is learned; everything after that."""
BATCH = 16
CHUNK = 48
"""Batches that are drawn together and sorted by length, so that little padding is computed."""
PEAK_LR = 2e-3
DECISIVE = {
    *(f"▁{word}" for word in (*CONTAINERS, *NAMES, *split_chain.KEYS)),
    *(f"▁({letter})" for letter in "ABCDEFGH"),
    *(f"▁{day}" for day in range(1, 31)),
    "▁my",
    "▁you",
}
WARMUP_TOKENS = 300_000
DECAY_SHARE = 0.35
REPORT_TOKENS = 250_000
INIT_STD = 0.06
"""Three times the usual: so small a model starts to copy words from its prompt much earlier."""


@dataclass(frozen=True)
class Row:
    """Token ids of one example, and the weight of each as a prediction target."""

    ids: list[int]
    weights: list[float]


def encode(example: dialogues.Example, tokenizer: Tokenizer) -> Row:
    """The chat template in token ids. Special tokens cut the segments, so each can be encoded alone."""
    special = vocabulary.SPECIAL.index
    ids, weights = [special("<s>")], [0.0]
    for message, learned in zip(example.messages, example.learned, strict=True):
        assistant = message.role is Role.ASSISTANT
        body = tokenizer.encode(message.content)
        ids += [special("<|assistant|>" if assistant else "<|user|>"), *body.ids, special("<|end|>")]
        if assistant:
            weights += [0.0, *(learned * weight_of(token) for token in body.tokens), float(learned)]
        else:
            weights += [0.0, *[PROMPT_WEIGHT] * (len(body.ids) + 1)]
    given = len(tokenizer.encode(example.given).ids)
    said = len(body.ids) + 1
    weights[len(weights) - said : len(weights) - said + given] = [0.0] * given
    return Row(ids, weights)


def weight_of(token: str) -> float:
    """How much a token of a learned turn counts."""
    return DECISIVE_WEIGHT if token in DECISIVE else 1.0


def batches(
    rng: Random, tokenizer: Tokenizer, lesson: dialogues.Lesson
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches of ids and weights."""
    while True:
        rows: list[Row] = []
        while len(rows) < BATCH * CHUNK:
            rows += [encode(e, tokenizer) for e in dialogues.draw_examples(rng, lesson) if any(e.learned)]
        rows = sorted(rows[: BATCH * CHUNK], key=lambda row: len(row.ids))
        starts = list(range(0, len(rows), BATCH))
        rng.shuffle(starts)
        for start in starts:
            yield pad(rows[start : start + BATCH])


def pad(rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(row.ids) for row in rows)
    blank = vocabulary.SPECIAL.index("<pad>")
    ids = torch.tensor([row.ids + [blank] * (width - len(row.ids)) for row in rows])
    weights = torch.tensor([row.weights + [0.0] * (width - len(row.ids)) for row in rows])
    return ids, weights


def new_model(vocab_size: int, width: int, layers: int) -> LlamaForCausalLM:
    special = vocabulary.SPECIAL.index
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=layers,
            num_attention_heads=width // 32,
            num_key_value_heads=width // 64,
            head_dim=32,
            max_position_embeddings=4096,
            rope_theta=10_000.0,
            tie_word_embeddings=True,
            initializer_range=INIT_STD,
            bos_token_id=special("<s>"),
            eos_token_id=special("<|end|>"),
            pad_token_id=special("<pad>"),
        )
    )


def loss_of(model: LlamaForCausalLM, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=ids[:, :-1]).logits
    losses = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    targets = weights[:, 1:].flatten()
    return (losses * targets).sum() / targets.sum()


def learning_rate(tokens: float, total: float) -> float:
    """Warm-up, plateau, linear decay to a fiftieth."""
    decay_from = total * (1 - DECAY_SHARE)
    warm = min(1.0, tokens / WARMUP_TOKENS)
    decay = max(0.02, (total - tokens) / (total - decay_from)) if tokens > decay_from else 1.0
    return PEAK_LR * warm * decay


def save(model: LlamaForCausalLM, path: Path) -> None:
    """Write half precision weights and configs beside the tokenizer."""
    half = LlamaForCausalLM(model.config).to(torch.bfloat16)
    half.load_state_dict(model.state_dict())
    ends = {name: getattr(model.config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    half.generation_config = GenerationConfig(**ends)
    half.save_pretrained(path)
    config = json.loads((path / "config.json").read_text())
    config["rope_theta"] = config["rope_parameters"]["rope_theta"]  # where readers before transformers 5 look
    (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")


class Training:
    """A run in progress: model, optimizer, and how far it has come."""

    def __init__(self, out: Path, vocab_size: int, args: argparse.Namespace) -> None:
        self.out, self.total = out, args.tokens
        self.model = new_model(vocab_size, args.width, args.layers)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), PEAK_LR, betas=(0.9, 0.95), weight_decay=0.05, fused=True
        )
        self.tokens, self.seconds_before = 0, 0.0
        if args.resume:
            self._resume(torch.load(args.resume))
        self.started = time.process_time()

    @property
    def seconds(self) -> float:
        """CPU seconds spent, those of a resumed run included."""
        return self.seconds_before + time.process_time() - self.started

    def step(self, ids: torch.Tensor, weights: torch.Tensor) -> float:
        """Learn from one batch; return its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.tokens, self.total)
        loss = loss_of(self.model, ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.tokens += int((ids != vocabulary.SPECIAL.index("<pad>")).sum())
        return loss.item()

    def keep(self) -> None:
        """Write the state from which `--resume` continues."""
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save({**state, "tokens": self.tokens, "seconds": self.seconds}, self.out / "lesson.pt")

    def _resume(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.tokens, self.seconds_before = state["tokens"], state["seconds"]


def train(args: argparse.Namespace) -> None:
    """Train to the end, with a line of figures and a checkpoint now and then."""
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    if args.resume:
        vocabulary.copy(args.resume.parent, args.out)  # built anew, edited dialogues would give other ids
    else:
        vocabulary.build(args.out)
    tokenizer = Tokenizer.from_file(str(args.out / "tokenizer.json"))
    run = Training(args.out, tokenizer.get_vocab_size(), args)
    for number, (until, lesson) in enumerate((*LESSONS, (args.tokens, dialogues.EVERYTHING))):
        if run.tokens < (end := min(until, args.tokens)):
            run.keep()
            learn(run, batches(Random(f"train:{args.seed}:{number}"), tokenizer, lesson), end)


def learn(run: Training, drawn: Iterator[tuple[torch.Tensor, torch.Tensor]], end: float) -> None:
    """Learn until so many tokens have been seen in all."""
    losses: list[float] = []
    report_at = run.tokens + REPORT_TOKENS
    for ids, weights in drawn:
        losses.append(run.step(ids, weights))
        if run.tokens >= min(report_at, end):
            loss = sum(losses) / len(losses)
            print(f"tokens {run.tokens}  cpu_s {run.seconds:.0f}  loss {loss:.4f}", flush=True)
            save(run.model, run.out)
            losses, report_at = [], report_at + REPORT_TOKENS
        if run.tokens >= end:
            return


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--tokens", type=float, default=13e6, help="training tokens, padding not counted")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=Path, help="a lesson.pt to resume from")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
