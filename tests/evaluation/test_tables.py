"""Runs as tables: files and frames are made of the same rows, and those say what metrics say."""

from __future__ import annotations

import csv
import json

import pytest

import coral
from coral import Answered
from coral.errors import ConfigError
from coral.evaluation.tables import turn_rows
from coral.exchange.export import export
from coral.store.cells import restored
from coral.store.folder import RunFolder

AGENT = "python:bots:speak"
BOT = '''
import zlib

def speak(messages):
    """Right, wrong or unsure, by the text alone."""
    text = " ".join(message["content"] for message in messages)
    return ["The answer is 7.", "The answer is 8.", "Let me think."][zlib.crc32(text.encode()) % 3]
'''


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished run of eight conversations about open questions of two groups."""
    (tmp_path / "bots.py").write_text(BOT)
    monkeypatch.syspath_prepend(tmp_path)
    rows = [{"question": f"{n} + 1?", "answer": 7 + n % 2, "topic": "ab"[n % 2]} for n in range(8)]
    data = tmp_path / "mine.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"name": "open", "kind": "number", "question": "question", "answer": "answer", "group": "topic"}
    return coral.evaluate(task, data=data, agent=AGENT, max_turns=4, output=tmp_path / "run")


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_csv_holds_a_row_per_conversation(run, tmp_path):
    """Outcomes as the metrics count them, groups as columns, nothing as an empty cell."""
    out = tmp_path / "e.csv"
    assert export(str(run.path), str(out), redact=None) == (8, "conversations", False)
    rows = read(out)
    assert [row["conversation"] for row in rows] == sorted(c.id for c in run.conversations())
    right = sum(row["right"] == "true" for row in rows)
    agreed = sum(row["agreed"] == "true" for row in rows)
    metrics = run.summary.metrics
    assert metrics["agreement_correctness"].mean == pytest.approx(right / 8)
    assert metrics["agreement"].mean == pytest.approx(agreed / 8)
    assert {row["group.topic"] for row in rows} == {"a", "b"}
    assert all((row["answer"] == "") == (row["agreed"] == "false") for row in rows)


def test_a_parquet_file_holds_a_row_per_turn(run, tmp_path):
    """Each turn as it stands in the run, in order, with its types."""
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "turns.parquet"
    count, of, _ = export(str(run.path), str(out), redact=None, rows="turns")
    found = parquet.read_table(out).to_pylist()
    told = {c.id: c.turns for c in run.conversations()}
    assert (count, of, len(found)) == (sum(map(len, told.values())), "turns", count)
    for row in found:
        turn = told[row["conversation"]][row["turn"] - 1]
        belief = turn.reply.belief
        assert (row["text"], row["seat"], row["right"]) == (turn.reply.text, turn.seat, turn.reply.correct)
        assert row["answer"] == (belief.value if isinstance(belief, Answered) else None)


def test_a_redacted_table_holds_no_text(run, tmp_path):
    """What may quote a problem is left out of tables, too."""
    for rows in ("conversations", "turns"):
        out = tmp_path / f"{rows}.csv"
        assert export(str(run.path), str(out), redact=True, rows=rows)[2] is True
        text = out.read_text()
        assert "+ 1?" not in text
        assert "The answer" not in text
        assert "[redacted]" in text


@pytest.mark.parametrize(
    ("name", "rows"), [("e.xlsx", None), ("e", None), ("e.jsonl", "turns"), ("csv", None)]
)
def test_another_suffix_is_refused(run, tmp_path, name, rows):
    """Nothing is written under a name that promises something else."""
    with pytest.raises(ConfigError, match=r"\.jsonl|jsonl file"):
        export(str(run.path), str(tmp_path / name), redact=None, rows=rows)
    assert not (tmp_path / name).exists()


def test_frames_hold_the_rows_of_files(run, tmp_path):
    """`run.turns()`, `run.conversations_frame()` and `coral.frame` of several runs."""
    pytest.importorskip("pandas")
    conversations, turns = run.conversations_frame(), run.turns()
    assert len(conversations) == 8
    assert conversations["right"].sum() == 8 * run.summary.metrics["agreement_correctness"].mean
    assert conversations["turns"].sum() == len(turns)
    both = coral.frame([run, str(run.path), coral.load_run(run.path)])
    assert (len(both), set(both["run"])) == (24, {str(run.path)})


def test_frames_of_polars_hold_the_same(run):
    """The same rows and columns in either library; what is not known is null, and columns have one type."""
    pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    for rows in ("conversations", "turns"):
        ours = coral.frame(run, rows=rows, library="polars")
        theirs = coral.frame(run, rows=rows)
        assert isinstance(ours, polars.DataFrame)
        assert (ours.shape, ours.columns) == (theirs.shape, list(theirs.columns))
        for name in ours.columns:
            missing = theirs[name].isna()
            known = [None if no else value for no, value in zip(missing, theirs[name], strict=True)]
            assert ours[name].to_list() == known
            assert ours[name].dtype != polars.Object
    assert run.turns(library="polars").shape == run.turns().shape


async def test_frames_can_be_made_beside_a_running_loop(run):
    """As in a notebook."""
    pytest.importorskip("pandas")
    assert len(coral.frame(run)) == 8


def test_no_cell_of_a_csv_is_computed(tmp_path):
    """What a model writes is text to a spreadsheet; without the apostrophe it is what was said."""
    said = '=HYPERLINK("http://x")\nThe answer is 7.'
    data = tmp_path / "mine.jsonl"
    data.write_text(json.dumps({"question": "@SUM(A1) + 1?", "answer": "7"}))
    run = coral.evaluate(
        {"name": "open", "kind": "number", "question": "question", "answer": "answer"}, data=data,
        agent=lambda messages: said, protocol="cot", output=tmp_path / "run",
    )  # fmt: skip
    export(str(run.path), str(tmp_path / "turns.csv"), redact=None, rows="turns")
    [turn] = read(tmp_path / "turns.csv")
    assert turn["text"] == f"'{said}"
    assert restored(turn["text"]) == said
    export(str(run.path), str(tmp_path / "all.csv"), redact=None)
    [row] = read(tmp_path / "all.csv")
    assert row["question"] == "'@SUM(A1) + 1?"
    assert row["answer"] == "7"


def test_what_was_said_off_the_record_has_columns(tmp_path):
    """Beside what was said, in files and frames; a run without a probe has no such columns."""
    options = {"limit": 2, "max_turns": 2}
    plain = coral.evaluate("sally_anne", **options, output=tmp_path / "plain")
    probed = coral.evaluate("sally_anne", **options, probe=True, output=tmp_path / "probed")
    turns = [turn for one in probed.conversations() for turn in one.turns]
    rows = turn_rows(RunFolder(probed.path))
    assert {"probe_text", "probe_belief", "probe_answer", "probe_right", "probe_probability"} <= rows[
        0
    ].keys()
    assert sorted(row["probe_text"] for row in rows) == sorted(turn.probe.reply.text for turn in turns)
    assert not any(name.startswith("probe") for row in turn_rows(RunFolder(plain.path)) for name in row)
