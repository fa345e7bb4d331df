"""Which options each step gets: functions of the loop's options, and of what came before."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from coral.conversation.protocols import PAIR, SINGLE
from coral.errors import ConfigError
from coral.evaluation.config import EvalConfig, SampleConfig
from coral.improvement.config import GRPO, ImproveConfig
from coral.improvement.servers import Checkpoint
from coral.options import build_config, merged
from coral.rl.config import IDLE, GrpoConfig
from coral.rows.build import BuildConfig
from coral.training.config import TrainConfig

Sight = Literal["pair", "alone", "second", "final"]
"""How a model is evaluated: with its partner, alone, and with its partner on the second task and on problems
that no gate sees.
"""
SEED_STEP = 1_000_003
"""From one iteration's sampling seed to the next: far enough that repeats of the loop with seeds 0, 1, 2 ...
share none.
"""
RUN_SECTIONS = ("common", "evaluate", "second", "final", "sample", "rehearsal")
"""The sections with options of `coral eval` and `coral sample`."""
Part = Literal["sample", "rehearsal"]
"""What an iteration samples: the target, and what the model should not forget."""
C = TypeVar("C", bound=EvalConfig)


@dataclass(frozen=True)
class EvalSpec(Generic[C]):
    """A run of the loop: its options, and which of its checkpoints take part.

    Attributes:
        config: agent and partner name the checkpoints by their paths.
        partner: None where it is like the agent, or none of the loop's.
    """

    config: C
    agent: Checkpoint
    partner: Checkpoint | None = None

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Those that must be served."""
        return (self.agent,) if self.partner is None else (self.agent, self.partner)

    def at(self, places: Mapping[Checkpoint, Mapping[str, Any]]) -> C:
        """The options with the models where they are served."""
        config = dataclasses.replace(
            self.config, agent=dataclasses.replace(self.config.agent, **places[self.agent])
        )
        if self.partner is None:
            return config
        return dataclasses.replace(config, partner={**config.partner, **places[self.partner]})


_TAKEN = {
    "common": ("output", "dry_run", "partner", "protocol", "serve", "shard", "problems", "samples"),
    "evaluate": ("output", "dry_run", "partner", "protocol", "serve", "shard"),
    "second": ("output", "dry_run", "partner", "protocol", "serve", "shard"),
    "final": ("output", "dry_run", "partner", "protocol", "serve", "shard"),
    "sample": ("output", "dry_run", "partner", "protocol", "serve", "shard"),
    "rehearsal": ("output", "dry_run", "partner", "protocol", "serve", "shard", "candidates"),
    "build": ("runs", "output", "format", "tokenizer"),
    "train": ("model", "rows", "output", "reference", "dry_run", "kind"),
}
"""What the loop decides itself."""


def check_sections(config: ImproveConfig) -> None:
    """Refuse options that the loop decides, a sampling that no pair can come of, and a loop about nothing.

    Raises:
        ConfigError: names the option.
    """
    pairs = [arm for arm in (config.main_arm, *config.controls) if arm.endswith("-dpo")]
    if pairs and config.sample.get("candidates") == 1:
        raise ConfigError(
            f"sample.candidates is 1, and {pairs[0]} learns from pairs of a turn's candidates",
            remedy="give at least 2, such as the 5 that are the default",
        )
    sections = {name: getattr(config, name) for name in _TAKEN}
    for kind in ("dpo", "sft", "kto"):
        sections |= {f"{kind}.{name}": section for name, section in getattr(config, kind).items()}
    for name, section in sections.items():
        for option in _TAKEN.get(name.rpartition(".")[2], ()):
            if option in section:
                raise ConfigError(f"{name}.{option} is decided by the loop", remedy="leave it out")
        if name in RUN_SECTIONS and "model" in section.get("agent", {}):
            raise ConfigError(
                f"{name}.agent.model is decided by the loop",
                remedy="name the model to start from with `model`",
            )
    for option in ("model", "output", "dry_run"):
        if option in config.grpo:
            raise ConfigError(f"grpo.{option} is decided by the loop", remedy="leave it out")
    if "task" not in {**config.common, **config.evaluate}:
        raise ConfigError(
            "no task given",
            remedy="name it in a file under `common: {task: {name: ...}}`, and the file with --config",
        )


def sights(config: ImproveConfig) -> tuple[Sight, ...]:
    """How each model is evaluated, for the gate and the report."""
    return ("pair", "alone", "second") if config.second else ("pair", "alone")


def evaluation(
    config: ImproveConfig, sight: Sight, model: Checkpoint, start: Checkpoint, output: Path
) -> EvalSpec[EvalConfig]:
    """One evaluation of `model`."""
    own = {"second": config.second, "final": config.final}.get(sight, {})
    options = {"seed": config.seed, **merged(config.common, config.evaluate, own)}
    options |= {"output": str(output), "retry_failed": True}
    if sight != "alone":
        options.pop("second_chance", None)  # a pair takes another turn anyway
    return _spec(config, EvalConfig, options, SINGLE if sight == "alone" else PAIR, model, start)


def parts(config: ImproveConfig) -> tuple[Part, ...]:
    """What each iteration samples."""
    return ("sample", "rehearsal") if config.rehearsal else ("sample",)


def sampling(
    config: ImproveConfig,
    part: Part,
    data: str,
    iteration: int,
    model: Checkpoint,
    start: Checkpoint,
    output: Path,
    *,
    problems: Path | None = None,
    samples: int | None = None,
) -> EvalSpec[SampleConfig]:
    """The sampling of an iteration. Each has a seed of its own, and the same problems.

    Args:
        data: pair or alone.
        problems: file of the iteration's problems; None for all.
        samples: trees a problem; None for those of the options.
    """
    own = config.rehearsal if part == "rehearsal" else {}
    options = {"seed": config.seed, **merged(config.common, config.sample, own)}
    options |= {"data_seed": options.get("data_seed", options["seed"]), "output": str(output)}
    options |= {"seed": options["seed"] + SEED_STEP * (iteration - 1), "retry_failed": True}
    if problems is not None:
        options["problems"] = str(problems)
    if samples is not None:
        options["samples"] = samples
    if data == "alone":
        options["rollouts"] = 0
    return _spec(config, SampleConfig, options, SINGLE if data == "alone" else PAIR, model, start)


def _spec(
    config: ImproveConfig,
    kind: type[C],
    options: dict[str, Any],
    protocol: str,
    model: Checkpoint,
    start: Checkpoint,
) -> EvalSpec[C]:
    """Seat the models: the one in question, and with seat one its frozen partner."""
    options = {**merged(options, {"agent": {"model": model.path}}), "protocol": protocol}
    if protocol == SINGLE:
        options.pop("opener", None)  # nobody opens for one who is alone
    partner = None
    if protocol == PAIR and config.seat == "one":
        partner = None if "model" in config.partner else start
        options["partner"] = {**({"model": start.path} if partner else {}), **config.partner}
    where = "sample" if kind is SampleConfig else "evaluate"
    return EvalSpec(build_config(kind, options, where), model, partner)


def building(
    config: ImproveConfig,
    arm: str,
    runs: Sequence[Path],
    output: Path,
    *,
    evaluations: Sequence[Path],
    max_rows: int | None,
) -> BuildConfig:
    """Options of the rows of an iteration.

    Args:
        evaluations: runs whose problems no row may come from, nor from `held_out` of the options.
        max_rows: the budget; None without.
    """
    data, _, kind = arm.partition("-")
    options = {
        "seed": config.seed,
        "data_password": merged(config.common, config.sample).get("data_password"),
        **merged(config.build, getattr(config, kind).get("build", {})),
        "kind": kind,
        "runs": [str(run) for run in runs],
        "output": str(output),
    }
    options["held_out"] = [*options.get("held_out", ()), *map(str, evaluations)]
    if data == "pair" and config.seat == "one":
        options["speaker"] = "agent"
    if max_rows is not None:
        options["max_rows"] = min(max_rows, options.get("max_rows") or max_rows)
    return build_config(BuildConfig, options, "build")


def training(
    config: ImproveConfig,
    arm: str,
    iteration: int,
    *,
    start: Checkpoint,
    current: Checkpoint,
    rows: Path,
    output: Path,
) -> TrainConfig:
    """Options of the training of an iteration.

    Args:
        current: the model that was sampled.
    """
    kind = arm.partition("-")[2]
    options = {"seed": config.seed, **merged(config.train, getattr(config, kind).get("train", {}))}
    if "learning_rate" in options:
        options["learning_rate"] *= config.lr_multiplier ** (iteration - 1)
    if kind != "sft" and config.reference == "fixed" and config.start_from == "last":
        options["reference"] = start.path
    trained = start if config.start_from == "first" else current
    if kind != "sft" and config.reference == "updated" and config.start_from == "first":
        options["reference"] = current.path
    fixed = {"kind": kind, "model": trained.path, "rows": str(rows), "output": str(output)}
    return build_config(TrainConfig, {**options, **fixed}, "train")


_OF_MACHINE = ("device", "threads", "precision", "attention", "gradient_checkpointing", "report_to")
"""Options of `train` that say how this machine trains, so they hold for grpo, too."""


def learning(
    config: ImproveConfig,
    arm: str,
    iteration: int,
    *,
    start: Checkpoint,
    current: Checkpoint,
    problems: Path | None,
    output: Path,
) -> GrpoConfig:
    """Options of an iteration of an arm that holds its conversations while it trains.

    They are about the problems that other arms sample. With seat one the partner is frozen.

    Args:
        current: the best model so far.
        problems: file of the iteration's problems; None for all.

    Raises:
        ConfigError: they do not fit, or the frozen partner would have to be served.
    """
    alone = arm.startswith("alone")
    shared = {
        name: value for name, value in merged(config.common, config.sample).items() if name not in _DRAWING
    }
    rollout = {**merged(shared, config.grpo.get("rollout", {})), "protocol": SINGLE if alone else PAIR}
    if alone:
        rollout.pop("opener", None)
    elif config.seat == "one":
        if "model" not in config.partner and config.serve.kind != "embedded":
            raise ConfigError(
                f"{arm} talks to the start as it was, which nobody serves while it trains",
                remedy="give partner a model with an address, or serve.kind embedded",
            )
        rollout["partner"] = {"model": start.path, **config.partner}
    if problems is not None:
        rollout["problems"] = str(problems)
    if rollout.pop("data_password", None) is not None:
        raise ConfigError(
            f"{arm} trains in a process of its own, and no password is written for it to read",
            remedy="decrypt the data first, and give the file as data",
        )
    machine = {name: config.train[name] for name in _OF_MACHINE if name in config.train}
    options = {"seed": config.seed, **machine, **config.grpo, "rollout": rollout}
    options["seed"] += SEED_STEP * (iteration - 1)
    if "learning_rate" in options:
        options["learning_rate"] *= config.lr_multiplier ** (iteration - 1)
    trained = start if config.start_from == "first" else current
    return build_config(GrpoConfig, {**options, "model": trained.path, "output": str(output)}, GRPO)


_DRAWING = (*IDLE, "candidates", "select", "rollouts", "second_chance")
"""Options of `coral sample` that say nothing about conversations held for training."""
