"""Folders that hold a study, a loop, a training or an audit, named where a run of conversations is wanted."""

import json
import typing

import pytest

from coral.cli import main
from coral.comparison.listing import SIGHTS, evaluations_of
from coral.improvement.arms import Sight
from coral.improvement.results import REPORT

COMMANDS = [
    ["show", "{}"],
    ["show", "{}", "p#0"],
    ["show", "{}", "--read", "1"],
    ["score", "{}"],
    ["compare", "{}", "{run}"],
    ["compare", "{run}", "{}"],
    ["export", "{}", "--output", "out.jsonl"],
    ["export", "{}", "--output", "out.csv"],
    ["plot", "{}", "--output", "out.png"],
    ["fork", "{}", "--where", "lost", "--control", "right"],
    ["power", "{}"],
    ["build", "--runs", "{}", "--output", "rows"],
    ["judge", "{}", "{run}", "--output", "judged"],
]
FOLDERS = {
    "a study": ({"schema": 2, "study": {"arms": ["pair"]}}, "arms/pair", "a study"),
    "an audit": ({"schema": 2, "audit": {"runs": ["pair"]}}, None, "an audit"),
    "a training": ({"training": {"method": "sft"}, "model": "m", "rows_sha256": "0"}, None, "a training"),
    "a loop": (None, "models/start/pair", "a loop"),
    "anything": ({"what": "nobody knows"}, None, "something else"),
}


def write(folder, record):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(record))


@pytest.fixture(params=FOLDERS.values(), ids=FOLDERS)
def folder(request, tmp_path):
    """A folder of each kind, the run in it that a remedy can name, and what the kind is called."""
    record, inner, kind = request.param
    path = tmp_path / "it"
    if record is None:
        write(path / "loop", {"model": "m", "common": {}, "evaluate": {}})
        write(path / "models" / "a-first" / "train", {"training": {}, "model": "m"})
    else:
        write(path, record)
    if inner:
        write(path / inner, {"schema": 2, "task": {"name": "sally_anne"}, "protocol": "coral"})
    return path, inner, kind


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_kind_is_named_and_a_run_of_it(folder, finished, words, capsys, tmp_path, monkeypatch):
    """What the folder is, and which run may have been meant; no traceback, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    path, inner, kind = folder
    assert main([word.format(path, run=finished) for word in words]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{path} is {kind}, not a run of conversations" in said
    assert (f"such as {path / inner}" if inner else "name the folder of a run") in said
    assert not list(tmp_path.glob("out*")) + list(tmp_path.glob("rows*")) + list(tmp_path.glob("judged*"))


def test_the_loops_own_record_is_told_apart_from_its_runs(tmp_path, capsys):
    """`LOOP/loop` holds the loop's options; the remedy is the same as for the loop."""
    write(tmp_path / "loop", {"model": "m", "common": {}, "evaluate": {}})
    write(tmp_path / "models" / "start" / "pair", {"task": {}, "protocol": "coral"})
    assert main(["show", str(tmp_path / "loop")]) == 2
    said = capsys.readouterr().err
    assert "is a loop, not a run" in said
    assert f"such as {tmp_path / 'models' / 'start' / 'pair'}" in said


def test_trainings_are_no_evaluations_of_a_loop(tmp_path, capsys):
    """Beside the evaluations of a checkpoint lies its training: neither counted nor shown as one."""
    assert typing.get_args(Sight) == SIGHTS
    write(tmp_path / "loop" / "loop", {"model": "m", "common": {}, "evaluate": {}})
    write(tmp_path / "begun" / "loop", {"model": "m", "common": {}, "evaluate": {}})
    (tmp_path / "loop" / REPORT).write_text("{}")
    for name in ("pair", "train", "final"):
        write(tmp_path / "loop" / "models" / "pair-sft-1" / name, {})
    assert [one.parent.name for one in evaluations_of(tmp_path / "loop")] == ["final", "pair"]
    write(tmp_path / "sft", {"training": {}, "model": "m", "rows_sha256": "0"})
    assert main(["list", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert len(lines) == 4
    assert any(
        line.startswith("loop ") and "loop, evaluations ended" in line and "0/2" in line for line in lines
    )
    assert any(line.startswith("sft ") and "a training" in line for line in lines)
    assert any(line.startswith("begun ") and "nothing evaluated yet" in line for line in lines)
    assert "0/?" not in said
