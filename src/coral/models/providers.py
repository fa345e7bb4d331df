"""Which address, key and habits belong to a `provider/name`: one table, and how a name is resolved by it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from coral.errors import ConfigError
from coral.models import embedded
from coral.models.config import ModelConfig
from coral.models.plain import paths_of
from coral.models.secrets import check_key, hide, refuse_in_address


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One row of the table.

    Attributes:
        address: where the API is served; for Azure, the variable `address_variable` says it.
        key_variable: environment variable of the key.
        key_required: whether a request without a key is pointless.
        key_header: the header that carries the key; `authorization` puts `Bearer` before it.
        takes_n: whether `n` candidates can be asked for in one request; None: found out by asking.
        seed_field: what the seed is called in the request; None where the server has none or refuses it.
        max_tokens_field: what the limit of tokens is called.
        local: a server that users run themselves: its prefix is also valid together with a `base_url`.
        aliases: what LiteLLM and Inspect call the prefix, where that is another word.
    """

    name: str
    title: str
    address: str = ""
    address_variable: str | None = None
    key_variable: str | None = None
    key_required: bool = True
    key_header: str = "authorization"
    takes_n: bool | None = False
    seed_field: str | None = "seed"
    max_tokens_field: str = "max_tokens"
    local: bool = False
    aliases: tuple[str, ...] = ()


def _local(name: str, title: str, port: int, key_variable: str, *aliases: str, takes_n: bool) -> Provider:
    return Provider(
        name=name,
        aliases=aliases,
        title=title,
        address=f"http://localhost:{port}/v1",
        key_variable=key_variable,
        key_required=False,
        takes_n=takes_n,
        local=True,
    )


PROVIDERS: Mapping[str, Provider] = {
    row.name: row
    for row in (
        Provider(
            name="openai",
            title="OpenAI",
            address="https://api.openai.com/v1",
            key_variable="OPENAI_API_KEY",
            takes_n=True,
            # Reasoning models refuse the older `max_tokens`.
            max_tokens_field="max_completion_tokens",
        ),
        Provider(
            name="gemini",
            title="Google Gemini",
            address="https://generativelanguage.googleapis.com/v1beta/openai",
            key_variable="GEMINI_API_KEY",
            # 400 `Unknown name "seed"`; several models allow one candidate only.
            seed_field=None,
            aliases=("google",),
        ),
        Provider(
            name="anthropic",
            title="Anthropic Claude",
            address="https://api.anthropic.com/v1",
            key_variable="ANTHROPIC_API_KEY",
            # `n` must be 1, `seed` and `logprobs` are ignored.
            seed_field=None,
        ),
        Provider(
            name="openrouter",
            title="OpenRouter",
            address="https://openrouter.ai/api/v1",
            key_variable="OPENROUTER_API_KEY",
        ),
        Provider(
            name="together",
            title="Together AI",
            address="https://api.together.xyz/v1",
            key_variable="TOGETHER_API_KEY",
            takes_n=True,
            aliases=("together_ai",),
        ),
        Provider(
            name="mistral",
            title="Mistral",
            address="https://api.mistral.ai/v1",
            key_variable="MISTRAL_API_KEY",
            takes_n=True,
            # 422 `extra_forbidden` for `seed` and `max_completion_tokens`.
            seed_field="random_seed",
        ),
        Provider(
            name="deepseek",
            title="DeepSeek",
            address="https://api.deepseek.com/v1",
            key_variable="DEEPSEEK_API_KEY",
            seed_field=None,
        ),
        Provider(
            name="groq",
            title="Groq",
            address="https://api.groq.com/openai/v1",
            key_variable="GROQ_API_KEY",
            # 400 for `n` above 1 and for `logprobs`.
            max_tokens_field="max_completion_tokens",
        ),
        Provider(
            name="azure",
            title="Azure OpenAI",
            address_variable="AZURE_OPENAI_ENDPOINT",
            key_variable="AZURE_OPENAI_API_KEY",
            key_header="api-key",
            takes_n=True,
            max_tokens_field="max_completion_tokens",
        ),
        # Whether the models of these take `n` differs from model to model: it is found out by asking.
        Provider(
            name="xai",
            title="xAI",
            address="https://api.x.ai/v1",
            key_variable="XAI_API_KEY",
            takes_n=None,
            aliases=("grok",),
        ),
        Provider(
            name="fireworks",
            title="Fireworks AI",
            address="https://api.fireworks.ai/inference/v1",
            key_variable="FIREWORKS_API_KEY",
            takes_n=None,
            aliases=("fireworks_ai",),
        ),
        Provider(
            name="cerebras",
            title="Cerebras",
            address="https://api.cerebras.ai/v1",
            key_variable="CEREBRAS_API_KEY",
            takes_n=None,
            max_tokens_field="max_completion_tokens",
        ),
        Provider(
            name="deepinfra",
            title="DeepInfra",
            address="https://api.deepinfra.com/v1/openai",
            key_variable="DEEPINFRA_API_KEY",
            takes_n=None,
        ),
        Provider(
            name="sambanova",
            title="SambaNova",
            address="https://api.sambanova.ai/v1",
            key_variable="SAMBANOVA_API_KEY",
            takes_n=None,
        ),
        Provider(
            name="nvidia",
            title="NVIDIA NIM",
            address="https://integrate.api.nvidia.com/v1",
            key_variable="NVIDIA_API_KEY",
            takes_n=None,
            aliases=("nvidia_nim",),
        ),
        Provider(
            name="moonshot",
            title="Moonshot AI",
            address="https://api.moonshot.ai/v1",
            key_variable="MOONSHOT_API_KEY",
            takes_n=None,
        ),
        Provider(
            name="perplexity",
            title="Perplexity",
            address="https://api.perplexity.ai",
            key_variable="PERPLEXITY_API_KEY",
            takes_n=None,
        ),
        Provider(
            name="huggingface",
            title="Hugging Face Inference Providers",
            address="https://router.huggingface.co/v1",
            key_variable="HF_TOKEN",
            takes_n=None,
        ),
        _local("vllm", "vLLM", 8000, "VLLM_API_KEY", "hosted_vllm", takes_n=True),
        _local("sglang", "SGLang", 30000, "SGLANG_API_KEY", takes_n=True),
        _local("ollama", "Ollama", 11434, "OLLAMA_API_KEY", takes_n=False),
        _local("lmstudio", "LM Studio", 1234, "LMSTUDIO_API_KEY", "lm_studio", takes_n=False),
        # With `n` its usage is that of candidate 0, and `n` above its slots is refused.
        _local("llamacpp", "llama.cpp", 8080, "LLAMA_API_KEY", "llama-cpp", "llama.cpp", takes_n=False),
    )
}

DNS = "dns://"
"""Begins an address whose name stands for several servers, which may come and go."""

_BY_PREFIX = {prefix: row for row in PROVIDERS.values() for prefix in (row.name, *row.aliases)}

UNKNOWN_SERVER = Provider(name="", title="any OpenAI-compatible server", key_required=False, takes_n=None)
"""What is assumed of a server that is known by its address alone."""


PLAIN_SERVER = Provider(name="", title="this endpoint", key_required=False)
"""Of an endpoint that does not speak chat completions: it gives one reply per request."""


@dataclass(frozen=True, kw_only=True)
class Plain:
    """How an endpoint is asked, and where things are in what it answers.

    Attributes:
        request: a template; empty for a request as commands read it.
        paths: of the parts of a reply.
    """

    request: Mapping[str, Any]
    paths: Mapping[str, str]


def provider_named(prefix: str) -> Provider | None:
    """The provider that a prefix means, by its own name or another; None: there is none."""
    return _BY_PREFIX.get(prefix)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A model name resolved: what to send, where to, with which headers.

    Attributes:
        name: the name for records and price tables, as the user wrote it.
        wire_name: the name the server knows.
        base_urls: of the endpoints, without a trailing slash; none where replicas say it.
        chat_urls: where completions are posted, one an endpoint.
        key: never shown; `key_variable` is what messages name.
        option: where the user set the model, as messages name it.
        replicas: folder of the replicas that serve the model, or dns:// and the name of all of them.
        plain: how it is asked and answers where it does not speak chat completions.
        hidden: further secrets.
    """

    name: str
    wire_name: str
    provider: Provider
    base_urls: tuple[str, ...]
    chat_urls: tuple[str, ...]
    key_variable: str | None
    key: str | None = field(repr=False)
    option: str = "--agent"
    replicas: str | None = None
    plain: Plain | None = None
    hidden: tuple[str, ...] = field(default=(), repr=False)

    @property
    def listing(self) -> str:
        """Where the names of served models stand, and what else may be wrong if a name is not among them."""
        if not self.base_urls:
            return f"the records in {self.replicas}"
        return f"{self.base_urls[0]}/models, and base_url"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must appear in no text."""
        return (self.key, *self.hidden) if self.key else self.hidden

    @property
    def headers(self) -> dict[str, str]:
        """The headers that carry the key. Never print them."""
        if self.key is None:
            return {}
        if self.provider.key_header == "authorization":
            return {"Authorization": f"Bearer {self.key}"}
        return {self.provider.key_header: self.key}


def resolve(
    config: ModelConfig, environ: Mapping[str, str] = os.environ, *, option: str = "--agent"
) -> Target:
    """Find address, key and habits of the model that `config` names.

    Raises:
        ConfigError: no model, unknown provider, bad address, or the key's variable is not set.
    """
    if config.http is not None:
        return _plain_target(config, environ, option)
    if config.is_person:
        raise ConfigError("a person is no model that can be asked here", remedy="name a model")
    if not config.model:
        raise ConfigError("no model is named", remedy="name one, such as --agent.model openai/gpt-4o-mini")
    given = tuple(_tidy_address(url) for url in config.base_urls)
    provider, wire_name = _provider_of(config)
    replicas = config.replicas or _shared_name(config, given)
    base_urls = given if given or config.replicas else (_own_address(provider, environ),)
    key_variable = config.api_key_env or provider.key_variable
    return Target(
        name=config.model,
        wire_name=wire_name,
        provider=provider,
        base_urls=base_urls,
        chat_urls=tuple(_chat_url(provider, url, wire_name, environ) for url in base_urls),
        key_variable=key_variable,
        key=_read_key(config, provider, environ),
        option=option,
        replicas=replicas,
    )


def _plain_target(config: ModelConfig, environ: Mapping[str, str], option: str) -> Target:
    """An endpoint that does not speak chat completions: its address is taken as it stands."""
    assert config.http is not None
    address = _tidy_address(config.http, default_path="/", is_whole=True)
    return Target(
        name=embedded.name_of(config),
        wire_name=config.model,
        provider=replace(PLAIN_SERVER, key_header=config.http_key_header.lower()),
        base_urls=(address,),
        chat_urls=(address,),
        key_variable=config.api_key_env,
        key=_read_key(config, PLAIN_SERVER, environ),
        option=option,
        plain=Plain(request=config.http_request, paths=paths_of(config.http_reply)),
    )


def _shared_name(config: ModelConfig, given: tuple[str, ...]) -> str | None:
    """dns:// and what follows, where the address is the name of several servers."""
    if not any(url.strip().startswith(DNS) for url in config.base_urls):
        return None
    if len(given) > 1 or urlsplit(given[0]).port is None:
        raise ConfigError(
            f"'{', '.join(config.base_urls)}' is not one name with a port",
            remedy="write base_url as dns://NAME:PORT, alone: all addresses of the name are used",
        )
    return DNS + given[0].removeprefix("http://")


def _provider_of(config: ModelConfig) -> tuple[Provider, str]:
    prefix, slash, rest = config.model.partition("/")
    known = provider_named(prefix) if slash and rest else None
    if config.replicas is not None:
        return (known, rest) if known is not None and known.local else (UNKNOWN_SERVER, config.model)
    if not config.base_urls:
        if known is None:
            raise ConfigError(
                f"it is not known where '{config.model}' is served",
                remedy="put a provider before the name (" + "/, ".join(PROVIDERS) + "/), give base_url, "
                "or name a checkpoint folder that exists",
            )
        return known, rest
    # Weights are published as openai/..., mistral.../..., deepseek.../...: behind a user's own address such a
    # prefix is part of the name. The local servers are no publishers, and Azure has no address of its own.
    if known is not None and (known.local or known.address_variable):
        return known, rest
    host = urlsplit(config.base_urls[0]).hostname
    at_host = (row for row in PROVIDERS.values() if not row.local and urlsplit(row.address).hostname == host)
    by_host = next(at_host, UNKNOWN_SERVER)
    return by_host, rest if known is not None and known is by_host else config.model


def _own_address(provider: Provider, environ: Mapping[str, str]) -> str:
    if provider.address_variable is None:
        return provider.address
    address = environ.get(provider.address_variable, "").strip()
    if not address:
        raise ConfigError(
            f"{provider.title} needs the address of your resource",
            remedy=f"export {provider.address_variable}=https://YOUR-RESOURCE.openai.azure.com",
        )
    return _tidy_address(address, default_path="")


def _tidy_address(address: str, default_path: str = "/v1", *, is_whole: bool = False) -> str:
    """Bring what users paste into one form: no trailing slash, no method, `/v1` where there is no path; one
    that `is_whole` is only checked.
    """
    if address.strip().startswith(DNS):
        address = "http://" + address.strip().removeprefix(DNS)
    try:
        parts = urlsplit(address.strip())
        parts.port  # noqa: B018 - raises for what is no number
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(
            f"'{hide(address)}' is not an address of a server",
            remedy="write it in full, such as http://localhost:8000/v1",
        )
    if parts.username or parts.password:
        raise ConfigError(
            f"the address of {parts.hostname} holds a user name or password",
            remedy="remove it, and put a key into an environment variable named by api_key_env",
        )
    refuse_in_address(address.strip())
    if is_whole:
        return urlunsplit((parts.scheme, parts.netloc, parts.path or default_path, parts.query, ""))
    path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path or default_path, parts.query, ""))


def _chat_url(provider: Provider, base_url: str, wire_name: str, environ: Mapping[str, str]) -> str:
    parts = urlsplit(base_url)
    path, query = parts.path, parts.query
    if provider.address_variable is not None and not path.endswith("/openai/v1"):
        version = environ.get("OPENAI_API_VERSION", "").strip()
        root = path.removesuffix("/openai").removesuffix("/v1").rstrip("/")
        path = f"{root}/openai/deployments/{wire_name}" if version else f"{root}/openai/v1"
        query = f"api-version={version}" if version else query
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/chat/completions", query, ""))


def _read_key(config: ModelConfig, provider: Provider, environ: Mapping[str, str]) -> str | None:
    variable = config.api_key_env or provider.key_variable
    if variable is None:
        return None
    key = environ.get(variable, "").strip()
    if key:
        check_key(key, variable)
        return key
    if config.api_key_env or provider.key_required:
        raise ConfigError(
            f"the key for {provider.title} is missing: the environment variable {variable} is not set",
            remedy=f"export {variable}=...  (or name another variable with api_key_env)",
        )
    return None
