"""TRL's trainers, built from a `TrainConfig` and a `Plan`, and run to the end or to a stop."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coral.errors import UserError
from coral.training.check import Check
from coral.training.checkpoints import last_checkpoint
from coral.training.config import TrainConfig, TrainerConfig
from coral.training.encode import Encoder
from coral.training.plan import Plan
from coral.training.rows import REPLIES, RowSet

Log = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Who follows a training.

    Attributes:
        on_log: called with the step, all steps and the values of a log line.
        stopping: asked after each step; true saves a checkpoint and stops. One process only.
    """

    on_log: Callable[[int, int, Log], None] = lambda _step, _steps, _values: None
    stopping: Callable[[], bool] = lambda: False


@dataclass(frozen=True, kw_only=True)
class Session:
    """A trainer that has run.

    Attributes:
        trainer: TRL's, with the trained model.
        finished: whether all steps were taken.
        resumed_from: the step of the checkpoint it resumed from; 0 for a fresh start.
        history: all log lines, those of earlier sessions included.
    """

    trainer: Any
    finished: bool
    resumed_from: int
    history: tuple[Log, ...]


@dataclass(frozen=True, kw_only=True)
class Data:
    """Rows to train on and rows to evaluate on, checked."""

    rows: RowSet
    train: Check
    held_out: Check | None


def run_training(
    config: TrainConfig, plan: Plan, data: Data, encoder: Encoder, *, folder: Path, watch: Watch
) -> Session:
    """Train until all steps are taken or `watch.stopping`, from the last whole checkpoint in `folder` on.

    Raises:
        UserError: the loss is no number any more.
    """
    if config.threads is not None:
        import torch

        torch.set_num_threads(config.threads)
    trainer = _build(config, plan, data, encoder, folder)
    _agree_on_tokens(trainer, config, data, encoder)
    trainer.add_callback(follower(watch, plan))
    return take_steps(trainer, plan, folder)


def take_steps(trainer: Any, plan: Plan, folder: Path) -> Session:
    """Train from the last whole checkpoint in `folder` on, until all steps are taken or somebody stops it."""
    checkpoint = last_checkpoint(folder)
    with suppress(_AllStepsTaken):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return Session(
        trainer=trainer,
        finished=trainer.state.global_step >= plan.steps,
        resumed_from=int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0,
        history=tuple(map(_known, trainer.state.log_history)),
    )


def _known(line: Mapping[str, Any]) -> Log:
    """A log line without what is not known: the deviation of a single reward, for one."""
    return {name: value for name, value in line.items() if value is not None}


class _AllStepsTaken(Exception):
    """The checkpoint resumed from is the last one. Left to itself the library would take one step more."""


def _build(config: TrainConfig, plan: Plan, data: Data, encoder: Encoder, folder: Path) -> Any:
    """The trainer of `config.kind`."""
    import trl
    from datasets import Dataset
    from transformers import PrinterCallback

    arguments, kind = {
        "sft": (trl.SFTConfig, trl.SFTTrainer),
        "dpo": (trl.DPOConfig, trl.DPOTrainer),
        "kto": (trl.KTOConfig, trl.KTOTrainer),
    }[config.kind]
    held_out = data.held_out
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder.parent / "logs")
    shared = trainer_arguments(config, plan, folder, evaluate=held_out is not None)
    args = arguments(**shared, **_losses(config), max_length=None)  # nothing is ever cut
    trainer = kind(
        model=config.model,
        args=args,
        train_dataset=Dataset.from_dict(data.rows.columns(data.train.kept)),
        eval_dataset=Dataset.from_dict(data.rows.columns(held_out.kept)) if held_out else None,
        processing_class=encoder.tokenizer,
        peft_config=adapter(config),
        **({"ref_model": _reference(config.reference)} if config.reference else {}),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def trainer_arguments(config: TrainerConfig, plan: Plan, folder: Path, *, evaluate: bool) -> dict[str, Any]:
    """What all trainers are told."""
    import torch

    on_gpu = config.device == "auto" and torch.accelerator.is_available()
    checkpointing = config.gradient_checkpointing
    return {
        "output_dir": str(folder),
        "max_steps": plan.steps,
        "per_device_train_batch_size": plan.device_batch_size,
        "per_device_eval_batch_size": plan.device_batch_size,
        "gradient_accumulation_steps": plan.accumulation,
        "learning_rate": plan.learning_rate,
        "warmup_steps": plan.warmup_steps,
        **_schedule(config),
        **{name: getattr(config, name) for name in _PASSED_ON},
        "data_seed": config.seed,
        "bf16": _bf16(config),
        "use_cpu": config.device == "cpu",
        "gradient_checkpointing": on_gpu if checkpointing is None else checkpointing,
        "save_strategy": "steps",
        "save_steps": plan.save_steps,
        "save_total_limit": max(1, config.keep_checkpoints),
        "eval_strategy": "steps" if evaluate else "no",
        "eval_steps": plan.eval_steps if evaluate else None,
        "eval_on_start": evaluate,
        "logging_nan_inf_filter": False,
        "report_to": list(config.reporters) or "none",
        "run_name": config.run_name or Path(config.output).resolve().name,
        "project": "coral",
        "disable_tqdm": True,
        "ddp_find_unused_parameters": False,
        "dataloader_pin_memory": on_gpu,
        "model_init_kwargs": {"attn_implementation": config.attention} if config.attention else None,
    }


_PASSED_ON = (
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
    "seed",
    "logging_steps",
)


def _schedule(config: TrainerConfig) -> dict[str, Any]:
    match config.schedule:
        case "cosine":
            return {
                "lr_scheduler_type": "cosine_with_min_lr",
                "lr_scheduler_kwargs": {"min_lr_rate": config.final_lr_ratio},
            }
        case "linear":
            return {"lr_scheduler_type": "linear"}
        case "constant":
            return {"lr_scheduler_type": "constant_with_warmup"}


def _losses(config: TrainConfig) -> dict[str, Any]:
    match config.kind:
        case "sft":
            return {"completion_only_loss": True}
        case "dpo":
            extra = {"loss_weights": [1.0, config.sft_weight]} if config.sft_weight else {}
            names = [config.loss or "sigmoid", *(["sft"] if config.sft_weight else [])]
            return {"beta": config.beta, "loss_type": names, **extra}
        case "kto":
            weights = {name: getattr(config, name) for name in ("desirable_weight", "undesirable_weight")}
            return {"beta": config.beta, **weights, **({"loss_type": config.loss} if config.loss else {})}


def _bf16(config: TrainerConfig) -> bool:
    from transformers.utils import is_torch_bf16_gpu_available

    if config.precision == "auto":
        return config.device == "auto" and is_torch_bf16_gpu_available()
    return config.precision == "bf16"


def adapter(config: TrainerConfig) -> Any:
    """The low-rank adapter to be trained; None where all weights are."""
    if not config.lora:
        return None
    from peft import LoraConfig

    targets = config.lora_targets
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=targets if targets == "all-linear" else [name.strip() for name in targets.split(",")],
        task_type="CAUSAL_LM",
    )


def _reference(path: str) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(path, dtype="float32")


def _agree_on_tokens(trainer: Any, config: TrainConfig, data: Data, encoder: Encoder) -> None:
    """The rows shown and measured are those that are trained, or this library encodes them in a new way."""
    row = data.train.kept[0]
    first = trainer.train_dataset[0]
    for encoded in encoder.encode(row, REPLIES[config.kind]):
        if config.kind == "sft":
            context = sum(label == -100 for label in first["labels"])
            prompt, reply = first["input_ids"][:context], first["input_ids"][context:]
        else:
            prompt, reply = first["prompt_ids"], first[f"{encoded.name}_ids"]
        assert (tuple(prompt), tuple(reply)) == (encoded.prompt, encoded.reply), "TRL trains other tokens"


def follower(watch: Watch, plan: Plan) -> Any:
    """The callback that tells `watch` of a training, and stops it."""
    from transformers import TrainerCallback

    class Follow(TrainerCallback):  # type: ignore[misc]  # the library has no types
        """Passes log lines on, ends a training that has diverged, and stops on request."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
            values = {name: float(value) for name, value in _known(logs or {}).items()}
            _refuse_divergence(values, state.global_step)
            if state.is_world_process_zero:
                watch.on_log(state.global_step, plan.steps, values)

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            if state.global_step >= plan.steps:
                raise _AllStepsTaken

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            if plan.processes == 1 and watch.stopping():
                control.should_save = True
                control.should_training_stop = True

    return Follow()


def _refuse_divergence(values: Log, step: int) -> None:
    if not math.isfinite(values.get("loss", 0.0)):
        raise UserError(
            f"the training diverged: the loss is {values['loss']} at step {step}",
            remedy="train with a lower --learning_rate, into another --output",
        )


def resolved(config: TrainConfig, plan: Plan) -> TrainConfig:
    """`config` with what the plan settled, to be kept beside the checkpoint."""
    return dataclasses.replace(
        config,
        max_steps=plan.steps,
        learning_rate=plan.learning_rate,
        warmup_steps=plan.warmup_steps,
        save_steps=plan.save_steps,
        eval_steps=plan.eval_steps,
        device_batch_size=plan.device_batch_size,
    )
