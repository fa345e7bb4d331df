"""Tasks of somebody else's that are no tasks, or raise before anything is asked: one line with the cause."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import coral
from coral.errors import ConfigError, UserError
from coral.tasks import boundary, registry
from coral.tasks.protocol import Source

CODE = """
from dataclasses import dataclass

import coral


@dataclass
class Task:
    most: int = 2
    info = coral.TaskInfo(name="sums")
    instruction = "End with: answer N."

    def problems(self, source):
        for n in range(self.most):
            yield coral.Problem(id=str(n), task="sums", question="?", target="1")

    def opening(self, problem):
        return "What?"

    def briefing(self, problem, seat):
        return ""

    def read(self, text, problem):
        return coral.Answered("1")

    def parse(self, answer, problem):
        return coral.Answered(answer)

    async def same(self, a, b, problem):
        return a == b

    async def grade(self, answer, problem):
        return answer == problem.target


class Raises(Task):
    def problems(self, source):
        raise ValueError("no data here")


class Nothing(Task):
    def problems(self, source):
        return None


class Mappings(Task):
    def problems(self, source):
        yield {"question": "?"}


class Numbers(Task):
    def problems(self, source):
        yield coral.Problem(id="1", task="sums", question="?", target=1)


class Twins(Task):
    def problems(self, source):
        return [coral.Problem(id="a", task="sums", question="?", target="1")] * 2


class Unstated(Task):
    def opening(self, problem):
        raise KeyError("oh")


class Speechless(Task):
    def opening(self, problem):
        return None


class Briefed(Task):
    def briefing(self, problem, seat):
        return 1 / 0


class Info(Task):
    info = {"name": "sums"}


class Instruction(Task):
    instruction = None


class Unmade(Task):
    def __init__(self):
        raise RuntimeError("not today")


class Leaves(Task):
    def __init__(self):
        raise SystemExit(1)


class Half:
    pass


@coral.task()
def breaks():
    yield {"question": "1+1?", "answer": 2}
    raise OSError("the line is dead")


@coral.task()
def wants(n):
    yield {"question": "1+1?", "answer": n}


@coral.task("phrase")
async def later():
    yield {"question": "1+1?", "answer": 2}


def bare():
    yield {"question": "1+1?", "answer": 2}


RECORDS = [{"question": "1+1?", "answer": 2}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the user's module lies."""
    path = tmp_path_factory.mktemp("faulty")
    (path / "faulty_tasks.py").write_text(CODE)
    (path / "faulty_import.py").write_text("import no_such_package_anywhere\n")
    (path / "program.py").write_text("raise SystemExit(2)\n")
    (path / "asserts.py").write_text("assert False, 'no key'\n")
    yield path
    sys.modules.pop("faulty_tasks", None)


def _problems(name: str, **options: Any) -> list[coral.Problem]:
    task = registry.load(name, **options)
    return list(boundary.problems(task, Source(data=None, split="")))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Raises", "ValueError: no data here (faulty_tasks.py, line"),
        ("Nothing", "cannot give its problems: TypeError"),
        ("Mappings", "problem 1 of the task sums is a dict"),
        ("Numbers", "Expected `str`, got `int` - at `$.target`"),
        ("Twins", "problem 2 of the task sums has the id 'a' of another one"),
        ("Unstated", "cannot be stated: KeyError: 'oh' (faulty_tasks.py, line"),
        ("Speechless", "an opening of None"),
        ("Briefed", "cannot be stated: ZeroDivisionError"),
        ("Info", "not a TaskInfo"),
        ("Instruction", "the instruction of Instruction is None, not a str"),
        ("Unmade", "cannot be made: RuntimeError: not today"),
        ("Leaves", "cannot be made: SystemExit: 1"),
        ("Half", "it lacks problems, opening"),
        ("breaks", "the line is dead (faulty_tasks.py, line"),
        ("wants", "needs its option n -> give --task.n VALUE"),
        ("later", "is not iterable"),
        ("bare", "a line above it: @coral.task()"),
        ("RECORDS", "not a task but a list"),
        ("braeks", "did you mean breaks?"),
    ],
)
def test_a_faulty_task_is_told_with_its_place(folder: Path, name: str, words: str) -> None:
    """Whatever its code raises is one line; a run has not begun."""
    with pytest.raises(UserError) as raised:
        _problems(f"{folder}/faulty_tasks.py:{name}")
    assert words in f"{raised.value} -> {raised.value.remedy}"
    assert raised.value.remedy


def test_a_sound_task_is_let_through(folder: Path) -> None:
    """What is checked changes nothing."""
    found = _problems(f"{folder}/faulty_tasks.py:Task", most=3)
    assert [problem.id for problem in found] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("faulty_tasks.py", "name the task in it, faulty_tasks.py:NAME"),
        ("faulty_tasks.Task", "is named faulty_tasks:Task"),
        ("program.py:x", "what program.py does as a program belongs under: if __name__"),
        ("asserts.py:x", "mend asserts.py"),
        ("faulty_import.py:x", "or install what it imports"),
        ("faulty_nowhere:x", "from its folder or installed"),
    ],
)
def test_names_that_lead_nowhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    """The message says how it would be named, or whose mistake it is."""
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError) as raised:
        registry.load(name)
    assert words in str(raised.value.remedy)


def test_a_kind_that_there_is_not() -> None:
    """Said where the function is decorated."""
    with pytest.raises(ConfigError, match=r"'fraze'.*names no kind"):
        coral.task("fraze")  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::coral.errors.Notice")
@pytest.mark.parametrize(("agent", "cause"), [("nothing", "returned nothing"), ("raises", "my bug")])
def test_a_run_of_failures_says_why(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    agent: str,
    cause: str,
) -> None:
    """The commonest cause stands behind the number of failed conversations; an agent is named by its file."""
    from coral.cli import main

    monkeypatch.chdir(tmp_path)
    code = 'def nothing(messages):\n    pass\n\n\ndef raises(messages):\n    raise ValueError("my bug")\n'
    (tmp_path / f"bots_{agent}.py").write_text(code)
    (tmp_path / "mine.jsonl").write_text('{"question": "?", "choices": ["a1", "b1"], "answer": "A"}\n')
    options = ["--protocol", "cot", "--output", "run"]
    assert (
        main(["eval", "choices", "--data", "mine.jsonl", "--agent", f"bots_{agent}.py:{agent}", *options])
        == 3
    )
    assert cause in capsys.readouterr().err


def test_a_class_is_made_where_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an extractor's is; one that wants arguments says so."""
    from coral.agents.open import Objects

    monkeypatch.chdir(tmp_path)
    (tmp_path / "bots_made.py").write_text(
        "class Bot:\n    def __call__(self, messages):\n        return 'A'\n\n\n"
        "class Wants:\n    def __init__(self, key):\n        pass\n"
    )
    made: Any = Objects().find("bots_made.py:Bot")
    assert made([]) == "A"
    with pytest.raises(ConfigError, match="cannot be made without arguments"):
        Objects().find("python:bots_made:Wants")
