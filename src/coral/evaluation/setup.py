"""Building the models of a run from its options."""

from __future__ import annotations

import dataclasses
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from coral.conversation.agent import Agent
from coral.conversation.extraction import Extractor
from coral.errors import ConfigError, Unreachable
from coral.evaluation.config import EvalConfig
from coral.evaluation.plan import Plan
from coral.models import embedded
from coral.models.client import ServedModel, build_model
from coral.models.config import ModelConfig
from coral.models.connections import Connections
from coral.models.listing import list_models
from coral.models.protocol import Model
from coral.types import Seat


@dataclass(frozen=True, kw_only=True)
class Participants:
    """Who takes part in the conversations of a run.

    Attributes:
        agents: who holds each seat of the protocol.
    """

    agents: dict[Seat, Agent]
    extractor: Extractor


async def open_participants(config: EvalConfig, plan: Plan, stack: AsyncExitStack) -> Participants:
    """Open the models of a run; `stack` closes them. Roles with the same server share its connections, roles
    with the same checkpoint folder share one engine.

    Raises:
        UserError: a key is missing, nothing answers at an address, or a folder holds no checkpoint.
    """
    models = _Models(await stack.enter_async_context(Connections()), stack, config.max_connections)

    agents = {
        name: Agent(
            name=name,
            model=await models.open(options, f"--{name}" if name in {"agent", "partner"} else "--agents"),
            sampling=options.sampling(),
            system=plan.systems[name],
            system_in_user=options.system_in_user,
        )
        for name, options in config.participants().items()
    }
    extraction = config.extractor_config()
    return Participants(
        agents={seat: agents[name] for seat, name in plan.protocol.speakers.items()},
        extractor=Extractor(
            mode=extraction.mode,
            task=plan.task,
            model=None if extraction.mode == "rules" else await models.open(extraction, "--extractor"),
            sampling=extraction.sampling(),
            template=plan.extraction,
        ),
    )


class _Models:
    """Opens each server and each checkpoint once."""

    def __init__(self, connections: Connections, stack: AsyncExitStack, max_connections: int) -> None:
        self._connections, self._stack = connections, stack
        self._max_connections = max_connections
        self._embedded: dict[Path, Model] = {}
        self._reached: set[str] = set()

    async def open(self, options: ModelConfig, option: str) -> Model:
        """The model that `options` name, which the user gave as `option`.

        Raises:
            UserError: it cannot be opened.
        """
        folder = embedded.folder_of(options)
        if folder is None:
            return await self._open_served(options, option)
        if folder not in self._embedded:
            from coral.engine.model import EmbeddedModel

            model = EmbeddedModel(folder, name=embedded.name_of(options))
            self._embedded[folder] = await self._stack.enter_async_context(model)
        return self._embedded[folder]

    async def _open_served(self, options: ModelConfig, option: str) -> Model:
        own = options.max_connections or self._max_connections
        limited = dataclasses.replace(options, max_connections=min(own, self._max_connections))
        model = await self._stack.enter_async_context(build_model(limited, self._connections, option=option))
        await self._reach(model)
        return model

    async def _reach(self, model: ServedModel) -> None:
        """Make sure that something answers: a wrong port should not cost a minute of retries.

        Replicas are waited for instead.
        """
        if model.target.replicas is not None:
            return
        origins = {endpoint.server.origin: endpoint for endpoint in model.endpoints}
        if self._reached & origins.keys():
            return
        failures = []
        for origin, endpoint in origins.items():
            try:
                await list_models(model, endpoint)
            except Unreachable as error:
                failures.append(str(error))
            else:
                self._reached.add(origin)
                return
        raise ConfigError(
            "; ".join(failures),
            remedy="start the server, or mend the address with --agent.base_url; `coral doctor` tells more",
        )
