"""`coral chat --web` as a user starts it: links, a kill, and the summary."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

DATA = str(Path(__file__).parents[1] / "data" / "gsm8k" / "test.sample.jsonl")
AGENT = "import json\nwhile input():\n    print(json.dumps({'text': 'So: \\\\boxed{7}'}), flush=True)\n"


class Chat:
    """The command, and what a page of it is told."""

    def __init__(self, folder):
        (folder / "agent.py").write_text(AGENT)
        (folder / "welcome.txt").write_text("Do you consent?")
        self._words = [
            sys.executable, "-m", "coral", "chat", "gsm8k", "--data", DATA, "--limit", "1", "--web",
            "--no_browser", "--sessions", "2", "--welcome", str(folder / "welcome.txt"), "--agent.command",
            f"{sys.executable} {folder / 'agent.py'}", "--output", str(folder / "run"),
        ]  # fmt: skip

    def start(self):
        """Returns what it says of each link."""
        self.process = subprocess.Popen(
            self._words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        return [self.process.stdout.readline().split("  ") for _ in range(3)]

    def end(self, number):
        os.killpg(self.process.pid, number)
        return self.process.communicate(timeout=60)


def told(link, path="seat", body=None):
    base, token = link.split("/?token=")
    headers = {"X-Coral-Token": token, "Origin": base, "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"{base}/api/{path}", data, headers), timeout=60) as response:
        return json.load(response)


def turn(link):
    """The turn that a person is asked for."""
    version = ""
    while True:
        state = told(link, f"seat?version={version}")
        if state["turn"]:
            return state["turn"]
        version = state["version"]


@pytest.fixture
def chat(tmp_path):
    running = Chat(tmp_path)
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGKILL)


def test_links_outlive_a_kill_and_the_end_is_a_summary(chat, tmp_path):
    """Two people and one problem: the second is told that there is none left."""
    links = chat.start()
    assert [words.strip() for _, words in links] == [
        "(responder)",
        "(responder)",
        "(all sessions, and new links; Ctrl-C stops)",
    ]
    (first, _), (second, _), (own, _) = links
    assert told(first)["welcome"] == "Do you consent?"
    spell = {"seconds": 1, "first_key_s": None, "away_s": 0}
    told(first, "seat/next", {})
    told(first, "seat/say", {"turn": turn(first), "text": "\\boxed{5}", "spell": spell})
    then = turn(first)
    chat.end(signal.SIGKILL)
    assert chat.start() == links
    assert turn(first) == then
    assert not told(second, "seat/next", {})["more"]
    assert [one["done"] for one in told(own, "people")["sessions"]] == [0, 0]
    told(first, "seat/say", {"turn": then, "text": "\\boxed{7}", "spell": spell})
    out, err = chat.process.communicate(timeout=60)
    assert "session 1 has finished 1: agreed" in err
    assert "partner 2 (human)" in out
    assert (tmp_path / "run/people/welcome.txt").read_text() == "Do you consent?"


def test_a_stopped_chat_says_how_to_go_on(chat):
    """Like any other."""
    (link, _), *_ = chat.start()
    told(link, "seat/next", {})
    _, err = chat.end(signal.SIGTERM)
    assert "what was said is kept" in err
    assert "run the same command again to resume" in err
