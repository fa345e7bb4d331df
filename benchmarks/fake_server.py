"""A chat-completions server that costs almost nothing, so that a benchmark measures the client.

    python benchmarks/fake_server.py [--latency_s 0.2] [--sigma 0.5] [--hashed]

With `--sigma` latencies are log-normal, with `--latency_s` as their median. Prints its port. Plays two agents
that agree at turn 4 (A, B, A, A), and an extractor; with `--hashed` agents that say A (60%) or B by a hash of
what they are asked. It parses no JSON: it looks for a few byte strings in the body.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import zlib

import uvloop

REASON = (
    b"I went through the options one by one. The first step is to write down what the question gives, then "
    b"to see which option follows from it without a further assumption. Two of them contradict the given "
    b"figures, one answers another question, and of those that remain only one holds for the boundary case "
    b"as well. I checked the arithmetic twice and compared the units on both sides, which come out alike. "
    b"Your last remark does not change this, since it concerns a case that the question rules out "
    b"in its first sentence.\\n\\n"
)


def completion(text: bytes) -> bytes:
    """A whole HTTP response."""
    body = (
        b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"fake","choices":[{"index":0,'
        b'"message":{"role":"assistant","content":"' + text + b'"},"logprobs":null,"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":400,"completion_tokens":120,"total_tokens":520}}'
    )
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + body


TURN = {letter: completion(REASON + b"Answer: (" + letter + b")") for letter in (b"A", b"B")}
EXTRACTED = {letter: completion(b"Answer: (" + letter + b")") for letter in (b"A", b"B")}


def reply(body: bytes) -> bytes:
    """What is said to a request."""
    if b"# Message" in body:
        return EXTRACTED[b"B" if b"Answer: (B)" in body else b"A"]
    if Connection.hashed:
        return TURN[b"A" if zlib.crc32(body) % 10 < 6 else b"B"]
    first_of_opener = b"you brought to your partner" in body and b'"role":"assistant"' not in body
    return TURN[b"B" if first_of_opener else b"A"]


class Connection(asyncio.Protocol):
    """Keep-alive HTTP/1.1 with Content-Length bodies."""

    latency_s = sigma = 0.0
    hashed = False
    loop: asyncio.AbstractEventLoop

    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            if self.latency_s:
                latency_s = self.latency_s * random.lognormvariate(0.0, self.sigma)
                self.loop.call_later(latency_s, self.answer, reply(body))
            else:
                self.transport.write(reply(body))

    def answer(self, response):
        if not self.transport.is_closing():
            self.transport.write(response)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency_s", type=float, default=0.0)
    parser.add_argument("--sigma", type=float, default=0.0)
    parser.add_argument("--hashed", action="store_true")
    options = parser.parse_args()
    Connection.latency_s, Connection.sigma = options.latency_s, options.sigma
    Connection.hashed = options.hashed
    Connection.loop = asyncio.get_running_loop()
    server = await Connection.loop.create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
