"""`coral build`, end to end: sampled against a real server, built, and looked at."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest
import yaml
from aiohttp import web

from coral import tasks
from coral.api import build_async, evaluate_async, load_run, sample_async
from coral.conversation.protocols.pair import messages_for
from coral.errors import ConfigError, DataError, RunFolderError
from coral.rows.assemble import SharedProblems
from coral.rows.problem_statistics import is_for_evaluation
from coral.rows.run import open_run
from coral.serving.app import ChatServer
from coral.serving.listen import listening
from coral.serving.scripted import Knowledge, Persona, serve_scripted
from coral.store.push import PushFailed, push
from coral.tasks.protocol import Source
from coral.types import OPENER, RESPONDER, Message, StopReason


async def sampled(serve, data, path, *, task="hi_tom", persona=(), **options):
    """A run of trees; returns its folder and the texts of all requests that the server saw."""
    agent = {"model": "scripted", "backoff_s": 0.001, **options.pop("agent", {})}
    async with serve(task=task, data=data, **dict(persona)) as (url, counter):
        run = await sample_async(
            task, data=data, output=str(path), agent={**agent, "base_url": url},
            **{"limit": 12, "candidates": 4, "samples": 2, "max_turns": 6, "split": "train", **options},
        )  # fmt: skip
    return run.path, {texts for texts, _ in counter}


def rows_of(folder):
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


def said(row, column):
    return row[column][0]["content"]


@pytest.mark.parametrize(
    "agents",
    [
        {},
        {"agent": {"system_in_user": True}, "opener": "partner"},
        {"agent": {"system_prompt": "Agent: {{ instruction }}"}, "partner": {"system_prompt": "Other."}},
    ],
    ids=["alike", "system in user", "different prompts"],
)
async def test_every_prompt_is_one_that_the_model_was_asked(serve, data, tmp_path, agents):
    """Training prompts equal inference prompts: the server saw each of them, to the letter."""
    run, asked = await sampled(serve, data, tmp_path / "run", extractor={"mode": "rules"}, **agents)
    for kind in ("dpo", "kto", "sft"):
        await build_async(run, output=tmp_path / kind, kind=kind)
        rows = rows_of(tmp_path / kind)
        assert rows
        for row in rows:
            assert tuple(message["content"] for message in row["prompt"]) in asked
            roles = [message["role"] for message in row["prompt"] if message["role"] != "system"]
            assert roles == (["user", "assistant"] * len(roles))[: len(roles)]
            assert roles[-1] == "user"


async def test_lineage_leads_back_to_the_texts(serve, data, tmp_path):
    """Run, conversation, turn and candidate name the reply; its verdict is the row's; caps hold."""
    run, _ = await sampled(serve, data, tmp_path / "run", candidates=5, samples=4)
    stored = {one.id: one for one in load_run(run).conversations()}
    report = await build_async(run, output=tmp_path / "rows", kind="dpo", max_per_problem=5)
    rows = rows_of(tmp_path / "rows")
    assert report.rows == len(rows) > 20
    opened = open_run(run, "run")
    for row in rows:
        source = row["source"]
        conversation = stored[source["conversation"]]
        replies = conversation.turns[source["turn"] - 1].replies
        chosen, rejected = replies[source["candidate"]], replies[source["rejected"]]
        assert (said(row, "chosen"), said(row, "rejected")) == (chosen.text, rejected.text)
        assert chosen.correct is True
        assert rejected.correct is False
        assert source["run"] == "run"
        prompt = msgspec.convert(row["prompt"], tuple[Message, ...])
        assert opened.prompt(conversation, source["turn"] - 1) == prompt
    turns = Counter((row["source"]["conversation"], row["source"]["turn"]) for row in rows)
    problems = Counter(row["source"]["conversation"].rpartition("#")[0] for row in rows)
    assert max(turns.values()) <= 2
    assert max(problems.values()) <= 5


async def test_no_row_comes_from_a_failed_conversation(serve, data, tmp_path):
    """A run with failures is built without them, and says how many they were."""
    run, _ = await sampled(
        serve, data, tmp_path / "run", agent={"max_attempts": 1}, persona={"faults": "500:0.3"}.items()
    )
    failed = {one.id for one in load_run(run).conversations() if one.stop is StopReason.FAILED}
    assert failed
    report = await build_async(run, output=tmp_path / "rows", kind="kto")
    assert failed.isdisjoint(row["source"]["conversation"] for row in rows_of(tmp_path / "rows"))
    assert (report.filters[0].name, report.filters[0].of - report.filters[0].kept) == (
        "not_failed",
        len(failed),
    )


async def test_briefings_stand_in_the_prompts_of_their_seat(tmp_path):
    """With split information each seat is told its own part: rows hold it, and not the other's."""
    name = {"name": "sally_anne", "split_information": True, "size": 20}
    task = tasks.load(**name)
    knowledge = Knowledge(task, task.problems(Source(data=None, split="train")))
    server = ChatServer(serve_scripted(knowledge, Persona(accuracy=0.5, stubbornness=0.9)))
    async with listening(server, host="127.0.0.1", port=0) as url:
        run = await sample_async(
            name, agent={"model": "scripted", "base_url": url}, output=str(tmp_path / "run"), limit=6,
            candidates=3, max_turns=4, split="train", extractor={"mode": "rules"},
        )  # fmt: skip
    opened = open_run(run.path, "run")
    turns = 0
    for conversation in opened.conversations():
        for index, turn in enumerate(conversation.turns):
            turns += 1
            own, others = (
                task.briefing(conversation.problem, seat)
                for seat in (turn.seat, RESPONDER if turn.seat == OPENER else OPENER)
            )
            text = "\n".join(message.content for message in opened.prompt(conversation, index))
            assert own in text
            assert others not in text
    assert turns > 6


async def test_single_agent_runs_make_the_baseline(serve, data, tmp_path):
    """`--protocol cot` with several candidates: pairs and rejection sampling from one turn."""
    run, asked = await sampled(serve, data, tmp_path / "run", protocol="cot", candidates=5, samples=1)
    await build_async(run, output=tmp_path / "dpo", kind="dpo")
    await build_async(
        run, output=tmp_path / "sft", kind="sft", conversations="any", turns="right", siblings=True
    )
    for name, count in (("dpo", 12), ("sft", 20)):
        rows = rows_of(tmp_path / name)
        assert len(rows) > count / 2
        assert {row["source"]["turn"] for row in rows} == {1}
        assert {tuple(message["content"] for message in row["prompt"]) for row in rows} <= asked


async def test_roll_outs_are_read_from_the_run(serve, data, tmp_path):
    """`coral sample --rollouts` gives values, `--score rollouts` turns them into pairs."""
    run, _ = await sampled(serve, data, tmp_path / "run", rollouts=2, limit=6, samples=1, max_turns=4)
    stored = {one.id: one for one in load_run(run).conversations()}
    await build_async(run, output=tmp_path / "rows", kind="dpo", score="rollouts", min_margin=0.4)
    for row in rows_of(tmp_path / "rows"):
        replies = stored[row["source"]["conversation"]].turns[row["source"]["turn"] - 1].replies
        better, worse = (replies[row["source"][side]].value for side in ("candidate", "rejected"))
        assert row["margin"] == pytest.approx(better - worse)
        assert row["margin"] > 0.4


async def test_held_out_splits_and_runs(serve, data, tmp_path):
    """`--held_out` takes evaluation runs and names of splits; `all` of the data overlaps with `test`."""
    run, _ = await sampled(serve, data, tmp_path / "run", split="all", limit=None, samples=1, max_turns=2)
    async with serve(data=data) as (url, _):
        evaluated = await evaluate_async(
            "hi_tom", agent={"model": "scripted", "base_url": url}, data=data, split="test", max_turns=2,
            output=str(tmp_path / "evaluated"),
        )  # fmt: skip
    held = {one.problem.id for one in evaluated.conversations()}
    with pytest.raises(Exception, match=f"{len(held)} problems of the runs are held out"):
        await build_async(run, output=tmp_path / "rows", held_out=[evaluated.path])
    for number, name in enumerate(("test", evaluated.path)):
        output = tmp_path / f"rows-{number}"
        report = await build_async(run, output=output, held_out=[name], shared="drop")
        assert report.shared.by_id == report.shared.checked == len(held)
        assert held.isdisjoint(row["source"]["conversation"].partition("#")[0] for row in rows_of(output))


async def test_a_held_out_split_is_that_of_the_run_s_problems(tmp_path):
    """What problems there are depends on `data_seed`, where a run has one, and not on its seed."""
    name = {"name": "sally_anne", "size": 6}
    task = tasks.load(**name)
    knowledge = Knowledge(task, task.problems(Source(data=None, split="train", seed=5)))
    server = ChatServer(serve_scripted(knowledge, Persona(accuracy=0.5)))
    async with listening(server, host="127.0.0.1", port=0) as url:
        run = await sample_async(
            name, agent={"model": "scripted", "base_url": url}, output=str(tmp_path / "run"),
            candidates=2, samples=1, max_turns=2, split="train", extractor={"mode": "rules"},
            seed=6, data_seed=5,
        )  # fmt: skip
    with pytest.raises(SharedProblems, match="6 problems of the runs are held out: 6 by their id"):
        await build_async(run.path, output=tmp_path / "rows", held_out=["train"])


async def test_a_split_of_an_encrypted_archive_is_held_out(serve, data, tmp_path):
    """`--held_out` reads GPQA's archive with the password of the build, which is stored nowhere."""
    gpqa = Path(data).parents[1] / "gpqa"
    run, _ = await sampled(
        serve, str(gpqa / "SYNTHETIC_fixture.csv"), tmp_path / "run", task="gpqa", split="all", limit=None,
    )  # fmt: skip
    config = run / "config.yaml"
    options = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**options, "data": str(gpqa / "SYNTHETIC_zipcrypto.zip")}))
    with pytest.raises(DataError, match="is encrypted") as caught:
        await build_async(run, output=tmp_path / "rows", held_out=["all"], shared="keep")
    assert "--data_password" in caught.value.remedy
    report = await build_async(
        run, output=tmp_path / "rows", held_out=["all"], shared="keep", data_password="open-sesame"
    )
    assert report.shared.by_id == 4
    for path in (tmp_path / "rows").iterdir():
        assert b"open-sesame" not in path.read_bytes()


SPLITS = [
    ("test", True), ("validation", True), ("val", True), ("dev", True), ("eval", True), ("seeded-test", True),
    ("val_2", True), ("TEST", True), ("mmlu-dev-5shot", True), ("held_out", True), ("development", True),
    ("train", False), ("seeded-train", False), ("all", False), ("train-dev", False), ("devices", False),
    ("auxiliary_train", False), ("latest", False), ("main", False),
]  # fmt: skip


@pytest.mark.parametrize(("split", "evaluation"), SPLITS)
def test_a_split_for_evaluation_is_known_by_its_name(split, evaluation):
    """Rows of such a split are refused unless asked for; other tasks than ours name them otherwise."""
    assert is_for_evaluation(split) is evaluation


async def test_the_folder_is_complete_or_not_there(serve, data, tmp_path):
    """Nothing is overwritten; what a killed build left behind is swept; a failure leaves nothing."""
    run, _ = await sampled(serve, data, tmp_path / "run")
    left = tmp_path / ".rows.partial"
    (left / "lineage").mkdir(parents=True)
    (left / ".rows").write_text("half a row")
    await build_async(run, output=tmp_path / "rows")
    assert sorted(path.name for path in (tmp_path / "rows").iterdir()) == [
        "README.md", "config.yaml", "report.json", "train.jsonl",
    ]  # fmt: skip
    assert not left.exists()
    before = (tmp_path / "rows" / "train.jsonl").read_bytes()
    with pytest.raises(RunFolderError, match="exists"):
        await build_async(run, output=tmp_path / "rows")
    with pytest.raises(ConfigError):
        await build_async(run, output=tmp_path / "other", held_out=["nowhere"])
    assert not list(tmp_path.glob("*other*"))
    config = yaml.safe_load((tmp_path / "rows" / "config.yaml").read_text())
    await build_async(*config.pop("runs"), **{**config, "output": tmp_path / "again"})
    assert (tmp_path / "again" / "train.jsonl").read_bytes() == before


async def test_a_second_build_of_the_same_folder_is_refused(serve, data, tmp_path):
    """Two processes must not write one folder."""
    import fcntl

    run, _ = await sampled(serve, data, tmp_path / "run", limit=4)
    (tmp_path / ".rows.partial").mkdir()
    held = os.open(tmp_path / ".rows.partial", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        with pytest.raises(RunFolderError, match="another process builds rows"):
            await build_async(run, output=tmp_path / "rows")
        assert (tmp_path / ".rows.partial").exists()
    finally:
        os.close(held)


@pytest.mark.parametrize(
    ("spoil", "cause", "remedy"),
    [
        (lambda run: (run / "summary.json").unlink(), "is not finished", "--unfinished"),
        (lambda run: (run / "prompts.json").unlink(), "keeps no prompts", "again"),
        (lambda run: (run / "prompts.json").write_text("{"), "damaged", "copy"),
        (lambda run: _reword(run, "systems", "agent"), "does not hold the prompts", "again"),
        (lambda run: _reword(run, "protocol", "first_reply"), "does not hold the prompts", "again"),
    ],
)
async def test_a_run_whose_prompts_cannot_be_made_again_is_refused(
    serve, data, tmp_path, spoil, cause, remedy
):
    """Rows with other prompts than the model answered to would train something else."""
    run, _ = await sampled(serve, data, tmp_path / "run", limit=2, samples=1)
    spoil(run)
    with pytest.raises(RunFolderError, match=cause) as caught:
        await build_async(run, output=tmp_path / "rows")
    assert remedy in caught.value.remedy


def _reword(run: Path, kind: str, name: str, *, agree: bool = False) -> None:
    """Change a prompt; `agree`: the run's record says that it was made so."""
    from coral import prompts

    told = json.loads((run / "prompts.json").read_text())
    told[kind][name] += " Please."
    (run / "prompts.json").write_text(json.dumps(told))
    if agree:
        identity = json.loads((run / "run.json").read_text())
        again = [told["second_look"]] if told.get("second_look") else []
        texts = (*told["systems"].values(), told["extraction"], *told["protocol"].values(), *again)
        identity["prompts"] = prompts.fingerprint(*texts)
        (run / "run.json").write_text(json.dumps(identity))


async def test_rows_hold_the_words_of_the_run_not_of_this_version(serve, data, tmp_path):
    """What the protocol says may be worded anew; an older run's rows keep what its models read."""
    run, _ = await sampled(serve, data, tmp_path / "run", limit=4)
    _reword(run, "protocol", "first_reply", agree=True)
    built = await build_async(run, output=tmp_path / "rows", seat="opener")
    rows = [json.loads(line) for line in (tmp_path / "rows" / "train.jsonl").read_text().splitlines()]
    assert built.rows == len(rows) > 0
    assert all("Please." in row["prompt"][1]["content"] for row in rows)


async def test_unfinished_runs_on_request(serve, data, tmp_path):
    """What is there of an interrupted run can be used, knowingly."""
    run, _ = await sampled(serve, data, tmp_path / "run", limit=4)
    (run / "summary.json").unlink()
    assert (await build_async(run, output=tmp_path / "rows", unfinished=True)).rows


async def test_prompts_of_rows_are_made_by_the_view(serve, data, tmp_path):
    """The loop and the rows call one function: here is that call, spelt out."""
    run, _ = await sampled(serve, data, tmp_path / "run", limit=3)
    opened = open_run(run, "run")
    conversation = next(one for one in opened.conversations() if len(one.turns) > 1)
    expected = messages_for(
        conversation.turns[1].seat,
        system=opened.speaker_prompts["agent"].system,
        opening=conversation.opening,
        briefing="",
        replies=[conversation.turns[0].reply.text],
    )
    assert opened.prompt(conversation, 1) == expected


async def test_the_command(serve, data, tmp_path):
    """`coral build RUN... --held_out NAME...` as a user types it: a table, a folder, exit code 0."""
    run, _ = await sampled(serve, data, tmp_path / "run")
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "coral", "build", run, "--kind", "dpo", "--held_out", "test", "validation",
         "--output", tmp_path / "rows"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    rows = len(rows_of(tmp_path / "rows"))
    assert re.search(
        rf"^{rows:,} dpo rows from 24 conversations about 12 problems$", done.stdout, re.MULTILINE
    )
    assert re.search(r"^turns +with_a_pair +\d+ +\d+ +[\d.]+%$", done.stdout, re.MULTILINE)
    assert [line for line in done.stdout.splitlines() if len(line) > 80 and str(tmp_path) not in line] == []
    report = json.loads((tmp_path / "rows" / "report.json").read_text())
    assert report["rows"] == rows
    assert report["shared"]["checked"] > 0
    assert report["runs"][0]["identity"]["candidates"] == 4
    again = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "coral", "build", run, "--output", tmp_path / "rows"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 2
    assert "nothing is overwritten" in again.stderr


async def test_the_folder_loads_as_a_data_set(serve, data, tmp_path):
    """The card names the data file, so that `load_dataset(FOLDER)` finds the rows and nothing else."""
    run, _ = await sampled(serve, data, tmp_path / "run")
    report = await build_async(run, output=tmp_path / "rows", format="openai", kind="dpo")
    card = (tmp_path / "rows" / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front == {"configs": [{"config_name": "default", "data_files": "train.jsonl"}]}
    assert f"# {report.rows} dpo rows" in card


# The hub ----------------------------------------------------------------------------------------------------


class Hub:
    """As much of the hub's interface as an upload of small files needs."""

    def __init__(self, *, refusing=False):
        self.refusing = refusing
        self.created, self.files, self.tokens = [], {}, set()

    def app(self):
        app = web.Application()
        app.router.add_post("/api/repos/create", self.create)
        app.router.add_post("/api/datasets/{owner}/{name}/preupload/{revision}", self.preupload)
        app.router.add_post("/api/datasets/{owner}/{name}/commit/{revision}", self.commit)
        app.router.add_get("/api/datasets/{owner}/{name}{rest:.*}", self.info)
        app.router.add_post("/api/validate-yaml", self.validate)
        return app

    async def create(self, request):
        self.tokens.add(request.headers.get("Authorization"))
        if self.refusing:
            return web.json_response({"error": "no such namespace"}, status=403)
        asked = await request.json()
        self.created.append(asked)
        name = f"{asked.get('organization', 'me')}/{asked['name']}"
        return web.json_response({"url": f"{request.url.origin()}/datasets/{name}", "name": name})

    async def preupload(self, request):
        files = (await request.json())["files"]
        modes = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]
        return web.json_response({"files": modes})

    async def commit(self, request):
        import base64

        for line in (await request.text()).splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                self.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        url = f"{request.url.origin()}/datasets/me/rows/commit/{'1' * 40}"
        return web.json_response({"success": True, "commitUrl": url, "commitOid": "1" * 40})

    async def info(self, request):
        if self.refusing:
            return web.json_response({"error": "not found"}, status=404)
        return web.json_response({"id": "me/rows", "sha": "0" * 40, "siblings": []})

    async def validate(self, request):
        return web.json_response({"errors": [], "warnings": []})


async def _serve_hub(hub, code):
    """Run `code(environment)` while the hub listens."""
    runner = web.AppRunner(hub.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_TOKEN": "hf_secret",
                   "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}  # fmt: skip
    try:
        return await asyncio.to_thread(code, environment)
    finally:
        await runner.cleanup()


async def test_push_uploads_the_whole_folder_to_a_private_data_set(serve, data, tmp_path):
    """The hub's own client against a local hub: repository made private, every file there, token sent."""
    run, _ = await sampled(serve, data, tmp_path / "run", limit=4)
    hub = Hub()
    command = [sys.executable, "-m", "coral", "build", run, "--output", tmp_path / "rows",
               "--push_to_hub", "me/rows"]  # fmt: skip
    done = await _serve_hub(
        hub,
        lambda env: subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60),
    )
    assert done.returncode == 0, done.stderr
    assert "pushed to: me/rows" in done.stdout
    (created,) = hub.created
    assert created["type"] == "dataset"
    assert created.get("visibility") == "private" or created["private"] is True, "newer and older clients"
    assert hub.tokens == {"Bearer hf_secret"}
    assert set(hub.files) == {"README.md", "config.yaml", "report.json", "train.jsonl"}
    assert hub.files["train.jsonl"] == (tmp_path / "rows" / "train.jsonl").read_bytes()
    assert b"hf_secret" not in b"".join(hub.files.values())


async def test_a_refused_push_keeps_the_rows(serve, data, tmp_path):
    """The rows are complete before they are pushed; the remedy says how to push them."""
    run, _ = await sampled(serve, data, tmp_path / "run", limit=4)
    command = [sys.executable, "-m", "coral", "build", run, "--output", tmp_path / "rows",
               "--push_to_hub", "me/rows"]  # fmt: skip
    done = await _serve_hub(
        Hub(refusing=True),
        lambda env: subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60),
    )
    assert done.returncode == 2
    assert "were not pushed" in done.stderr
    assert "hf upload me/rows" in done.stderr
    assert "Traceback" not in done.stderr
    assert rows_of(tmp_path / "rows")


def test_a_hub_out_of_reach_is_named_with_what_is_left_to_do(tmp_path, monkeypatch):
    """No connection: the rows stay, and one command pushes them later."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(PushFailed, match="not pushed to me/rows") as caught:
        push(tmp_path, "me/rows", public=False)
    assert "hf upload me/rows" in caught.value.remedy


def test_a_failure_of_the_hub_that_has_no_words_is_named_by_its_kind(tmp_path, monkeypatch):
    """A client's time-out may say nothing at all."""

    def create_repo(*_, **__):
        raise TimeoutError

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", create_repo)
    with pytest.raises(PushFailed, match="not pushed to me/rows: TimeoutError"):
        push(tmp_path, "me/rows", public=False)


def test_an_impossible_name_is_refused(tmp_path):
    """Before anything is sent."""
    with pytest.raises((ConfigError, PushFailed)):
        push(tmp_path, "not a/valid/name", public=False)


async def test_confidential_problems_are_not_pushed(serve, data, tmp_path):
    """GPQA's authors ask that no problem is published: rows hold them."""
    run, _ = await sampled(serve, data, tmp_path / "run", limit=2, samples=1)
    identity = json.loads((run / "run.json").read_text())
    identity["task"] = {"name": "gpqa"}
    (run / "run.json").write_text(json.dumps(identity))
    with pytest.raises(ConfigError, match="gpqa"):
        await build_async(run, output=tmp_path / "rows", push_to_hub="me/rows")
    assert not (tmp_path / "rows").exists()
