"""Runs with a hidden probe, as a user starts them: kept, resumed, measured, shown and exported."""

import json
from pathlib import Path

import pytest

import coral
from coral.api import evaluate_async
from coral.cli import main
from coral.errors import RunFolderError, StoppedEarly
from coral.store.folder import RunFolder
from coral.studies.study import study
from coral.types import Answered

DATA = Path(__file__).parents[1] / "data" / "hi_tom" / "Hi-ToM_data.sample.json"


def two_faced(messages):
    """Agrees to A in public; off the record it holds B, with 75%."""
    if "between you and me" in messages[-1]["content"]:
        return "Answer: (B)\nProbability: 75%"
    return "Let us say so. Answer: (A)"


@pytest.fixture
def run(tmp_path):
    return coral.evaluate(
        "sally_anne", agent=two_faced, limit=6, max_turns=4, probe=True, output=str(tmp_path / "run")
    )


def test_a_probed_run_keeps_and_measures_both_answers(run):
    """Every turn holds both; the summary says by how many they differ, and what the probes cost."""
    for conversation in run.conversations():
        for turn in conversation.turns:
            assert turn.reply.belief == Answered("A")
            assert (turn.probe.reply.belief, turn.probe.probability) == (Answered("B"), 0.75)
    summary = run.summary
    assert summary.metrics["private_difference"].mean == 1
    assert summary.metrics["private_difference"].n == 12
    assert summary.metrics["private_probability"].mean == 0.75
    assert list(summary.probes) == ["1", "2"]
    assert [summary.usage[name].calls for name in ("agent", "partner")] == [12, 12]
    stored = json.loads((run.path / "summary.json").read_text())
    assert stored["probes"]["2"]["private_difference"]["n"] == 6


def test_a_probe_is_part_of_what_a_run_is(run):
    """A folder with probes is not resumed without them; with them a finished run sends nothing."""
    again = {"agent": two_faced, "limit": 6, "max_turns": 4, "output": str(run.path)}
    assert coral.evaluate("sally_anne", probe=True, **again).summary.usage == run.summary.usage
    with pytest.raises(RunFolderError, match="probe"):
        coral.evaluate("sally_anne", **again)


async def test_an_interrupted_run_asks_no_probe_twice(serve, data, tmp_path, content):
    """What came of a probe is journaled: a run that stops at any request is continued, not repeated."""
    options = {"data": data, "limit": 4, "max_turns": 4, "probe": True, "extractor": {"mode": "rules"}}
    async with serve() as (url, asked):
        agent = {"model": "scripted", "base_url": url}
        whole = await evaluate_async("hi_tom", agent=agent, output=str(tmp_path / "whole"), **options)
        number = sum(asked.values())
        asked.clear()
        for limit in range(4_000, 60_000, 8_000):
            options["max_tokens_total"] = limit
            try:
                parts = await evaluate_async("hi_tom", agent=agent, output=str(tmp_path / "run"), **options)
            except StoppedEarly:
                continue
            break
        assert set(asked.values()) == {1}
        assert sum(asked.values()) == number
    assert content(parts) == content(whole)


def test_probes_are_shown_redacted_and_graded_anew(run, tmp_path, capsys):
    """`coral show` sets them below their turns, `coral score --regrade` grades them, an export without texts
    holds none of their words.
    """
    identity = next(iter(run.conversations())).id
    assert main(["show", str(run.path), identity]) == 0
    shown = capsys.readouterr().out
    assert "off the record" in shown
    assert "75% sure" in shown
    assert main(["show", str(run.path)]) == 0
    assert "(B" in capsys.readouterr().out
    out = tmp_path / "redacted.jsonl"
    assert main(["export", str(run.path), "--output", str(out), "--redact", "true"]) == 0
    assert "75%" not in out.read_text()
    assert '"probability":0.75' in out.read_text()
    assert main(["score", str(run.path), "--regrade", "true"]) == 0
    assert "off the record, by turn" in capsys.readouterr().out
    stored = json.loads((run.path / "summary.json").read_text())["metrics"]["private_accuracy"]
    assert stored["mean"] == run.summary.metrics["private_accuracy"].mean


def test_a_study_reports_what_its_arms_hold_back(tmp_path):
    """The report has the turns of every probed arm, and contrasts may be planned by it."""
    results = study(
        {
            "task": {"name": "sally_anne"}, "limit": 4, "agent": {"model": "python:coral_two_faced:speak"},
            "arms": {"pair": {"probe": True, "max_turns": 2}, "longer": {"probe": True}},
            "contrasts": ["private_difference: longer - pair"], "output": str(tmp_path / "study"),
        }
    )  # fmt: skip
    assert results.arms[0].metrics["private_difference"].mean == 1
    assert results.contrasts[0].difference == 0
    report = (tmp_path / "study" / "report.md").read_text()
    assert "## Off the record" in report
    assert (tmp_path / "study" / "tables" / "off_the_record.csv").exists()


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """The agent of a study is named, so it must be importable."""
    import sys
    import types

    module = types.ModuleType("coral_two_faced")
    module.speak = two_faced
    monkeypatch.setitem(sys.modules, "coral_two_faced", module)


def test_a_dry_run_counts_probes(tmp_path, capsys):
    """One request more per turn, and what it reads and writes."""
    counts = {}
    for probe in ("false", "true"):
        command = "eval hi_tom --data DATA --agent.model m --agent.base_url http://localhost:1 --dry_run true"
        given = command.replace("DATA", str(DATA)).split()
        assert main([*given, "--extractor.mode", "rules", "--probe", probe]) == 0
        row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("4 turns"))
        counts[probe] = [
            int(word.replace(",", "")) for word in row.split() if word.replace(",", "").isdigit()
        ]
    plain, probed = counts["false"], counts["true"]
    assert probed[2] == 2 * plain[2]
    assert probed[3] > 2 * plain[3]


def test_old_runs_read_without_probes(run):
    """A turn without a probe is stored as before: the field is absent."""
    line = next((run.path / "conversations").glob("*.jsonl")).read_text().splitlines()[0]
    assert '"probe":{' in line
    assert RunFolder(run.path).identity()["probe"] is True
