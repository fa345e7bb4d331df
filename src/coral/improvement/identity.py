"""Which options decide the results of a loop, and so must stay; the others may change between sessions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from coral.config import deciding
from coral.evaluation.config import AgentConfig, ExtractorConfig, SampleConfig
from coral.improvement.arms import RUN_SECTIONS
from coral.improvement.config import ImproveConfig
from coral.improvement.servers import Checkpoint
from coral.rl.config import GrpoConfig
from coral.rows.build import BuildConfig
from coral.store.checkpoints import model_fingerprint
from coral.training.config import TrainConfig

_AGENTS = ("agent", "partner", "extractor")
_GROW = ("limit", "samples")
"""A run may grow by these; in the loop, other steps are built on it."""


def identify(config: ImproveConfig, start: Checkpoint) -> dict[str, Any]:
    """What decides the results: must be the same whenever the command is given.

    Iterations may be added (but where the problems are dealt to them), and controls; servers may move; and
    what the commands of the steps let change may change here, such as connections, or rows on a device.
    """
    options = stored(config)
    decided = {name: options[name] for name in deciding(ImproveConfig)}
    if config.split == "even":
        decided["iterations"] = config.iterations
    if not config.rehearsal:  # folders of versions that did not know it resume
        del decided["rehearsal"]
    if config.grpo:
        decided["grpo"] = _only(config.grpo, deciding(GrpoConfig))
    else:  # likewise
        del decided["grpo"]
    decided |= {name: _of_run(decided[name]) for name in RUN_SECTIONS if name in decided}
    decided |= {kind: _of_arm(decided[kind]) for kind in ("dpo", "sft", "kto")}
    return {
        **decided,
        **_of_arm({"build": config.build, "train": config.train}),
        "partner": _of_agent(config.partner),
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
    return {**_only(section, (*deciding(SampleConfig), *_GROW)), **agents}


def _of_agent(options: Mapping[str, Any]) -> dict[str, Any]:
    return _only(options, (*deciding(AgentConfig), *deciding(ExtractorConfig)))


def _of_arm(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Of `dpo`, `sft`, `kto` or the loop itself: the sections for rows and training."""
    kinds = {"build": BuildConfig, "train": TrainConfig}
    return {name: _only(options, deciding(kinds[name])) for name, options in sections.items()}


def _only(options: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in names}
