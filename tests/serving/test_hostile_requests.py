"""What a server may be sent by mistake or on purpose, over real sockets: an answer each, within limits.

Every refusal is an OpenAI error body, nothing is logged as a failure of the server, and the next request is
served.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import tracemalloc
import zlib
from typing import Any

import pytest

from coral.serving.admission import names_of
from coral.serving.app import Limits

from .test_app import Echo, until

CHAT = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
GOOD = json.dumps(CHAT).encode()
DEEP = b"[" * 100_000 + b"]" * 100_000


def request(
    body: bytes = GOOD,
    *,
    line: str = "POST /v1/chat/completions HTTP/1.1",
    host: str | None = "127.0.0.1",
    kind: str | None = "application/json",
    length: int | None = None,
    head: str = "",
) -> bytes:
    """A request as bytes; `head` holds more header lines. The server is asked to close the connection."""
    lines = [line]
    lines += [] if host is None else [f"Host: {host}"]
    lines += [] if kind is None else [f"Content-Type: {kind}"]
    lines += (
        [] if "Transfer-Encoding" in head else [f"Content-Length: {len(body) if length is None else length}"]
    )
    return ("\r\n".join([*lines, "Connection: close"]) + "\r\n" + head + "\r\n").encode("latin-1") + body


def with_fields(raw: bytes) -> bytes:
    """The good body with more fields, as raw JSON."""
    return GOOD[:-1] + b"," + raw + b"}"


def read(response: bytes) -> tuple[int, Any]:
    """Status and decoded body of the last response in `response`."""
    start = response.rindex(b"HTTP/1.")
    head, _, body = response[start:].partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)


REFUSED = {
    # from where
    "a foreign name": (request(host="evil.example"), 403, "--allowed_hosts evil.example"),
    "a foreign name with a port": (request(host="evil.example:8765"), 403, "evil.example"),
    "a foreign name with a final dot": (request(host="evil.example."), 403, "evil.example"),
    "an address as the beginning of a name": (request(host="127.0.0.1.evil.example"), 403, "evil"),
    "localhost as the beginning of a name": (request(host="localhost.evil.example"), 403, "evil"),
    "a foreign name reads the models": (
        request(b"", line="GET /v1/models HTTP/1.1", host="evil.example"),
        403,
        "evil.example",
    ),
    "a foreign name reads the metrics": (
        request(b"", line="GET /metrics HTTP/1.1", host="evil.example"),
        403,
        "evil.example",
    ),
    # of what type
    "a form without a question": (request(kind="text/plain"), 415, "Content-Type: application/json"),
    "a form": (request(kind="application/x-www-form-urlencoded"), 415, "Content-Type: application/json"),
    "a form with a file": (request(kind="multipart/form-data; boundary=x"), 415, "application/json"),
    "JSON in name only": (request(kind="text/json"), 415, "application/json"),
    "no type": (request(kind=None), 415, "the body's type is ''"),
    # not HTTP
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n", 400, "not a valid HTTP"),
    "a word": (b"HELLO\r\n\r\n", 400, "not a valid HTTP request"),
    "an unknown method": (request(line="BREW /v1/chat/completions HTTP/1.1"), 400, "not a valid HTTP"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "not a valid HTTP request"),
    "a header of 20 kB": (request(head="X: " + "a" * 20_000 + "\r\n"), 400, "not a valid HTTP request"),
    "a path of 20 kB": (request(line=f"GET /{'a' * 20_000} HTTP/1.1"), 400, "not a valid HTTP request"),
    "a null in a header": (request(head="X: a\0b\r\n"), 400, "not a valid HTTP request"),
    "a negative length": (request(length=-5), 400, "not a valid HTTP request"),
    "a length of 20 digits": (request(length=10**20), 400, "not a valid HTTP request"),
    "two lengths": (request(head="Content-Length: 3\r\n"), 400, "not a valid HTTP request"),
    "a length and chunks": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "not a valid HTTP request",
    ),
    "an unknown expectation": (request(head="Expect: a miracle\r\n"), 417, "100-continue"),
    "another path": (request(line="POST /v1/completions HTTP/1.1"), 404, "/v1/completions"),
    "a path of control characters": (
        request(b"", line="GET /v1/models/%1b%5d0%00%ff HTTP/1.1"),
        404,
        "model",
    ),
    "OPTIONS from a web page": (
        request(b"", line="OPTIONS /v1/chat/completions HTTP/1.1", head="Origin: http://a.example\r\n"),
        405,
        "OPTIONS",
    ),
    "a proxy request": (request(b"", line="CONNECT evil.example:80 HTTP/1.1"), 404, "CONNECT"),
    # how it is packed
    "broken gzip": (request(b"no gzip", head="Content-Encoding: gzip\r\n"), 400, "not encoded as 'gzip'"),
    "half a gzip": (request(gzip.compress(GOOD)[:-9], head="Content-Encoding: gzip\r\n"), 400, "cut off"),
    "more than a gzip": (request(gzip.compress(GOOD) + b"x", head="Content-Encoding: gzip\r\n"), 400, "gzip"),
    "an unknown encoding": (request(head="Content-Encoding: magic\r\n"), 415, "'magic' is not known here"),
    "brotli": (request(b"zzz", head="Content-Encoding: br\r\n"), 415, "'br' is not known here"),
    "broken deflate": (request(b"zzz", head="Content-Encoding: deflate\r\n"), 400, "deflate"),
    "a bad chunk": (request(b"zz\r\n", head="Transfer-Encoding: chunked\r\n"), 400, ""),
    "a gzip bomb": (
        request(gzip.compress(b" " * 50_000_000), head="Content-Encoding: gzip\r\n"),
        413,
        "more than 1000000 bytes",
    ),
    "a body over the limit": (request(b" " * 1_000_001), 413, "more than 1000000 bytes"),
    "a length over the limit, and no body": (request(b"", length=9 * 10**9), 413, "--max_body_mb"),
    "chunks over the limit": (
        request(chunked(*[b" " * 300_000] * 4) + b"0\r\n\r\n", head="Transfer-Encoding: chunked\r\n"),
        413,
        "--max_body_mb",
    ),
    # what it says
    "nested lists": (request(with_fields(b'"x":' + DEEP)), 400, "nested too deeply"),
    "nested objects": (
        request(with_fields(b'"x":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000)),
        400,
        "nested",
    ),
    "a nested neutral field": (request(with_fields(b'"logit_bias":' + DEEP)), 400, "nested too deeply"),
    "nested content": (request(GOOD.replace(b'"hello"', DEEP)), 400, "messages"),
    "half a surrogate pair": (request(GOOD.replace(b"hello", rb"\ud83d")), 400, "not valid JSON"),
    "a pair the wrong way round": (request(GOOD.replace(b"hello", rb"\udc00\ud800")), 400, "not valid JSON"),
    "half a pair in the model": (request(GOOD.replace(b"echo", rb"\ud83d")), 400, "not valid JSON"),
    "half a pair in an unknown field": (request(with_fields(rb'"x": "\ud83d"')), 400, "not valid JSON"),
    "half a pair in a stop text": (request(with_fields(rb'"stop": ["\ud83d"]')), 400, "not valid JSON"),
    "Latin-1": (request(GOOD.replace(b"hello", b"caf\xe9")), 400, "not valid JSON"),
    "UTF-16": (request(GOOD.decode().encode("utf-16")), 400, "not valid JSON"),
    "two documents": (request(GOOD + GOOD), 400, "not valid JSON"),
    "NaN": (request(with_fields(b'"temperature": NaN')), 400, "not valid JSON"),
    "10^400": (request(with_fields(b'"temperature": 1e400')), 400, "out of range"),
    "a seed of 5,000 digits": (request(with_fields(b'"seed": ' + b"9" * 5000)), 400, "out of range"),
    "n of 20 digits": (request(with_fields(b'"n": ' + b"9" * 20)), 400, "<= 128"),
    "a truth as a number": (request(with_fields(b'"n": true')), 400, "got `bool`"),
    "a role of control characters": (request(GOOD.replace(b"user", rb"\u001b[31m")), 400, "Invalid enum"),
    "a stop text of 1 kB and more": (request(with_fields(b'"stop": "' + b"a" * 1001 + b'"')), 400, "<= 1000"),
    "a model name of 900 kB": (request(GOOD.replace(b"echo", b"m" * 900_000)), 404, "mmm ..."),
    "a role of 900 kB": (request(GOOD.replace(b"user", b"r" * 900_000)), 400, "rrr ..."),
    "an unknown field beside a list": (request(b"[1]"), 400, "Expected `object`"),
}


@pytest.mark.parametrize(("data", "status", "words"), REFUSED.values(), ids=REFUSED)
async def test_a_bad_request_gets_an_openai_error(
    serve: Any, caplog: Any, data: bytes, status: int, words: str
) -> None:
    """Status, message and type; nobody asks the model; no traceback is logged; the next request is served."""
    model = Echo()
    async with serve(model, limits=Limits(max_body_bytes=1_000_000)) as site:
        got, body = read(await site.raw(data))
        assert (got, not model.seen) == (status, True)
        assert words in body["error"]["message"]
        assert body["error"]["type"] == "invalid_request_error"
        assert len(body["error"]["message"]) < 1_100
        assert read(await site.raw(request()))[0] == 200
    assert not caplog.records


SERVED = {
    "an address": request(host="127.0.0.1:1"),
    "another address of this machine": request(host="192.168.7.9"),
    "an IPv6 address": request(host="[::1]:8765"),
    "an IPv6 address with a zone": request(host="[fe80::1%25eth0]:8765"),
    "localhost": request(host="LOCALHOST:8765"),
    "a name under localhost": request(host="coral.localhost"),
    "a service of a container network": request(host="coral:8765"),
    "a name that was allowed": request(host="Coral.Example:80"),
    "no name": request(host=""),
    "JSON with a charset": request(kind="application/json; charset=utf-8"),
    "a kind of JSON": request(kind="Application/Vnd.Chat+JSON"),
    "gzip": request(gzip.compress(GOOD), head="Content-Encoding: gzip\r\n"),
    "chunks": request(chunked(GOOD[:7], GOOD[7:]) + b"0\r\n\r\n", head="Transfer-Encoding: chunked\r\n"),
    "deflate": request(zlib.compress(GOOD), head="Content-Encoding: deflate\r\n"),
    "an expectation": request(head="Expect: 100-continue\r\n"),
    "a seed of 400 digits": request(with_fields(b'"seed": ' + b"9" * 400)),
    "more tokens than there are": request(with_fields(b'"max_tokens": ' + b"9" * 30)),
    "control characters": request(GOOD.replace(b"hello", rb"\u0000\u001b]0;x\u0007\u202e")),
    "100,000 unknown fields": request(with_fields(b",".join(b'"f%d":1' % i for i in range(80_000)))),
    "20,000 messages": request(json.dumps({**CHAT, "messages": CHAT["messages"] * 20_000}).encode()),
}


@pytest.mark.parametrize("data", SERVED.values(), ids=SERVED)
async def test_what_merely_looks_odd_is_served(serve: Any, data: bytes) -> None:
    """Names that can only mean this machine, JSON by any spelling, and large numbers."""
    async with serve(Echo(), limits=Limits(allowed_hosts=("coral.example",))) as site:
        assert read(await site.raw(data))[0] == 200


async def test_the_names_of_this_machine_and_any_name_can_be_allowed(serve: Any, monkeypatch: Any) -> None:
    """The host's own name is known; "*" lets in every name."""
    monkeypatch.setattr(socket, "gethostname", lambda: "Node7.cluster.example")
    for allowed, host, status in [
        ((), "node7.cluster.example", 200),
        (names_of("127.0.0.1"), "node7.other.example", 403),
        (names_of("0.0.0.0"), "node7.other.example", 200),
        (names_of("node8.cluster.example"), "NODE8.cluster.example:1", 200),
        (("*.cluster.example",), "node8.cluster.example", 200),
        (("*.cluster.example",), "cluster.example.evil", 403),
        ((), "node8.cluster.example", 403),
        (("*",), "node8.cluster.example", 200),
    ]:
        async with serve(Echo(), limits=Limits(allowed_hosts=allowed)) as site:
            assert read(await site.raw(request(host=host)))[0] == status


# Clients that keep the server waiting --------------------------------------------------------------------

SLOW = {
    "nothing is sent": b"",
    "half a head": b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nX-Slow: ",
    "an answered request, and then nothing": b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
}


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What still came before the server closed the connection."""
    data = b""
    try:
        while piece := await asyncio.wait_for(reader.read(1 << 16), 20):
            data += piece
    except ConnectionResetError:
        pass
    return data


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW)
async def test_a_silent_connection_is_closed(serve: Any, sent: bytes) -> None:
    """Whatever it sent first."""
    async with serve(Echo(), idle_s=0.2) as site:
        reader, writer = await site.connect()
        writer.write(sent)
        await closed(reader)
        writer.close()
        assert read(await site.raw(request()))[0] == 200


async def test_bytes_that_trickle_in_keep_no_connection_open(serve: Any) -> None:
    """A head must be complete in time; a header line every so often is not enough."""
    async with serve(Echo(), idle_s=0.3) as site:
        reader, writer = await site.connect()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\n")

        async def trickle() -> None:
            while True:
                writer.write(b"X: a\r\n")
                await asyncio.sleep(0.02)

        trickling = asyncio.ensure_future(trickle())
        await closed(reader)
        trickling.cancel()
        writer.close()


async def test_a_body_that_does_not_come_is_given_up(serve: Any) -> None:
    """408 after `body_s`, and the request is no longer in flight."""
    async with serve(Echo(), limits=Limits(body_s=0.2)) as site:
        status, body = read(await site.raw(request()[:-5]))
        assert (status, body["error"]["message"]) == (408, "the body did not arrive within 0.2 s")
        assert site.server.metrics.in_flight == 0


async def test_a_client_that_does_not_take_its_stream_is_cut_off(serve: Any) -> None:
    """Else a reply would be held in memory, and the server could never drain."""
    async with serve(Echo(), limits=Limits(body_s=0.2)) as site:
        _, writer = await site.connect()
        body = {**CHAT, "messages": [{"role": "user", "content": "x" * 6_000_000}], "stream": True, "n": 8}
        writer.write(request(json.dumps(body).encode()))
        try:
            for _ in range(400):
                if 'status="499"} 1' in (await site.text("/metrics"))[1]:
                    break
                await asyncio.sleep(0.05)
            assert site.server.metrics.in_flight == 0
            assert await site.server.drain(5)
        finally:
            writer.close()


async def test_a_long_reply_is_worth_waiting_for(serve: Any) -> None:
    """A request in work keeps its connection, however long the model takes."""
    gate = asyncio.Event()
    async with serve(Echo(gate=gate), idle_s=0.1) as site:
        reply = asyncio.ensure_future(site.chat())
        await asyncio.sleep(0.5)
        gate.set()
        assert (await reply)[0] == 200


async def test_more_connections_than_the_server_may_open_are_told_so(serve: Any) -> None:
    """503 with a time to wait, instead of a failure to open files; when others leave, there is room again."""
    async with serve(Echo(), max_connections=3) as site:
        held = [await site.connect() for _ in range(3)]
        reader, writer = await site.connect()
        raw = await closed(reader)
        writer.close()
        status, body = read(raw)
        assert (status, b"Retry-After: 1" in raw) == (503, True)
        assert body["error"]["message"] == "this server has no room for more connections"
        for _, idle in held:
            idle.close()
        for _ in range(3000):
            if (answer := await site.raw(request())) and read(answer)[0] == 200:
                return
            await asyncio.sleep(0.01)
        pytest.fail("there is no room again")


async def test_bodies_in_work_are_limited_together(serve: Any) -> None:
    """A thousand clients with large bodies do not fill the memory: 503 until some are done."""
    gate = asyncio.Event()
    large = json.dumps({**CHAT, "messages": [{"role": "user", "content": "x" * 60_000}]}).encode()
    limits = Limits(max_body_bytes=100_000, max_total_bytes=200_000)
    async with serve(Echo(gate=gate), limits=limits) as site:
        tasks = [asyncio.ensure_future(site.raw(request(large))) for _ in range(5)]
        await until(lambda: sum(task.done() for task in tasks) == 2)
        gate.set()
        answers = [await task for task in tasks]
        assert sorted(read(answer)[0] for answer in answers) == [200, 200, 200, 503, 503]
        assert all(b"Retry-After: 1" in answer for answer in answers if read(answer)[0] == 503)
        assert read(await site.raw(request(large)))[0] == 200


async def test_a_bomb_takes_no_memory(serve: Any) -> None:
    """300 MB of blanks in 300 kB: the server reads no further than its limit."""
    bomb = request(gzip.compress(b" " * 300_000_000, 1), head="Content-Encoding: gzip\r\n")
    tracemalloc.start()
    try:
        async with serve(Echo(), limits=Limits(max_body_bytes=1_000_000)) as site:
            assert read(await site.raw(bomb))[0] == 413
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()
