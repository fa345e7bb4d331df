"""What a run with a person in it may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coral.errors import ConfigError
from coral.models.config import HUMAN

if TYPE_CHECKING:
    from coral.evaluation.config import EvalConfig


def people_of(config: EvalConfig) -> list[str]:
    """The names of the agents that are people."""
    named = [config.agent.model, *(one.get("model") for one in (config.partner, *config.agents))]
    if HUMAN not in named:
        return []
    return [name for name, options in config.participants().items() if options.is_person]


def check_people(config: EvalConfig) -> None:
    """Refuse what a person cannot do.

    Raises:
        ConfigError: there are several, or one is asked for what only models give.
    """
    extractor = config.extractor_config()
    if config.extractor.get("model") == HUMAN or (extractor.is_person and extractor.mode != "rules"):
        raise ConfigError(
            "a person does not extract beliefs while a run goes on",
            remedy="name a model; `coral audit` has people read the replies of a run",
        )
    judge = config.judge_config()
    if judge is not None and judge.is_person:
        raise ConfigError(
            "a person does not grade while a run goes on",
            remedy="name a model; `coral audit` has people judge what it graded",
        )
    people = people_of(config)
    if not people:
        return
    if len(people) > config.most_people:
        raise ConfigError(
            f"{' and '.join(people)} are people, and one terminal shows what one seat sees",
            remedy="name a model for the others, such as --partner MODEL; `coral chat TASK --web` seats two",
        )
    if config.draw.candidates > 1 or config.draw.rollouts:
        raise ConfigError(
            "a person speaks once per turn", remedy="sample with --candidates 1 and without rollouts"
        )
    if config.processes > 1:
        raise ConfigError(
            "a person talks to one process", remedy="leave processes out: conversations are held one by one"
        )
