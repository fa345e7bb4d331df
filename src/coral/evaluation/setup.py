"""Building the models of a run from its options, and starting their server where that is asked for."""

from __future__ import annotations

import dataclasses
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from coral.agents.open import Models
from coral.agents.person import Host, Person
from coral.batches.model import Batches
from coral.conversation import protocols
from coral.conversation.agent import Agent
from coral.conversation.controls import USES_MISTAKES, ControlPartner, Nobody
from coral.conversation.extraction import Extractor
from coral.conversation.judging import Judge
from coral.conversation.mistakes import Mistakes
from coral.conversation.sight import ProblemPool, Sight
from coral.conversation.solo import favourite_mistakes
from coral.errors import ConfigError
from coral.evaluation.config import AgentConfig, EvalConfig, is_silent, speaker_model
from coral.evaluation.given import Given
from coral.evaluation.plan import Plan, with_room
from coral.evaluation.progress import Progress
from coral.metrics.outcome import last_answer_counts
from coral.models.client import ServedModel, build_model
from coral.models.connections import Connections
from coral.models.crew import Crew
from coral.models.protocol import Model
from coral.serving.launch import LaunchConfig, launch, to_come
from coral.tasks.judged import JudgedTask, rules_of
from coral.types import Seat


@dataclass(frozen=True, kw_only=True)
class Participants:
    """Who takes part in the conversations of a run.

    Attributes:
        agents: who holds each seat of the protocol.
        connections: those of all models.
    """

    agents: dict[Seat, Agent]
    extractor: Extractor
    connections: Connections
    judge: Judge | None = None

    @property
    def asked(self) -> list[Model]:
        """The models that are asked beside the agents."""
        judge = None if self.judge is None else self.judge.model
        return [model for model in (self.extractor.model, judge) if model is not None]

    @property
    def people(self) -> dict[str, Seat]:
        """The seats of the agents that are people, by their names."""
        return {agent.name: seat for seat, agent in self.agents.items() if isinstance(agent.model, Person)}

    @property
    def served(self) -> list[ServedModel]:
        """The models behind a server; the others are in this process."""
        models = [*(agent.model for agent in self.agents.values()), *self.asked]
        return [model for model in models if isinstance(model, ServedModel)]

    def crew(self, most: int) -> Crew:
        """Who holds conversations: as many at once as the servers take requests, or `most` without servers.

        With a person it is one at a time, with a host as many as people begin.
        """
        people = [agent.model for agent in self.agents.values() if isinstance(agent.model, Person)]
        if people:
            return Crew((), otherwise=people[0].at_once)
        return Crew(self.served, otherwise=most)


C = TypeVar("C", bound=EvalConfig)


def settled(config: C) -> C:
    """The options with the agent at the server that `serve` will start; they decide all but the address."""
    if not config.serve.command:
        return config
    return _placed(config, to_come(config.agent))


class Opener:
    """Opens who takes part in a run, and before that the server that `serve` starts."""

    def __init__(self, config: EvalConfig, given: Given, progress: Progress) -> None:
        if given.server is not None:
            config = _placed(config, dataclasses.replace(config.agent, **given.server))
        self._config, self._given, self._progress = config, given, progress
        self.beginnings = given.beginnings
        self.host = given.face if isinstance(given.face, Host) else None
        self._batches: Batches | None = None

    async def batch(self, folder: Path, stack: AsyncExitStack) -> None:
        """Ask by batches, which are written down in `folder`, where the options say so."""
        if self._config.batch:
            progress = self._progress
            self._batches = Batches(folder, lambda: progress.in_flight, progress.notes.append)
            progress.waiting_for = self._batches.waiting.describe
            stack.push_async_callback(self._batches.close)

    async def settle(self, stack: AsyncExitStack) -> EvalConfig:
        """The options as they decide the run. The server is started here if it alone can name the model, else
        only when it is needed: of a finished run nothing is asked.
        """
        if self._config.serve.command and not self._config.agent.model:
            self._config = await launched(self._config, stack, self._progress)
        return settled(self._config)

    async def open(self, plan: Plan, stack: AsyncExitStack) -> Participants:
        """See `open_participants`."""
        self._config = await launched(self._config, stack, self._progress)
        return await open_participants(self._config, plan, stack, self._given, self._batches)


async def launched(config: C, stack: AsyncExitStack, progress: Progress) -> C:
    """The options with the agent at the server that `serve` starts, unless it is started already.

    Raises:
        Interrupted, UserError: as `launch`.
    """
    if not config.serve.command:
        return config

    def stop() -> None:
        progress.stopping = True

    agent = await launch(
        config.serve,
        config.agent,
        stack,
        stop=stop,
        stopping=lambda: progress.stopping,
        say=progress.notes.append,
    )
    return _placed(config, agent)


def _placed(config: C, agent: AgentConfig) -> C:
    return dataclasses.replace(config, agent=agent, serve=LaunchConfig())


async def open_participants(
    config: EvalConfig,
    plan: Plan,
    stack: AsyncExitStack,
    given: Given,
    batches: Batches | None = None,
) -> Participants:
    """Open the models of a run; `stack` closes them. Roles with the same server share its connections, roles
    with the same checkpoint folder share one engine.

    Args:
        given: the models among them that are Python objects, and where a person is asked.
        batches: what asks models by batches; None: they are asked directly.

    Raises:
        UserError: a key is missing, nothing answers at an address, or a folder holds no checkpoint.
    """
    connections = await stack.enter_async_context(Connections())
    models = Models(
        connections,
        stack,
        max_connections=config.max_connections,
        objects=given.models,
        face=given.face,
        build=build_model if batches is None else batches.build,
    )

    seated = _Seated(plan)

    async def seat(name: str, options: AgentConfig) -> Agent:
        model: Model
        if is_silent(options):
            model = Nobody(speaker_model(options))
        else:
            same = (
                options == config.agent and not options.is_person
            )  # what helps is said of the agent's options
            where = "--agent" if same else f"--{name}" if name in {"agent", "partner"} else "--agents"
            model = await models.open(options, where)
        return Agent(
            name=name,
            model=model,
            sampling=options.sampling(),
            system=plan.systems[name],
            system_in_user=options.system_in_user,
            examples=plan.examples.get(name, ()),
            control=await seated.control(name, options),
            sight=seated.sight(options),
        )

    agents = {name: await seat(name, options) for name, options in config.participants().items()}
    extraction = with_room(config.extractor_config(), config.extractor, plan.task)
    found = Participants(
        agents={seat: agents[name] for seat, name in plan.protocol.speakers.items()},
        extractor=Extractor(
            mode=extraction.mode,
            task=plan.task,
            model=None if extraction.mode == "rules" else await models.open(extraction, "--extractor"),
            sampling=extraction.sampling(),
            template=plan.extraction,
            reader=given.reader(extraction.function),
        ),
        connections=connections,
        judge=await _judge(config, plan, models),
    )
    if batches is not None:
        batches.check()
    return found


async def _judge(config: EvalConfig, plan: Plan, models: Models) -> Judge | None:
    """Who grades where rules cannot, where somebody does."""
    options, task = config.judge_config(), plan.task
    if options is None or not isinstance(task, JudgedTask):
        return None
    model = await models.open(options, "--task.judge")
    return Judge(task=task, model=model, sampling=options.sampling(), template=plan.judge)


class _Seated:
    """What control arms know beside the conversation: the task, and other problems of the whole data."""

    def __init__(self, plan: Plan) -> None:
        self._task, self._problems = plan.task, plan.problems
        # Mistakes are the same whenever they are thought of, so no verdict has a say in them.
        self._rules = rules_of(plan.task)
        self._pool = ProblemPool(lambda: plan.task.problems(plan.source))

    async def control(self, name: str, options: AgentConfig) -> ControlPartner | None:
        if options.control is None:
            if options.control_answers is not None:
                raise ConfigError(
                    f"{name}.control_answers is set, and {name} is not a control partner",
                    remedy=f"give --{name}.control wrong, too, or leave it out",
                )
            return None
        favourites = None
        if options.control_answers is not None and options.control in USES_MISTAKES:
            favourites = await favourite_mistakes(options.control_answers, self._rules, self._problems)
        return ControlPartner(
            kind=options.control,
            words=options.control_words,
            task=self._task,
            mistakes=Mistakes(self._rules, self._pool, favourites),
        )

    def sight(self, options: AgentConfig) -> Sight | None:
        if options.sees == "everything":
            return None
        return Sight(shown=options.sees, task=self._task, others=self._pool)


def last_answer_decides(config: EvalConfig) -> bool:
    """Whether what is right of a conversation is the agent's last answer, as beside a control partner."""
    partner = config.participants().get("partner")
    rules = protocols.build(config.protocol_name, config.settings())
    return last_answer_counts(rules, getattr(partner, "control", None) or "")
