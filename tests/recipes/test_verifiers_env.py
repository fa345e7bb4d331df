"""The environment of verifiers: its evaluation command holds Coral conversations, and rewards each seat."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("verifiers", reason="pip install ./recipes/verifiers_env")

SOURCES = Path(__file__).parents[2]
EVALUATE = [sys.executable, "-c", "from verifiers.v1.cli.eval.main import main; main()"]
PROBLEMS = 4


@pytest.fixture
def url():
    """A server of scripted agents, as a process."""
    command = [sys.executable, "-m", "coral", "serve", "scripted", "--task", "sally_anne", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield re.search(r"http://\S+", process.stdout.readline())[0]
        process.terminate()


@pytest.fixture
def episodes(url, tmp_path):
    """Those of a run of verifiers' own command, in which the partner is a model of its own."""
    conversation = {"task": {"name": "sally_anne"}, "split": "test", "limit": PROBLEMS, "max_turns": 6}
    options = {
        "model": "scripted", "client": {"base_url": url, "api_key_var": "NO_KEY"}, "push": False,
        "env": {
            "partner": {"model": "scripted"}, "reward": "own_right",
            "taskset": {"id": "coral_conversation", "conversation": conversation},
        },
    }  # fmt: skip
    path = tmp_path / "options.json"
    path.write_text(json.dumps(options))
    places = [str(SOURCES / "recipes" / "verifiers_env"), str(SOURCES / "src")]
    env = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run(
        [*EVALUATE, "@", str(path), "--no-rich", "--output-dir", "out"],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (traces,) = tmp_path.glob("out/*/traces.jsonl")
    return [json.loads(line) for line in traces.read_text().splitlines()]


def spoken(trace):
    """What a seat said itself."""
    return [node["message"]["content"] for node in trace["nodes"] if node["sampled"]]


def read(trace):
    """What a seat was told."""
    return [node["message"]["content"] for node in trace["nodes"] if node["message"]["role"] == "user"]


def test_each_seat_has_its_own_view_and_reward(episodes):
    """One sequence per seat, in which the partner's words are read and not sampled; the reward is the seat's
    own, by its last answer; a partner with a model of its own is not trained.
    """
    assert len(episodes) == PROBLEMS
    earned = set()
    for episode in episodes:
        assert episode["ok"], episode["errors"]
        seats = {trace["agent"]["name"]: trace for trace in episode["traces"]}
        assert seats.keys() == {"agent", "partner"}
        assert (seats["agent"]["agent"]["trainable"], seats["partner"]["agent"]["trainable"]) == (True, False)
        opener, responder = seats["agent"], seats["partner"]
        assert spoken(responder)[0] in read(opener)[0]
        assert read(opener)[1:] == spoken(responder)[1 : len(read(opener))]
        assert read(responder)[1:] == spoken(opener)[: len(read(responder)) - 1]
        turns = len(spoken(opener)) + len(spoken(responder))
        target = episode["task"]["data"]["problem"]["target"]
        for trace in seats.values():
            letters = re.findall(r"Answer: \((.)\)", "".join(spoken(trace)))
            right = float(letters[-1] == target)
            assert trace["rewards"] == {"own_right": {"score": right, "weight": 1.0}}
            assert (trace["metrics"]["own_last"], trace["metrics"]["turns"]) == (right, turns)
            earned.add(right)
    assert earned == {0.0, 1.0}, "scripted agents are right sometimes"
