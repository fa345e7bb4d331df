"""How names, addresses and keys are resolved."""

from __future__ import annotations

import pytest

from coral.errors import ConfigError
from coral.models.config import ModelConfig
from coral.models.providers import PROVIDERS, resolve

KEYS = {row.key_variable: "k" for row in PROVIDERS.values()} | {
    "AZURE_OPENAI_ENDPOINT": "https://res.openai.azure.com"
}

ADDRESSES = {
    "openai": "https://api.openai.com/v1/chat/completions",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
    "anthropic": "https://api.anthropic.com/v1/chat/completions",
    "openrouter": "https://openrouter.ai/api/v1/chat/completions",
    "together": "https://api.together.xyz/v1/chat/completions",
    "mistral": "https://api.mistral.ai/v1/chat/completions",
    "deepseek": "https://api.deepseek.com/v1/chat/completions",
    "groq": "https://api.groq.com/openai/v1/chat/completions",
    "azure": "https://res.openai.azure.com/openai/v1/chat/completions",
    "xai": "https://api.x.ai/v1/chat/completions",
    "fireworks": "https://api.fireworks.ai/inference/v1/chat/completions",
    "cerebras": "https://api.cerebras.ai/v1/chat/completions",
    "deepinfra": "https://api.deepinfra.com/v1/openai/chat/completions",
    "sambanova": "https://api.sambanova.ai/v1/chat/completions",
    "nvidia": "https://integrate.api.nvidia.com/v1/chat/completions",
    "moonshot": "https://api.moonshot.ai/v1/chat/completions",
    "perplexity": "https://api.perplexity.ai/chat/completions",
    "huggingface": "https://router.huggingface.co/v1/chat/completions",
    "llamacpp": "http://localhost:8080/v1/chat/completions",
    "vllm": "http://localhost:8000/v1/chat/completions",
    "sglang": "http://localhost:30000/v1/chat/completions",
    "ollama": "http://localhost:11434/v1/chat/completions",
    "lmstudio": "http://localhost:1234/v1/chat/completions",
}


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_provider_resolves(name):
    """Each prefix leads to its address with the rest of the name, slashes included."""
    target = resolve(ModelConfig(model=f"{name}/org/model-1"), KEYS)
    assert target.chat_urls == (ADDRESSES[name],)
    assert target.wire_name == "org/model-1"
    assert target.name == f"{name}/org/model-1"


ALIASES = [
    ("google", "gemini", "Inspect"),
    ("grok", "xai", "Inspect"),
    ("llama-cpp", "llamacpp", "by its project's name"),
    ("llama.cpp", "llamacpp", "by its project's name"),
    ("fireworks_ai", "fireworks", "LiteLLM"),
    ("together_ai", "together", "LiteLLM"),
    ("hosted_vllm", "vllm", "LiteLLM"),
    ("lm_studio", "lmstudio", "LiteLLM"),
    ("nvidia_nim", "nvidia", "LiteLLM"),
]


@pytest.mark.parametrize(("alias", "name", "of"), ALIASES)
def test_prefixes_of_other_tools_mean_the_same(alias, name, of):
    """A model's name from LiteLLM or Inspect leads where it leads there."""
    target, meant = (resolve(ModelConfig(model=f"{prefix}/org/m"), KEYS) for prefix in (alias, name))
    assert (target.chat_urls, target.wire_name, target.headers) == (
        meant.chat_urls,
        meant.wire_name,
        meant.headers,
    )


def test_no_prefix_means_two_providers():
    """Names and other names are all different."""
    prefixes = [prefix for row in PROVIDERS.values() for prefix in (row.name, *row.aliases)]
    assert len(prefixes) == len(set(prefixes))


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_missing_key_names_its_variable(name):
    """A provider that needs a key says which variable to set; a local server needs none."""
    environ = {"AZURE_OPENAI_ENDPOINT": "https://res.openai.azure.com"}
    config = ModelConfig(model=f"{name}/m")
    if PROVIDERS[name].key_required:
        with pytest.raises(ConfigError, match=f"{PROVIDERS[name].key_variable} is not set") as caught:
            resolve(config, environ)
        assert f"export {PROVIDERS[name].key_variable}=" in caught.value.remedy
    else:
        assert resolve(config, environ).headers == {}


def test_headers_carry_the_key_as_the_provider_wants_it():
    """Bearer for most, `api-key` for Azure; and the key shows in no repr."""
    secret = "sk-1234567890"
    openai = resolve(ModelConfig(model="openai/m"), {**KEYS, "OPENAI_API_KEY": secret})
    azure = resolve(ModelConfig(model="azure/m"), {**KEYS, "AZURE_OPENAI_API_KEY": secret})
    assert openai.headers == {"Authorization": f"Bearer {secret}"}
    assert azure.headers == {"api-key": secret}
    assert secret not in repr(openai) + repr(azure)


def test_a_named_key_variable_wins():
    """api_key_env overrides the provider's own variable, and must then be set."""
    config = ModelConfig(model="openai/m", api_key_env="TEAM_KEY")
    assert resolve(config, {"TEAM_KEY": "t", "OPENAI_API_KEY": "o"}).key == "t"
    with pytest.raises(ConfigError, match="TEAM_KEY"):
        resolve(config, {"OPENAI_API_KEY": "o"})


def test_no_key_is_sent_to_an_unknown_address():
    """The user's OpenAI key is nobody else's business."""
    target = resolve(ModelConfig(model="m", base_url="http://somewhere:8000/v1"), KEYS)
    assert target.headers == {}


BASE_URLS = [
    ("http://gpu:8000", "http://gpu:8000/v1", "no path: the usual one"),
    ("http://gpu:8000/", "http://gpu:8000/v1", "a lone slash is no path"),
    ("http://gpu:8000/v1/", "http://gpu:8000/v1", "trailing slash"),
    (" http://gpu:8000/v1 ", "http://gpu:8000/v1", "white space from pasting"),
    ("http://gpu:8000/v1/chat/completions", "http://gpu:8000/v1", "the whole method"),
    ("https://host/proxy/openai/v1", "https://host/proxy/openai/v1", "a longer path"),
]


@pytest.mark.parametrize(("given", "tidy", "reason"), BASE_URLS, ids=[row[2] for row in BASE_URLS])
def test_addresses_are_taken_as_people_paste_them(given, tidy, reason):
    """What people write as base_url leads to the same place."""
    target = resolve(ModelConfig(model="m", base_url=given), {})
    assert target.base_urls == (tidy,)
    assert target.chat_urls == (f"{tidy}/chat/completions",)


UNREADABLE_ADDRESSES = ["http://[::1:80", "dns://[::1:80", "http://gpu:99999", "http://gpu:x"]


def test_an_empty_address_is_refused():
    """It is a forgotten value, which must not lead to a provider's own address."""
    with pytest.raises(ConfigError, match="base_url is empty"):
        resolve(ModelConfig(model="m", base_url=""), {})


@pytest.mark.parametrize(
    "address", ["localhost:8000", "gpu", "ftp://gpu/v1", "http://", *UNREADABLE_ADDRESSES]
)
def test_a_bad_address_is_refused(address):
    """An address without http:// would fail on every request: it is refused before the first."""
    with pytest.raises(ConfigError, match="is not an address"):
        resolve(ModelConfig(model="m", base_url=address), {})


def test_the_file_of_a_pool_is_not_its_folder(tmp_path):
    """Nothing would ever be found there, and the run would wait for an hour."""
    (tmp_path / "pool.yaml").write_text("name: demo")
    with pytest.raises(ConfigError, match=r"pool\.yaml is a file, and replicas is the folder"):
        ModelConfig(model="m", replicas=str(tmp_path / "pool.yaml"))


def test_passwords_in_addresses_are_refused_without_being_shown():
    """They would end in config files and errors."""
    with pytest.raises(ConfigError, match="user name or password") as caught:
        resolve(ModelConfig(model="m", base_url="http://me:hunter2@gpu:8000/v1"), {})
    assert "hunter2" not in str(caught.value) + caught.value.remedy


NAMES = [
    ("openai/gpt-oss-20b", "http://gpu:8000/v1", "openai/gpt-oss-20b", "", "weights published by openai"),
    ("mistralai/m", "http://gpu:8000/v1", "mistralai/m", "", "a publisher that is no provider"),
    ("vllm/org/m", "http://gpu:8000/v1", "org/m", "vllm", "a local server at another address"),
    ("llamacpp/m", "http://gpu:8080", "m", "llamacpp", "llama.cpp's server at another address"),
    ("lm_studio/m", "http://gpu:1234", "m", "lmstudio", "a local server by its other name"),
    ("google/gemma", "http://gpu:8000/v1", "google/gemma", "", "weights published by google"),
    ("nvidia/nemotron", "http://gpu:8000/v1", "nvidia/nemotron", "", "weights published by nvidia"),
    ("grok/grok-4", "https://api.x.ai/v1", "grok-4", "xai", "a provider's other name at its address"),
    ("m", "http://gpu:8000/v1", "m", "", "a bare name"),
    ("gpt-4o", "https://api.openai.com/v1", "gpt-4o", "openai", "a provider known by its address"),
    ("openai/gpt-4o", "https://api.openai.com/v1", "gpt-4o", "openai", "both"),
    ("azure/dep", "https://res.openai.azure.com", "dep", "azure", "a resource by address"),
]


@pytest.mark.parametrize(("model", "url", "wire", "provider", "reason"), NAMES, ids=[row[4] for row in NAMES])
def test_names_together_with_an_address(model, url, wire, provider, reason):
    """Behind a base_url a prefix is part of the name, except for servers people run themselves and Azure."""
    target = resolve(ModelConfig(model=model, base_url=url), KEYS)
    assert (target.wire_name, target.provider.name) == (wire, provider)


def test_a_name_without_an_address_names_the_choices():
    """An unknown place is a user error that lists the providers."""
    with pytest.raises(ConfigError, match="not known where") as caught:
        resolve(ModelConfig(model="llama"), {})
    assert "openrouter/" in caught.value.remedy
    with pytest.raises(ConfigError, match="no model"):
        resolve(ModelConfig(), {})


def test_azure_with_a_dated_version():
    """OPENAI_API_VERSION selects Azure's older addresses, a deployment each."""
    environ = {**KEYS, "OPENAI_API_VERSION": "2024-10-21"}
    target = resolve(ModelConfig(model="azure/dep"), environ)
    root = "https://res.openai.azure.com/openai/deployments/dep/chat/completions"
    assert target.chat_urls == (f"{root}?api-version=2024-10-21",)
    with pytest.raises(ConfigError, match="address of your resource"):
        resolve(ModelConfig(model="azure/dep"), {"AZURE_OPENAI_API_KEY": "k"})


def test_several_endpoints():
    """A list of addresses gives an endpoint each."""
    target = resolve(ModelConfig(model="m", base_url=("http://a:1", "http://b:1")), {})
    assert target.base_urls == ("http://a:1/v1", "http://b:1/v1")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_connections": 0}, "max_connections"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"request_timeout_s": 0}, "request_timeout_s"),
        ({"extra_body": {"n": 3}}, "n"),
        ({"extra_body": {"stream": True}}, "stream"),
    ],
)
def test_options_no_run_could_use_are_refused(options, name):
    """Each refusal names its option and a remedy."""
    with pytest.raises(ConfigError, match=name) as caught:
        ModelConfig(model="m", **options)
    assert caught.value.remedy
