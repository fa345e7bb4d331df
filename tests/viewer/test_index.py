"""The index says what the run's files say, follows them, and is never trusted."""

import json
import sqlite3
from itertools import pairwise

import pytest

import coral
from coral.cli import main
from coral.errors import ConfigError, RunFolderError
from coral.store.folder import RunFolder
from coral.types import Answered, Unreadable
from coral.viewer import queries
from coral.viewer.conversation import evidence, shown
from coral.viewer.index import FILE, RunIndex
from coral.viewer.overview import overview


def opened(path):
    index = RunIndex(RunFolder(path))
    index.update()
    return index


def listed(index, **asked):
    return queries.rows(index.connection, {name: str(value) for name, value in asked.items()})


def ids(index, **asked):
    return [row["id"] for row in listed(index, **{"limit": 500, **asked})["rows"]]


def test_each_conversation_has_one_row_with_its_outcome(stored):
    """Ended, agreed and right are those of the metrics."""
    index = opened(stored / "first")
    conversations = {one.id: one for one in index.folder.conversations()}
    rows = {row["id"]: row for row in listed(index, limit=500)["rows"]}
    assert rows.keys() == conversations.keys()
    for identity, one in conversations.items():
        row = rows[identity]
        assert (row["stop"], row["turns"]) == (one.stop.value, len(one.turns))
        assert len(row["strip"]) == 2 * len(one.turns)
        assert row["agreed"] == (one.stop.value == "agreed")
    summary = json.loads((stored / "first" / "summary.json").read_text())
    right = sum(bool(row["right"]) for row in rows.values())
    assert summary["metrics"]["agreement_correctness"]["mean"] == pytest.approx(right / len(rows))


def test_beside_a_control_partner_the_last_answer_counts(tmp_path):
    """As in a study's report and in `coral compare`: nobody agrees with a wrong control and is right."""
    options = {"partner": {"control": "wrong"}, "opener": "partner", "max_turns": 3, "limit": 12}
    run = coral.evaluate("sally_anne", output=tmp_path / "run", **options)
    found = overview(opened(run.path), "run")
    right = run.summary.metrics["final_accuracy"].mean
    assert right > 0
    assert run.summary.metrics["agreement_correctness"].mean == 0
    assert (found["headline"], found["beside_control"]) == (pytest.approx(right), True)
    kinds = {kind["name"]: kind["count"] for kind in found["kinds"]}
    assert kinds["right"] == round(12 * right)
    assert kinds["agreed_right"] == 0


def _gave_up(one, before, after):
    """Whether a seat stated one verdict in a turn, and the other in its next."""
    for seat in one.speakers:
        verdicts = [
            turn.reply.correct if isinstance(turn.reply.belief, Answered) else None
            for turn in one.turns
            if turn.seat == seat
        ]
        if (before, after) in pairwise(verdicts):
            return True
    return False


@pytest.mark.parametrize(
    ("kind", "is_of_it"),
    [
        ("lost", lambda one: _gave_up(one, before=True, after=False)),
        ("gained", lambda one: _gave_up(one, before=False, after=True)),
        ("agreed", lambda one: one.stop.value == "agreed"),
        ("never_agreed", lambda one: one.stop.value == "max_turns"),
        ("agreed_right", lambda one: one.stop.value == "agreed" and one.turns[-1].reply.correct is True),
        ("agreed_wrong", lambda one: one.stop.value == "agreed" and one.turns[-1].reply.correct is False),
        ("failed", lambda _: False),
        ("unreadable", lambda one: any(isinstance(turn.reply.belief, Unreadable) for turn in one.turns)),
    ],
)
def test_a_kind_holds_what_it_says(stored, kind, is_of_it):
    """Every kind is checked against the conversations themselves."""
    index = opened(stored / "first")
    wanted = {one.id for one in index.folder.conversations() if is_of_it(one)}
    assert set(ids(index, kind=kind)) == wanted
    assert {one["name"]: one["count"] for one in queries.kinds(index.connection)}[kind] == len(wanted)


def test_filters_sorting_and_search(stored):
    """Groups, turns of a flip, whole words, phrases and beginnings of words."""
    index = opened(stored / "first")
    conversations = list(index.folder.conversations())
    assert set(ids(index, **{"group.topic": "a"})) == {
        one.id for one in conversations if one.problem.group["topic"] == "a"
    }
    turns = [row["turns"] for row in listed(index, sort="-turns", limit=500)["rows"]]
    assert turns == sorted(turns, reverse=True)
    assert ids(index) == sorted(ids(index), key=lambda one: int(one[1:].split("#")[0]))
    assert ids(index, text='"What is 3"') == ["q3#0"]
    said = {one.id for one in conversations if any("Let me think" in turn.reply.text for turn in one.turns)}
    assert set(ids(index, text="let thi")) == said
    for row in listed(index, kind="lost", limit=500)["rows"]:
        assert row["id"] in ids(index, kind="lost", turn=row["lost_turn"], seat=row["lost_seat"])
        assert row["id"] not in ids(index, kind="lost", turn=row["lost_turn"] + 1)
    assert ids(index, offset=4, limit=3) == ids(index)[4:7]


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "nonsense"},
        {"sort": "id; DROP TABLE files"},
        {"sort": "--turns"},
        {"limit": "-1"},
        {"offset": "1e3"},
        {"turn": "2"},
        {"kind": "lost", "turn": "x"},
        {"nonsense": "1"},
    ],
)
def test_what_cannot_be_asked_is_refused(stored, asked):
    """No filter is left out in silence, and none reaches the SQL."""
    with pytest.raises(ConfigError) as refused:
        listed(opened(stored / "first"), **asked)
    assert refused.value.remedy


@pytest.mark.parametrize(
    "text", ['"', '""', "* OR *", "NEAR(", "a AND", "'; DROP", '"open', "-x", "col:x", "\x00"]
)
def test_a_search_is_words_whatever_they_are(stored, text):
    """Nothing of FTS5's own language is understood, and nothing ends in an error."""
    assert listed(opened(stored / "first"), text=text)["count"] >= 0


def test_a_run_is_followed_while_it_is_written(fresh):
    """New lines come in, a torn one waits for its end, a failed one gives way to its repetition."""
    file = next((fresh / "conversations").glob("*.jsonl"))
    lines = file.read_bytes().splitlines(keepends=True)
    failed = json.loads(lines[0])
    failed.update(stop="failed", turns=[], failure={"where": "turn 1", "type": "Timeout", "message": "late"})
    file.write_bytes(json.dumps(failed).encode() + b"\n" + lines[1][:-20])
    index = opened(fresh)
    assert [row["failure"] for row in listed(index)["rows"]] == ["Timeout: late"]
    file.write_bytes(json.dumps(failed).encode() + b"\n" + b"".join(lines[1:]) + lines[0] + lines[0])
    index.update()
    rows = listed(index)["rows"]
    assert len(rows) == len(lines)
    assert all(row["failure"] is None for row in rows)
    assert sum(one["count"] for one in queries.flow(index.connection)) == sum(row["turns"] for row in rows)


def test_a_damaged_line_hides_no_other(fresh):
    """It is named with its file; all else is shown."""
    file = next((fresh / "conversations").glob("*.jsonl"))
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], b'{"schema": 2, "id": 7}\n', *lines[2:]]))
    index = opened(fresh)
    assert listed(index)["count"] == len(lines)
    assert [file.name in message for message in queries.damaged(index.connection)] == [True]


@pytest.mark.parametrize("harm", ["other version", "no database", "shorter file", "other file"])
def test_an_index_that_does_not_fit_is_made_anew(fresh, harm):
    """The files are the truth."""
    index = opened(fresh)
    before = ids(index)
    index.connection.close()
    file = next((fresh / "conversations").glob("*.jsonl"))
    lines = file.read_bytes().splitlines(keepends=True)
    match harm:
        case "other version":
            with sqlite3.connect(fresh / FILE) as connection:
                connection.execute("PRAGMA user_version = 99")
            connection.close()
        case "no database":
            (fresh / FILE).write_bytes(b"no database" * 100)
        case "shorter file":
            file.write_bytes(b"".join(lines[:2]))
            before = [one for one in before if any(f'"{one}"'.encode() in line for line in lines[:2])]
        case "other file":
            file.write_bytes(b"".join(reversed(lines)))
    assert ids(opened(fresh)) == before


def test_a_folder_that_may_not_be_written_is_read(fresh, monkeypatch, tmp_path):
    """The index then lies among the temporary files."""
    monkeypatch.setattr("coral.viewer.index.os.access", lambda *_: False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    assert listed(opened(fresh))["count"] == 6
    assert not (fresh / FILE).exists()


def test_evidence_is_the_passage_that_submits_the_answer(stored):
    """By itself it is read as the turn was read."""
    index = opened(stored / "first")
    one = next(one for one in index.folder.conversations() if isinstance(one.turns[0].reply.belief, Answered))
    reply = one.turns[0].reply
    start, end = evidence(index.task, reply.text, reply.belief, one.problem)
    assert index.task.read(reply.text[start:end], one.problem) == reply.belief
    assert reply.text[start:end].startswith("The answer is")
    assert evidence(index.task, "Nothing is said.", reply.belief, one.problem) is None


def test_a_conversation_is_shown_whole(stored):
    """Everything that was said, who said it, and what was read of it."""
    index = opened(stored / "first")
    one = next(iter(index.folder.conversations()))
    page = shown(index, index.conversation(one.id))
    assert [turn["replies"][turn["chosen"]]["text"] for turn in page["turns"]] == [
        turn.reply.text for turn in one.turns
    ]
    assert [speaker["seat"] for speaker in page["speakers"]] == list(one.speakers)


def test_a_run_of_schema_1_is_shown(pytestconfig):
    """Stored runs of version 0.1 are indexed like others."""
    path = pytestconfig.rootpath / "tests" / "data" / "runs"
    folder = next(one.parent for one in path.rglob("run.json"))
    index = RunIndex(RunFolder(folder))
    try:
        index.update()
        assert listed(index)["count"] == len(list(index.folder.conversations()))
    finally:
        index.connection.close()
        for left in folder.glob(f"{FILE}*"):
            left.unlink()


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ([], "no run lies below"),
        (["nowhere"], "nowhere is not a run folder"),
        (["{run}", "--port", "70000"], "port"),
        (["{run}", "--host", "203.0.113.7"], "cannot listen on 203.0.113.7:0: "),
    ],
)
def test_what_cannot_be_shown_is_refused(fresh, tmp_path, monkeypatch, capsys, words, cause):
    """With the remedy, and exit code 2."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert main(["view", *(word.format(run=fresh) for word in words), "--no_browser"]) == 2
    told = capsys.readouterr().err
    assert cause in told
    assert "->" in told


def test_a_run_without_its_record_is_refused(tmp_path):
    """Conversations without `run.json` are of no known run."""
    with pytest.raises(RunFolderError):
        RunIndex(RunFolder(tmp_path))
