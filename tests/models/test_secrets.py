"""Keys and passwords appear nowhere: not in messages, not in what is stored, and with no other server."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from coral.cluster.config import PoolConfig
from coral.errors import ConfigError, ModelError
from coral.models.config import ModelConfig
from coral.models.listing import list_models
from coral.models.providers import resolve
from coral.models.refusals import SHOWN, read_hidden_refusal, read_refusal
from coral.models.secrets import hide
from coral.serving.launch import LaunchConfig

SECRET = "sk-very-secret-0123456789"
PASSWORD = "hunter2hunter2"

ADDRESSES = [
    f"http://gpu:8000/v1?api-key={SECRET}",
    f"http://gpu:8000/v1?api_key={SECRET}",
    f"http://gpu:8000/v1?key={SECRET}",
    f"http://gpu:8000/v1?x=1&access_token={SECRET}",
    f"http://gpu:8000/v1?code={SECRET}",
    f"http://gpu:8000/v1?sig={SECRET}",
    f"http://gpu:8000/v1?Ocp-Apim-Subscription-Key={SECRET}",
    f"http://me:{SECRET}@gpu:8000/v1",
    f"http://{SECRET}@gpu:8000/v1",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_with_a_key_is_refused(address):
    """Addresses are stored with the run, and shown. The message does not repeat the key."""
    with pytest.raises(ConfigError) as caught:
        resolve(ModelConfig(model="m", base_url=address), {})
    assert SECRET not in f"{caught.value} {caught.value.remedy} {caught.value!r}"
    assert "api_key_env" in caught.value.remedy


def test_an_address_in_a_list_and_in_the_environment_is_checked_too():
    """Every way to an address."""
    with pytest.raises(ConfigError):
        ModelConfig(model="m", base_url=("http://gpu:8000", f"http://gpu:8000?key={SECRET}"))
    environ = {
        "AZURE_OPENAI_ENDPOINT": f"https://res.openai.azure.com?api-key={SECRET}",
        "AZURE_OPENAI_API_KEY": "k",
    }
    with pytest.raises(ConfigError) as caught:
        resolve(ModelConfig(model="azure/m"), environ)
    assert SECRET not in str(caught.value)


def test_a_version_in_an_address_is_no_secret():
    """Azure's and other gateways' queries stay."""
    target = resolve(ModelConfig(model="m", base_url="http://gpu:8000/v1?api-version=2024-10-21&user=me"), {})
    assert target.base_urls == ("http://gpu:8000/v1?api-version=2024-10-21&user=me",)


BODIES = [
    {"api_key": SECRET},
    {"apiKey": SECRET},
    {"api-key": SECRET},
    {"key": SECRET},
    {"Authorization": f"Bearer {SECRET}"},
    {"password": SECRET},
    {"metadata": {"client_secret": SECRET}},
    {"provider": {"options": {"access_token": SECRET}}},
    {"aws_secret_access_key": SECRET},
    {"tools": [{"type": "mcp", "headers": {"Authorization": f"Bearer {SECRET}"}}]},
    {"tools": [{"url": f"https://host/sse?api_key={SECRET}"}]},
    {"headers": {"X-Custom": f"Bearer {SECRET}"}},
    {"user": SECRET},
    {"api_keys": {"keys": [SECRET]}},
    {"token": SECRET},
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: json.dumps(body)[:20])
def test_a_key_in_extra_body_is_refused(body):
    """The options of a run are stored in its folder."""
    with pytest.raises(ConfigError) as caught:
        ModelConfig(model="m", extra_body=body)
    assert SECRET not in f"{caught.value} {caught.value.remedy}"


@pytest.mark.parametrize(
    "body",
    [
        {"top_k": 20, "reasoning_effort": "low"},
        {"prompt_cache_key": "run-1"},
        {"stop_token": "</s>"},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"language_code": "en"},
        {"api_key": ""},
    ],
    ids=str,
)
def test_other_fields_of_extra_body_are_taken(body):
    """Words that merely resemble the names of secrets."""
    assert ModelConfig(model="m", extra_body=body).extra_body == body


@pytest.mark.parametrize(
    "given", [SECRET, "Bearer abc", "${MY_KEY}", "MY KEY", "hf_abcdefghijklmnopqrstuv", ""]
)
def test_a_key_in_place_of_its_variable_is_refused(given):
    """The name of the variable is stored and shown, so a key must not stand there."""
    with pytest.raises(ConfigError) as caught:
        ModelConfig(model="m", api_key_env=given)
    assert not given or given not in f"{caught.value} {caught.value.remedy}"


@pytest.mark.parametrize(
    "key", [f"{SECRET}\n{SECRET}", f"{SECRET}\r\nX-Evil: 1", f"{SECRET}\x00", f"{SECRET}é"]
)
def test_a_key_that_no_header_can_carry_is_a_message(key):
    """Not a traceback, and not the key."""
    with pytest.raises(ConfigError, match="MY_KEY") as caught:
        resolve(ModelConfig(model="m", base_url="http://gpu", api_key_env="MY_KEY"), {"MY_KEY": key})
    assert SECRET not in f"{caught.value} {caught.value.remedy}"


def test_white_space_around_a_key_is_pasting():
    """A trailing line break of `export KEY=$(cat file)` is no fault."""
    target = resolve(
        ModelConfig(model="m", base_url="http://gpu", api_key_env="MY_KEY"), {"MY_KEY": f" {SECRET}\n"}
    )
    assert target.key == SECRET


COMMANDS = [
    f"vllm serve m --port {{port}} --api-key {PASSWORD}",
    f"vllm serve m --port {{port}} --api-key={PASSWORD}",
    f"env VLLM_API_KEY={PASSWORD} vllm serve m --port {{port}}",
    f"serve --port {{port}} --hf-token {PASSWORD}",
    f"serve --port {{port}} {SECRET}",
    f"serve --port {{port}} --remote http://me:{PASSWORD}@host",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_key_in_a_servers_command_is_refused(command):
    """The command stands in config.yaml, and in the line that says what a run waits for."""
    pool = {"name": "p", "folder": "f", "server": tuple(command.split())}
    for build in (lambda: LaunchConfig(command=command), lambda: PoolConfig(**pool)):
        with pytest.raises(ConfigError, match="holds a secret") as caught:
            build()
        shown = f"{caught.value} {caught.value.remedy}"
        assert SECRET not in shown
        assert PASSWORD not in shown
        assert "environment" in shown


@pytest.mark.parametrize(
    "more", ["", "--api-key --verbose", "--api-key {name}", "--ssl-keyfile k.pem", "--max-tokens 5"]
)
def test_other_words_of_a_servers_command_are_taken(more):
    """Words that merely resemble secrets."""
    command = f"vllm serve m --port {{port}} {more}"
    assert LaunchConfig(command=command).words == tuple(command.split())


NAMED = "gsk_very_secret_0123456789"
REPEATED = [
    {"message": "Invalid request", "param": NAMED},
    {"message": f"Invalid value: '{NAMED}'. Supported values are: 'low' and 'high'."},
    {"message": f"parameter '{NAMED}' is not supported"},
    {"message": "refused", "metadata": {"raw": json.dumps({"error": {"param": NAMED}})}},
    {"message": "refused", "param": "x" * 5_000},
]


@pytest.mark.parametrize("error", REPEATED, ids=lambda error: json.dumps(error)[:60])
@pytest.mark.parametrize("key", [NAMED, "plain_words_as_a_key"], ids=["of a provider", "own"])
def test_a_key_that_an_error_takes_for_a_parameter_is_not_shown(error, key):
    """Advice and remedy name the refused parameter: in the server's words it may be an echoed key."""
    environ = {"MY_KEY": key}
    target = resolve(ModelConfig(model="m", base_url="http://gpu", api_key_env="MY_KEY"), environ)
    body = json.dumps({"error": error}).replace(NAMED, key).encode()
    for failure in (read_refusal(400, {}, body, target), read_hidden_refusal({}, body, target)):
        assert key not in repr(failure)
        assert len(failure.message + failure.remedy) < 3 * SHOWN


HIDDEN = [
    ("Authorization: Bearer abcdef123", "Authorization: Bearer [key]"),
    ("{'api-key': 'abcdef123'}", "{'api-key': '[key]'}"),
    ('{"x-api-key": "abcdef123"}', '{"x-api-key": "[key]"}'),
    ("http://me:hunter22@proxy:3128/ failed", "http://[key]@proxy:3128/ failed"),
    ("see https://host/v1?key=abcdef123&x=1", "see https://host/v1?key=[key]&x=1"),
    ("Incorrect API key provided: sk-proj-abcdefghijklmnop", "Incorrect API key provided: [key]"),
    ("AIzaSyA0123456789012345678901234567890 is invalid", "[key] is invalid"),
    ("password=abcdef123", "password=[key]"),
    ("the sky is blue, a key idea", "the sky is blue, a key idea"),
    ("mail me@host.org", "mail me@host.org"),
]


@pytest.mark.parametrize(("text", "shown"), HIDDEN, ids=[row[0][:25] for row in HIDDEN])
def test_what_looks_like_a_secret_is_not_quoted(text, shown):
    """Servers echo headers, addresses and keys of others, too."""
    assert hide(text) == shown


async def test_a_key_echoed_in_a_reply_is_not_stored(server, open_model, ask, monkeypatch):
    """Nor in the thinking: replies are stored, shown and trained on."""
    monkeypatch.setenv("MY_KEY", SECRET)
    server.default = lambda r: server.says(
        f"your headers: {r.headers['authorization']}", reasoning_content=f"I see {SECRET}."
    )
    candidate = (await (await open_model(api_key_env="MY_KEY")).generate(ask())).candidates[0]
    assert (candidate.text, candidate.reasoning) == ("your headers: Bearer [key]", "I see [key].")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_key_follows_a_redirect(server, start_server, open_model, ask, monkeypatch, status):
    """Neither the list of models nor a completion is asked for elsewhere."""
    monkeypatch.setenv("MY_KEY", SECRET)
    other = await start_server()
    away = replace(server.raw(b""), status=status, headers={"Location": f"{other.url}/models"})
    server.models = server.default = away
    model = await open_model(model="azure/m", api_key_env="MY_KEY")
    listing = await list_models(model, model.endpoints[0])
    assert (listing.status, listing.names) == (status, None)
    with pytest.raises(ModelError, match="redirects"):
        await model.generate(ask())
    assert server.requests[0].headers["api-key"] == SECRET
    assert other.connections == 0


@pytest.mark.parametrize("reachable", [True, False])
async def test_a_proxys_password_reaches_the_proxy_alone(
    server, open_model, ask, monkeypatch, caplog, reachable
):
    """It is sent as a header, and stands in no message, whether the proxy answers or not."""
    for name in ("http_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    address = server.url.removesuffix("/v1").replace("http://", f"http://me:{PASSWORD}@")
    monkeypatch.setenv("HTTP_PROXY", address)
    model = await open_model(base_url="http://gpu.example:8000/v1", max_attempts=2, total_timeout_s=1)
    shown = [repr(model), repr(model.endpoints), str(model.endpoints[0].proxy)]
    if reachable:
        server.default = server.error(407, f"wrong login for http://me:{PASSWORD}@proxy")
    else:
        await server.stop()
    with pytest.raises(ModelError) as caught:
        await model.generate(ask())
    shown += [str(caught.value), repr(caught.value), repr(caught.value.__cause__), caught.value.remedy]
    assert not [text for text in [*shown, caplog.text] if PASSWORD in text]
    if reachable:
        assert server.requests[0].headers["proxy-authorization"].startswith("Basic ")
