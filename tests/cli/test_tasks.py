"""`coral tasks`: the list fits a terminal, commands can be copied, confidential problems stay hidden."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coral.cli import tasks
from coral.errors import ConfigError
from coral.tasks import registry
from coral.tasks.options import options_of

DATA = Path(__file__).parent.parent / "data"


def test_the_list_fits_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every task is in the table, with its licence, and no line but a command is over 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    assert tasks.run([]) == 0
    lines = capsys.readouterr().out.splitlines()
    commands = {f"    {registry.info(name).fetch}" for name in registry.BUILT_IN}
    assert all(len(line) <= 80 or line in commands for line in lines)
    text = " ".join(" ".join(lines).split())
    for name in registry.BUILT_IN:
        assert any(line.startswith(f"{name} ") for line in lines), name
        assert registry.info(name).license.split()[0] in text


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_fetch_commands_are_on_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """However narrow the terminal, the command that fetches the data can be copied as one line."""
    monkeypatch.setenv("COLUMNS", "40")
    tasks.run([])
    assert f"    {registry.info(name).fetch}" in capsys.readouterr().out.splitlines()


def test_one_task_in_detail(capsys: pytest.CaptureFixture[str]) -> None:
    """Origin, splits, options, and the words that ask for an answer."""
    assert tasks.run(["hi_tom"]) == 0
    out = capsys.readouterr().out
    for part in (
        "https://github.com/ying-hui-he/Hi-ToM_dataset",
        "all, train, validation, test",
        "  --task.choices: true or false, by default false",
        "names one container, spelled as in the story",
    ):
        assert part in out


@pytest.mark.parametrize(
    ("task", "lines"),
    [
        ("sally_anne", ["--task.people: a whole number, by default 3 persons in a story; 2 to 7"]),
        ("sally_anne", ["--task.min_events: a whole number, by default 3 fewest movings"]),
        ("sally_anne", ["--task.orders: a list of whole numbers, by default [0, 1, 2, 3] orders"]),
        ("explore_tom", ["--task.story: structure or infilled, by default structure `structure`, the plain"]),
        ("gpqa", ["--task.subset: main or diamond or extended, by default none which file"]),
        ("gsm8k", ["It has no options of its own."]),
    ],
    ids=["range", "another range", "list", "choice", "choice or none", "none at all"],
)
def test_options_are_listed_with_what_they_may_be(
    capsys: pytest.CaptureFixture[str], task: str, lines: list[str]
) -> None:
    """Each option with its type or its values, its default, and what it is, within 80 columns."""
    tasks.run([task])
    out = capsys.readouterr().out
    for line in lines:
        assert line in " ".join(out.split())
    assert all(len(line) <= 80 for line in out.splitlines() if line.startswith(("  --task", "      ")))


def test_every_option_of_a_built_in_task_is_explained() -> None:
    """No option is listed without a type and a sentence."""
    for name in registry.BUILT_IN:
        for option in options_of(registry.task_class(name)):
            assert option.kind, f"{name}.{option.name}"
            assert option.about, f"{name}.{option.name}"


def test_a_name_clash_is_told_once(tmp_path: Path) -> None:
    """A package that takes a built-in name is named in one line, however often the names are looked up."""
    folder = tmp_path / "parrots-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: parrots\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[coral.tasks]\nhi_tom = parrots:Parrot\nodd = parrots:Odd\n")
    done = subprocess.run(
        [sys.executable, "-m", "coral", "tasks"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.count("parrots adds a task 'hi_tom'") == 1
    assert "the task 'odd' of parrots cannot be used" in done.stdout


def test_a_problem_of_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    """With data, the first problem is shown as the opener states it, with its answer and the data's hash."""
    tasks.run(["gsm8k", "--data", str(DATA / "gsm8k" / "test.sample.jsonl")])
    out = capsys.readouterr().out
    assert "Josh decides to try flipping a house." in out
    assert "right answer: 70000" in out
    assert "sha256:" in out


def test_a_generated_task_needs_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    """A task that makes its problems shows one right away."""
    tasks.run(["sally_anne"])
    assert "The first problem is" in capsys.readouterr().out


def test_confidential_problems_are_withheld(capsys: pytest.CaptureFixture[str]) -> None:
    """No GPQA text reaches the terminal, from where it is pasted so easily."""
    tasks.run(["gpqa", "--data", str(DATA / "gpqa" / "SYNTHETIC_fixture.csv")])
    out = capsys.readouterr().out
    assert "rec_SYNTH_1" in out
    assert "withheld" in out
    assert "hexagon" not in out


def test_an_unknown_task() -> None:
    """The command line passes on the suggestion of the registry."""
    with pytest.raises(ConfigError, match="there is no task 'gqpa'") as caught:
        tasks.run(["gqpa"])
    assert "did you mean gpqa?" in caught.value.remedy


def test_a_broken_package_is_shown_below(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package whose task cannot be loaded hides no other task."""
    folder = tmp_path / "no_such_module-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: no-such-module\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[coral.tasks]\nlost = no_such_module:Task\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert tasks.run([]) == 0
    out = capsys.readouterr().out
    assert "hi_tom" in out
    assert "the task 'lost' of no-such-module cannot be used" in out


def test_listing_loads_nothing_heavy() -> None:
    """The list needs neither a computer algebra system nor a data format's package."""
    code = (
        "import sys; from coral.cli import tasks; tasks.run([]); "
        "heavy = ('sympy', 'pyarrow', 'huggingface_hub', 'torch', 'pyzipper'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert time.perf_counter() - started < 30
