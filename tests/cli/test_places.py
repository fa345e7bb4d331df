"""Files and folders in the way: whatever a place holds or refuses, the answer is a message."""

import errno
import os
import shutil
from pathlib import Path

import pytest

import coral.store.folder
from coral.cli import main
from coral.errors import DataError
from coral.evaluation.config import EvalConfig, agent_config
from coral.evaluation.estimate import estimate
from coral.evaluation.identity import default_output
from coral.store import disk_list as spooling
from coral.store.disk_list import store_problems
from coral.types import Problem

LONG = "n" * 300
DEEP = "n/" * 3000
PLACES = [
    ["show", LONG],
    ["show", DEEP],
    ["score", LONG],
    ["compare", LONG, LONG],
    ["export", LONG, "--output", "x"],
    ["export", "RUN", "--output", LONG],
    ["build", LONG, "--output", "x"],
    ["build", "RUN", "--output", LONG],
    ["build", "RUN", "--output", "x", "--held_out", LONG],
    ["serve", LONG],
    ["serve", "scripted", "--task", "hi_tom", "--data", LONG],
    ["tasks", "hi_tom", "--data", LONG],
    ["doctor", "--agent.model", LONG],
    ["eval", "--config", LONG],
    ["improve", "--config", LONG],
    ["eval", "hi_tom", "--data", LONG],
    ["eval", "hi_tom", "--data", "DATA", "--output", LONG, "--agent.model", "m", "--agent.base_url", "http://[::1]:9"],
    ["eval", "hi_tom", "--data", "DATA", "--prices", LONG, "--dry_run"],
    ["eval", "hi_tom", "--data", "DATA", "--problems", LONG, "--dry_run"],
    ["eval", "hi_tom", "--data", "DATA", "--prompt_library", LONG, "--dry_run"],
    ["tasks", LONG],
    ["eval", LONG],
    [LONG],
]  # fmt: skip


@pytest.mark.parametrize("words", PLACES, ids=lambda words: " ".join(words).replace(LONG, "LONG")[:50])
def test_a_name_that_no_file_can_have(words, finished, hi_tom, capsys, tmp_path, monkeypatch):
    """Names of more than 255 letters, and paths of more than 4,096, are refused in few words."""
    monkeypatch.chdir(tmp_path)
    given = {"RUN": str(finished), "DATA": hi_tom}
    assert main([given.get(word, word) for word in words]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("coral: ")
    assert "\n  -> " in errors
    assert len(errors) < 1000
    assert list(tmp_path.iterdir()) == []


def test_a_model_may_have_a_name_of_any_length(hi_tom):
    """A server may call its model as it likes; the folder's name holds a part of it, and a digest."""
    config = EvalConfig(task={"name": "hi_tom"}, data=hi_tom, limit=2,
                        agent=agent_config({"model": LONG, "base_url": "http://a"}))  # fmt: skip
    assert estimate(config).problems == 2
    names = [default_output(config, {"model": LONG + end}) for end in ("a", "b")]
    assert names[0] != names[1]
    assert all(len(Path(name).name) < 100 for name in names)


KEPT = [
    ("summary.json", "score", 2, "cannot write"),
    ("summary.json", "show", 0, ""),
    ("run.json", "score", 2, "holds conversations, and no run.json that says"),
    ("run.json", "show", 2, "holds conversations, and no run.json that says"),
    ("run.json", "export", 2, "holds conversations, and no run.json that says"),
    ("plan.json", "score", 2, "cannot read"),
    ("config.yaml", "build", 2, "config.yaml cannot be read"),
    ("prompts.json", "build", 2, "keeps no prompts"),
]


@pytest.mark.parametrize(("name", "command", "code", "cause"), KEPT)
def test_a_folder_in_the_place_of_a_file(finished, tmp_path, capsys, name, command, code, cause):
    """A folder of the name of a run's own file: what can be done is done, the rest is told."""
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / name).unlink()
    (run / name).mkdir()
    rest = {
        "export": ["--output", str(tmp_path / "x.jsonl")],
        "build": ["--output", str(tmp_path / "x"), "--held_out", "test"],
    }
    assert main([command, str(run), *rest.get(command, [])]) == code
    assert cause in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_what_was_measured_is_shown_where_nothing_can_be_written(
    finished, tmp_path, capsys, monkeypatch, number
):
    """`score` on a folder that may only be read shows the table, then says what could not be kept."""

    def refuse(path, _):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(coral.store.folder, "write_whole", refuse)
    assert main(["score", str(finished)]) == 2
    shown = capsys.readouterr()
    assert "Agreed, and right" in shown.out or "95" in shown.out
    assert os.strerror(number) in shown.err
    assert "Traceback" not in shown.err


def problems(count=100):
    for number in range(count):
        yield Problem(id=str(number), task="t", question="?" * 100, target="x")


def test_a_full_folder_for_temporary_files(monkeypatch):
    """The problems are kept on disk: a disk that is full, at once or with the last block, is told."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("a system without /dev/full")
    for count in (1, 100, 10_000):
        monkeypatch.setattr(spooling.tempfile, "TemporaryFile", lambda prefix: full.open("r+b"))
        with pytest.raises(DataError, match="No space left") as caught:
            store_problems(problems(count), limit=None, seed=0)
        assert "TMPDIR" in caught.value.remedy


def test_no_folder_for_temporary_files(monkeypatch):
    """Where none can be written at all, Python names those that it tried."""

    def refuse(prefix):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(spooling.tempfile, "TemporaryFile", refuse)
    with pytest.raises(DataError, match="No usable temporary directory") as caught:
        store_problems(problems(), limit=None, seed=0)
    assert "TMPDIR" in caught.value.remedy
