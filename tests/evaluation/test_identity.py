"""What decides a result is said by each option itself, and is what a run's identity holds."""

import dataclasses

import pytest

from coral.config import deciding
from coral.conversation.own_prompts import TemplatesConfig
from coral.evaluation.config import AgentConfig, EvalConfig
from coral.evaluation.identity import identity
from coral.serving.launch import LaunchConfig

BASE = {
    "agent": AgentConfig(model="openai/a"),
    "extractor": {"mode": "model", "model": "openai/e"},
    "task": {"name": "sally_anne"},
}
OTHER = {
    "allow_unsafe_code": True,
    "protocol": "self_refine", "max_turns": 3, "opener": "partner", "partner": {"model": "openai/b"},
    "agents": ({}, {"temperature": 1.0}), "agent": AgentConfig(model="openai/b"), "seed": 7, "data_seed": 3,
    "split_seed": 5, "salt": "x", "probe": True, "extractor": {"mode": "rules"},
    "limit": 3, "samples": 2, "max_connections": 4, "prices": "p.yaml", "output": "o", "lock": "none",
    "metrics": ("m:f",), "retry_failed": True, "max_failed_rate": 0.5,
    "max_tokens_total": 5, "max_cost": 1.0, "max_hours": 1.0, "dry_run": True, "data_password": "s",
    "shard": "1/2", "processes": 2, "human_input": "stdin", "serve": LaunchConfig(command="serve {port}"),
    "templates": TemplatesConfig(opening="So: {{ opening }}"),
    "cache": "c", "batch": True, "report_to": "",
}  # fmt: skip
MODEL = {
    "model": "openai/b", "temperature": 0.9, "top_p": 0.5, "max_tokens": 7, "thinking_tokens": 5,
    "stop": ("x",), "extra_body": {"top_k": 2}, "system_prompt": "Be brief.", "prompt": "same",
    "system_in_user": True, "base_url": "http://a/v1", "replicas": "pool", "replicas_within_s": 5.0,
    "api_key_env": "KEY", "context_tokens": 99, "max_connections": 3, "request_timeout_s": 1.0,
    "total_timeout_s": 2.0, "max_attempts": 2, "backoff_s": 0.1, "max_backoff_s": 0.2,
    "control": "wrong", "control_words": "model", "sees": "stance",
    "return_token_ids": True, "examples_as": "system", "command": ("cat",), "workers": 2, "http": "http://a",
    "http_key_header": "x-key", "revision": "v2",
    "http_request": {"a": "$text"}, "http_reply": "a.b",
}  # fmt: skip
BY_CONTENT = {
    "task",
    "data",
    "split",
    "problems",
    "prompt_library",
    "majority",
    "second_chance",
    "control_answers",
    "examples",
}
"""Decide through what is read (fingerprints, task settings), or need another protocol."""


def decided(**options):
    return identity(
        EvalConfig(**{**BASE, **options}), task={"name": "t"}, split="", data_fingerprint="", prompts=""
    )


@pytest.mark.parametrize("name", sorted({item.name for item in dataclasses.fields(EvalConfig)} - BY_CONTENT))
def test_what_decides_is_in_the_identity(name):
    """Set otherwise, an option changes the identity of a run if it decides, and only then."""
    assert (decided(**{name: OTHER[name]}) != decided()) is (name in deciding(EvalConfig))


@pytest.mark.parametrize("name", sorted({item.name for item in dataclasses.fields(AgentConfig)} - BY_CONTENT))
def test_what_decides_of_a_model_is_in_the_identity(name):
    """The same of an agent's own options: where it is served decides nothing."""
    if name == "replicas":
        other = dataclasses.replace(BASE["agent"], model="a", replicas="pool")
        assert decided(agent=other) == decided(agent=dataclasses.replace(BASE["agent"], model="a"))
        return
    agent = BASE["agent"]
    if name in {"http_request", "http_reply"}:
        agent = dataclasses.replace(agent, http="http://a")
    other = dataclasses.replace(agent, **{name: MODEL[name]})
    assert (decided(agent=other) != decided(agent=agent)) is (name in deciding(AgentConfig))
