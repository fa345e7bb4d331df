"""The keyword options of the Python API, spelled out for editors and type checkers.

A test compares them with the options of the commands, names and types.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from coral.conversation.selection import Selection
from coral.rows.assemble import OnShared
from coral.rows.formats import Format
from coral.rows.options import Ended, Score
from coral.rows.options import Kind as RowKind
from coral.rows.write import FileType
from coral.training.config import Backend

Path = str | os.PathLike[str]


Command = str | Mapping[str, Any]
"""A command line, or the options of `--serve.*`."""

Templates = Mapping[str, str | None]
"""The options of `--templates.*`."""


class EvaluateOptions(TypedDict, total=False):
    """Options of `coral.evaluate`; `coral eval --help` explains each."""

    data: Path | None
    split: str | None
    data_password: str | None
    allow_unsafe_code: bool
    limit: int | None
    problems: Path | None
    samples: int
    protocol: str | dict[str, Any]
    max_turns: int
    majority: bool
    second_chance: bool
    opener: Literal["agent", "partner"]
    serve: Command
    max_connections: int
    seed: int
    data_seed: int | None
    split_seed: int
    salt: str
    templates: Templates
    prompt_library: Path | None
    prices: Path | None
    cache: Path | None
    batch: bool
    report_to: str
    output: Path | None
    human_input: Literal["terminal", "stdin"]
    lock: Literal["file", "none"]
    shard: str | None
    processes: int
    retry_failed: bool
    max_failed_rate: float
    max_tokens_total: int | None
    max_cost: float | None
    max_hours: float | None
    probe: bool


class SampleOptions(EvaluateOptions, total=False):
    """Options of `coral.sample`; `coral sample --help` explains each."""

    candidates: int
    select: Selection
    rollouts: int


class BuildOptions(TypedDict, total=False):
    """Options of `coral.build`; `coral build --help` explains each."""

    kind: RowKind
    score: Score
    conversations: Ended | None
    turns: Literal["all", "right"]
    siblings: bool
    first_turns: int | None
    seat: str
    speaker: str
    min_solve_rate: float
    max_solve_rate: float
    max_prompt_chars: int | None
    max_completion_chars: int | None
    max_per_turn: int | None
    max_per_problem: int | None
    max_rows: int | None
    min_margin: float
    agreeing_penalty: float
    length_penalty: float
    persuasion_bonus: float
    majority_share: float
    duplicates: Literal["drop", "keep"]
    seed: int
    format: Format
    file: FileType
    tokenizer: str | None
    data_password: str | None
    shared: OnShared
    unfinished: bool
    push_to_hub: str | None
    public: bool


class TrainerOptions(TypedDict, total=False):
    """What all trainings of `coral.train` have in common."""

    max_steps: int | None
    batch_size: int
    device_batch_size: int
    learning_rate: float | None
    schedule: Literal["cosine", "linear", "constant"]
    final_lr_ratio: float
    warmup_steps: int | None
    weight_decay: float
    adam_beta1: float
    adam_beta2: float
    adam_epsilon: float
    max_grad_norm: float
    lora: bool
    lora_rank: int
    lora_alpha: int
    lora_dropout: float
    lora_targets: str
    chat_template: str | None
    show_rows: int
    precision: Literal["auto", "bf16", "fp32"]
    gradient_checkpointing: bool | None
    attention: str | None
    device: Literal["auto", "cpu"]
    threads: int | None
    seed: int
    save_steps: int | None
    keep_checkpoints: int
    logging_steps: int
    report_to: str
    run_name: str | None
    dry_run: bool


class TrainOptions(TrainerOptions, total=False):
    """Options of `coral.train` on rows; `coral train --help` explains each."""

    backend: Backend
    preset: Literal["8b", "70b"] | None
    eval_rows: str | None
    eval_fraction: float
    eval_steps: int | None
    epochs: float
    beta: float
    loss: str | None
    sft_weight: float
    desirable_weight: float
    undesirable_weight: float
    reference: str | None
    max_row_tokens: int | None
    drop_long: bool


class GrpoOptions(TrainerOptions, total=False):
    """Options of `coral.train("grpo")`; `coral train grpo --help` explains each."""

    reward: str
    seats: Literal["one", "both"]
    group_size: int
    beta: float
    loss: Literal["grpo", "dapo", "dr_grpo", "bnpo"]
    scale_rewards: Literal["group", "batch", "none"]
    generate: Literal["auto", "engine", "transformers"]
    keep_rollouts: bool
