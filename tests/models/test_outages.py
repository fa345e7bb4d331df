"""Why requests are sent again, and which connections nobody need try again."""

from __future__ import annotations

import asyncio
import errno
import resource
import ssl
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import aiohttp
import pytest
from yarl import URL

from coral.errors import FatalReject, Notice, RateLimited, Unreachable
from coral.models.connections import Connections, describe_fault, is_insecure, is_ours, is_unsent
from coral.models.endpoints import Route
from coral.models.files import RESERVED, raise_file_limit

KEY = SimpleNamespace(host="gpu", port=443, ssl=True, is_ssl=True)


def _certificate() -> aiohttp.ClientError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")
    error.verify_message = "self-signed certificate"
    return aiohttp.ClientConnectorCertificateError(KEY, error)


def _tls(kind: type[ssl.SSLError], words: str) -> aiohttp.ClientError:
    return aiohttp.ClientConnectorSSLError(KEY, kind(1, words))


FAULTS = [
    (_certificate(), True, "self-signed certificate", "nobody fixes a certificate by trying again"),
    (
        _tls(ssl.SSLError, "[SSL: WRONG_VERSION_NUMBER] wrong version number"),
        True,
        "wrong version number",
        "something else than TLS is spoken there",
    ),
    (
        _tls(ssl.SSLEOFError, "EOF occurred in violation of protocol"),
        False,
        "EOF",
        "the server hung up while keys were exchanged: an overload",
    ),
    (
        aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "no")),
        False,
        "connection refused",
        "the server restarts",
    ),
    (
        aiohttp.ClientOSError(104, "Connection reset by peer"),
        False,
        "Connection reset by peer",
        "the server was killed",
    ),
    (aiohttp.ServerDisconnectedError(), False, "disconnected", "a stray fault"),
]


@pytest.mark.parametrize(("fault", "lasting", "words", "reason"), FAULTS, ids=[row[2] for row in FAULTS])
def test_what_speaks_against_every_connection(fault, lasting, words, reason):
    """Faults of TLS itself are told from those that pass, and all are told in few words."""
    assert is_insecure(fault) is lasting, reason
    assert words in describe_fault(fault)


async def test_tls_to_a_plain_port_stops_the_run_at_once(server, open_model, ask):
    """Every other request would meet the same: one sending, and the error says where to look."""
    model = await open_model(base_url=server.url.replace("http:", "https:"))
    with pytest.raises(FatalReject, match=r"no secure connection .*http or https") as caught:
        await model.generate(ask())
    assert caught.value.attempts == 1


async def test_where_something_was_answered_failing_tls_is_tried_again(server, open_model, ask):
    """It may be one machine of several: others answer meanwhile, and it is final only if it lasts."""
    secure = server.url.replace("http:", "https:")
    model = await open_model(base_url=(server.url, secure), max_attempts=3)
    home = {secure: [], server.url: []}
    for number in range(60):
        name = f"c{number}"
        preferred = Route(model.endpoints, name).pick().url
        home[secure if preferred.scheme == "https" else server.url].append(name)
    await model.generate(ask(conversation_id=home[server.url][0]))
    assert (await model.generate(ask(conversation_id=home[secure][0]))).attempts == 2


CAUSES = {
    "refused": (None, Unreachable, "connection refused"),
    "500": (lambda s: s.error(500, "cuda out of memory"), Unreachable, "the server failed (500)"),
    "429": (lambda s: s.error(429), RateLimited, "the server limits the rate of requests (429)"),
}


@pytest.mark.parametrize("name", CAUSES)
async def test_troubles_tell_who_is_sent_again_and_why(server, open_model, ask, name):
    """While a request waits for its next sending it counts, with its cause; after its end it does not."""
    rule, kind, words = CAUSES[name]
    if rule is None:
        await server.stop()
    else:
        server.default = rule(server)
    async with Connections() as connections:
        retry_state = connections.retry_state
        assert (retry_state.retrying, retry_state.latest) == (0, None)
        model = await open_model(connections, max_attempts=2, backoff_s=0.2, total_timeout_s=1)
        calls = [
            asyncio.ensure_future(model.generate(ask(conversation_id=f"c{number}"))) for number in range(3)
        ]
        while retry_state.retrying < 3:
            await asyncio.sleep(0.001)
        assert (retry_state.latest.kind, retry_state.latest.brief) == (kind, words)
        await asyncio.gather(*calls, return_exceptions=True)
        assert retry_state.retrying == 0
        assert not connections.answered


async def test_an_answer_ends_a_trouble_and_is_noted(server, open_model, ask):
    """After one fault and an answer nothing is under way again, and somebody has answered."""
    server.plan = [server.error(503)]
    async with Connections() as connections:
        model = await open_model(connections)
        await model.generate(ask())
        assert (connections.retry_state.retrying, connections.answered) == (0, True)


async def test_troubles_hold_no_key(server, open_model, ask, monkeypatch):
    """A server that echoes the key in its error does not bring it onto the screen."""
    monkeypatch.setenv("MY_KEY", "sk-very-secret-0123456789")
    server.default = lambda r: server.error(500, r.headers["authorization"])
    async with Connections() as connections:
        model = await open_model(connections, api_key_env="MY_KEY", max_attempts=2)
        with pytest.raises(Unreachable):
            await model.generate(ask())
        latest = connections.retry_state.latest
    assert "sk-very" not in f"{latest.message} {latest.brief} {latest!r}"


# A server that restarts -------------------------------------------------------------------------------------


async def _refuse(server):
    port = URL(server.url).port
    await server.stop()
    return lambda: server.start(port)


def _react(make):
    async def begin(server):
        server.default = make(server)

        async def end():
            server.default = server.complete

        return end

    return begin


OUTAGES = {
    "nothing listens": (_refuse, "nothing was sent, so nothing counts"),
    "accepted and closed": (_react(lambda s: s.drop()), "a tunnel or a container's port without its server"),
    "502": (_react(lambda s: s.error(502)), "a gateway without its server"),
    "503": (_react(lambda s: s.error(503, "Loading model")), "a server that loads its weights"),
}


@pytest.mark.parametrize("name", OUTAGES)
async def test_a_restart_of_the_server_uses_up_no_attempts(server, open_model, ask, name):
    """Of 30 requests in flight none fails, although each is tried more often than `max_attempts`."""
    begin, reason = OUTAGES[name]
    async with Connections() as connections:
        model = await open_model(connections, max_attempts=2, total_timeout_s=30)
        await model.generate(ask())
        end = await begin(server)
        calls = [asyncio.ensure_future(model.generate(ask(conversation_id=f"c{n}"))) for n in range(30)]
        while connections.retry_state.retrying < 30:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.2)  # pauses are of 2 ms at most
        assert not [call for call in calls if call.done()], reason
        await end()
        generations = await asyncio.wait_for(asyncio.gather(*calls), 20)
    if name == "nothing listens":
        assert {generation.attempts for generation in generations} == {1}, "only what was sent is counted"


@pytest.mark.parametrize("late", ["drop", "error"])
async def test_a_failure_of_before_the_restart_that_arrives_after_it_uses_up_no_attempt(
    server, open_model, ask, late
):
    """It was sent to a server that answered nobody, whoever has been answered when it comes back."""
    failure = replace(server.drop() if late == "drop" else server.error(503), delay_s=0.2)
    async with Connections() as connections:
        model = await open_model(connections, max_attempts=2, total_timeout_s=30)
        await model.generate(ask())
        server.plan = [server.error(503), failure]
        slow = asyncio.ensure_future(model.generate(ask(conversation_id="slow")))
        while server.plan:
            await asyncio.sleep(0.001)
        for number in range(3):
            await model.generate(ask(conversation_id=f"c{number}"))
        assert not slow.done()
        assert (await asyncio.wait_for(slow, 20)).attempts == 3


async def test_while_others_are_answered_each_fault_counts(server, open_model, ask):
    """One request breaks its connection every time: that is the request, and not the server."""
    server.default = lambda r: server.drop() if r.body["seed"] == 13 else server.complete(r)
    model = await open_model(max_attempts=3)

    async def others():
        while True:
            await model.generate(ask(seed=1))

    busy = asyncio.ensure_future(others())
    with pytest.raises(Unreachable) as caught:
        await asyncio.wait_for(model.generate(ask(seed=13)), 20)
    busy.cancel()
    assert caught.value.attempts >= 3


async def test_a_server_that_never_answered_has_its_attempts(server, open_model, ask):
    """What was never there need not come back: a wrong address ends soon."""
    server.default = server.drop()
    with pytest.raises(Unreachable) as caught:
        await (await open_model(max_attempts=3)).generate(ask())
    assert caught.value.attempts == 3


# Files and ports of this machine ----------------------------------------------------------------------------


OURS = {
    "files of the process": errno.EMFILE,
    "files of the machine": errno.ENFILE,
    "ports": errno.EADDRNOTAVAIL,
}


@pytest.mark.parametrize("name", OURS)
def test_what_this_machine_lacks_is_no_servers_fault(name):
    """It is told as what it is, and never counts as sent."""
    fault = aiohttp.ClientConnectorError(KEY, OSError(OURS[name], "no"))
    assert is_ours(fault)
    assert is_unsent(fault)
    assert "ulimit -n" in describe_fault(fault)


def test_what_was_refused_and_what_broke_are_told_apart():
    """A connection that broke may have carried a request; one that was never made did not."""
    refused = aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "no"))
    assert is_unsent(refused)
    assert is_unsent(aiohttp.ConnectionTimeoutError("connecting"))
    assert not is_unsent(aiohttp.ServerDisconnectedError())
    assert not is_ours(refused)


@pytest.fixture
def few_files():
    """Limits the files that this process may open, and lifts the limit after the test."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def limit(soft, hard=before[1]):
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_limit_of_open_files_is_raised(few_files):
    """Most systems start a process with 1,024 files and let it have many more."""
    few_files(256)
    room = raise_file_limit()
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert soft > 256
    assert room <= soft - RESERVED


def test_connections_that_no_file_is_left_for_are_capped_and_told(monkeypatch):
    """Where the limit cannot be raised, servers share what there is, and the user hears of it."""
    monkeypatch.setattr("coral.models.connections.raise_file_limit", lambda: 300)
    connections = Connections()
    first = connections.endpoint("http://gpu0:8000/v1", 250)
    assert first.server.limit.ceiling == 250
    with pytest.warns(Notice, match="500 connections: at most 150 per server"):
        second = connections.endpoint("http://gpu1:8000/v1", 250)
    assert (first.server.limit.ceiling, second.server.limit.ceiling) == (150, 150)


WITHOUT_FILES = """
import asyncio, resource, sys
from coral.models import connections
from coral.models.client import build_model
from coral.models.config import ModelConfig
from coral.models.protocol import Request, Sampling
from coral.types import Message, Role

connections.raise_file_limit = lambda: 10_000  # believes in more than there is
request = Request(messages=(Message(Role.USER, "hello"),), sampling=Sampling(max_tokens=5))

async def main():
    options = {"max_connections": 64, "max_attempts": 1, "backoff_s": 0.01, "max_backoff_s": 0.05}
    async with build_model(ModelConfig(model="m", base_url=sys.argv[1], **options)) as model:
        await model.generate(request)
        free = open("/dev/null").fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 5, free + 5))
        generations = await asyncio.gather(*(model.generate(request) for _ in range(40)))
        print(len(generations), model.endpoints[0].server.health.resting)
        print(model.connections.retry_state.latest.message)

asyncio.run(main())
"""


async def test_a_process_without_files_waits_for_some(server):
    """Requests that find no file are sent when others have ended: nothing fails, nothing is blamed."""
    server.default = lambda r: replace(server.complete(r), delay_s=0.02)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WITHOUT_FILES, server.url, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    assert output.decode().startswith("40 False\n"), errors.decode()
    assert "no files left" in output.decode()
