"""What `coral train grpo` does: check, hold conversations and train on them, and leave a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from coral.errors import ConfigError
from coral.evaluation.identity import identity
from coral.evaluation.plan import Plan as Conversations
from coral.evaluation.plan import open_plan
from coral.rl.config import GrpoConfig, decisive, stored
from coral.rl.policy import can_embed
from coral.rl.rehearsal import rehearse
from coral.rl.rollout import Group, Rollouts, plan_groups, policy_seats
from coral.rl.trainer import plan_steps, run_grpo
from coral.rl.trajectory import Trajectory
from coral.store.checkpoints import model_fingerprint
from coral.store.folder import RunFolder
from coral.store.whole import write_whole
from coral.training.encode import Encoder, load_encoder
from coral.training.export import export_model
from coral.training.libraries import library_versions, process_rank, quiet_libraries, require_libraries
from coral.training.plan import Plan
from coral.training.record import FILE, RowCounts, Training, load_training, split_history
from coral.training.train import (
    clean,
    context_of,
    device_of,
    digest_of,
    refuse_foreign_model,
    telling_of_space,
)
from coral.training.trainer import Session, Watch


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A training before its first step.

    Attributes:
        shown: what would be trained of a made-up conversation, seat by seat.
        engine: the embedded engine samples the policy; else transformers does.
    """

    plan: Plan
    groups: Sequence[Group]
    encoder: Encoder
    shown: tuple[Trajectory, ...]
    engine: bool
    context: int


@dataclass(frozen=True, kw_only=True)
class GrpoResult:
    """What a session left behind.

    Attributes:
        path: the output folder; a checkpoint folder once `training` is there.
        training: the finished training; None where it was interrupted or only checked.
        prepared: what the check found; None where the training was finished before.
    """

    path: Path
    training: Training | None
    prepared: Prepared | None


def train_grpo(
    config: GrpoConfig,
    *,
    watch: Watch | None = None,
    on_check: Callable[[Prepared], None] = lambda _prepared: None,
) -> GrpoResult:
    """Train, resume a training that was stopped, or return one that is finished.

    Args:
        watch: who follows the steps.
        on_check: called before the first step with what the check found.

    Raises:
        UserError: an option, the model or the data cannot be used, or conversations or loss come to nothing.
    """
    require_libraries(config.reporters)
    if process_rank()[1] > 1:
        raise ConfigError(
            "grpo trains on one device",
            remedy="start it without accelerate or torchrun; a partner may be served",
        )
    output = Path(config.output).expanduser()
    refuse_foreign_model(output)
    with quiet_libraries(), open_plan(config.eval_config()) as conversations:
        decided = identify(config, conversations)
        prepared = None
        if config.dry_run or load_training(output) is None:
            prepared = prepare(config, conversations)
            on_check(prepared)
        if config.dry_run:
            return GrpoResult(path=output, training=None, prepared=prepared)
        with RunFolder(output).claim(decided, stored(config), free_while_empty=False):
            training = load_training(output)
            if training is None and prepared is not None:
                with telling_of_space(output):
                    training = _train(config, conversations, prepared, output, decided, watch or Watch())
            if training is not None:
                clean(config, output, rank=0)
            return GrpoResult(path=output, training=training, prepared=prepared)


def identify(config: GrpoConfig, conversations: Conversations) -> dict[str, Any]:
    """What decides the trained weights: must be the same in each session."""
    template = {"chat_template": digest_of(config.chat_template)} if config.chat_template else {}
    held = identity(
        config.eval_config(),
        task=conversations.task_settings,
        split=conversations.source.split,
        data_fingerprint=conversations.fingerprint,
        prompts=conversations.prompts_fingerprint,
    )
    del held["version"]
    return {
        "training": {**decisive(config), **template},
        "rollout": {**held, "limit": config.eval_config().limit},
        "model": model_fingerprint(config.model),
    }


def prepare(config: GrpoConfig, conversations: Conversations) -> Prepared:
    """Deal the problems to steps, and check what would be trained of a conversation.

    Raises:
        ConfigError: there are no problems, or the chat template rewrites what a seat has read.
    """
    encoder = load_encoder(config.model, config.chat_template)
    context = context_of(config.model)
    if context is None:
        raise ConfigError(
            f"'{config.model}' does not say how long its context is", remedy="fix its config.json"
        )
    if not len(conversations.problems):
        raise ConfigError("there are no problems to talk about", remedy="give a larger rollout.limit or data")
    return Prepared(
        plan=plan_steps(config),
        groups=plan_groups(config, conversations),
        encoder=encoder,
        shown=rehearse(conversations, encoder, policy_seats(config, conversations)),
        engine=_use_engine(config),
        context=context,
    )


def _use_engine(config: GrpoConfig) -> bool:
    import torch

    if config.generate == "transformers":
        return False
    able = not config.lora and can_embed(Path(config.model).expanduser())
    if config.generate == "engine" and not able:
        raise ConfigError(
            f"the embedded engine cannot sample {config.model}",
            remedy="--generate transformers; the engine runs Llama checkpoints, without an adapter",
        )
    on_gpu = config.device == "auto" and torch.accelerator.is_available()
    return able and (config.generate == "engine" or not on_gpu)


def _train(
    config: GrpoConfig,
    conversations: Conversations,
    prepared: Prepared,
    output: Path,
    decided: dict[str, Any],
    watch: Watch,
) -> Training | None:
    started = time.monotonic()
    rollouts = Rollouts(
        config,
        conversations,
        prepared.encoder,
        output=output,
        context=prepared.context,
        use_engine=prepared.engine,
    )
    session = run_grpo(
        config,
        prepared.plan,
        prepared.groups,
        prepared.encoder,
        rollouts,
        folder=output / "checkpoints",
        watch=watch,
    )
    if not session.finished:
        return None
    export_model(session.trainer, config, prepared.encoder, output)
    training = _record(config, prepared.plan, session, decided, time.monotonic() - started)
    write_whole(
        output / "history.jsonl", b"".join(msgspec.json.encode(one) + b"\n" for one in session.history)
    )
    RunFolder(output).write(FILE, training)
    rollouts.forget_before(prepared.plan.steps)
    return training


def _record(
    config: GrpoConfig, plan: Plan, session: Session, decided: dict[str, Any], seconds: float
) -> Training:
    """The record of a finished training. Its rows are trajectories, each trained once."""
    number = plan.steps * config.batch_size
    last, before, after = split_history(session.history)
    lines = [line for line in session.history if "completions/mean_length" in line]
    longest = max((line["completions/max_length"] for line in lines), default=0)
    mean = sum(line["completions/mean_length"] for line in lines) / max(len(lines), 1)
    return Training(
        kind="grpo",
        identity=decided,
        config={**stored(config), "learning_rate": plan.learning_rate},
        rows=RowCounts(
            read=number,
            trained=number,
            held_out=0,
            too_long=0,
            held_out_too_long=0,
            longest_tokens=int(longest),
            trained_tokens=round(mean * number),
        ),
        steps=plan.steps,
        processes=plan.processes,
        accumulation=plan.accumulation,
        last=last,
        eval_before=before,
        eval_after=after,
        seconds=round(seconds, 2),
        resumed_from=session.resumed_from,
        device=device_of(session.trainer),
        versions=library_versions(),
    )
