"""Options of a task of one's own: those of a function and of a class are one thing, however given."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import coral
from coral.cli import main
from coral.cli.options import parse
from coral.errors import ConfigError, UserError
from coral.evaluation.config import EvalConfig
from coral.options import build_config, load_yaml_file, read_words, types_of
from coral.store.folder import RunFolder
from coral.tasks import registry
from coral.tasks.protocol import Source

CODE = '''
from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Literal

import coral
from coral.tasks.sally_anne import SallyAnne


class Mode(Enum):
    EASY = "easy"
    HARD = "hard"


@coral.task("phrase")
def made(limit: int = 20, *, ratio: float = 0.5, hard=False, region: Literal["west", "east"] = "west",
         mode: Mode = Mode.EASY, where: Path = Path("here"), topics: list[str] = ["a"], loose=None):
    """Capitals.

    Args:
        limit: most records.
    """
    yield {"question": repr((limit, ratio, hard, region, mode, where, topics, loose)), "answer": "x"}


class Class(SallyAnne):
    """Capitals.

    Args:
        limit: most records.
    """

    def __init__(self, limit: int = 20, *, ratio: float = 0.5, hard=False,
                 region: Literal["west", "east"] = "west", mode: Mode = Mode.EASY, where: Path = Path("here"),
                 topics: list[str] = ["a"], loose=None):
        super().__init__()
        self.said = repr((limit, ratio, hard, region, mode, where, topics, loose))


@coral.task("phrase")
def needs(split: str, limit: int = 20):
    """Of one split."""
    yield {"question": split, "answer": "x"}


class Named(SallyAnne):
    def __init__(self, name="x"):
        super().__init__()


@coral.task()
def unnamed(*rest, **more):
    yield {"question": repr((rest, more)), "answer": "x"}
'''


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the tasks are."""
    path = tmp_path_factory.mktemp("own_options") / "tasks_with_options.py"
    path.write_text(CODE)
    yield str(path)
    sys.modules.pop("tasks_with_options", None)


def said(task: Any) -> str:
    """The values that reached a task's code."""
    if hasattr(task, "said"):
        return str(task.said)
    return next(iter(task.problems(Source(data=None, split="")))).question


def by_words(name: str, options: dict[str, str], folder: Path) -> Any:
    words = [word for key, value in options.items() for word in (f"--task.{key}", value)]
    config = parse(EvalConfig, [name, *words], command="coral eval", about="", positional="task.name")
    return registry.load(config.task_name, **config.task_options)


def by_yaml(name: str, options: dict[str, str], folder: Path) -> Any:
    lines = "".join(f"  {key}: {value}\n" for key, value in options.items())
    (folder / "run.yaml").write_text(f"task:\n  name: {name}\n{lines}")
    given = read_words(load_yaml_file(folder / "run.yaml"), types_of(EvalConfig))
    config = build_config(EvalConfig, given, "run")
    return registry.load(config.task_name, **config.task_options)


@pytest.mark.parametrize("face", [by_words, by_yaml])
@pytest.mark.parametrize("task", ["made", "Class"])
@pytest.mark.parametrize(
    ("option", "value", "becomes"),
    [
        ("limit", "5", "(5, 0.5, False, 'west', <Mode.EASY: 'easy'>, PosixPath('here'), ['a'], None)"),
        ("ratio", "1", "(20, 1.0, False, "),
        ("hard", "true", "(20, 0.5, True, "),
        ("region", "east", ", 'east', "),
        ("mode", "hard", ", <Mode.HARD: 'hard'>, "),
        ("where", "/there", ", PosixPath('/there'), "),
        ("topics", "[b, c]", ", ['b', 'c'], None)"),
        ("topics", "b", ", ['b'], None)"),
        ("loose", "3", ", 3)"),
        ("loose", "[1, two]", ", [1, 'two'])"),
    ],
)
def test_an_option_has_the_type_of_its_annotation_or_default(
    file: str, tmp_path: Path, face: Any, task: str, option: str, value: str, becomes: str
) -> None:
    """The same by words and in YAML, of a function and of a class."""
    assert becomes in said(face(f"{file}:{task}", {option: value}, tmp_path))


@pytest.mark.parametrize("task", ["made", "Class"])
@pytest.mark.parametrize(
    ("options", "words", "remedy"),
    [
        ({"limit": "five"}, "cannot take limit='five'", "give limit a whole number"),
        ({"limit": 2.5}, "cannot take limit=2.5", "give limit a whole number"),
        ({"hard": "no"}, "cannot take hard='no'", "give hard true or false"),
        ({"region": "north"}, "cannot take region='north'", "give region west or east"),
        ({"mode": "harsh"}, "cannot take mode='harsh'", "give mode easy or hard"),
        ({"lmit": 5}, "no option 'lmit'", "did you mean limit?"),
    ],
)
def test_a_wrong_option_is_refused(file: str, task: str, options: Any, words: str, remedy: str) -> None:
    """With what it may be, before any code of the task runs."""
    with pytest.raises(ConfigError) as raised:
        registry.load(f"{file}:{task}", **options)
    assert words in str(raised.value)
    assert remedy in raised.value.remedy


@pytest.mark.parametrize("task", ["made", "Class"])
def test_options_are_listed_as_those_of_other_tasks(
    file: str, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`coral tasks` says what each may be, its default, and what the docstring says of it."""
    assert main(["tasks", f"{file}:{task}"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for line in (
        "--task.limit: a whole number, by default 20 most records.",
        "--task.ratio: a number, by default 0.5",
        "--task.hard: true or false, by default false",
        "--task.region: west or east, by default west",
        "--task.mode: easy or hard, by default easy",
        "--task.where: a path, by default here",
        "--task.topics: a list of texts, by default [a]",
        "--task.loose: by default none",
    ):
        assert line in shown


def test_a_function_keeps_the_options_of_its_records(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of `open` or `choices`, with their types and words."""
    assert main(["tasks", f"{file}:made"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--task.gold: true or false, by default true false: the records hold" in shown
    assert "--task.kind: number or math or phrase or exact or text, by default phrase" in shown


def test_an_option_without_a_default_has_to_be_given(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Named, and listed all the same."""
    with pytest.raises(ConfigError, match=r"needs its option split \(a text\)") as raised:
        registry.load(f"{file}:needs")
    assert "--task.split VALUE" in raised.value.remedy
    assert said(registry.load(f"{file}:needs", split="dev")) == "dev"
    assert main(["tasks", f"{file}:needs"]) == 0
    shown = capsys.readouterr().out
    assert "a task that needs --task.split" in shown
    assert "--task.split: a text, has to be given" in shown


def test_what_cannot_be_an_option_by_name_is_left_to_the_function(file: str) -> None:
    """`*rest` and `**more` name no option."""
    assert said(registry.load(f"{file}:unnamed")) == "((), {})"


def test_a_run_stores_the_values_and_finds_its_task_again(file: str, tmp_path: Path) -> None:
    """By name and as an object the same run; its folder alone makes the task, with paths and all."""
    registry.task_class(f"{file}:made")
    task = sys.modules["tasks_with_options"].made(limit=3, where=tmp_path)
    out = str(tmp_path / "run")
    asked = {"agent": lambda messages: "Answer: x", "protocol": "cot", "output": out}
    run = coral.evaluate(task, **asked)
    again = coral.evaluate({"name": f"{file}:made", "limit": "3", "where": str(tmp_path)}, **asked)
    assert (run.summary.conversations, again.total) == (1, 1)
    stored = RunFolder(out).identity()["task"]
    assert (stored["limit"], stored["where"], stored["mode"]) == (3, str(tmp_path), "easy")
    assert said(registry.task_of(RunFolder(out))) == said(task)
    with pytest.raises(UserError, match="limit"):
        coral.evaluate({"name": f"{file}:made", "limit": 4, "where": str(tmp_path)}, **asked)


@pytest.mark.parametrize("name", ["name", "question", "kind", "group", "info", "problems"])
def test_a_parameter_called_as_a_part_of_the_task_is_refused(name: str) -> None:
    """Said where the function is decorated."""
    space: dict[str, Any] = {}
    exec(f"def mine({name}=None):\n    yield {{}}", space)
    with pytest.raises(ConfigError, match=f"mine cannot have a parameter called {name}"):
        coral.task()(space["mine"])


def test_a_class_with_an_option_called_name_is_refused(file: str) -> None:
    """Among the options of a task, `name` says which task it is."""
    with pytest.raises(ConfigError, match="Named has an option called name"):
        registry.load(f"{file}:Named")


def test_a_default_that_is_changed_is_that_of_one_task_alone() -> None:
    """And of one call: a task's problems are streamed more than once."""

    @coral.task("exact")
    def grows(seen: list[str] = []) -> Any:  # noqa: B006
        seen.append("x")
        yield {"question": repr(seen), "answer": "x"}

    assert [said(grows()), said(grows())] == ["['x']", "['x']"]
