"""Conversations held by the model that is trained, step by step, with their rewards."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from coral import workers
from coral.agents.open import Objects
from coral.conversation.converse import ConversationConfig, converse
from coral.engine.model import EmbeddedModel
from coral.errors import STOPS_THE_RUN, UserError
from coral.evaluation.given import Given
from coral.evaluation.plan import Plan
from coral.evaluation.setup import Participants, open_participants
from coral.models.together import all_of
from coral.rl.config import GrpoConfig
from coral.rl.policy import TransformersModel, embed
from coral.rl.rewards import Values, reward_group
from coral.store.whole import write_whole
from coral.training.encode import Encoder
from coral.training.export import write_tokenizer
from coral.types import Conversation, Problem, Seat, StopReason

T = TypeVar("T")
_LINES = msgspec.json.Decoder(Conversation)


@dataclass(frozen=True)
class Group:
    """Conversations about one problem that are compared, and the seats that they train."""

    problem: Problem
    seats: tuple[Seat, ...]


class Rollouts:
    """Holds conversations between two steps of a trainer. Its event loop lives as long as the training.

    Attributes:
        engine: samples the policy; None where transformers does.
    """

    def __init__(
        self,
        config: GrpoConfig,
        plan: Plan,
        encoder: Encoder,
        *,
        output: Path,
        context: int,
        use_engine: bool,
    ) -> None:
        self._config, self._plan, self._encoder = config, plan, encoder
        self._folder = output / "rollouts"
        self._policy_folder = output / "policy"
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._transformers = TransformersModel(encoder, name="policy", context=context)
        self._use_engine = use_engine
        self.engine: EmbeddedModel | None = None
        self._participants: Participants | None = None

    def open(self, trainer_model: Any) -> None:
        """Open the policy, the partner and the extractor.

        Raises:
            UserError: one of them cannot be opened.
        """
        self._run(self._open(trainer_model))

    async def _open(self, trainer_model: Any) -> None:
        await self._stack.enter_async_context(workers.in_use())
        objects = Objects()
        if self._use_engine:
            self._policy_folder.mkdir(parents=True, exist_ok=True)
            write_tokenizer(self._policy_folder, self._config, self._encoder)
            await embed(trainer_model, self._policy_folder, None)
            name = str(self._policy_folder)
        else:
            name = objects.add(self._transformers)
        config = self._config.eval_config(name)
        self._participants = await open_participants(config, self._plan, self._stack, Given(models=objects))
        if self._use_engine:
            model = next(one.model for one in self._participants.agents.values() if one.name in _POLICY_NAMES)
            assert isinstance(model, EmbeddedModel)
            self.engine = model

    def close(self) -> None:
        """Close all of them."""
        self._run(self._stack.aclose())
        self._loop.close()
        shutil.rmtree(self._policy_folder, ignore_errors=True)

    def hold(
        self, step: int, groups: Sequence[Group], trainer_model: Any
    ) -> list[tuple[list[Conversation], Values]]:
        """The conversations of a step, group by group, with their rewards.

        What an earlier session held for this step is taken as it is: it was paid for.

        Raises:
            UserError: a server refuses every request, all conversations failed, or no reward is known.
        """
        return self._run(self._hold(step, groups, trainer_model))

    async def _hold(
        self, step: int, groups: Sequence[Group], trainer_model: Any
    ) -> list[tuple[list[Conversation], Values]]:
        path = self._folder / f"step-{step:06}.jsonl"
        size = self._config.group_size
        if path.is_file():
            held = [_LINES.decode(line) for line in path.read_bytes().splitlines()]
        else:
            held = await self._converse(step, groups, trainer_model)
            _refuse_failed(held)  # before they are kept: the next session holds them anew
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, b"".join(msgspec.json.encode(one) + b"\n" for one in held))
        parts = [held[i : i + size] for i in range(0, len(held), size)]
        protocol, task = self._plan.protocol, self._plan.task
        values = await all_of(
            reward_group(self._config.reward, part, group.seats, protocol, task)
            for part, group in zip(parts, groups, strict=True)
        )
        return list(zip(parts, values, strict=True))

    async def _converse(self, step: int, groups: Sequence[Group], trainer_model: Any) -> list[Conversation]:
        assert self._participants is not None
        if self._use_engine:
            await embed(trainer_model, self._policy_folder, self.engine)
        self._transformers.model = trainer_model
        config = ConversationConfig(
            task=self._plan.task,
            protocol=self._plan.protocol,
            extractor=self._participants.extractor,
            judge=self._participants.judge,
            opening=self._plan.opening,
            seed=self._config.seed,
            salt=f"{self._config.rollout.get('salt', '')}/step{step}",
        )
        was_training = trainer_model.training
        trainer_model.eval()
        try:
            return await all_of(
                converse(group.problem, sample=sample, agents=self._participants.agents, config=config)
                for group, samples in zip(
                    groups, sample_numbers(groups, self._config.group_size), strict=True
                )
                for sample in samples
            )
        except STOPS_THE_RUN as error:
            raise UserError(
                str(error), remedy=error.remedy or "run the same command again when the server answers"
            ) from error
        finally:
            trainer_model.train(was_training)

    def forget_before(self, step: int) -> None:
        """Delete the conversations of steps that no session will take again."""
        if not self._config.keep_rollouts:
            for path in self._folder.glob("step-*.jsonl"):
                if int(path.stem.rpartition("-")[2]) < step:
                    path.unlink()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)


_POLICY_NAMES = ("agent", "agent_1")


def policy_seats(config: GrpoConfig, plan: Plan) -> tuple[Seat, ...]:
    """The seats that the policy holds, in the order in which they first speak."""
    speakers = plan.protocol.speakers
    if config.partner_is_policy:
        return tuple(speakers)
    return tuple(seat for seat, name in speakers.items() if name in _POLICY_NAMES)


def plan_groups(config: GrpoConfig, plan: Plan) -> list[Group]:
    """The groups of all steps, in order: every problem comes up once before any comes up again.

    The order is the seed's. With one seat per conversation the policy's seats take turns.
    """
    seats = policy_seats(config, plan)
    per_step = config.batch_size // (config.group_size * config.seats_per_group)
    rng = random.Random(f"groups:{config.seed}")  # noqa: S311 - repeatable
    count = per_step * (config.max_steps or 0)
    groups: list[Group] = []
    while len(groups) < count:
        order = list(range(len(plan.problems)))
        rng.shuffle(order)
        for index in order[: count - len(groups)]:
            own = seats if config.seats_per_group > 1 else (seats[len(groups) % len(seats)],)
            groups.append(Group(plan.problems[index], own))
    return groups


def sample_numbers(groups: Sequence[Group], size: int) -> list[range]:
    """The numbers of each group's conversations: where a problem comes up again in a step, they go on, since
    the same number would be the same conversation.
    """
    seen: Counter[str] = Counter()
    numbers = []
    for group in groups:
        begin = seen[group.problem.id]
        numbers.append(range(begin, begin + size))
        seen[group.problem.id] += size
    return numbers


def _refuse_failed(held: Sequence[Conversation]) -> None:
    failed = [one for one in held if one.stop is StopReason.FAILED]
    if len(failed) == len(held) and failed[0].failure is not None:
        raise UserError(
            f"all {len(held)} conversations of a step failed, such as {failed[0].id}: "
            f"{failed[0].failure.message}",
            remedy="fix the cause, and run the same command again: it resumes from the last whole checkpoint",
        )
