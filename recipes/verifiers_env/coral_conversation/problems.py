"""The problems of a task of Coral, as tasks of verifiers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import verifiers.v1 as vf
from pydantic import Field

from coral.evaluation.config import EvalConfig
from coral.evaluation.plan import open_plan
from coral.options import build_config


class ProblemsConfig(vf.TasksetConfig):
    """Which problems, and how they are talked about."""

    conversation: dict[str, Any] = Field(default_factory=lambda: {"task": {"name": "sally_anne"}})
    """Options of `coral eval`: task, data, split, limit, protocol, max_turns, prompts. Models, sampling and
    servers are the seats', by verifiers' own options; beliefs are read by rules."""

    @property
    def options(self) -> EvalConfig:
        """The options as Coral reads them.

        Raises:
            ConfigError: one is unknown, or cannot be used.
        """
        return build_config(EvalConfig, {**self.conversation, "extractor": {"mode": "rules"}}, "conversation")


class ProblemData(vf.TaskData):
    """A problem, whole: on the wire it needs no data file."""

    problem: dict[str, Any]


class ProblemTask(vf.Task[ProblemData]):
    """What a seat is judged by is found by the environment: it depends on both seats."""

    @property
    def key(self) -> str:
        return str(self.data.id)


class Problems(vf.Taskset[ProblemTask, ProblemsConfig]):
    """The problems of a task, in its own order."""

    def load(self) -> Iterator[ProblemTask]:
        with open_plan(self.config.options) as plan:
            for index in range(len(plan.problems)):
                problem = plan.problems[index]
                data = ProblemData(id=problem.id, problem=msgspec.to_builtins(problem))
                yield ProblemTask(data, self.config.task)
