"""What a caller hands to a run as Python objects, beside its options: models, a task, metrics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from coral.metrics.own import OwnMetric, own_metric
from coral.models.open import Objects
from coral.tasks.protocol import Task


@dataclass
class Given:
    """Objects by the names that options and records have for them.

    Attributes:
        task: in place of the one that the options name.
        metrics: functions by name; those of other names are imported.
        server: the agent's model and address where the server that `serve` names runs already.
    """

    models: Objects = field(default_factory=Objects)
    task: Task | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    server: dict[str, Any] | None = None

    @property
    def holds_objects(self) -> bool:
        """Whether anything was given that has no name by which another process could import it."""
        return bool(self.task or self.metrics or self.models)

    def own_metrics(self, names: Iterable[str]) -> list[OwnMetric]:
        """The metrics that options name.

        Raises:
            ConfigError: one cannot be imported, or is no function.
        """
        return [own_metric(name, self.metrics.get(name)) for name in dict.fromkeys(names)]
