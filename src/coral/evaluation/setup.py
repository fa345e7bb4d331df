"""Building the models of a run from its options."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from coral.conversation.agent import Agent
from coral.conversation.extraction import Extractor
from coral.evaluation.config import EvalConfig
from coral.evaluation.plan import Plan
from coral.models.connections import Connections
from coral.models.open import Models, Objects
from coral.types import Seat


@dataclass(frozen=True, kw_only=True)
class Participants:
    """Who takes part in the conversations of a run.

    Attributes:
        agents: who holds each seat of the protocol.
    """

    agents: dict[Seat, Agent]
    extractor: Extractor


async def open_participants(
    config: EvalConfig, plan: Plan, stack: AsyncExitStack, objects: Objects
) -> Participants:
    """Open the models of a run; `stack` closes them. Roles with the same server share its connections, roles
    with the same checkpoint folder share one engine.

    Args:
        objects: the models among them that are Python objects.

    Raises:
        UserError: a key is missing, nothing answers at an address, or a folder holds no checkpoint.
    """
    models = Models(
        await stack.enter_async_context(Connections()),
        stack,
        max_connections=config.max_connections,
        objects=objects,
    )

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
