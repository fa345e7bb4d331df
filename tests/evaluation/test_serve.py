"""`--serve`: a command that starts the agent's server while a run needs it. Real servers on loopback."""

import asyncio
import json
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import coral
from coral.cli.options import parse
from coral.config import load_yaml
from coral.errors import ConfigError, Interrupted, StoppedEarly, UserError
from coral.evaluation.config import EvalConfig
from coral.evaluation.estimate import estimate
from coral.evaluation.progress import Progress
from coral.generation.config import GenerateConfig
from coral.serving.launch import LaunchConfig

SLEEP = "import time; time.sleep(60)"
DYING = """
import pathlib, subprocess, sys, time
server = subprocess.Popen(sys.argv[2:])
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.02)
server.kill()
print("out of memory", flush=True)
sys.exit(7)
"""


@pytest.fixture
def server(data):
    """The command line of a scripted agent over real records."""

    def line(*flags):
        words = ["{python}", "-m", "coral", "serve", "scripted", "--task", "hi_tom", "--data", data]
        return shlex.join([*words, "--port", "{port}", *flags]).replace("'{python}'", "{python}")

    return line


@pytest.fixture
def options(data, tmp_path):
    """Options of a small run, its server's log beside it."""
    return {"data": data, "limit": 3, "max_turns": 4, "output": str(tmp_path / "run")}


def spoken(run):
    return {c.id: [turn.reply.text for turn in c.turns] for c in run.conversations()}


async def test_a_run_starts_its_server_and_stops_it(serve, server, options, tmp_path):
    """The replies are those of the same server started by hand; an unnamed model is the one listed."""
    log = tmp_path / "server.log"
    command = {"command": server("--accuracy", "0.5", "--stubbornness", "0.6"), "log": str(log)}
    served = await coral.evaluate_async("hi_tom", serve=command, extractor={"mode": "rules"}, **options)
    async with serve() as (url, _):
        by_hand = await coral.evaluate_async(
            "hi_tom", agent={"model": "scripted", "base_url": url}, extractor={"mode": "rules"},
            **{**options, "output": str(tmp_path / "by_hand")},
        )  # fmt: skip
    assert spoken(served) == spoken(by_hand)
    identities = [coral.load_run(run.path).identity() for run in (served, by_hand)]
    assert identities[0] == identities[1]
    address = log.read_text().split(" on http://127.0.0.1:")[1].split("/")[0]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(address))) != 0


async def test_a_finished_run_needs_no_server(server, options, tmp_path):
    """Where the model is named, the server is started only if something is still to be asked."""
    await coral.evaluate_async("hi_tom", agent="scripted", serve=server(), **options)
    never = {"command": f"{sys.executable} -c 'raise SystemExit(1)' {{port}}"}
    again = await coral.evaluate_async("hi_tom", agent="scripted", serve=never, **options)
    assert again.summary.conversations == 3
    with pytest.raises(UserError, match="ended with 1 before it was ready"):
        await coral.evaluate_async("hi_tom", agent="scripted", serve=never, **{**options, "limit": 4})


async def test_the_stored_options_start_the_server_again(server, options, tmp_path):
    """config.yaml holds the command, not the address of one session."""
    run = await coral.evaluate_async("hi_tom", serve=server(), **options)
    stored = load_yaml((run.path / "config.yaml").read_text())
    assert stored["serve"]["command"] == server()
    assert stored["agent"]["base_url"] is None
    again = parse(EvalConfig, ["--config", str(run.path / "config.yaml")], command="coral eval", about="")
    assert again.serve == LaunchConfig(command=server())


async def test_sampling_and_batches_start_servers_too(server, options, tmp_path):
    """`coral sample` and `coral generate` take the same option."""
    run = await coral.sample_async("hi_tom", serve=server(), candidates=2, samples=1, **options)
    assert run.summary.conversations == 3
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "Hello"}\n')
    words = [sys.executable, "-m", "coral", "generate", rows, "--output", tmp_path / "out.jsonl"]
    done = await asyncio.create_subprocess_exec(
        *map(str, words), "--serve", server(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, said = await done.communicate()
    assert done.returncode == 0, said.decode()
    assert "waiting for the server" in said.decode()
    body = json.loads((tmp_path / "out.jsonl").read_text())["response"]
    assert body["model"] == "scripted"
    assert body["choices"]


async def test_several_processes_share_one_server(server, options, tmp_path):
    """It is started once, and no process keeps its address as an option of the run."""
    log = tmp_path / "server.log"
    serve = {"command": server(), "log": str(log)}
    run = await coral.evaluate_async("hi_tom", serve=serve, processes=2, **options)
    assert run.summary.conversations == 3
    assert log.read_text().count("serving scripted on") == 1
    assert load_yaml((run.path / "config.yaml").read_text())["serve"]["command"] == server()


@pytest.mark.parametrize(
    ("command", "more", "said"),
    [
        (("{python}", "-c", "raise SystemExit('no memory')", "{port}"), {}, "no memory"),
        (("{python}", "-c", SLEEP, "{port}"), {"ready_within_s": 0.5}, "a model after 0.5 s"),
        (("/no/such/server", "{port}"), {}, "No such file"),
    ],
)
async def test_a_server_that_does_not_start_is_an_error_with_its_words(options, command, more, said):
    """By a deadline, not by a guess; and there is no run folder then."""
    with pytest.raises(UserError, match=said):
        await coral.evaluate_async("hi_tom", serve={"command": command, **more}, **options)
    assert not Path(options["output"]).exists()


async def test_another_model_than_the_listed_one_is_refused(server, options):
    """A typing error in the model's name is met before the first request."""
    with pytest.raises(UserError, match="does not list 'scripter', but scripted"):
        await coral.evaluate_async("hi_tom", agent="scripter", serve=server(), **options)


async def test_a_stop_while_the_server_starts_is_heeded(options):
    """A large model takes minutes to load; Ctrl-C does not wait for it."""
    progress = Progress()
    serve = {"command": ("{python}", "-c", SLEEP, "{port}")}
    run = asyncio.ensure_future(coral.evaluate_async("hi_tom", serve=serve, progress=progress, **options))
    while not progress.notes:
        await asyncio.sleep(0.01)
    progress.stopping = True
    with pytest.raises(Interrupted) as stopped:
        await run
    assert stopped.value.exit_code == 130


async def test_a_server_that_ends_in_the_middle_stops_the_run(server, options, tmp_path):
    """Not after half an hour of retries; its last words are shown, and the same command resumes."""
    marker = tmp_path / "die"
    words = shlex.split(server("--latency_s", "30"))
    progress = Progress()
    run = asyncio.ensure_future(
        coral.evaluate_async(
            "hi_tom",
            serve={"command": ["{python}", "-c", DYING, str(marker), *words]},
            progress=progress,
            **options,
        )
    )
    while not progress.in_flight:
        await asyncio.sleep(0.01)
    marker.touch()
    with pytest.raises(StoppedEarly, match=r"(?s)ended with 7 while it was needed.*out of memory"):
        await run
    resumed = await coral.evaluate_async("hi_tom", serve=server(), **options)
    assert resumed.summary.conversations == 3


async def test_a_killed_run_leaves_no_server(server, options, tmp_path):
    """Even `kill -9` of the run ends what it started."""
    log = tmp_path / "server.log"
    words = [sys.executable, "-m", "coral", "eval", "hi_tom"]
    words += [part for name, value in options.items() for part in (f"--{name}", str(value))]
    words += ["--serve", server("--latency_s", "30"), "--serve.log", str(log)]
    process = await asyncio.create_subprocess_exec(
        *words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while " on http://127.0.0.1:" not in (log.read_text() if log.exists() else ""):
        await asyncio.sleep(0.02)
    process.kill()
    await process.wait()
    port = int(log.read_text().split(" on http://127.0.0.1:")[1].split("/")[0])
    for _ in range(1000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
        await asyncio.sleep(0.02)
    raise AssertionError("the server outlived the run")


def test_a_dry_run_starts_nothing(options):
    """It says what would be sent to the server that is to come."""
    config = EvalConfig(task={"name": "hi_tom"}, serve=LaunchConfig(command="/no/such {port}"), **options)
    assert estimate(config).conversations == 3
    assert estimate(config).speaker.model == "(as listed)"


VLLM = ("vllm", "serve", "org/model", "--port", "{port}")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--serve", "vllm serve org/model --port {port}"], VLLM),
        (["--serve=vllm serve org/model --port {port}"], VLLM),
        (["--serve", "{command: [vllm, serve, org/model, --port, '{port}']}"], VLLM),
        (["--serve.command", "vllm serve org/model --port {port}"], VLLM),
        (["--serve.command", "[vllm, serve, org/model, --port, '{port}']"], VLLM),
        (["--serve", "{python} -m coral serve m --port {port}"],
         ("{python}", "-m", "coral", "serve", "m", "--port", "{port}")),
        (["--serve", "vllm serve --port {port} --config vllm.yaml"],
         ("vllm", "serve", "--port", "{port}", "--config", "vllm.yaml")),
        (["--serve", "serve 'my models/a' --port {port}"], ("serve", "my models/a", "--port", "{port}")),
        (["--serve", "s --hf '{\"a\": 1}' --port {port}"], ("s", "--hf", '{"a": 1}', "--port", "{port}")),
        (["--serve", "serve --port 8000", "--serve.base_url", "http://127.0.0.1:8000/v1"],
         ("serve", "--port", "8000")),
        ([], ()),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [EvalConfig, GenerateConfig])
def test_a_command_may_be_written_as_one_would_type_it(kind, given, words):
    """One text or a list, alone or with other options of the section, whatever brackets it ends with."""
    own = ["--task.name", "hi_tom"] if kind is EvalConfig else ["--input", "a", "--output", "b"]
    assert parse(kind, [*own, *given], command="coral it", about="").serve.words == words


@pytest.mark.parametrize(
    "text",
    [
        "serve: vllm serve org/model --port {port}",
        "serve: {command: 'vllm serve org/model --port {port}'}",
        "serve: {command: [vllm, serve, org/model, --port, '{port}']}",
    ],
)
def test_a_command_stands_in_a_config_file_in_the_same_ways(text, tmp_path):
    """The command line and YAML have one spelling of options."""
    path = tmp_path / "options.yaml"
    path.write_text(f"task: hi_tom\n{text}\n")
    assert parse(EvalConfig, ["--config", str(path)], command="coral it", about="").serve.words == VLLM


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--serve", "vllm serve org/model"], "does not say its port"),
        (["--serve", "serve 'org --port {port}"], "cannot be split into words"),
        (["--serve", "s {port}", "--serve.ready_within_s", "0"], "--serve.ready_within_s must be above 0"),
        (["--serve", "s {port}", "--agent.base_url", "http://a/v1"], "serve and agent.base_url both"),
        (["--serve", "s {port}", "--agent.replicas", "pool"], "serve and agent.replicas both"),
        (["--serve", "vllm serve {model} --port {port}"], "name it with --agent MODEL"),
        (["--serve.comand", "s {port}"], "did you mean"),
        (["--serve", "no.yaml"], "cannot read no.yaml"),
    ],
)
def test_what_cannot_serve_is_refused_at_once(words, said):
    """Before data are read or anything is started, with the option's name."""
    with pytest.raises(ConfigError) as refused:
        parse(EvalConfig, ["--task.name", "hi_tom", *words], command="coral it", about="")
    assert said in f"{refused.value} {refused.value.remedy}"
