"""hf:// addresses, against a local server that speaks the hub's protocol."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from coral.errors import ConfigError, MissingExtra
from coral.tasks import hub
from coral.tasks.hub import Address

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RECORD = {"question_id": 7, "question": "2+2?", "options": ["3", "4"], "answer": "B", "category": "math"}
FILES = {
    "README.md": b"A card.\n",
    "data/test.jsonl": (json.dumps(RECORD) + "\n").encode(),
    "data/validation.jsonl": (json.dumps(RECORD | {"question_id": 8}) + "\n").encode(),
}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (
            "hf://datasets/TIGER-Lab/MMLU-Pro",
            Address(repository="TIGER-Lab/MMLU-Pro", revision=None, inner=""),
        ),
        ("hf://datasets/a/b@v1.0", Address(repository="a/b", revision="v1.0", inner="")),
        ("hf://datasets/a/b/data/x.csv", Address(repository="a/b", revision=None, inner="data/x.csv")),
        ("hf://datasets/a/b@main/data/", Address(repository="a/b", revision="main", inner="data")),
        (
            "hf://datasets/a/b@refs%2Fconvert%2Fparquet/x.parquet",
            Address(repository="a/b", revision="refs/convert/parquet", inner="x.parquet"),
        ),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    """OWNER/NAME, then @REVISION, then a file or folder."""
    assert hub.parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "hf://datasets/gsm8k",
        "hf://models/a/b",
        "hf://datasets/a/b c",
        "hf://datasets//b",
        "hf://datasets/a/b@",
    ],
)
def test_bad_addresses(text: str) -> None:
    """Whatever is no address of a data set is refused with the form it should have."""
    with pytest.raises(ConfigError, match="not the address of a data set") as caught:
        hub.parse(text)
    assert "hf://datasets/OWNER/NAME" in caught.value.remedy


def test_huggingface_hub_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without huggingface_hub, an address names the pip install to run."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra) as caught:
        hub.fetch(hub.parse("hf://datasets/a/b"))
    assert "[hub]" in caught.value.remedy


class Hub(BaseHTTPRequestHandler):
    """The three questions that huggingface_hub asks: a revision, its tree, a file. `a/gated` is gated."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith(("/api/datasets/a/gated", "/datasets/a/gated")):
            self.answer(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."})
        elif path.startswith("/api/datasets/a/b/revision/"):
            revision = path.rsplit("/", 1)[1]
            siblings = [{"rfilename": name} for name in FILES]
            if revision in {"main", COMMIT}:
                self.json({"id": "a/b", "sha": COMMIT, "siblings": siblings, "private": False})
            else:
                self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith("/api/datasets/a/b/tree/"):
            self.json(
                [
                    {
                        "type": "file",
                        "path": name,
                        "size": len(content),
                        "oid": hashlib.sha1(content).hexdigest(),
                    }
                    for name, content in FILES.items()
                ]
            )
        elif path.startswith("/datasets/a/b/resolve/"):
            self.file(path.removeprefix("/datasets/a/b/resolve/").partition("/")[2])
        else:
            self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def file(self, name: str) -> None:
        if name not in FILES:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        etag = hashlib.sha1(FILES[name]).hexdigest()
        self.answer(200, FILES[name], {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

    def json(self, value: Any) -> None:
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """No log on the tests' output."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of the local hub."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


# huggingface_hub reads its settings once, when it is imported, so it is asked in a process of its own.
CLIENT = """
import json, sys
from coral.errors import UserError
from coral.tasks import registry, sources
from coral.tasks.protocol import Source

task = registry.load("mmlu_pro")
for data, split in json.loads(sys.argv[1]):
    source = Source(data=data, split=split)
    try:
        ids = [problem.id for problem in task.problems(source)]
        print(json.dumps([ids, sources.fingerprint(source)]))
    except UserError as error:
        print(json.dumps([str(error), error.remedy]))
"""


def ask(questions: list[tuple[str, str]], cache: Path, **environment: str) -> list[list[Any]]:
    """What problems and fingerprint, or message and remedy, each address gives."""
    settings = {
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, json.dumps(questions)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_data_from_the_hub(endpoint: str, tmp_path: Path) -> None:
    """A whole data set gives the split asked for; what was fetched is there without a network, too."""
    pytest.importorskip("huggingface_hub")
    digest = hashlib.sha256(FILES["data/test.jsonl"]).hexdigest()
    questions = [
        ("hf://datasets/a/b", "test"),
        ("hf://datasets/a/b", "validation"),
        (f"hf://datasets/a/b@{COMMIT}/data/validation.jsonl", "validation"),
        ("hf://datasets/a/b@main/data/test.jsonl", "test"),
        ("hf://datasets/a/b/data", "test"),
    ]
    answers = ask(questions, tmp_path, HF_ENDPOINT=endpoint)
    assert [ids for ids, _ in answers] == [["7"], ["8"], ["8"], ["7"], ["7"]]
    assert answers[3][1] == f"{COMMIT}/sha256:{digest}"
    assert answers[0][1].startswith(f"{COMMIT}/sha256:")
    assert ask(questions[:1], tmp_path, HF_HUB_OFFLINE="1") == answers[:1]


def test_what_goes_wrong_on_the_hub(endpoint: str, tmp_path: Path) -> None:
    """Gated, absent, an unknown revision, an unknown file: each has its message and remedy."""
    pytest.importorskip("huggingface_hub")
    answers = ask(
        [
            ("hf://datasets/a/gated", "test"),
            ("hf://datasets/a/nothing", "test"),
            ("hf://datasets/a/b@v9", "test"),
            ("hf://datasets/a/b/data/train.jsonl", "test"),
        ],
        tmp_path,
        HF_ENDPOINT=endpoint,
    )
    messages = [message for message, _ in answers]
    assert "open only to those whom its authors admit" in messages[0]
    assert "ask for access" in answers[0][1]
    assert "does not exist, or is private" in messages[1]
    assert "has no revision 'v9'" in messages[2]
    assert "has no file 'data/train.jsonl'" in messages[3]


def test_without_a_network(tmp_path: Path) -> None:
    """What is not in the cache and cannot be fetched is told as that."""
    pytest.importorskip("huggingface_hub")
    [[message, remedy]] = ask([("hf://datasets/a/b", "test")], tmp_path, HF_HUB_OFFLINE="1")
    assert "the hub cannot be reached" in message
    assert "give its path" in remedy
