"""A small server in the standard library alone that misbehaves as the words in its control file say.

deaf: nothing is answered · hang: completions never end (busy: tokens are counted) · fail: completions
are 500 · lie: they are 200 without a reply · slow: they take a second · uncounted: /metrics is 404
crash: it exits at once, telling why
load=N: N requests more are said to be in flight
"""

from __future__ import annotations

import argparse
import json
import socketserver
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--control", type=Path)
parser.add_argument("--name", default="stub")
parser.add_argument("--key_file", type=Path)
parser.add_argument("--rank", type=int, default=0, help="above 0: work without a port, as an engine does")
parser.add_argument("--await_file", type=Path, help="take the port when there is such a file")
parser.add_argument(
    "--stray", type=Path, help="start a child in a session of its own; its pid goes into this file"
)
options = parser.parse_args()


def words() -> set[str]:
    try:
        return set(options.control.read_text().split())
    except (OSError, AttributeError):
        return set()


if "crash" in words():
    sys.stdout.write("RuntimeError: CUDA out of memory\n")
    sys.stdout.flush()
    sys.exit(2)
if options.stray:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    options.stray.write_text(f"{options.stray.read_text() if options.stray.exists() else ''}{child.pid}\n")
while options.rank:
    time.sleep(1)
KEY = options.key_file.read_text().strip() if options.key_file else None
state = {"in_flight": 0, "tokens": 0}
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        while "deaf" in words():
            time.sleep(0.1)
        if KEY and self.path != "/health" and self.headers.get("Authorization") != f"Bearer {KEY}":
            self.answer(401, {"error": {"message": "no key"}})
        elif self.path == "/metrics" and "uncounted" not in words():
            more = sum(int(word[5:]) for word in words() if word.startswith("load="))
            counted = (
                f"coral_requests_in_flight {state['in_flight'] + more}",
                f"coral_tokens_total {state['tokens']}",
            )
            text = "\n".join((*counted, ""))
            self.answer(200, text.encode(), "text/plain")
        elif self.path == "/health":
            self.answer(200, {"status": "ok"})
        elif self.path == "/v1/models":
            self.answer(200, {"object": "list", "data": [{"id": options.name}]})
        else:
            self.answer(404, {"error": {"message": "not found"}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if KEY and self.headers.get("Authorization") != f"Bearer {KEY}":
            self.answer(401, {"error": {"message": "no key"}})
            return
        with lock:
            state["in_flight"] += 1
        try:
            self.complete(body)
        finally:
            with lock:
                state["in_flight"] -= 1

    def complete(self, body):
        while words() & {"hang", "deaf"}:
            state["tokens"] += "busy" in words()
            time.sleep(0.05)
        if "fail" in words():
            self.answer(500, {"error": {"message": "the engine is dead"}})
            return
        if "lie" in words():
            self.answer(200, {"error": {"message": "the engine is dead"}})
            return
        if "slow" in words():
            time.sleep(1)
        state["tokens"] += 1
        message = {"role": "assistant", "content": f"{body['messages'][-1]['content']} from {options.port}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        self.answer(
            200,
            {
                "id": "1",
                "object": "chat.completion",
                "model": options.name,
                "choices": [choice],
                "usage": usage,
            },
        )


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


while options.await_file and not options.await_file.exists():
    time.sleep(0.02)
socketserver.TCPServer.allow_reuse_address = True
Listener((options.host, options.port), Handler).serve_forever()
