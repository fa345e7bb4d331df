"""Which options decide the results of a loop, and so must stay; the others may change between sessions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from coral.config import deciding
from coral.evaluation.config import AgentConfig, ExtractorConfig
from coral.improvement.arms import RUN_SECTIONS
from coral.improvement.config import ImproveConfig
from coral.improvement.servers import Checkpoint
from coral.training.checkpoints import model_fingerprint
from coral.training.config import DECIDES_NOTHING

_AGENTS = ("agent", "partner", "extractor")
_OF_RUNS = ("max_connections", "max_failed_rate", "prices", "retry_failed", "data_password", "lock")
_OF_ROWS = ("push_to_hub", "public", "data_password")


def identify(config: ImproveConfig, start: Checkpoint) -> dict[str, Any]:
    """What decides the results: must be the same whenever the command is given.

    Iterations may be added (but where the problems are dealt to them), and controls; servers may move; and
    what the commands of the steps let change may change here, such as connections, or rows on a device.
    """
    decided = stored(config)
    for name in ("output", "controls", "serve", "launch"):
        del decided[name]
    if config.split != "even":
        del decided["iterations"]
    if not config.rehearsal:  # folders of versions that did not know it go on
        del decided["rehearsal"]
    decided |= {name: _of_run(decided[name]) for name in RUN_SECTIONS if name in decided}
    decided |= {kind: _of_kind(decided[kind]) for kind in ("dpo", "sft", "kto")}
    return {
        **decided,
        "partner": _of_agent(config.partner),
        "build": _without(config.build, _OF_ROWS),
        "train": _without(config.train, DECIDES_NOTHING),
        "serve": config.serve.kind,
        "model": model_fingerprint(start.path),
    }


def stored(config: ImproveConfig) -> dict[str, Any]:
    """All options as `config.yaml` keeps them: without secrets."""
    values: dict[str, Any] = msgspec.to_builtins(config)
    del values["dry_run"]
    return _without_secrets(values)


def _without_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    """Passwords stand in the sections of runs and rows."""
    return {
        name: _without_secrets(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if name != "data_password"
    }


def _of_run(section: Mapping[str, Any]) -> dict[str, Any]:
    agents = {name: _of_agent(section[name]) for name in _AGENTS if name in section}
    return {**_without(section, _OF_RUNS), **agents}


_DECIDING = frozenset({*deciding(AgentConfig), *deciding(ExtractorConfig)})


def _of_agent(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in _DECIDING}


def _of_kind(section: Mapping[str, Any]) -> dict[str, Any]:
    """Of `dpo`, `sft` or `kto`: their sections for rows and training."""
    changing = {"build": _OF_ROWS, "train": DECIDES_NOTHING}
    return {name: _without(values, changing.get(name, ())) for name, values in section.items()}


def _without(section: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in section.items() if name not in names}
