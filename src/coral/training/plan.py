"""How many steps a training has, and how a step's rows fall on devices."""

from __future__ import annotations

import math
from dataclasses import dataclass

from coral.errors import ConfigError
from coral.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A training in numbers.

    Attributes:
        steps: optimizer steps.
        processes: devices that share a step's rows.
        device_batch_size: rows that a device holds at once.
        accumulation: batches of each device whose gradients make one step.
        learning_rate: the highest one.
    """

    steps: int
    processes: int
    device_batch_size: int
    accumulation: int
    learning_rate: float
    warmup_steps: int
    save_steps: int
    eval_steps: int


def plan_training(config: TrainConfig, rows: int, processes: int) -> Plan:
    """Settle what options leave open, for `rows` rows on `processes` devices.

    Raises:
        ConfigError: the batch does not divide over the devices.
    """
    values = config.published
    device_batch = min(config.device_batch_size, max(config.batch_size // processes, 1))
    if config.kind == "kto" and device_batch < 2:
        raise ConfigError(
            f"kto compares rows within a device's batch, and batch_size {config.batch_size} leaves each of "
            f"{processes} devices one row",
            remedy=f"give a batch_size of at least {2 * processes}",
        )
    at_once = device_batch * processes
    if config.batch_size % at_once:
        raise ConfigError(
            f"batch_size {config.batch_size} does not divide into {device_batch} rows each on {processes} "
            "device(s)",
            remedy=f"give a multiple of {at_once}, or another --device_batch_size",
        )
    steps = (
        config.max_steps or values.max_steps or max(1, math.ceil(rows * config.epochs / config.batch_size))
    )
    save_steps = config.save_steps or values.save_steps
    return Plan(
        steps=steps,
        processes=processes,
        device_batch_size=device_batch,
        accumulation=config.batch_size // at_once,
        learning_rate=values.learning_rate if config.learning_rate is None else config.learning_rate,
        warmup_steps=_warmup_steps(config, steps),
        save_steps=save_steps,
        eval_steps=config.eval_steps or save_steps,
    )


def _warmup_steps(config: TrainConfig, steps: int) -> int:
    """As stated; else as published, but no larger a share of a shorter training: without a preset a tenth."""
    if config.warmup_steps is not None:
        return config.warmup_steps
    values = config.published
    if config.preset and values.max_steps:
        return min(values.warmup_steps, values.warmup_steps * steps // values.max_steps)
    return min(values.warmup_steps, steps // 10)
