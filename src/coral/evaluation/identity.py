"""What decides the results of a run, how its folder is called, and what its config.yaml keeps."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from coral.config import deciding
from coral.conversation import examples, protocols, solo
from coral.conversation.controls import USES_MISTAKES
from coral.conversation.selection import Draw
from coral.evaluation import problem_list
from coral.evaluation.config import (
    AgentConfig,
    EvalConfig,
    ExtractorConfig,
    SampleConfig,
    is_silent,
    speaker_model,
)
from coral.models import embedded
from coral.models.config import ModelConfig
from coral.models.plain import DEFAULT_REPLY
from coral.store.checkpoints import fingerprint
from coral.types import SCHEMA
from coral.version import version


def identity(
    config: EvalConfig,
    *,
    task: Mapping[str, Any],
    split: str,
    data_fingerprint: str,
    prompts: str,
    sources: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What decides the results of a run: must be the same in each of its sessions.

    Args:
        task: name and all options, defaults included.
        sources: digests of the sources of models that are Python objects.

    `limit` and `samples` may grow, addresses, connections and time-outs may change: they are not in it.
    """
    who = {name: _decisive(agent, sources or {}) for name, agent in config.participants().items()}
    takes = protocols.kind(config.protocol_name).takes
    own = config.protocol_options()
    return {
        "schema": SCHEMA,
        "version": version(),
        "task": _task(config, task, sources or {}),
        "split": split,
        "data_sha256": data_fingerprint,
        "prompts": prompts,
        **_own_prompts(config),
        "protocol": config.protocol_name,
        **({"protocol_options": msgspec.to_builtins(own)} if own is not None else {}),
        **{name: getattr(config, name) for name in ("max_turns", "opener") if name in takes},
        **({"majority": True} if config.majority else {}),
        **who,
        "extractor": _decisive(config.extractor_config(), sources or {}),
        **({"second_chance": True} if config.second_chance else {}),
        **({"probe": True} if config.probe else {}),
        "seed": config.seed,
        **({"salt": config.salt} if config.salt else {}),
        **({"data_seed": config.data_seed} if config.problem_seed != config.seed else {}),
        **({"split_seed": config.split_seed} if config.split_seed != config.problem_seed else {}),
        **({"problems": problem_list.digest(config.problems)} if config.problems else {}),
        **(_drawing(config.draw) if isinstance(config, SampleConfig) else {}),
    }


def _own_prompts(config: EvalConfig) -> dict[str, Any]:
    """Which prompts are not ours; their words are in the fingerprint of all."""
    items = dataclasses.fields(config.templates)
    own = [item.name for item in items if getattr(config.templates, item.name) is not None]
    return {"own_templates": own} if own else {}


def _task(config: EvalConfig, task: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, Any]:
    """The task with its options, its judge as any model, whose address decides nothing."""
    judge = config.judge_config()
    options = {name: value for name, value in task.items() if name != "judge"}
    return options if judge is None else {**options, "judge": _decisive(judge, sources)}


def _drawing(draw: Draw) -> dict[str, Any]:
    """Of a single candidate, how it is chosen decides nothing."""
    choosing = {"select": draw.select} if draw.candidates > 1 else {}
    return {"candidates": draw.candidates, **choosing, "rollouts": draw.rollouts}


_LATER = {
    "thinking_tokens": ModelConfig.thinking_tokens,
    "control_words": "own",
    "sees": "everything",
    "return_token_ids": False,
    "command": "",
    "http_reply": DEFAULT_REPLY,
    "examples_as": "turns",
}
"""Options that earlier versions did not have: their runs resume where these are at their defaults."""


_OF_PEOPLE = ("prompt", "system_prompt", "sees")
"""What decides what a person is shown."""


def _decisive(config: ModelConfig, sources: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(config, name) for name in deciding(type(config))}
    for name, default in _LATER.items():
        if values.get(name) == default:
            del values[name]
    if isinstance(config, AgentConfig) and config.control_answers is not None:
        uses = config.control in USES_MISTAKES
        values["control_answers"] = solo.digest(config.control_answers) if uses else None
    if values.get("examples"):
        values["examples"] = examples.digest(values["examples"], "--agent.examples")
    if is_silent(config):
        kept = {name: values.get(name) for name in ("control", "control_answers")}
        values = {"model": speaker_model(config), **kept}
    elif isinstance(config, ExtractorConfig) and config.mode == "rules":
        values = {"mode": "rules", "function": config.function, "source": sources.get(config.function or "")}
    else:
        values = _of_model(config, values, sources)
    known = {name: value for name, value in values.items() if value not in (None, (), {})}
    return dict(msgspec.to_builtins(known))


def _of_model(config: ModelConfig, values: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, Any]:
    """What decides the words of who is asked: of a person nothing is sampled."""
    name = embedded.name_of(config)
    source = sources.get(name) or sources.get(getattr(config, "function", None) or "")
    folder = embedded.folder_of(config)
    kept = {key: value for key, value in values.items() if key in _OF_PEOPLE or not config.is_person}
    return {
        **kept,
        "model": name,
        "command": list(config.command_words) or None,
        "checkpoint": fingerprint(folder) if folder else None,
        "source": source,
    }


SEEDS = ("seed", "salt", "data_seed", "split_seed")


def config_digest(decided: Mapping[str, Any]) -> str:
    """What runs share that differ in their seeds alone, and in the version of Coral that began them."""
    lasting = {name: value for name, value in decided.items() if name not in {*SEEDS, "version", "shards"}}
    return hashlib.sha256(msgspec.json.encode(lasting)).hexdigest()[:8]


_LONGEST_NAME = 60
"""Characters of a model's name in that of a folder; the digest tells models apart."""


def default_output(config: EvalConfig, decided: Mapping[str, Any]) -> str:
    """A folder that the same options always name again."""
    lasting = {name: value for name, value in decided.items() if name != "version"}
    digest = hashlib.sha256(msgspec.json.encode(lasting)).hexdigest()[:8]
    model = (
        re.sub(r"[^A-Za-z0-9.]+", "-", embedded.name_of(config.agent).rstrip("/").rsplit("/", 1)[-1]).strip(
            "-"
        )
        or "model"
    )[:_LONGEST_NAME]
    job = "sample-" if isinstance(config, SampleConfig) else ""
    task = re.sub(r"[^\w.-]+", "-", config.task_name)
    return f"runs/{task}-{config.protocol_name}-{job}{model}-{digest}"


def stored(config: EvalConfig) -> dict[str, Any]:
    """All options as `config.yaml` keeps them: without secrets, and readable by `--config`."""
    values: dict[str, Any] = msgspec.to_builtins(config)
    del values["data_password"], values["dry_run"]
    return values
