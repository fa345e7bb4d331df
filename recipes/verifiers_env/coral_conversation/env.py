"""One problem, talked about: Coral's loop between the agents of verifiers, and what each seat earns."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack

import msgspec
import verifiers.v1 as vf

from coral import workers
from coral.conversation.agent import Agent
from coral.conversation.converse import ConversationConfig, converse
from coral.conversation.extraction import Extractor
from coral.evaluation.plan import Plan, open_plan
from coral.metrics.outcome import change_of
from coral.metrics.trace import trace_of
from coral.models.protocol import Sampling
from coral.rl.rewards import reward_group
from coral.tasks import boundary
from coral.types import Conversation, Problem, Seat, StopReason
from coral_conversation.problems import ProblemTask
from coral_conversation.seat import SeatModel

_HERE = vf.SubprocessConfig()
"""A seat runs no program, so it needs no box."""


class ConversationEnvConfig(vf.EnvConfig):
    """Who holds the seats, and what they are worth."""

    agent: vf.AgentConfig = vf.AgentConfig(runtime=_HERE)
    """The opener of a pair, or the one agent of other protocols."""
    partner: vf.AgentConfig = vf.AgentConfig(runtime=_HERE)
    """The responder of a pair. With a model of its own it is not trained."""
    reward: str = "agreed_right"
    """agreed_right, own_right or belief_gain (see docs/rl.md), or module:function of (conversation, seat)."""


class ConversationEnv(vf.Env[ConversationEnvConfig]):
    """A conversation per episode: a trace per seat, each with the reward of its seat."""

    _plan: Plan

    async def setup(self, agents: vf.Agents) -> None:
        agents.partner.trainable = self.config.partner.model is None

    async def start(self) -> None:
        self._open = ExitStack()
        self._plan = self._open.enter_context(open_plan(self.config.taskset.options))
        self._working = AsyncExitStack()
        await self._working.enter_async_context(workers.in_use())

    async def stop(self) -> None:
        if hasattr(self, "_open"):
            self._open.close()
        if hasattr(self, "_working"):
            await self._working.aclose()

    async def run(self, task: ProblemTask, agents: vf.Agents) -> None:
        plan = self._plan
        problem = msgspec.convert(task.data.problem, Problem)
        config = ConversationConfig(
            task=plan.task,
            protocol=plan.protocol,
            extractor=Extractor(
                mode="rules", task=plan.task, model=None, sampling=Sampling(), template=plan.extraction
            ),
            seed=0,
        )
        models: dict[Seat, SeatModel] = {}
        async with AsyncExitStack() as stack:
            seated = {}
            for seat, name in plan.protocol.speakers.items():
                models[seat] = SeatModel(getattr(agents, name), task, stack, name)
                seated[seat] = Agent(
                    name=name, model=models[seat], sampling=Sampling(), system=plan.systems[name]
                )
            conversation = await converse(problem, sample=0, agents=seated, config=config)
        if conversation.stop is StopReason.FAILED:
            assert conversation.failure is not None
            raise vf.EnvError(f"the conversation failed: {conversation.failure.message}")
        await self._reward(conversation, models)

    async def _reward(self, conversation: Conversation, models: dict[Seat, SeatModel]) -> None:
        """What each seat earned, and what came of the conversation, on the seat's trace."""
        plan, spoke = self._plan, {seat: one for seat, one in models.items() if one.trace is not None}
        (values,) = await reward_group(
            self.config.reward, [conversation], tuple(spoke), plan.protocol, plan.task
        )

        async def same(a: str, b: str) -> bool:
            return await boundary.same(plan.task, a, b, conversation.problem)

        beliefs = await trace_of(conversation, same)
        outcome = plan.protocol.outcome(beliefs)
        for seat, model in spoke.items():
            assert model.trace is not None
            value = values.get(seat)
            if value is None:
                raise vf.EnvError(f"what the {seat} earned cannot be said: its answer has no grade")
            model.trace.record_reward(self.config.reward, value)
            change = change_of(seat, beliefs)
            facts = {
                "agreed": outcome.agreed, "right": outcome.right, "own_first": change.first,
                "own_last": change.last, "turns": len(conversation.turns),
            }  # fmt: skip
            model.trace.record_metrics(
                {name: float(fact) for name, fact in facts.items() if fact is not None}
            )
