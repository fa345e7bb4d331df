"""What the limits of a run leave, after what its earlier sessions spent."""

from __future__ import annotations

from collections.abc import Callable

from coral.budget import Budget, Limits
from coral.evaluation.config import EvalConfig
from coral.evaluation.setup import Participants
from coral.metrics.cost import load_prices
from coral.models.config import HUMAN
from coral.store.folder import RunFolder
from coral.store.shards import shard_of
from coral.types import Usage


def budget_of(
    config: EvalConfig, participants: Participants, folder: RunFolder, is_stopping: Callable[[], bool]
) -> Budget | None:
    """What the limits of a run leave, what earlier sessions spent taken off; None without limits.

    Raises:
        ConfigError: money is limited, and a model has no price.
    """
    limits = Limits(config.max_tokens_total, config.max_cost, config.max_hours)
    if not limits.any:
        return None
    if config.shard:  # each of the processes has its share
        limits = limits.shared(shard_of(config.shard).count)
    asking = (agent for agent in participants.agents.values() if not agent.is_silent)
    models = {agent.model.name for agent in asking} - {HUMAN}
    extractor, judge = participants.extractor.model, participants.judge
    asked = [*sorted(models), *(model.name for model in participants.asked)]
    budget = Budget(limits, load_prices(config.prices), asked, is_stopping=is_stopping)
    for conversation in folder.conversations():
        budget.count(conversation, None if extractor is None else extractor.name)
    if judge is not None:
        for judged in judge.task.verdicts:  # of unfinished conversations, too
            said = judged.judgement
            budget.replayed(judge.model, said.usage or Usage(), said.billing)
    return budget
