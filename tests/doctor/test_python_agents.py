"""`python:` agents, where a model is asked without a run: the doctor and batches."""

import json
import sys

import pytest

from coral.cli import main
from coral.doctor.diagnose import diagnose
from coral.errors import ConfigError
from coral.models.config import ModelConfig

MODULE = """
def says(messages):
    return f"coral, says {messages[-1]['role']}"

async def waits(messages):
    return "coral"

def raises(messages):
    raise LookupError("no words")

def is_silent(messages):
    return None

seven = 7
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    """The module of a user in the working folder."""
    (tmp_path / "my_agents.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_agents", None)


def rows(diagnosis):
    return {row.probe: row for row in diagnosis.findings}


@pytest.mark.parametrize("name", ["says", "waits"])
async def test_the_doctor_asks_a_function(name):
    """Plain or async: it answers, takes no seed, and has no address."""
    diagnosis = await diagnose(ModelConfig(model=f"python:my_agents:{name}"))
    found = rows(diagnosis)
    assert diagnosis.usable
    assert diagnosis.addresses == ()
    assert found["runs"].seen == "a Python object in this process"
    assert found["answers"].seen.startswith("'coral")
    assert found["logprobs"].verdict == "no"
    assert found["context length"].verdict == "unknown"


@pytest.mark.parametrize(("name", "said"), [("raises", "no words"), ("is_silent", "returned nothing")])
async def test_the_doctor_says_what_a_function_does_wrong(name, said):
    """What it raises, or that it returns no text, is a row, not a traceback."""
    diagnosis = await diagnose(ModelConfig(model=f"python:my_agents:{name}"))
    assert not diagnosis.usable
    assert said in rows(diagnosis)["answers"].seen


@pytest.mark.parametrize("command", ["doctor", "generate"])
def test_what_cannot_be_imported_is_told_with_what_to_do(command, tmp_path, capsys):
    """With cause and remedy, exit code 2."""
    (tmp_path / "in.jsonl").write_text('{"prompt": "Hello"}\n')
    words = ["in.jsonl", "--output", "out.jsonl"] if command == "generate" else []
    assert main([command, *words, "--agent", "python:my_agents:gone"]) == 2
    said = capsys.readouterr().err
    assert "python:my_agents:gone" in said or "my_agents:gone cannot be imported" in said
    assert "->" in said


async def test_the_doctor_refuses_what_is_no_model():
    """A module's constant answers nothing."""
    with pytest.raises(ConfigError, match="int"):
        await diagnose(ModelConfig(model="python:my_agents:seven"))


def test_a_batch_asks_a_function(tmp_path):
    """Each row is one call; what the function raises is the row's error."""
    (tmp_path / "in.jsonl").write_text('{"prompt": "Hello"}\n{"prompt": "Again"}\n')
    words = ["generate", "in.jsonl", "--output", "out.jsonl", "--agent", "python:my_agents:says"]
    assert main(words) == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    texts = [line["response"]["choices"][0]["message"]["content"] for line in lines]
    assert texts == ["coral, says user", "coral, says user"]
    assert main(["generate", "in.jsonl", "--output", "bad.jsonl", "--agent", "python:my_agents:raises"]) == 1
    assert "no words" in (tmp_path / "bad.jsonl").read_text()
