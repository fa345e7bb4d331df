"""The task of docs/tasks.md, "A task of your own": installed from the page and run, as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import coral
from coral.metrics import Summary

PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"
FILE = re.compile(r"^`([\w.]+)`[^\n]*:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENTRIES = re.compile(r'^\[project\.entry-points\."coral\.tasks"\]\n((?:[^\n\[]+\n)+)', re.MULTILINE)


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """The files that the page shows, by name."""
    page = PAGE.read_text(encoding="utf-8").partition("\n## A task of your own\n")[2]
    return dict(FILE.findall(page))


class Installed:
    """The reader's folder, with the package installed beside it."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder = folder
        ours = str(Path(coral.__file__).parents[1])  # the tested one, which need not be the installed one
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(site), ours))}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `coral ...` in the folder."""
        return subprocess.Popen(
            [sys.executable, "-m", "coral", *arguments],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `coral ...` to its end."""
        process = self.start(*arguments)
        output, errors = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def summary(self) -> Summary:
        """Of the run in the folder `run`."""
        return msgspec.json.decode((self.folder / "run" / "summary.json").read_bytes(), type=Summary)


@pytest.fixture
def installed(files: dict[str, str], tmp_path: Path) -> Installed:
    """The package as pip would leave it: the module, and the entry point in its metadata."""
    folder, site = tmp_path / "folder", tmp_path / "site"
    metadata = site / "coral_capitals-1.0.dist-info"
    for path in (folder, metadata):
        path.mkdir(parents=True)
    for name, text in files.items():
        (folder if name.endswith(".jsonl") else site).joinpath(name).write_text(text, encoding="utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: coral-capitals\nVersion: 1.0\n")
    [entries] = ENTRIES.findall(files["pyproject.toml"])
    (metadata / "entry_points.txt").write_text("[coral.tasks]\n" + entries.replace('"', ""))
    return Installed(folder, site)


def test_the_page_shows_a_whole_package(files: dict[str, str]) -> None:
    """Three files are all that is needed; the project file is well-formed and names its module."""
    assert set(files) == {"pyproject.toml", "coral_capitals.py", "capitals.jsonl"}
    tomllib = pytest.importorskip("tomllib", reason="part of Python from 3.11 on")
    project = tomllib.loads(files["pyproject.toml"])
    assert project["tool"]["setuptools"]["py-modules"] == ["coral_capitals"]
    assert project["project"]["entry-points"]["coral.tasks"] == {"capitals": "coral_capitals:Capitals"}


def test_the_task_is_shown_like_any_other(installed: Installed) -> None:
    """`coral tasks` lists it, explains its option, and shows the first problem of the data."""
    assert "\ncapitals " in installed.run("tasks").stdout
    done = installed.run("tasks", "capitals", "--data", "capitals.jsonl")
    assert (done.returncode, done.stderr) == (0, "")
    shown = " ".join(done.stdout.split())
    assert "--task.continent: a text, by default none take only the countries of this continent" in shown
    assert "Which town is the capital of Norway?" in shown
    assert "right answer: Oslo" in shown


@pytest.mark.parametrize(
    ("options", "problems"),
    [((), 10), (("--task.continent", "Asia"), 2), (("--limit", "4", "--protocol", "cot"), 4)],
    ids=["as it is", "with its option", "alone, and limited"],
)
def test_the_task_is_evaluated(installed: Installed, options: tuple[str, ...], problems: int) -> None:
    """`coral eval capitals` runs with the model in the package, and groups the results as the task says.

    The code is 3: in twelve tokens that model submits no answer that can be read.
    """
    few = ("--max_turns", "2", "--agent.max_tokens", "12", "--output", "run", "--data", "capitals.jsonl")
    done = installed.run("eval", "capitals", *few, *options)
    assert done.returncode == 3, done.stderr
    assert "by continent" in done.stdout
    summary = installed.summary()
    assert (summary.task, summary.problems, summary.failures) == ("capitals", problems, {})


def test_a_bad_record_and_a_bad_option_are_named(installed: Installed) -> None:
    """What the page promises: file, line and field of a record, and what an option may be."""
    (installed.folder / "bad.jsonl").write_text('{"country": "Chile", "continent": "America"}\n')
    done = installed.run("eval", "capitals", "--data", "bad.jsonl")
    assert done.returncode == 2
    assert "bad.jsonl, line 1: the field 'capital' is missing" in done.stderr
    (installed.folder / "run.yaml").write_text("task: {continent: 7}\n")
    done = installed.run("eval", "capitals", "--data", "capitals.jsonl", "--config", "run.yaml")
    assert done.returncode == 2
    assert "give continent a text;" in done.stderr
    done = installed.run("eval", "capitals", "--data", "capitals.jsonl", "--task.contient", "Asia")
    assert done.returncode == 2
    assert "did you mean continent?" in done.stderr


def test_scripted_agents_know_the_task(installed: Installed) -> None:
    """The first evaluation of the page: agents that know the answers agree on the right ones."""
    always_right = ("--port", "0", "--accuracy", "1", "--unsure", "0")
    served = installed.start(
        "serve", "scripted", "--task", "capitals", "--data", "capitals.jsonl", *always_right
    )
    try:
        assert served.stdout is not None
        [url] = re.findall(r"http://\S+", served.stdout.readline())
        model = ("--agent.model", "scripted", "--agent.base_url", url)
        done = installed.run("eval", "capitals", "--data", "capitals.jsonl", "--output", "run", *model)
        assert done.returncode == 0, done.stderr
        assert installed.summary().metrics["agreement_correctness"].mean == 1.0
    finally:
        served.terminate()
        served.communicate(timeout=60)
