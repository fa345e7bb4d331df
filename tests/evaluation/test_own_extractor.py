"""Extractors that users write: functions, classes, files; and what they do wrong."""

import sys
from pathlib import Path

import pytest

import coral
from coral.api import evaluate_async, load_run
from coral.cli import main
from coral.conversation.own_reader import names_reader
from coral.errors import ConfigError, Notice
from coral.types import Answered, Unreadable, Unsure

DATA = str(Path(__file__).parents[1] / "data" / "gsm8k" / "test.sample.jsonl")
FILE = (
    "import coral\n\n"
    "def last_word(text, problem):\n    return text.split()[-1]\n\n"
    "class Extractor:\n"
    "    def extract(self, text, problem):\n        return coral.Answered('41')\n\n"
    "class NeedsMore:\n    def __init__(self, x):\n        pass\n\n"
    "def one(text):\n    return text\n"
)


def says(_):
    return "Words and then 1007"


def options(path, **more):
    return {"data": DATA, "output": str(path), "limit": 2, "max_turns": 2, "agent": says, **more}


async def beliefs(extractor, path, **more):
    run = await evaluate_async("gsm8k", extractor=extractor, **options(path, **more))
    return [turn.reply.belief for c in run.conversations() for turn in c.turns]


class Calls:
    def __call__(self, text, problem):
        assert problem.question
        return text.split()[-1]


class Extracts:
    async def extract(self, text, problem):
        return coral.Unsure() if problem.question else None


KINDS = [
    (lambda text, problem: text.split()[-1], Answered("1007")),
    (lambda text, problem: coral.Answered("so"), Answered("so")),
    (lambda text, problem: None, Unreadable("the extractor finds no answer")),
    (Calls(), Answered("1007")),
    (Extracts(), Unsure()),
    (Extracts, Unsure()),
]


@pytest.mark.parametrize(("extractor", "belief"), KINDS, ids=range(len(KINDS)))
async def test_whatever_reads_a_text_is_an_extractor(extractor, belief, tmp_path):
    """A text is read as the task reads answers; a belief stands as it is; None is unreadable."""
    assert set(map(repr, await beliefs(extractor, tmp_path / "run"))) == {repr(belief)}
    identity = load_run(tmp_path / "run").identity()["extractor"]
    assert identity["mode"] == "rules"
    assert identity["function"].startswith(f"{__name__}:") or "lambda" in identity["function"]
    assert len(identity["source"]) == 16


def fails(text, problem):
    raise RuntimeError("oh")


def seven(text, problem):
    return 7


@pytest.mark.parametrize(("extractor", "why"), [(fails, "RuntimeError: oh"), (seven, "it returned 7")])
async def test_what_it_does_wrong_is_unreadable(extractor, why, tmp_path):
    """Counted and told; it ends no run."""
    found = await beliefs(extractor, tmp_path / "run")
    assert all(why in belief.reason for belief in found)


async def test_a_model_reads_what_it_cannot(tmp_path):
    """With mode hybrid the model is asked where the function finds nothing."""
    (tmp_path / "own.py").write_text("def nothing(text, problem):\n    return None\n")
    asks = {"function": f"{tmp_path}/own.py:nothing", "mode": "hybrid", "model": lambda _: "Answer: 1007"}
    assert set(map(repr, await beliefs(asks, tmp_path / "run"))) == {repr(Answered("1007"))}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a file of extractors, and a base of words."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reading.py").write_text(FILE)
    (tmp_path / "says.py").write_text("def says(_):\n    return 'Words and then 1007'\n")
    yield [
        "eval", "gsm8k", "--data", DATA, "--limit", "2", "--max_turns", "2", "--agent", "python:says:says",
        "--output", "run",
    ]  # fmt: skip
    for name in ("reading", "says"):
        sys.modules.pop(name, None)


WAYS = [
    (["--extractor", "reading.py:last_word"], "1007"),
    (["--extractor", "reading:Extractor"], "41"),
    (["--extractor.function", "reading.py:Extractor"], "41"),
    (["--extractor.model", "reading.py:last_word"], "1007"),
]


@pytest.mark.parametrize(("words", "value"), WAYS, ids=[" ".join(row[0]) for row in WAYS])
def test_the_command_line_names_it(here, words, value, capsys):
    """By file or module, as `--extractor` alone, too; the same command resumes."""
    assert main([*here, *words]) == 0
    found = [turn.reply.belief for c in load_run("run").conversations() for turn in c.turns]
    assert {belief.value for belief in found} == {value}
    assert main([*here, *words]) == 0
    assert "were kept" in capsys.readouterr().err


REFUSED = [
    ("reading.py:nothing", "cannot be imported: there is no 'nothing'", "There are: "),
    ("missing.py:read", "there is no file missing.py", "give the path"),
    ("reading.py:one", "not a function of a text and a problem", "def read(text, problem)"),
    ("reading.py:NeedsMore", "cannot be made: TypeError", "without arguments"),
]


@pytest.mark.parametrize(("name", "cause", "remedy"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_no_extractor(here, name, cause, remedy, capsys):
    """Refused before there is a folder."""
    assert main([*here, "--extractor", name]) == 2
    said = capsys.readouterr().err
    assert cause in said
    assert remedy in said
    assert not Path("run").exists()


async def test_another_source_is_told(tmp_path):
    """The run resumes, and says that what is there was read by the old one."""

    def read(text, problem):
        return "1"

    await beliefs(read, tmp_path / "run")

    def read(text, problem):
        return "2"

    with pytest.warns(Notice, match="has changed"):
        assert len(await beliefs(read, tmp_path / "run", limit=3)) == 6


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("a.py:read", True), ("json:loads", True), ("llama3:latest", False), ("ollama/qwen2.5:7b", False),
        ("gpt-4o", False), ("openai/gpt-4o", False), ("python:json:loads", False),
        ("hf.co/a/b:Q4_K_M", False),
    ],
)  # fmt: skip
def test_names_of_models_stay_names_of_models(name, is_one):
    """A colon alone makes no function of it."""
    assert names_reader(name) is is_one


def test_a_model_that_is_no_string_is_refused(tmp_path):
    """As before."""
    with pytest.raises(ConfigError, match="is not a model"):
        coral.evaluate("gsm8k", extractor=7, **options(tmp_path / "run"))
