"""TRL's GRPOTrainer over conversations.

Of TRL 1.16: prompts come repeated `num_generations` times, and as many sequences are expected back; extra
lists that are shorter are skipped in silence; an empty completion raises; reward functions see what others
said inside `completions`. So a prompt is no more than the number of a group here, conversations are held by
group, every row has all fields and a token at least, and rewards are found before, from the conversations.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coral.errors import UserError
from coral.rl.config import LEARNING_RATE, GrpoConfig
from coral.rl.policy import check_padding
from coral.rl.rollout import Group, Rollouts
from coral.rl.trajectory import Trajectory, trajectories
from coral.training.encode import Encoder
from coral.training.plan import Plan
from coral.training.trainer import Session, Watch, adapter, follower, take_steps, trainer_arguments
from coral.types import Conversation, StopReason

SAVE_STEPS = 20


def plan_steps(config: GrpoConfig) -> Plan:
    """How a step's trajectories fall on the device."""
    device_batch = min(config.device_batch_size, config.batch_size)
    while config.batch_size % device_batch:
        device_batch -= 1
    steps = config.max_steps or 0
    save_steps = config.save_steps or SAVE_STEPS
    return Plan(
        steps=steps,
        processes=1,
        device_batch_size=device_batch,
        accumulation=config.batch_size // device_batch,
        learning_rate=LEARNING_RATE if config.learning_rate is None else config.learning_rate,
        warmup_steps=steps // 10 if config.warmup_steps is None else config.warmup_steps,
        save_steps=save_steps,
        eval_steps=save_steps,
    )


@dataclass
class Roller:
    """TRL's `rollout_func`: the number of each group in, its trajectories out."""

    config: GrpoConfig
    groups: Sequence[Group]
    encoder: Encoder
    rollouts: Rollouts
    accumulation: int

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, list[Any]]:
        """The rows of a generation batch, one for each prompt, in their order."""
        size = self.config.group_size
        rows = [_row_of(prompt) for prompt in prompts[::size]]
        assert list(prompts) == [prompt for prompt in prompts[::size] for _ in range(size)], (
            "TRL repeats prompts"
        )
        numbers = list(dict.fromkeys(number for number, _ in rows))
        held = self.rollouts.hold(
            trainer.state.global_step,
            [self.groups[number] for number in numbers],
            trainer.accelerator.unwrap_model(trainer.model),
        )
        of_group = dict(zip(numbers, held, strict=True))
        found: list[Trajectory | None] = []
        for number, seat in rows:
            conversations, values = of_group[number]
            found += [
                self._trajectory(one, seat, rewards)
                for one, rewards in zip(conversations, values, strict=True)
            ]
        self.rollouts.forget_before(trainer.state.global_step - (self.config.save_steps or SAVE_STEPS))
        if all(one is None or one.reward is None for one in found):
            raise UserError(
                f"in step {trainer.state.global_step} none of {len(found)} rewards '{self.config.reward}' is "
                "known",
                remedy="look at the conversations in the folder rollouts, or give another --reward",
            )
        conversations = [one for part, _ in held for one in part]
        return {**_columns(found, self.encoder), "told": [_told(conversations, found)] * len(prompts)}

    def _trajectory(
        self, conversation: Conversation, seat: str, rewards: Mapping[str, float | None]
    ) -> Trajectory | None:
        made = trajectories(conversation, self.encoder.tokenizer, seats=(seat,), rewards=rewards)
        return made[0] if made else None


def _columns(found: Sequence[Trajectory | None], encoder: Encoder) -> dict[str, list[Any]]:
    """One row for each trajectory; of a seat that never spoke, one token that nobody learns from."""
    end = encoder.tokenizer.eos_token_id
    return {
        "prompt_ids": [[end] if one is None else list(one.prompt_ids) for one in found],
        "completion_ids": [[end] if one is None else list(one.completion_ids) for one in found],
        "env_mask": [[0] if one is None else list(one.mask) for one in found],
        "logprobs": [[0.0] if one is None else list(one.logprobs) for one in found],
        "reward": [None if one is None else one.reward for one in found],
    }


def _told(conversations: Sequence[Conversation], found: Sequence[Trajectory | None]) -> dict[str, float]:
    """What a log line says of a step's conversations."""
    number = len(conversations)
    ended = [one.stop for one in conversations]
    spoken = [one for one in found if one is not None]
    by_id = {one.id: one for one in conversations}
    sampled = sum(
        len(turn.reply.token_ids or ())
        for one in spoken
        for turn in by_id[one.conversation_id].turns
        if turn.seat == one.seat
    )
    return {
        "agreement": ended.count(StopReason.AGREED) / number,
        "failed": ended.count(StopReason.FAILED) / number,
        "turns": sum(len(one.turns) for one in conversations) / number,
        "trained_share": sum(one.trained_tokens for one in spoken) / max(sampled, 1),
    }


def _reward(name: str) -> Any:
    """What TRL calls a reward function: it hands on what was found."""

    def given(*, reward: list[float | None], told: list[dict[str, float]], log_metric: Any, **_: Any) -> Any:
        for metric, value in told[0].items():
            log_metric(metric, value)
        return reward

    given.__name__ = name.rpartition(":")[2]
    return given


def prompt_of(number: int, seat: str) -> str:
    """What stands in the table of prompts for a group and a seat."""
    return f"{number} {seat}"


def _row_of(prompt: str) -> tuple[int, str]:
    number, _, seat = prompt.partition(" ")
    return int(number), seat


def run_grpo(
    config: GrpoConfig,
    plan: Plan,
    groups: Sequence[Group],
    encoder: Encoder,
    rollouts: Rollouts,
    *,
    folder: Path,
    watch: Watch,
) -> Session:
    """Train until all steps are taken or `watch.stopping`, from the last whole checkpoint in `folder` on.

    Raises:
        UserError: conversations, rewards or the loss have come to nothing.
    """
    if config.threads is not None:
        import torch

        torch.set_num_threads(config.threads)
    trainer = build_trainer(config, plan, groups, encoder, rollouts, folder=folder)
    trainer.add_callback(follower(watch, plan))
    rollouts.open(trainer.accelerator.unwrap_model(trainer.model))
    try:
        return take_steps(trainer, plan, folder)
    finally:
        rollouts.close()


def build_trainer(
    config: GrpoConfig,
    plan: Plan,
    groups: Sequence[Group],
    encoder: Encoder,
    rollouts: Rollouts,
    *,
    folder: Path,
) -> Any:
    """TRL's trainer, ready for its first step."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"  # `rollout_func` may change: the version is bounded
    logging.getLogger("trl.trainer.grpo_trainer").setLevel(logging.ERROR)  # a reward may be unknown
    import trl
    from datasets import Dataset
    from transformers import PrinterCallback

    check_padding(encoder)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder.parent / "logs")
    args = trl.GRPOConfig(
        **trainer_arguments(config, plan, folder, evaluate=False),
        num_generations=config.group_size,
        generation_batch_size=config.batch_size,
        shuffle_dataset=False,
        temperature=config.eval_config().agent.temperature,
        beta=config.beta,
        loss_type=config.loss,
        scale_rewards=config.scale_rewards,
    )
    prompts = [prompt_of(number, seat) for number, group in enumerate(groups) for seat in group.seats]
    trainer = trl.GRPOTrainer(
        model=config.model,
        args=args,
        reward_funcs=_reward(config.reward),
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=encoder.tokenizer,
        rollout_func=Roller(config, groups, encoder, rollouts, plan.accumulation),
        peft_config=adapter(config),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
