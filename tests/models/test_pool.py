"""Replicas that come and go while requests are sent: the folder that tells of them, and who gets what."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import pytest
from yarl import URL

from coral.errors import ConfigError, FatalReject, Outage
from coral.models import pool as pools
from coral.models.client import build_model
from coral.models.config import ModelConfig
from coral.models.connections import SILENT_LINK_S, Connections
from coral.roster import NameRoster, Roster, addresses_of


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    """The folder is read ten times in a second."""
    monkeypatch.setattr(pools, "READ_EVERY_S", 0.1)


@pytest.fixture
def write(tmp_path):
    """Writes the record of a replica; each call is a beat."""
    beats = Counter()

    def write(name, state="ready", **more):
        beats[name] += 1
        record = {"id": name, "state": state, "beat": beats[name], "silent_after_s": 1.0, **more}
        partial = tmp_path / f".{name}"
        partial.write_text(json.dumps(record))
        partial.replace(tmp_path / f"{name}.json")

    return write


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


# The folder -------------------------------------------------------------------------------------------------


def test_a_replica_lives_while_its_beat_changes(write, tmp_path):
    """By the reader's own clock: the record's times and those of the file say nothing."""
    roster = Roster(tmp_path, clock=(clock := Clock()))
    write("a", url="http://a/v1")
    os.utime(tmp_path / "a.json", (0, 0))
    assert list(roster.read().ready) == ["http://a/v1"]
    clock.now = 0.9
    assert roster.read().ready
    clock.now = 1.1
    assert roster.read().states == {"lost": 1}
    os.utime(tmp_path / "a.json")
    assert not roster.read().ready
    write("a", url="http://a/v1")
    assert roster.read().ready


UNREADABLE = {
    "half a file": lambda path: path.write_bytes(path.read_bytes()[:20]),
    "an empty file": lambda path: path.write_bytes(b""),
    "other bytes": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "something else": lambda path: path.write_text('{"state": 1}'),
    "a list": lambda path: path.write_text("[]"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe without a writer": lambda path: (path.unlink(), os.mkfifo(path)),
    "lists in lists": lambda path: path.write_text("[" * 100_000),
    "no address": lambda path: path.write_text('{"state": "ready", "beat": 9, "url": "a/v1"}'),
    "another protocol": lambda path: path.write_text('{"state": "ready", "beat": 9, "url": "file:///v1"}'),
    "an impossible port": lambda path: path.write_text(
        '{"state": "ready", "beat": 9, "url": "http://a:99999/v1"}'
    ),
    "half an address": lambda path: path.write_text('{"state": "ready", "beat": 9, "url": "http://[::1"}'),
    "a link to nowhere": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "the folder cannot be listed": lambda path: path.parent.rename(
        path.parent.with_name(f"{path.parent.name}-away")
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_no_news(write, tmp_path, name):
    """A shared file system shows half-written and stale files: the last word holds until it is silent."""
    roster = Roster(tmp_path, clock=(clock := Clock()))
    write("a", url="http://a/v1")
    roster.read()
    UNREADABLE[name](tmp_path / "a.json")
    clock.now = 0.9
    assert list(roster.read().ready) == ["http://a/v1"]
    clock.now = 1.1
    assert not roster.read().ready


STATES = {
    "starting": (False, False),
    "ready": (True, False),
    "unwell": (False, True),
    "draining": (False, True),
    "failed": (False, False),
    "some later state": (False, False),
}


@pytest.mark.parametrize("state", STATES)
def test_what_a_state_means_to_a_client(write, tmp_path, state):
    """Only ready ones get requests; what is in flight may end at those that close."""
    write("a", state, url="http://a/v1")
    present = Roster(tmp_path).read()
    assert (bool(present.ready), bool(present.closing)) == STATES[state]
    assert present.states == {state: 1}


def test_what_is_in_flight_where_a_file_is_gone_may_end(write, tmp_path):
    """An orderly end removes the file; other files in the folder are no replicas."""
    roster = Roster(tmp_path)
    write("a", url="http://a/v1")
    (tmp_path / "notes.txt").write_text("mine")
    roster.read()
    (tmp_path / "a.json").unlink()
    present = roster.read()
    assert (present.ready, set(present.closing), present.states) == ({}, {"http://a/v1"}, {})


# Requests ---------------------------------------------------------------------------------------------------


async def opened(connections, tmp_path, open_model, **more):
    return await open_model(connections, base_url=None, replicas=str(tmp_path), **more)


async def test_a_request_waits_for_the_first_replica(server, open_model, ask, write, tmp_path):
    """A run may start first: waiting is no failure, is told, and costs none of the request's time."""
    async with Connections() as connections:
        model = await opened(connections, tmp_path / "later", open_model, total_timeout_s=0.2)
        call = asyncio.ensure_future(model.generate(ask()))
        await asyncio.sleep(0.5)
        assert connections.retry_state.retrying == 1
        assert "no replica is ready" in connections.retry_state.latest.message
        (tmp_path / "later").mkdir()
        write("a", url=server.url)
        (tmp_path / "a.json").replace(tmp_path / "later" / "a.json")
        generation = await asyncio.wait_for(call, 20)
    assert generation.attempts == 1


async def test_without_a_replica_a_run_ends_resumable(open_model, ask, write, tmp_path):
    """After replicas_within_s it stops as in an outage, and says in which states the replicas are."""
    write("a", "failed")
    async with Connections() as connections:
        model = await opened(connections, tmp_path, open_model, replicas_within_s=0.2)
        with pytest.raises(Outage, match=r"no replica is ready \(1 failed\) in .*replicas_within_s"):
            await asyncio.wait_for(model.generate(ask()), 20)


@pytest.fixture
async def beating(write):
    """Keeps the records of replicas beating; the returned mapping says which, and what they hold."""
    records = {}

    async def beat():
        while True:
            for name, fields in records.items():
                write(name, **fields)
            await asyncio.sleep(0.05)

    task = asyncio.ensure_future(beat())
    yield records
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def eventually(look):
    """Wait until `look` is true."""
    deadline = time.monotonic() + 120
    while not look():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", ["silent", "moved", "failed", "starting"])
async def test_a_replica_that_is_gone_is_dropped(
    server, start_server, open_model, ask, beating, tmp_path, how
):
    """Requests in flight there do not wait for their time-out: they are answered elsewhere at once."""
    mute = await start_server()
    mute.default = mute.stall()
    beating["mute"] = {"url": mute.url}
    async with Connections() as connections:
        model = await opened(connections, tmp_path, open_model)
        calls = [asyncio.ensure_future(model.generate(ask(conversation_id=f"c{n}"))) for n in range(40)]
        await eventually(lambda: mute.in_flight == 16)  # the others wait for a place
        if how == "moved":
            beating["mute"] = {"url": server.url}
        else:
            beating["well"] = {"url": server.url}
            beating["mute"] = {"state": how, "url": None}
        if how == "silent":
            del beating["mute"]
        generations = await asyncio.wait_for(asyncio.gather(*calls), 30)
        assert [endpoint.server.origin for endpoint in model.endpoints] == [server.url.removesuffix("/v1")]
    assert sorted({generation.attempts for generation in generations}) == [1, 2]


async def test_a_draining_replica_ends_what_it_has(server, start_server, open_model, ask, beating, tmp_path):
    """What is in flight there is answered there; what waits for a place, and what is new, goes elsewhere."""
    leaving = await start_server()
    leaving.default = lambda r: replace(leaving.complete(r), delay_s=1.0)
    beating["leaving"] = {"url": leaving.url}
    async with Connections() as connections:
        model = await opened(connections, tmp_path, open_model, max_connections=4)
        calls = [asyncio.ensure_future(model.generate(ask(conversation_id=f"c{n}"))) for n in range(12)]
        await eventually(lambda: leaving.in_flight == 4)
        beating["leaving"] = {"url": leaving.url, "state": "draining"}
        beating["well"] = {"url": server.url}
        generations = await asyncio.wait_for(asyncio.gather(*calls), 30)
        assert len(generations) == 12
        assert {generation.attempts for generation in generations} == {1}
        assert (len(leaving.requests), len(server.requests)) == (4, 8)


async def test_new_conversations_go_to_the_least_loaded(
    server, start_server, open_model, ask, beating, tmp_path
):
    """Other clients' requests count, too: a replica that reports many gets none of ours."""
    others = await start_server()
    beating["busy"] = {"url": others.url, "in_flight": 50}
    beating["free"] = {"url": server.url, "in_flight": 0}
    server.default = lambda r: replace(server.complete(r), delay_s=0.2)
    async with Connections() as connections:
        model = await opened(connections, tmp_path, open_model)
        await eventually(lambda: len(model.endpoints) == 2)
        await asyncio.gather(*(model.generate(ask(conversation_id=f"c{n}")) for n in range(20)))
    assert (len(server.requests), len(others.requests)) == (20, 0)


async def test_a_conversation_stays_with_its_replica(
    server, start_server, open_model, ask, beating, tmp_path
):
    """Its prefix is in the cache there. A new replica gets new conversations, and of the old ones only those
    that leave a much fuller one."""
    late = await start_server()
    beating["early"] = {"url": server.url}
    async with Connections() as connections:
        model = await opened(connections, tmp_path, open_model)
        for number in range(6):
            await model.generate(ask(conversation_id=f"old{number}"))
        beating["late"] = {"url": late.url}
        await eventually(lambda: len(model.endpoints) == 2)
        for number in range(6):
            await model.generate(ask(conversation_id=f"old{number}"))
        assert (len(server.requests), len(late.requests)) == (12, 0)
        beating["early"] = {"url": server.url, "in_flight": 9}
        await eventually(lambda: model._pool.present.ready[server.url].in_flight == 9)
        await model.generate(ask(conversation_id="old0"))
        assert len(late.requests) == 1
        await model.generate(ask(conversation_id="old0"))
        assert len(late.requests) == 2


async def test_no_conversation_begins_where_the_time_runs_out(
    server, start_server, open_model, ask, beating, tmp_path
):
    """A replica whose time limit is nearer than a conversation takes gets no new one; the old ones stay."""
    ending = await start_server()
    beating["ending"] = {"url": ending.url}
    beating["lasting"] = {"url": server.url, "in_flight": 5}
    async with Connections() as connections:
        model = await opened(connections, tmp_path, open_model)
        await eventually(lambda: len(model.endpoints) == 2)
        await model.generate(ask(conversation_id="long"))
        await asyncio.sleep(0.3)
        await model.generate(ask(conversation_id="long"))
        assert len(ending.requests) == 2
        beating["ending"] = {"url": ending.url, "seconds_left": 0.2}
        await eventually(lambda: model._pool.present.ready[ending.url].seconds_left)
        await model.generate(ask(conversation_id="new"))
        await model.generate(ask(conversation_id="long"))
    assert (len(ending.requests), len(server.requests)) == (3, 1)


KEY = "pool-secret-0123456789"


async def test_the_pools_key_is_shown_to_its_servers(server, open_model, ask, beating, tmp_path):
    """It lies in the folder, and may come with the first replica; no message shows it."""
    async with Connections() as connections:
        model = await opened(connections, tmp_path, open_model)
        (tmp_path / "key").write_text(KEY)
        beating["a"] = {"url": server.url}
        await model.generate(ask())
        assert server.requests[-1].headers["authorization"] == f"Bearer {KEY}"
        server.default = lambda r: server.error(401, r.headers["authorization"])
        with pytest.raises(FatalReject) as caught:
            await model.generate(ask())
        shown = f"{caught.value} {caught.value.remedy} {model!r} {connections.retry_state.latest!r}"
        assert KEY not in shown


async def test_an_unknown_name_is_told_with_the_folder(server, open_model, ask, beating, tmp_path):
    """Replicas have no address that a user gave: the advice names their folder."""
    beating["a"] = {"url": server.url}
    server.default = server.error(404, "The model `m` does not exist.", code="model_not_found")
    async with Connections() as connections:
        model = await opened(connections, tmp_path, open_model, max_attempts=1)
        with pytest.raises(FatalReject, match=str(tmp_path)):
            await model.generate(ask())


def test_one_place_is_enough():
    """base_url and replicas contradict each other."""
    with pytest.raises(ConfigError, match="base_url and replicas"):
        ModelConfig(model="m", base_url="http://a/v1", replicas="folder")


# Names ------------------------------------------------------------------------------------------------------


class Names:
    """A resolver: a list of addresses, or what it raises."""

    def __init__(self):
        self.answer = []

    def __call__(self, host):
        self.asked = host
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def urls(present):
    return sorted(present.ready), sorted(present.closing)


LOOK_UPS = {
    "one more": (["10.0.0.1", "10.0.0.2"], (["http://10.0.0.1:8000/v1", "http://10.0.0.2:8000/v1"], [])),
    "another one": (["10.0.0.2"], (["http://10.0.0.2:8000/v1"], ["http://10.0.0.1:8000/v1"])),
    "an IPv6 address": (["[fd00::1]"], (["http://[fd00::1]:8000/v1"], ["http://10.0.0.1:8000/v1"])),
    "none any more": (socket.gaierror(socket.EAI_NONAME, "?"), ([], ["http://10.0.0.1:8000/v1"])),
    "no server answers": (socket.gaierror(socket.EAI_AGAIN, "?"), (["http://10.0.0.1:8000/v1"], [])),
    "a failure of it": (socket.gaierror(socket.EAI_FAIL, "?"), (["http://10.0.0.1:8000/v1"], [])),
    "no files are left": (OSError(24, "too many open files"), (["http://10.0.0.1:8000/v1"], [])),
    "a name that is none": (UnicodeError("label too long"), (["http://10.0.0.1:8000/v1"], [])),
}


@pytest.mark.parametrize("name", LOOK_UPS)
def test_a_name_stands_for_its_addresses(name):
    """Each is a replica; one that is gone may end what it has; a look-up that fails is no news."""
    names = Names()
    roster = NameRoster("dns://vllm.space.svc:8000/v1", resolve=names)
    names.answer = ["10.0.0.1"]
    assert urls(roster.read()) == (["http://10.0.0.1:8000/v1"], [])
    assert names.asked == "vllm.space.svc"
    names.answer, seen = LOOK_UPS[name]
    assert urls(roster.read()) == seen
    names.answer = ["10.0.0.1"]
    assert urls(roster.read())[0] == ["http://10.0.0.1:8000/v1"]


def test_a_real_name_is_looked_up():
    """By the system's resolver; a name with IPv4 and IPv6 addresses leads to the same servers twice."""
    assert addresses_of("localhost") == ["127.0.0.1"]
    assert addresses_of("::1") == ["[::1]"]
    with pytest.raises(socket.gaierror):
        addresses_of("no-such-name.invalid")


async def test_requests_follow_a_name(server, open_model, ask, monkeypatch):
    """Servers come and go behind it: a conversation moves on, and nothing fails."""
    names = Names()
    monkeypatch.setattr(NameRoster.__init__, "__defaults__", (names,))
    port = URL(server.url).port
    async with Connections() as connections:
        model = await open_model(connections, base_url=f"dns://coral.test:{port}")
        waiting = asyncio.ensure_future(model.generate(ask()))
        await asyncio.sleep(0.3)
        assert connections.retry_state.latest.message == "m: no replica is ready (none is there)"
        names.answer = ["127.0.0.1"]
        assert (await asyncio.wait_for(waiting, 20)).attempts == 1
        names.answer = ["127.0.0.1", "127.0.0.2"]
        await eventually(lambda: len(model.endpoints) == 2)
        names.answer = ["127.0.0.1"]
        await eventually(lambda: len(model.endpoints) == 1)
        assert (await model.generate(ask())).attempts == 1


async def test_localhost_is_such_a_name(server, open_model, ask):
    """The system's resolver, from the option to the reply."""
    async with Connections() as connections:
        model = await open_model(connections, base_url=f"dns://localhost:{URL(server.url).port}/v1")
        await model.generate(ask())
    assert server.requests[-1].path == "/v1/chat/completions"


NOT_A_NAME = {
    "no port": "dns://vllm.space.svc",
    "two of them": ("dns://a:8000", "dns://b:8000"),
    "with an address": ("dns://a:8000", "http://b:8000"),
    "no name": "dns://:8000",
    "a port that is none": "dns://a:http",
}


@pytest.mark.parametrize("name", NOT_A_NAME)
def test_what_is_no_name_is_refused(name):
    """Before the first look-up, with the form that is meant."""
    with pytest.raises(ConfigError) as caught:
        build_model(ModelConfig(model="m", base_url=NOT_A_NAME[name]))
    assert "dns://" in caught.value.remedy or "not an address" in str(caught.value)


# Connections ------------------------------------------------------------------------------------------------


async def test_sockets_notice_a_lost_link(open_model, ask):
    """A request to a machine that lost its link does not wait for its whole time-out."""
    model = await open_model()
    await model.generate(ask())
    (made,) = model.endpoints[0].server.sockets
    assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000 * SILENT_LINK_S


def test_hanging_up_ends_requests_in_every_loop(tmp_path):
    """The command line runs on uvloop, which keeps its own handles of sockets: it works there, too."""
    script = tmp_path / "script.py"
    script.write_text(HANG_UP)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "ServerDisconnectedError\n", done.stderr


HANG_UP = """
import asyncio, aiohttp, uvloop
from coral.models.connections import CALLED, Connections

async def main():
    server = await asyncio.start_server(lambda reader, writer: asyncio.sleep(60), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Connections() as connections:
        endpoint = connections.endpoint(f"http://127.0.0.1:{port}/v1", 4)
        CALLED.set(endpoint.server)
        call = asyncio.ensure_future(connections.session.post(endpoint.url))
        await asyncio.sleep(0.3)
        connections.drop(endpoint)
        done, _ = await asyncio.wait([call], timeout=10)
        print(type(call.exception()).__name__ if done else "still waits")
    server.close()

uvloop.run(main()) if hasattr(uvloop, "run") else (uvloop.install(), asyncio.run(main()))
"""
