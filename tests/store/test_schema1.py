"""Runs that version 0.1 stored (schema 1) are still shown, scored, exported, compared and built rows of."""

import json
import shutil
from pathlib import Path

import pytest

import coral
from coral.cli import main
from coral.errors import RunFolderError
from coral.store.folder import RunFolder
from coral.types import OPENER, RESPONDER, SCHEMA

STORED = Path(__file__).parents[1] / "data" / "runs" / "schema1"
"""Made by version 0.1: a pair and one agent alone about the same problems, and trees with roll-outs."""


@pytest.fixture
def runs(tmp_path):
    """Copies of them."""
    shutil.copytree(STORED, tmp_path / "runs")
    return tmp_path / "runs"


def test_conversations_are_read_as_todays(runs):
    """Two fields for speakers became one by seat; everything else is as it was."""
    stored = [
        json.loads(line) for line in (STORED / "coral/conversations/00000.jsonl").read_text().splitlines()
    ]
    read = list(RunFolder(runs / "coral").conversations())
    assert {one["schema"] for one in stored} == {1}
    assert {one.schema for one in read} == {SCHEMA}
    for old, new in zip(stored, read, strict=True):
        assert [new.speakers[seat].name for seat in (RESPONDER, OPENER)] == [
            old["responder"]["name"], old["opener"]["name"],
        ]  # fmt: skip
        assert [turn.reply.text for turn in new.turns] == [
            turn["replies"][0]["text"] for turn in old["turns"]
        ]
    alone = list(RunFolder(runs / "cot").conversations())
    assert {tuple(one.speakers) for one in alone} == {(RESPONDER,)}
    found = RunFolder(runs / "coral").conversation(read[3].id)
    assert found == read[3]


@pytest.mark.parametrize("name", ["coral", "cot", "trees"])
def test_scores_are_those_that_version_0_1_found(runs, name):
    """Every metric of the stored summary, to the last digit."""
    before = json.loads((STORED / name / "summary.json").read_text())["metrics"]
    after = coral.score(runs / name).metrics
    for metric, estimate in before.items():
        assert after[metric].mean == pytest.approx(estimate["mean"], abs=1e-12), metric
        assert after[metric].n == estimate["n"], metric


@pytest.mark.parametrize(
    "command",
    [
        ("show", "coral"),
        ("show", "trees", "--read", "1", "--siblings"),
        ("score", "cot"),
        ("export", "coral", "--output", "all.jsonl"),
        ("compare", "cot", "coral"),
        ("build", "trees", "--output", "rows"),
    ],
    ids=lambda command: command[0],
)
def test_commands_take_them(runs, command, monkeypatch, capsys):
    """What can be done with a finished run needs no version of its own."""
    monkeypatch.chdir(runs)
    assert main(list(command)) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_rows_hold_the_prompts_of_then(runs, tmp_path):
    """The run's record identifies its prompts; they are found again, and the rows are made of them."""
    coral.build(runs / "trees", output=tmp_path / "rows")
    told = json.loads((STORED / "trees" / "prompts.json").read_text())
    rows = [json.loads(line) for line in (tmp_path / "rows" / "train.jsonl").read_text().splitlines()]
    assert rows
    assert {row["prompt"][0]["content"] for row in rows} <= {told["agent"], told["partner"]}


def test_a_run_of_then_is_not_continued(runs):
    """Half a run by each version would be two runs in one folder: the message says what can be done."""
    with pytest.raises(RunFolderError, match="schema 1") as caught:
        coral.evaluate("sally_anne", limit=5, samples=2, output=str(runs / "coral"))
    assert "--output" in caught.value.remedy


def test_a_later_schema_is_refused_with_a_message(runs):
    """What this version cannot know is not half understood."""
    path = runs / "coral/conversations/00000.jsonl"
    path.write_text(path.read_text().replace('{"schema":1,', f'{{"schema":{SCHEMA + 1},'))
    with pytest.raises(RunFolderError, match=f"schema {SCHEMA + 1}") as caught:
        list(RunFolder(runs / "coral").conversations())
    assert "version" in caught.value.remedy
