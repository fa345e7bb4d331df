"""A run as one file: whole, without where it came from, and without its texts where that is asked for."""

import base64
import gzip
import hashlib
import json
import re
import shutil

import pytest

from coral.cli import main
from coral.viewer import export


def data_of(path):
    packed = re.search(r'<script type="application/json" id="data">"([^"]+)"</script>', path.read_text())
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))


def test_the_file_holds_the_run(stored, tmp_path, capsys):
    """Every conversation, and not the folder that it lay in."""
    out = tmp_path / "run.html"
    assert main(["view", str(stored / "first"), "--export", str(out)]) == 0
    assert "30 conversations in" in capsys.readouterr().out
    data = data_of(out)
    assert len(data["conversations"]) == len(data["rows"]) == 30
    assert str(stored) not in json.dumps(data)
    assert data["conversations"]["q1#0"]["turns"][0]["replies"][0]["text"].startswith("Consider")


def test_a_redacted_file_quotes_nothing(stored, tmp_path):
    """Neither problems nor replies, in plain text or packed; verdicts and tokens remain."""
    out = tmp_path / "run.html"
    assert main(["view", str(stored / "first"), "--export", str(out), "--redact", "true"]) == 0
    data = data_of(out)
    told = json.dumps(data)
    assert "What is" not in told
    assert "Consider" not in told
    assert "The answer is" not in told
    assert all(row["strip"] for row in data["rows"])
    assert data["overview"]["headline"] is not None


def test_only_the_file_s_own_script_and_style_may_run(stored, tmp_path):
    """Their hashes stand in the policy; hostile text stays packed."""
    out = tmp_path / "run.html"
    main(["view", str(stored / "first"), "--export", str(out)])
    text = out.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    script = re.search(r'<script type="module">(.*?)</script>', text, re.DOTALL)[1]
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    for part in (script, style):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "window.ran" not in text


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["--export", "{there}"], "exists"),
        (["--export", "run.txt"], "does not end in .html"),
        (["{second}", "--export", "run.html"], "an export shows one run"),
        (["--export", "no/such/folder/run.html"], "cannot write"),
        (["--redact", "true"], "--redact is of a file"),
    ],
)
def test_what_cannot_be_written_is_refused(stored, tmp_path, monkeypatch, capsys, words, cause):
    """With the remedy; nothing is overwritten."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.html").write_text("mine")
    places = {"there": tmp_path / "there.html", "second": stored / "second"}
    assert main(["view", str(stored / "first"), *(word.format(**places) for word in words)]) == 2
    told = capsys.readouterr().err
    assert cause in told
    assert "->" in told
    assert [path.name for path in tmp_path.iterdir()] == ["there.html"]


def part_of(folder, name):
    """A script's data, as the page gets it."""
    text = (folder / "data" / f"{name}.js").read_text()
    there, packed = re.fullmatch(r'coral\("([^"]+)","([^"]+)"\);\n', text).groups()
    assert there == name
    return json.loads(gzip.decompress(base64.b64decode(packed)))


@pytest.mark.parametrize(("limit", "value"), [("MOST_CONVERSATIONS", 29), ("MOST_BYTES", 1000)])
@pytest.mark.parametrize("redact", ["true", "false"])
def test_a_run_that_is_too_large_for_a_file_becomes_a_folder(
    stored, tmp_path, monkeypatch, capsys, limit, value, redact
):
    """It says so; the folder holds what the file would hold."""
    one = tmp_path / "one.html"
    assert main(["view", str(stored / "first"), "--export", str(one), "--redact", redact]) == 0
    wanted = data_of(one)
    monkeypatch.setattr(export, limit, value)
    monkeypatch.setattr(export, "PART", 7)
    capsys.readouterr()
    out = tmp_path / "run.html"
    assert main(["view", str(stored / "first"), "--export", str(out), "--redact", redact]) == 0
    told = capsys.readouterr().out
    assert "becomes a folder" in told
    assert "run/index.html" in told
    folder = tmp_path / "run"
    assert not out.exists()
    assert part_of(folder, "run") == {"overview": wanted["overview"], "rows": wanted["rows"]}
    parts = [part_of(folder, f"part-{number:05d}") for number in range(5)]
    assert {key: value for part in parts for key, value in part.items()} == wanted["conversations"]
    assert [list(part) for part in parts] == [
        [row["id"] for row in wanted["rows"][first : first + 7]] for first in range(0, 30, 7)
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["data", "index.html"]
    assert "window.ran" not in "".join(path.read_text() for path in folder.rglob("*.*"))


def test_a_folder_can_be_asked_for(stored, tmp_path, capsys):
    """By a name without an ending; nothing is overwritten, and nothing half done is left."""
    out = tmp_path / "run"
    assert main(["view", str(stored / "first"), "--export", str(out)]) == 0
    assert "becomes" not in capsys.readouterr().out
    assert main(["view", str(stored / "first"), "--export", str(out)]) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["view", str(stored / "first"), "--export", str(tmp_path / "no" / "such")]) == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_can_be_read_of_a_damaged_run_is_written(stored, tmp_path, capsys):
    """The rest is named in the overview."""
    run = shutil.copytree(stored / "first", tmp_path / "run")
    file = next((run / "conversations").glob("*.jsonl"))
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], b"{damaged\n", *lines[2:]]))
    out = tmp_path / "run.html"
    assert main(["view", str(run), "--export", str(out)]) == 0
    data = data_of(out)
    assert len(data["conversations"]) == len(data["rows"]) == 29
    assert "damaged" in data["overview"]["damaged"][0]


def test_an_unfinished_run_is_written_as_far_as_it_is(stored, tmp_path):
    """It says that it is unfinished."""
    run = shutil.copytree(stored / "first", tmp_path / "run")
    (run / "summary.json").unlink()
    assert main(["view", str(run), "--export", str(tmp_path / "run.html")]) == 0
    assert data_of(tmp_path / "run.html")["overview"]["finished"] is False
