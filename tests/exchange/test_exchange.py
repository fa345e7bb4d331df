"""Runs for other tools: what Inspect and Hugging Face read is what the run says."""

from __future__ import annotations

import json
import zipfile
import zlib

import pytest

import coral
from coral.cli import main
from coral.exchange.export import export


def speaks(messages):
    """Right, wrong or unsure, by the text alone; one problem makes it fail."""
    text = " ".join(message["content"] for message in messages)
    if "13 + 1" in text:
        raise RuntimeError("no answer to this one")
    return ["The answer is 7.", "The answer is 8.", "I am not sure yet."][zlib.crc32(text.encode()) % 3]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of a pair about seven problems, two samples each; two conversations failed."""
    path = tmp_path_factory.mktemp("exchange")
    rows = [{"question": f"{n} + 1?", "answer": 7, "topic": "ab"[n % 2]} for n in range(7, 14)]
    data = path / "mine.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"name": "open", "kind": "number", "question": "question", "answer": "answer", "group": "topic"}
    return coral.evaluate(
        task, data=data, agent=speaks, max_turns=4, samples=2, max_failed_rate=1.0, output=path / "run"
    )


@pytest.fixture(scope="module")
def log(run, tmp_path_factory):
    """The run as a log of Inspect."""
    path = tmp_path_factory.mktemp("log") / "run.eval"
    assert export(str(run.path), str(path), redact=None) == (14, "conversations", False)
    return path


def test_a_log_of_inspect_holds_what_its_format_asks_for(run, log):
    """Members by their names, a sample per conversation, its scores those of the run."""
    with zipfile.ZipFile(log) as archive:
        names = set(archive.namelist())
        header, summaries = (json.loads(archive.read(name)) for name in ("header.json", "summaries.json"))
        start = json.loads(archive.read("_journal/start.json"))
        samples = {name: json.loads(archive.read(name)) for name in names if name.startswith("samples/")}
    assert start["eval"] == header["eval"]
    assert (header["version"], header["status"]) == (2, "success")
    told = {conversation.id: conversation for conversation in run.conversations()}
    assert len(samples) == len(summaries) == len(told) == 14
    for name, sample in samples.items():
        conversation = told[f"{sample['id']}#{sample['epoch'] - 1}"]
        assert name == f"samples/{sample['id']}_epoch_{sample['epoch']}.json"
        assert [message["content"] for message in sample["messages"]] == [
            conversation.opening, *(turn.reply.text for turn in conversation.turns),
        ]  # fmt: skip
        assert ("error" in sample) == (conversation.failure is not None)
        assert len(sample["events"]) == len(conversation.turns)
        assert sample["metadata"]["topic"] == conversation.problem.group["topic"]
    scored = [one["scores"]["agreement_correctness"]["value"] for one in summaries if one["scores"]]
    found = run.summary.metrics["agreement_correctness"]
    assert scored.count("C") / len(scored) == pytest.approx(found.mean)
    results = {score["name"]: score for score in header["results"]["scores"]}
    assert results["agreement_correctness"]["metrics"]["low"]["value"] == found.low
    assert results["agreement_correctness"]["unscored_samples"] == found.num_failed == 2
    assert (header["results"]["total_samples"], header["results"]["completed_samples"]) == (14, 12)


def test_seats_are_told_apart_in_a_log(run, log):
    """As the seat that speaks first sees it: its turns are the assistant's, the other's the user's."""
    with zipfile.ZipFile(log) as archive:
        for name in archive.namelist():
            if name.startswith("samples/"):
                opening, *turns = json.loads(archive.read(name))["messages"]
                assert opening["source"] == "input"
                for message in turns:
                    is_first = message["metadata"]["seat"] == "responder"
                    assert message["role"] == ("assistant" if is_first else "user")
                    assert message["metadata"]["speaker"] in {"agent", "partner"}


def test_inspect_reads_its_log(run, log):
    """Where Inspect is installed: the log, the list of samples, and the frames that it makes."""
    inspect_log = pytest.importorskip("inspect_ai.log")
    found = inspect_log.read_eval_log(str(log))
    assert (found.status, len(found.samples)) == ("success", 14)
    headline = next(score for score in found.results.scores if score.name == "agreement_correctness")
    assert headline.metrics["mean"].value == run.summary.metrics["agreement_correctness"].mean
    told = inspect_log.read_eval_log_sample_summaries(str(log))
    assert sum(one.error is not None for one in told) == 2


def test_the_same_run_makes_the_same_log(run, log, tmp_path):
    """No date of today stands in it."""
    again = tmp_path / "again.eval"
    export(str(run.path), str(again), redact=None)
    assert again.read_bytes() == log.read_bytes()


def test_a_redacted_log_holds_no_text(run, tmp_path):
    """What may quote a problem is left out."""
    path = tmp_path / "r.eval"
    assert main(["export", str(run.path), "--output", str(path), "--redact", "true"]) == 0
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name != "header.json" and not name.startswith("_journal"):
                text = archive.read(name).decode()
                assert " + 1?" not in text
                assert "The answer" not in text


@pytest.mark.parametrize("seat", ["responder", "opener"])
def test_messages_are_a_seats_view(run, tmp_path, seat):
    """Roles alternate, the system prompt comes first, and the seat's own last turn ends it."""
    path = tmp_path / "chat.jsonl"
    with pytest.warns(coral.Notice, match=f"conversations without a turn of {seat} are left out"):
        count = export(str(run.path), str(path), redact=None, form="messages", seat=seat)[0]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    told = {conversation.id: conversation for conversation in run.conversations()}
    assert len(rows) == count == sum(any(t.seat == seat for t in c.turns) for c in told.values())
    for row in rows:
        system, *said = row["messages"]
        own = [turn.reply.text for turn in told[row["conversation"]].turns if turn.seat == seat]
        assert system["role"] == "system"
        assert [message["role"] for message in said] == ["user", "assistant"] * (len(said) // 2)
        assert [message["content"] for message in said if message["role"] == "assistant"] == own
        assert (row["seat"], row["right"] in {True, False, None}) == (seat, True)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.filterwarnings("ignore")  # of the libraries' own
def test_hugging_face_reads_the_messages(run, tmp_path, suffix, monkeypatch):
    """Where `datasets` is installed: the same rows, of its own types."""
    datasets = pytest.importorskip("datasets")
    path = tmp_path / f"chat.{suffix}"
    count = export(str(run.path), str(path), redact=None, form="messages")[0]
    kind = "json" if suffix == "jsonl" else "parquet"
    read = datasets.load_dataset(kind, data_files=str(path), cache_dir=str(tmp_path / "cache"))["train"]
    assert len(read) == count
    assert set(read[0]["messages"][0]) == {"role", "content"}


BAD = {
    "inspect needs .eval": (["--output", "x.jsonl", "--format", "inspect"], "does not end in .eval"),
    "messages as csv": (["--output", "x.csv", "--format", "messages"], "does not end in .jsonl, .parquet"),
    "coral as .eval": (["--output", "x.eval", "--format", "coral"], "does not end in .jsonl, .csv"),
    "turns in a log": (["--output", "x.eval", "--rows", "turns"], "holds whole conversations"),
    "turns of messages": (
        ["--output", "x.parquet", "--format", "messages", "--rows", "turns"],
        "holds whole conversations",
    ),
    "seat without messages": (["--output", "x.csv", "--seat", "opener"], "--seat is for --format messages"),
    "no such seat": (
        ["--output", "x.jsonl", "--format", "messages", "--seat", "judge"],
        "this run has no seat 'judge'",
    ),
    "no such format": (["--output", "x.eval", "--format", "eval"], "format must be one of"),
    "redacted messages": (
        ["--output", "x.jsonl", "--format", "messages", "--redact", "true"],
        "nothing but texts",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_exported_is_told(run, capsys, case, monkeypatch, tmp_path):
    """In words, with what to do, and without a file."""
    monkeypatch.chdir(tmp_path)
    words, told = BAD[case]
    assert main(["export", str(run.path), *words]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "  -> " in said
    assert not list(tmp_path.iterdir())
