"""What a caller hands to a run as Python objects, beside its options: models, a task, metrics."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from coral.agents.open import Objects, source_digest
from coral.agents.person import Face
from coral.conversation.converse import Beginning
from coral.conversation.own_reader import OwnReader, own_reader
from coral.errors import ConfigError
from coral.metrics.own import MetricFunction, OwnMetric, name_of, own_metric
from coral.models.config import ModelConfig
from coral.tasks.protocol import Task


@dataclass
class Given:
    """Objects by the names that options and records have for them.

    Attributes:
        face: where a person is asked for turns; None: nobody is there.
        task: in place of the one that the options name.
        metrics: functions by name; those of other names are imported. `readers`, extractors, likewise.
        server: the agent's model and address where the server that `serve` names runs already.
        beginnings: of forked conversations, by the problem's id; part of what the run is.
    """

    face: Face | None = None
    models: Objects = field(default_factory=Objects)
    task: Task | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    readers: dict[str, Any] = field(default_factory=dict)
    server: dict[str, Any] | None = None
    beginnings: dict[str, Beginning] = field(default_factory=dict)

    @property
    def forked(self) -> dict[str, str]:
        """What the beginnings add to the identity of a run."""
        if not self.beginnings:
            return {}
        return {"forked": hashlib.sha256(msgspec.json.encode(sorted(self.beginnings.items()))).hexdigest()}

    @property
    def holds_objects(self) -> bool:
        """Whether anything was given that has no name by which another process could import it."""
        return bool(self.task or self.metrics or self.readers or self.models)

    def named_metrics(self, metrics: Sequence[str | MetricFunction]) -> tuple[str, ...]:
        """The names of metrics, of which functions are taken in.

        Raises:
            ConfigError: two functions have one name.
        """
        names = []
        for metric in [metrics] if isinstance(metrics, str) or callable(metrics) else metrics:
            name = metric if isinstance(metric, str) else name_of(metric)
            if not isinstance(metric, str) and self.metrics.setdefault(name, metric) is not metric:
                raise ConfigError(
                    f"two metrics are called {name}", remedy="give each function a name of its own"
                )
            names.append(name)
        return tuple(names)

    def named_reader(self, reader: object) -> str:
        """The name of an extractor, which is taken in."""
        name = name_of(reader)
        self.readers[name] = reader
        return name

    def reader(self, name: str | None) -> OwnReader | None:
        """The user's extractor that options name, if they name one.

        Raises:
            ConfigError: it cannot be imported, or is none.
        """
        return None if name is None else own_reader(name, self.readers.get(name))

    def sources(self, agents: Iterable[ModelConfig], reader: str | None) -> dict[str, str]:
        """Digests of the sources of what options name that is the user's own.

        Raises:
            ConfigError: it cannot be imported.
        """
        found = self.models.sources(agents)
        digest = None if (own := self.reader(reader)) is None else source_digest(own.function)
        return {**found, **({str(reader): digest} if digest else {})}

    def own_metrics(self, names: Iterable[str]) -> list[OwnMetric]:
        """The metrics that options name.

        Raises:
            ConfigError: one cannot be imported, or is no function.
        """
        return [own_metric(name, self.metrics.get(name)) for name in dict.fromkeys(names)]


def refuse_running_loop(instead: str = "", *, remedy: str = "") -> None:
    """Refuse to work inside a running event loop, where only a coroutine could.

    Raises:
        ConfigError: one is running; says what to await.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ConfigError(
        "an event loop is running here, as in a notebook", remedy=remedy or f"await coral.{instead}(...)"
    )
