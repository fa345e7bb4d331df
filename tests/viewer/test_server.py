"""The viewer's server: nothing without the token, nothing under a foreign name, and errors in words."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time

import aiohttp
import pytest

from coral.viewer.pages import TOKEN_HEADER


async def test_nothing_is_told_without_the_token(stored, view):
    """Other users of the machine can reach the port."""
    async with view(stored / "first", token=False) as client:
        for path in (
            "runs",
            "runs/0",
            "runs/0/conversations",
            "runs/0/conversation?id=q1%230",
            "compare?a=0&b=0",
        ):
            for headers in ({}, {TOKEN_HEADER: "guess"}, {TOKEN_HEADER: "\u00fc"}):
                async with client.get(f"/api/{path}", headers=headers) as response:
                    assert response.status == 403
                    assert "token" in (await response.json())["error"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 403),
        ("evil.example:80", 403),
        ("127.0.0.1:80", 200),
        ("localhost", 200),
        ("[::1]:1", 200),
    ],
)
async def test_a_foreign_name_is_refused(stored, view, host, status):
    """A web page whose name resolves to this machine reads nothing, not even with the token."""
    async with view(stored / "first") as client, client.get("/api/runs", headers={"Host": host}) as response:
        assert response.status == status


async def test_every_answer_forbids_what_the_page_does_not_need(stored, view):
    """The page, its modules, data and errors."""
    async with view(stored / "first") as client:
        for path in ("/", "/page/app.js", "/api/runs", "/nowhere", "/page/none.js"):
            async with client.get(path) as response:
                policy = response.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        "/page/../server.py",
        "/page/%2e%2e/server.py",
        "/page//etc/passwd",
        "/page/..%2f..%2fcli/__init__.py",
        "/run.json",
    ],
)
async def test_no_path_reaches_the_file_system(stored, view, path):
    """Only the files of the page have an address."""
    async with view(stored / "first") as client, client.get(path) as response:
        assert response.status == 404


async def test_the_page_is_whole(stored, view):
    """Every module that is imported, and every file that is named, is there."""
    async with view(stored / "first") as client:
        async with client.get("/") as response:
            page = await response.text()
        waiting, seen = ["app.js", "style.css", "icon.svg"], set()
        assert all(f'"page/{name}"' in page for name in waiting)
        while waiting:
            name = waiting.pop()
            async with client.get(f"/page/{name}") as response:
                assert response.status == 200, name
                text = await response.text()
            seen.add(name)
            if name.endswith(".js") and "vendor" not in name:
                imports = {line.split('"')[1] for line in text.splitlines() if line.startswith("import ")}
                waiting += [one.removeprefix("./") for one in imports if one.removeprefix("./") not in seen]
        assert "vendor/preact.js" in seen


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("runs/7", "no run 7"),
        ("runs/0/conversation?id=none%230", "holds no conversation"),
        ("runs/0/prompt?id=q1%230&turn=99", "no turn 99"),
        ("runs/0/prompt?id=q1%230&turn=0", "no turn 0"),
        ("runs/0/conversations?kind=x", "no kind 'x'"),
        ("compare?a=0&b=9", "no run 9"),
        ("compare?a=0&b=1&change=x", "no change 'x'"),
        ("difference?a=x&b=1", "a=x"),
    ],
)
async def test_errors_are_told_with_their_remedy(stored, view, path, cause):
    """As on the command line."""
    async with view(stored / "first", stored / "second") as client, client.get(f"/api/{path}") as response:
        told = await response.json()
        assert response.status == 400
        assert cause in told["error"]
        assert told["remedy"]


async def test_the_overview_agrees_with_the_summary(stored, view):
    """The same headline and interval as `coral eval` printed."""
    async with view(stored / "first") as client, client.get("/api/runs/0") as response:
        found = await response.json()
    metric = next(one for one in found["metrics"] if one["name"] == "agreement_correctness")
    assert found["headline"] == pytest.approx(metric["mean"])
    assert found["interval"] == pytest.approx([metric["low"], metric["high"]])
    assert found["finished"]
    assert sum(one["count"] for one in found["groups"]["topic"]) == found["conversations"]
    assert sum(one["count"] for one in found["turns"]) == found["conversations"]


async def follow(client, holds):
    """The overview of the first run, as soon as it is as wanted."""
    until = time.monotonic() + 60
    while not holds(found := await (await client.get("/api/runs/0")).json()):
        assert time.monotonic() < until, found
        await asyncio.sleep(0.05)
    return found


async def test_a_run_that_is_made_again_or_deleted_is_noticed(make, tmp_path, view):
    """Under the same name: what is shown is what lies there, and a run that is gone is said to be gone."""
    first = (await asyncio.to_thread(make, tmp_path, problems=6)).path
    async with view(first) as client:
        assert (await follow(client, bool))["conversations"] == 6
        shutil.rmtree(first)
        await asyncio.to_thread(make, tmp_path, agent="python:view_bots:sure", problems=4)
        await follow(client, lambda found: found.get("conversations") == 4 and found["metrics"])
        said = await (await client.get("/api/runs/0/conversation?id=q1%230")).json()
        assert said["turns"][0]["replies"][0]["text"].startswith("Plainly.")
        shutil.rmtree(first)
        assert "run" in (await follow(client, lambda found: found.get("error")))["error"]
        for path in ("runs", "runs/0", "runs/0/conversations", "runs/0/conversation?id=q1%230"):
            async with client.get(f"/api/{path}") as response:
                assert await response.json(), path


async def test_the_metrics_of_a_run_appear_when_they_are_written(fresh, view):
    """They are written after the last conversation: an overview may have been made in between."""
    summary = fresh / "summary.json"
    kept = summary.read_bytes()
    summary.unlink()
    file = next((fresh / "conversations").glob("*.jsonl"))
    *lines, last = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines))
    async with view(fresh) as client:
        assert not (await follow(client, lambda found: found["conversations"] == 5))["finished"]
        with file.open("ab") as appended:
            appended.write(last)
        summary.write_bytes(kept)
        found = await follow(client, lambda found: found["finished"])
        assert found["metrics"]
        assert found["conversations"] == 6


async def test_prompts_are_those_that_were_sent(stored, view):
    """Rebuilt by the protocol: the system prompt first, and in it nothing of the partner."""
    asked = {"id": "q1#0", "turn": 1}
    async with view(stored / "first") as client, client.get("/api/runs/0/prompt", params=asked) as response:
        messages = await response.json()
    assert [message["role"] for message in messages] == ["system", "user"]
    assert "What is 1 + <b>1</b>?" in messages[1]["content"]


WISH = {"run": 0, "conversation": "q1#0", "turn": 1, "samples": 3, "replace": "The answer is 8."}


async def test_a_fork_is_held_and_shown(fresh, view):
    """The continuations become runs on display, each with the words that were put in."""
    async with view(fresh) as client:
        own = {"Origin": str(client.make_url("/")).rstrip("/")}
        async with client.post("/api/forks", json=WISH, headers=own) as response:
            assert response.status == 200, await response.text()
        forks = [{}]
        while not forks[0].get("shown") or len(forks[0]["shown"]) < 2:
            assert not forks[0].get("error"), forks
            await asyncio.sleep(0.1)
            async with client.get("/api/forks") as response:
                forks = await response.json()
        assert forks[0]["results"]["changed"]["n"] == 3
        number = forks[0]["shown"]["changed"]
        asked = {"id": "q1#0"}
        async with client.get(f"/api/runs/{number}/conversation", params=asked) as response:
            held = await response.json()
    assert held["turns"][0]["replies"][0]["text"] == "The answer is 8."
    assert held["parent"] == {"conversation": "q1#0", "turns": 0, "change": "turn 1 is replaced"}


@pytest.mark.parametrize(
    ("change", "headers", "status", "cause"),
    [
        ({}, {"Origin": "http://evil.example"}, 403, "own page"),
        ({}, {"Origin": ""}, 403, "own page"),
        ({}, {"Content-Type": "text/plain"}, 415, "application/json"),
        ({"turn": 99}, {}, 400, ""),
        ({"turn": 0}, {}, 400, "turn"),
        ({"replace": None}, {}, 400, "nothing is changed"),
        ({"control": "wrong"}, {}, 400, "2 things are changed"),
        ({"conversation": "none#0"}, {}, 400, "holds no conversation"),
        ({"run": 3}, {}, 400, "no run 3"),
        ({"samples": -1}, {}, 400, "samples"),
        ({"output": "/tmp/elsewhere"}, {}, 400, "cannot be read"),
        ({"agent": {"nonsense": 1}, "replace": None}, {}, 400, "nonsense"),
    ],
)
async def test_a_fork_that_cannot_be_is_refused(fresh, view, change, headers, status, cause):
    """Before anything is asked of a model; a turn that is not there, by the fork itself."""
    async with view(fresh) as client:
        own = {"Origin": str(client.make_url("/")).rstrip("/"), "Content-Type": "application/json", **headers}
        async with client.post("/api/forks", data=json.dumps({**WISH, **change}), headers=own) as response:
            told = await response.json()
            if cause:
                assert response.status == status, told
                assert cause in told["error"]
                return
        while not (told["ended"] or told["error"]):
            await asyncio.sleep(0.1)
            async with client.get("/api/forks") as response:
                told = (await response.json())[0]
    assert "no turn 99" in told["error"]


async def test_two_runs_are_aligned_by_problem(stored, view):
    """The counts are those of the paired comparison, and each row has both outcomes."""
    async with view(stored / "first", stored / "second") as client:
        async with client.get("/api/compare", params={"a": 0, "b": 1, "limit": 500}) as response:
            found = await response.json()
        async with client.get("/api/difference", params={"a": 0, "b": 1}) as response:
            headline = (await response.json())[0]
        async with client.get("/api/compare", params={"a": 0, "b": 1, "change": "won"}) as response:
            won = await response.json()
    assert found["count"] == len(found["rows"]) == sum(found["changes"].values()) == 30
    assert found["changes"]["won"] == headline["num_higher"] == won["count"]
    assert found["changes"]["lost"] == headline["num_lower"]
    assert all(row["right_b"] and not row["right_a"] for row in won["rows"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_serves_until_it_is_stopped(fresh, number):
    """It prints an address that works, and a signal ends it without a traceback."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "coral", "view", str(fresh), "--no-browser",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    address = (await process.stdout.readline()).decode().split()[0]
    base, token = address.split("?token=")
    async with (
        aiohttp.ClientSession(headers={TOKEN_HEADER: token}) as session,
        session.get(f"{base}api/runs") as response,
    ):
        assert [run["name"] for run in await response.json()] == [fresh.name]
    process.send_signal(number)
    _, told = await process.communicate()
    assert (process.returncode, told) == (0, b"")
