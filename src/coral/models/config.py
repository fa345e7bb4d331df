"""What a user says about a model: the options behind `--agent.*`, `--partner.*` and `--extractor.*`."""

from __future__ import annotations

import re
import shlex
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from coral.config import COUNT, NOT_NEGATIVE, POSITIVE, Bounds, Options, option
from coral.errors import ConfigError, Notice
from coral.models.plain import DEFAULT_REPLY, check_reply, check_request
from coral.models.protocol import Sampling
from coral.models.secrets import check_variable, refuse_in_address, refuse_in_body, refuse_in_command

RESERVED_BODY_FIELDS = frozenset({"model", "messages", "n", "seed", "stream"})
"""Fields of the request body that Coral itself decides, so `extra_body` may not."""
HIGHEST_TEMPERATURE = 2.0
"""What servers commonly take at most."""
HUMAN = "human"
"""The model's name where a person takes the seat."""
PLACES = ("base_url", "replicas", "command", "http")
"""Options that say where a model is. One of them says it; without any, the model's name does."""
SHELL_WORDS = frozenset({"|", "||", "&&", "&", ";", ">", ">>", "<", "2>", "2>&1", "&>"})
"""What a shell would act on: as a word of a command it would reach the program."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Options):
    """A model, where it is served, and how it is sampled."""

    model: str = option("", decides=True)
    """`provider/name` (see docs/models.md), a checkpoint folder, or the server's own name together with
    `base_url`. By default the tiny model in the package."""
    base_url: str | tuple[str, ...] | None = option(None, decides=False, names=True)
    """Address of an OpenAI-compatible server; a list if several serve the same model; dns://NAME:PORT if they
    share a name that is looked up again and again."""
    replicas: str | None = option(None, decides=False)
    """Folder of a replica pool (`coral cluster up`) instead of base_url: its replicas may come and go."""
    replicas_within_s: float = option(3600.0, decides=False, within=POSITIVE)
    """Seconds that a run waits while no replica is ready; then it ends, and the same command resumes it."""
    revision: str | None = option(None, decides=False)
    """For the response cache: stands for the address, and tells this model from others that were served under
    its name before. `--serve` and the loop of `coral improve` set it themselves."""
    command: str | tuple[str, ...] = option((), decides=True)
    """A program that plays the agent: each line that it reads is a request as JSON, and its reply is one
    line (docs/own_agents.md). A text or a list of words; no shell reads it. {python} is this Python."""
    workers: int = option(4, decides=False, within=COUNT)
    """Most processes of `command` at a time, started as they are needed."""
    http: str | None = option(None, decides=False)
    """Address of an endpoint that is not chat completions: it is posted the JSON that a `command` reads."""
    http_request: dict[str, Any] = option(decides=True, default_factory=dict)
    """What `http` is posted instead, such as {inputs: $text, parameters: {seed: $seed}}; docs/own_agents.md
    lists the names."""
    http_reply: str | dict[str, str] = option(DEFAULT_REPLY, decides=True)
    """Where the text is in what `http` answers, such as choices.0.text; or a mapping of text, finish_reason,
    reasoning, usage and error to such paths."""
    http_key_header: str = option("authorization", decides=False)
    """The header that carries the key to `http`; authorization puts `Bearer` before it."""
    api_key_env: str | None = option(None, decides=False)
    """Environment variable that holds the key; by default the provider's own, such as OPENAI_API_KEY."""
    temperature: float | None = option(0.2, decides=True, within=NOT_NEGATIVE)
    """Sampling temperature; null leaves it to the server."""
    top_p: float | None = option(None, decides=True, within=Bounds(above=0, most=1))
    """Nucleus sampling; null leaves it to the server."""
    max_tokens: int | None = option(1024, decides=True, within=COUNT)
    """Most tokens of one reply; null leaves it to the server."""
    thinking_tokens: int = option(16384, decides=True, within=NOT_NEGATIVE)
    """Further tokens of a reply where a model thinks first, from the first one on that shows it. 0: none."""
    stop: tuple[str, ...] = option((), decides=True)
    """Texts at which the model stops writing."""
    extra_body: dict[str, Any] = option(decides=True, default_factory=dict)
    """Further fields of the request body, such as {top_k: 20} or {reasoning_effort: low}."""
    return_token_ids: bool = option(False, decides=True)
    """Keep the token ids of prompts and replies, and the replies' log probabilities, for reinforcement
    learning. vLLM, `coral serve` and checkpoint folders give them, llama.cpp those of replies."""
    system_prompt: str | None = option(None, decides=True)
    """Replaces the system prompt of this agent: a text, or @FILE. The form of an answer is said below it
    unless it places `{{ instruction }}` itself; an empty text sends no system prompt."""
    context_tokens: int | None = option(None, decides=False, within=COUNT)
    """Context length of the model, for planning; null trusts the server's own limit."""
    max_connections: int | None = option(None, decides=False, within=COUNT)
    """Most requests in flight to this model's server; null: the run's limit. Models that share a server share
    the smallest of theirs."""
    request_timeout_s: float = option(600.0, decides=False, within=POSITIVE)
    """Seconds until one sending of a request counts as failed."""
    total_timeout_s: float = option(1800.0, decides=False, within=POSITIVE)
    """Seconds from its first sending until a request is given up, retries and pauses included."""
    max_attempts: int = option(10, decides=False, within=COUNT)
    """How often one request is sent at most."""
    backoff_s: float = option(0.5, decides=False, within=POSITIVE)
    """Longest pause before the first retry; it doubles from retry to retry."""
    max_backoff_s: float = option(30.0, decides=False, within=POSITIVE)
    """Longest pause between two retries, unless the server asks for more."""

    def __post_init__(self) -> None:
        """Refuse values that no run could use.

        Raises:
            ConfigError: names the option and what it may be.
        """
        super().__post_init__()
        if (self.temperature or 0.0) > HIGHEST_TEMPERATURE:
            text = f"temperature is {self.temperature:g}: most servers take 0 to {HIGHEST_TEMPERATURE:g}"
            warnings.warn(text, Notice, stacklevel=2)
        taken = sorted(RESERVED_BODY_FIELDS & self.extra_body.keys())
        if taken:
            raise ConfigError(
                f"extra_body may not set {', '.join(taken)}",
                remedy="these fields are decided by Coral: remove them from extra_body",
            )
        refuse_in_body(self.extra_body)
        if self.api_key_env is not None:
            check_variable(self.api_key_env)
        for address in (*self.base_urls, *([self.http] if self.http else ())):
            refuse_in_address(address)
        self._check_place()
        check_request(self.http_request)
        refuse_in_body(self.http_request, "http_request")
        check_reply(self.http_reply)

    def _check_place(self) -> None:
        for name in PLACES:
            if getattr(self, name) == "":  # of a variable that is not set: another agent would take its place
                raise ConfigError(f"{name} is empty", remedy="give a value, or leave it out")
        placed = [name for name in PLACES if getattr(self, name) not in (None, ())]
        if len(placed) > 1:
            raise ConfigError(
                f"{placed[0]} and {placed[1]} both say where the model is served", remedy="give one of them"
            )
        if self.replicas is not None and Path(self.replicas).expanduser().is_file():
            raise ConfigError(
                f"{self.replicas} is a file, and replicas is the folder of a pool",
                remedy="give what its `folder:` names",
            )
        if placed and self.model == HUMAN and placed[0] != "base_url":
            raise ConfigError(f"a person ({HUMAN}) needs no {placed[0]}", remedy="leave it out")
        if not re.fullmatch(r"[A-Za-z0-9-]+", self.http_key_header):
            raise ConfigError("http_key_header is not the name of a header", remedy="give one, as x-api-key")
        if self.http is None and (self.http_request or self.http_reply != DEFAULT_REPLY):
            raise ConfigError("http_request and http_reply are about http", remedy="give its address: http")
        if self.command:
            refuse_in_command(self.command_words, "command")

    @property
    def is_placed(self) -> bool:
        """Whether an option says where the model is, and not its name."""
        return any(getattr(self, name) not in (None, "", ()) for name in PLACES)

    @property
    def is_person(self) -> bool:
        """Whether a person takes the seat."""
        return self.model == HUMAN and not self.is_placed

    @property
    def command_words(self) -> tuple[str, ...]:
        """The command, word by word.

        Raises:
            ConfigError: a quotation mark in it is not closed, or it is meant for a shell.
        """
        if not isinstance(self.command, str):
            return self.command
        try:
            words = tuple(shlex.split(self.command))
        except ValueError as error:
            raise ConfigError(
                f"the command cannot be split into words: {error}", remedy="quote it as for a shell"
            ) from None
        if for_shell := next((word for word in words if word in SHELL_WORDS), None):
            raise ConfigError(
                f"no shell reads the command, so '{for_shell}' would be a word for {words[0]}",
                remedy="put it into a script, or write sh -c '...' with the whole of it quoted",
            )
        return words

    @property
    def base_urls(self) -> tuple[str, ...]:
        """The addresses as a tuple, empty where the provider's own is meant."""
        if self.base_url is None:
            return ()
        return (self.base_url,) if isinstance(self.base_url, str) else tuple(self.base_url)

    def sampling(self, *, logprobs: bool = False) -> Sampling:
        """The settings of these options for a `Request`. Build it once, not once per request."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            stop=tuple(self.stop),
            logprobs=logprobs or self.return_token_ids,
            return_token_ids=self.return_token_ids,
            extra=msgspec.Raw(msgspec.json.encode(self.extra_body)) if self.extra_body else None,
        )
