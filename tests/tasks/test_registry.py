"""The registry: built-in tasks by name, tasks of other packages, and what goes wrong with either."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from coral.errors import ConfigError
from coral.tasks import registry
from coral.tasks.options import options_of, typed
from coral.tasks.protocol import Source
from coral.tasks.registry import BrokenTask

PLUG_IN = '''
from coral.tasks.protocol import TaskInfo
from coral.types import Answered, Problem


class Parrot:
    """Says it back."""

    info = TaskInfo(
        name="parrot", title="Parrot", size="1", origin="tests", license="MIT", fetch="", splits=("all",)
    )
    instruction = "Say it."

    def __init__(self, word: str = "hello") -> None:
        self.word = word

    def problems(self, source):
        yield Problem(id="1", task="parrot", question=self.word, target=self.word)

    def opening(self, problem):
        return problem.question

    def briefing(self, problem, seat):
        return ""

    def read(self, text, problem):
        return Answered(text)

    parse = read

    async def same(self, a, b, problem):
        return a == b

    async def grade(self, answer, problem):
        return answer == problem.target


class Mute:
    info = Parrot.info
'''

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a package with an entry point on the path, as pip would."""
    monkeypatch.syspath_prepend(tmp_path)

    def package(name: str, entries: str, code: str = PLUG_IN) -> None:
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(code)
        folder = tmp_path / f"{module}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[coral.tasks]\n{entries}\n")

    return package


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_every_built_in_task_loads_by_its_name(name: str) -> None:
    """The table, the class and its info agree on the name, and all options have defaults."""
    info = registry.load(name).info
    assert info.name == name
    assert info.splits
    assert info.license
    assert info.origin
    assert info.fetch


def test_names_start_with_the_built_in_ones() -> None:
    """Listing imports nothing and fails on nothing."""
    assert registry.names()[: len(registry.BUILT_IN)] == list(registry.BUILT_IN)


@pytest.mark.parametrize(
    ("wanted", "meant"), [("gqpa", "gpqa"), ("mmlu-pro", "mmlu_pro"), ("hitom", "hi_tom")]
)
def test_an_unknown_task_suggests_one(wanted: str, meant: str) -> None:
    """A typing error is answered with the nearest name."""
    with pytest.raises(ConfigError, match=f"there is no task '{wanted}'") as caught:
        registry.load(wanted)
    assert caught.value.remedy.startswith(f"did you mean {meant}?")


def test_an_unknown_option_suggests_one() -> None:
    """Options are checked before the task is built."""
    with pytest.raises(ConfigError, match="the task hi_tom has no option 'choice'") as caught:
        registry.load("hi_tom", choice=True)
    assert "did you mean choices?" in caught.value.remedy
    with pytest.raises(ConfigError) as caught:
        registry.load("gsm8k", choice=True)
    assert caught.value.remedy == "it has no options"


@pytest.mark.parametrize(
    ("task", "options", "remedy"),
    [
        ("sally_anne", {"size": "many"}, "give size a whole number;"),
        ("sally_anne", {"size": 2.5}, "give size a whole number;"),
        ("sally_anne", {"orders": 2}, "give orders a list of whole numbers;"),
        ("sally_anne", {"orders": ["two"]}, "give orders a list of whole numbers;"),
        ("hi_tom", {"choices": "maybe"}, "give choices true or false;"),
        ("gpqa", {"subset": "huge"}, "give subset main or diamond or extended;"),
    ],
)
def test_a_value_of_another_type_is_refused(task: str, options: dict[str, object], remedy: str) -> None:
    """A wrong type is named before the task is built, with what the option may be: no traceback, no guess."""
    with pytest.raises(ConfigError, match=f"^{task} cannot take ") as caught:
        registry.load(task, **options)
    assert caught.value.remedy.startswith(remedy)
    assert f"`coral tasks {task}`" in caught.value.remedy


def test_values_get_the_type_of_the_option() -> None:
    """YAML has lists where a task has tuples; an option that may be left open takes null."""
    assert registry.load("sally_anne", orders=[0, 2]) == registry.load("sally_anne", orders=(0, 2))
    assert registry.load("gpqa", subset=None) == registry.load("gpqa")


def test_options_of_a_class_that_is_annotated_as_its_author_likes() -> None:
    """What is not annotated has the type of its default; of another type, any value is taken as it is."""

    class Loose:
        """No section about options."""

        def __init__(self, level=3, depth: complex = 1j, *, ratio: float = 0.5, what=None) -> None:  # type: ignore[no-untyped-def]
            """Make one.

            Args:
                what: of any kind.
            """

    found = options_of(Loose)  # type: ignore[arg-type]
    assert [(option.name, option.kind, option.default, option.about) for option in found] == [
        ("level", "a whole number", "3", ""),
        ("depth", "", "1j", ""),
        ("ratio", "a number", "0.5", ""),
        ("what", "", "none", "of any kind."),
    ]
    values = {"level": 4, "depth": 2, "ratio": 1, "what": "x"}
    assert typed("loose", Loose, values) == values  # type: ignore[arg-type]


def test_a_task_of_another_package(install: Install) -> None:
    """An installed package adds a task by an entry point, with options of its own."""
    install("parrots-a", "parrot = parrots_a:Parrot")
    assert "parrot" in registry.names()
    task = registry.load("parrot", word="good day")
    [problem] = task.problems(Source(data=None, split="all"))
    assert task.opening(problem) == "good day"


BROKEN = [
    ("import does_not_exist", "ModuleNotFoundError", "a package it needs is missing"),
    ("def x(:", "SyntaxError", "a typing error"),
    ("1 / len([1]) + {}['x']", "KeyError", "an error while it is imported"),
    ("raise SystemExit(2)", "SystemExit", "it ends as it is imported"),
    ("", "AttributeError", "the class is not there"),
    ("Parrot = 3", "TypeError", "not a class"),
]


@pytest.mark.parametrize(("code", "message", "why"), BROKEN)
def test_a_broken_package_breaks_no_other_task(
    install: Install, request: pytest.FixtureRequest, code: str, message: str, why: str
) -> None:
    """Only the broken task fails, with the package and its entry point named."""
    number = zlib.crc32(request.node.name.encode())
    install(f"broken-{number}", f"broken = broken_{number}:Parrot", code)
    assert "broken" in registry.names()
    assert registry.load("hi_tom").info.name == "hi_tom"
    with pytest.raises(BrokenTask, match=message) as caught:
        registry.load("broken")
    assert f"broken-{number}" in str(caught.value), why
    assert f"broken_{number}:Parrot" in caught.value.remedy, why


def test_a_package_without_a_task(install: Install) -> None:
    """What lacks the methods of a task is refused when it is loaded, not in the middle of a run."""
    install("parrots-b", "mute = parrots_b:Mute")
    with pytest.raises(BrokenTask, match="it lacks problems, opening, briefing, read, parse, same, grade"):
        registry.load("mute")


def test_a_built_in_name_cannot_be_taken(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    """A package cannot replace a built-in task unseen: it is left out, with a warning that names it."""
    install("parrots-c", "hi_tom = parrots_c:Parrot")
    with caplog.at_level(logging.WARNING):
        assert registry.names().count("hi_tom") == 1
    assert registry.load("hi_tom").info.title.startswith("Hi-ToM")
    assert "parrots-c adds a task 'hi_tom'" in caplog.text


def test_two_packages_of_one_name(install: Install) -> None:
    """Which of the two is meant cannot be known, so neither is run."""
    install("parrots-d", "parrot = parrots_d:Parrot")
    install("parrots-e", "parrot = parrots_e:Parrot")
    with pytest.raises(BrokenTask, match=r"added by several packages: parrots-[de], parrots-[de]"):
        registry.load("parrot")
