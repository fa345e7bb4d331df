"""Options: what is inherited, what is refused, what decides a run."""

import asyncio
from pathlib import Path

import pytest

import coral
from coral.errors import ConfigError, RunFolderError
from coral.evaluation.config import EvalConfig, SampleConfig, agent_config
from coral.evaluation.estimate import estimate


def config(**options):
    return EvalConfig(task={"name": "hi_tom"}, **options)


@pytest.mark.parametrize(
    ("agent", "partner", "base_url"),
    [
        ({"model": "m", "base_url": "http://a"}, {}, "http://a"),
        ({"model": "m", "base_url": "http://a"}, {"temperature": 1.0}, "http://a"),
        ({"model": "m", "base_url": "http://a"}, {"model": "n"}, "http://a"),  # two models of one server
        (
            {"model": "org/m", "base_url": "http://a"},
            {"model": "org/n"},
            "http://a",
        ),  # a slash is no provider
        ({"model": "m", "base_url": "http://a"}, {"model": "openai/gpt-4o"}, None),  # another provider
        ({"model": "m", "base_url": "http://a"}, {"model": "n", "base_url": "http://b"}, "http://b"),
    ],
)
def test_the_partner_is_like_the_agent_unless_set(agent, partner, base_url):
    """Address and key go with a server: they are inherited unless the partner lives elsewhere."""
    found = config(agent=agent_config(agent), partner=partner).partner_config()
    assert found.base_url == base_url
    assert found.model == partner.get("model", agent["model"])


@pytest.fixture
def checkpoint(tmp_path):
    """Any folder may hold a checkpoint."""
    (tmp_path / "checkpoint").mkdir()
    return str(tmp_path / "checkpoint")


@pytest.mark.parametrize("role", ["partner", "extractor"])
@pytest.mark.parametrize("model", ["FOLDER", "tiny"])
def test_a_checkpoint_folder_beside_a_served_agent_runs_here(checkpoint, role, model):
    """The agent's server knows nothing of a folder of this machine, nor of the model in the package."""
    options = {"model": checkpoint if model == "FOLDER" else model}
    agent = agent_config({"model": "m", "base_url": "http://a", "api_key_env": "KEY"})
    whole = config(agent=agent, **{role: options})
    found = whole.partner_config() if role == "partner" else whole.extractor_config()
    assert (found.model, found.base_url, found.api_key_env) == (options["model"], None, None)
    at_the_server = config(agent=agent, **{role: {**options, "base_url": "http://a"}})
    assert at_the_server.partner_config().base_url == "http://a"


def test_a_server_that_names_its_models_by_folders(checkpoint, tmp_path):
    """`vllm serve DIR` knows its models by folders: then the partner's folder is one of them."""
    agent = agent_config({"model": checkpoint, "base_url": "http://a"})
    assert config(agent=agent, partner={"model": str(tmp_path)}).partner_config().base_url == "http://a"
    assert config(agent=agent).partner_config().base_url == "http://a"


def test_two_models_of_one_provider_share_key_and_extras():
    """Naming the provider again changes nothing of what belongs to it."""
    agent = agent_config(
        {"model": "openai/a", "api_key_env": "MY_KEY", "extra_body": {"reasoning_effort": "low"}}
    )
    partner = config(agent=agent, partner={"model": "openai/b"}).partner_config()
    assert (partner.api_key_env, partner.extra_body) == ("MY_KEY", {"reasoning_effort": "low"})


def test_the_extractor_has_the_agents_model_and_its_own_sampling():
    """Temperature 0 and few tokens, whatever the agent's."""
    agent = agent_config({"model": "m", "base_url": "http://a", "temperature": 0.9, "max_tokens": 4000})
    extractor = config(agent=agent).extractor_config()
    assert (extractor.model, extractor.base_url, extractor.mode) == ("m", "http://a", "hybrid")
    assert (extractor.temperature, extractor.max_tokens) == (0.0, 64)


def test_embedded_models_are_read_by_rules():
    """A model of a few million parameters extracts nothing; who wants it says so."""
    assert config().extractor_config().mode == "rules"
    assert config(extractor={"mode": "hybrid"}).extractor_config().mode == "hybrid"


@pytest.mark.parametrize(
    "wrong",
    [
        {"protocol": "cott"}, {"limit": "3"}, {"limit": 0}, {"samples": 0}, {"data": 7}, {"seed": "x"},
        {"max_failed_rate": -1.0}, {"max_failed_rate": 7.0}, {"protocol": "cot", "partner": {"model": "x"}},
        {"protocol": "cot", "opener": "partner"}, {"partner": {"temperature": "hot"}},
        {"second_chance": True}, {"salt": 3},
    ],
)  # fmt: skip
def test_values_are_checked_before_anything_is_sent(wrong):
    """Python may hand in anything; a wrong value is named, with a remedy."""
    with pytest.raises(ConfigError) as caught:
        config(**wrong).partner_config()
    assert caught.value.remedy


def test_paths_may_be_paths(data):
    """`pathlib` is how Python names files."""
    assert (
        coral.estimate(
            "hi_tom", data=Path(data), limit=3, agent={"model": "m", "base_url": "http://a"}
        ).problems
        == 3
    )


def test_a_dry_run_in_python_sends_nothing(data):
    """The option of the command is refused where it would have no effect."""
    with pytest.raises(ConfigError, match="dry_run"):
        coral.evaluate("hi_tom", data=data, limit=3, dry_run=True)


def test_inside_an_event_loop_the_way_on_is_named():
    """Every notebook has a running loop."""

    async def notebook():
        coral.evaluate("hi_tom")

    with pytest.raises(ConfigError) as caught:
        asyncio.run(notebook())
    assert "evaluate_async" in caught.value.remedy


def priced(tmp_path, data, **options):
    prices = tmp_path / "prices.yaml"
    prices.write_text("cheap: {prompt: 1, completion: 1}\ndear: {prompt: 100, completion: 100}\n")
    agent = agent_config({"model": "cheap", "base_url": "http://a"})
    return estimate(
        config(data=data, limit=4, prices=str(prices), agent=agent, extractor={"mode": "rules"}, **options)
    )


def test_a_dry_run_prices_each_seat_by_its_own_model(tmp_path, data):
    """A dear partner shows; one without a price makes the whole unknown."""
    alike = priced(tmp_path, data).volumes[0].usd
    dear = priced(tmp_path, data, partner={"model": "dear"}).volumes[0].usd
    assert dear > 20 * alike
    assert priced(tmp_path, data, partner={"model": "nobody"}).volumes[0].usd is None


FIRST = [
    ({}, "partner", "the agent states the problem, so its partner is asked first"),
    ({"opener": "partner"}, "agent", "the other way round"),
    ({"protocol": "cot"}, "agent", "one alone"),
]


@pytest.mark.parametrize(("options", "name", "reason"), FIRST, ids=[row[2] for row in FIRST])
@pytest.mark.parametrize("kind", [EvalConfig, SampleConfig])
def test_a_dry_run_shows_the_first_speakers_request(data, kind, options, name, reason):
    """The request that is shown is the one that would be sent first: its speaker's prompt and model."""
    told = {"agent": "You are the agent.", "partner": "You are the partner."}
    seats = {"agent": agent_config({"model": "a", "base_url": "http://a", "system_prompt": told["agent"]})}
    if options.get("protocol") != "cot":
        seats["partner"] = {"model": "p", "system_prompt": told["partner"], "system_in_user": True}
    found = estimate(kind(task={"name": "hi_tom"}, data=data, limit=3, **seats, **options))
    assert (found.speaker.name, found.speaker.model) == (name, name[0]), reason
    assert found.first[0].content.startswith(told[name])
    assert [message.role.value for message in found.first] == (
        ["user"] if name == "partner" else ["system", "user"]
    )


def test_a_dry_run_counts_what_each_seat_is_told(tmp_path, data):
    """A partner with a long prompt reads it before each of its turns."""
    short = priced(tmp_path, data, partner={"system_prompt": "Be brief."}).volumes[0]
    long = priced(tmp_path, data, partner={"system_prompt": "Be brief. " * 4000}).volumes[0]
    assert long.prompt_tokens - short.prompt_tokens == pytest.approx(4 * 2 * 10_000, rel=0.01)


def test_a_dry_run_takes_the_longest_turn_of_either_seat(tmp_path, data):
    """The upper bound is one."""
    bound = priced(tmp_path, data, partner={"max_tokens": 100_000}).volumes[-1]
    assert bound.completion_tokens >= 4 * 10 * 100_000


THINKING = [
    ({}, 16_384, "by default"),
    ({"thinking_tokens": 3_000}, 3_000, "as said"),
    ({"thinking_tokens": 0}, None, "none is given"),
    ({"max_tokens": 8}, None, "a reply so short is given none"),
    ({"max_tokens": None}, None, "the server alone decides"),
]


@pytest.mark.parametrize(("agent", "thinking", "reason"), THINKING, ids=[row[2] for row in THINKING])
@pytest.mark.parametrize("mode", ["rules", "model"])
def test_a_dry_run_counts_what_a_model_may_think(data, mode, agent, thinking, reason):
    """Thinking is paid for, by the turn and by the extraction, and is read by nobody."""
    agent = agent_config({"model": "m", "base_url": "http://a", **agent})
    extractor = {"mode": mode, "thinking_tokens": agent.thinking_tokens if thinking else 0}
    _, most, *thought = estimate(config(data=data, limit=4, agent=agent, extractor=extractor)).volumes
    if thinking is None:
        assert thought == [], reason
        return
    replies = 4 * 20 * (2 if mode == "model" else 1)
    assert thought[0].assumption == f"at most, thinking: 20 turns of {1024 + thinking} tokens"
    assert thought[0].completion_tokens - most.completion_tokens == replies * thinking
    assert (thought[0].prompt_tokens, thought[0].requests) == (most.prompt_tokens, most.requests)


BOUNDS = [
    ({"mode": "rules", "max_tokens": 100}, 0, 100, "no request"),
    ({"mode": "model", "max_tokens": 100}, 1, 100, "one request per reply"),
    ({"mode": "hybrid", "max_tokens": 100}, 2, 100, "one, and a second look at an answer that is not there"),
    ({"mode": "hybrid", "max_tokens": 7}, 2, 7, "a short budget"),
    ({"mode": "model", "max_tokens": None}, 1, 1000, "no limit: said, and guessed"),
]


@pytest.mark.parametrize(
    ("extractor", "requests", "tokens", "reason"), BOUNDS, ids=[row[3] for row in BOUNDS]
)
def test_at_most_is_a_bound(data, extractor, requests, tokens, reason):
    """Each reply and each extraction that can be asked for is as long as its limit allows."""
    agent = agent_config({"model": "m", "base_url": "http://a", "max_tokens": 300, "thinking_tokens": 0})
    found = estimate(config(data=data, limit=4, agent=agent, extractor={"thinking_tokens": 0, **extractor}))
    typical, most = found.volumes
    assert most.requests == 4 * 20 * (1 + requests), reason
    assert most.completion_tokens == 4 * 20 * (300 + requests * tokens)
    assert most.prompt_tokens > typical.prompt_tokens
    limited = extractor["max_tokens"] is not None
    assert most.assumption == ("at most" if limited else "max_tokens null, say") + ": 20 turns of 300 tokens"


def test_the_model_in_the_package_is_given_no_tokens_for_thinking(data):
    """It runs in this process, where nothing is sent."""
    assert len(estimate(config(data=data, limit=4, extractor={"mode": "model"})).volumes) == 2


async def test_a_broken_price_table_is_named_before_the_first_request(serve, data, tmp_path):
    """Nobody should pay for a run whose table cannot be made."""
    (tmp_path / "bad.yaml").write_text("m: 3")
    async with serve() as (url, counter):
        with pytest.raises(ConfigError, match=r"bad\.yaml"):
            await coral.evaluate_async(
                "hi_tom", data=data, limit=2, agent={"model": "scripted", "base_url": url},
                prices=tmp_path / "bad.yaml", output=tmp_path / "run",
            )  # fmt: skip
    assert not counter


async def test_naming_a_default_is_no_other_run(serve, data, tmp_path):
    """`{"name": "hi_tom", "note": True}` is `hi_tom`, whose default that is."""
    async with serve() as (url, _):
        options = {"data": data, "limit": 2, "agent": {"model": "scripted", "base_url": url}}
        await coral.evaluate_async("hi_tom", output=tmp_path / "run", **options)
        await coral.evaluate_async({"name": "hi_tom", "note": True}, output=tmp_path / "run", **options)


async def test_an_unfinished_run_is_measured_as_such(serve, data, tmp_path):
    """The summary of the smaller run is gone once a larger one begins, and `score` says how much is owed."""
    async with serve() as (url, _):
        options = {"data": data, "agent": {"model": "scripted", "base_url": url}, "output": tmp_path / "run"}
        await coral.evaluate_async("hi_tom", limit=4, **options)
        progress = coral.evaluation.progress.Progress(stopping=True)
        await coral.evaluate_async("hi_tom", limit=9, progress=progress, **options)
    assert not (tmp_path / "run" / "summary.json").exists()
    summary = await coral.score_async(tmp_path / "run")
    assert (summary.conversations, summary.owed) == (4, 5)


@pytest.mark.parametrize("content", ["", "{", "[]"])
async def test_a_damaged_run_json_is_named(serve, data, tmp_path, content):
    """No traceback, and no talk of other options."""
    async with serve() as (url, _):
        options = {
            "data": data, "limit": 2, "agent": {"model": "scripted", "base_url": url},
            "output": tmp_path / "run",
        }  # fmt: skip
        await coral.evaluate_async("hi_tom", **options)
        (tmp_path / "run" / "run.json").write_text(content)
        with pytest.raises(RunFolderError, match=r"run\.json is damaged"):
            await coral.evaluate_async("hi_tom", **options)
    with pytest.raises(RunFolderError, match=r"run\.json is damaged"):
        await coral.score_async(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("evaluate", ("hi_tom",)),
        ("sample", ("hi_tom",)),
        ("score", ("runs/x",)),
        ("compare", ("runs/x", "runs/y")),
        ("improve", ({},)),
    ],
)
async def test_a_call_inside_an_event_loop_says_what_to_await(name, arguments):
    """A notebook has a loop: no bare RuntimeError, and each call has its other form."""
    with pytest.raises(ConfigError, match="an event loop is running") as caught:
        getattr(coral, name)(*arguments)
    assert f"{name}_async" in caught.value.remedy
    assert callable(getattr(coral, f"{name}_async"))
