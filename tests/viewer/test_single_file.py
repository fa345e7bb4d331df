"""A run as one file: whole, without where it came from, and without its texts where that is asked for."""

import base64
import gzip
import hashlib
import json
import re
import shutil

import pytest

from coral.cli import main
from coral.viewer import single_file


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
        (["{second}", "--export", "run.html"], "one file shows one run"),
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


@pytest.mark.parametrize(("limit", "value"), [("MOST_CONVERSATIONS", 29), ("MOST_BYTES", 1000)])
def test_a_run_that_is_too_large_is_refused(stored, tmp_path, monkeypatch, capsys, limit, value):
    """With its size; a file of half a run would say something else."""
    monkeypatch.setattr(single_file, limit, value)
    assert main(["view", str(stored / "first"), "--export", str(tmp_path / "run.html")]) == 2
    assert "too large for one file" in capsys.readouterr().err


def test_an_unfinished_run_is_written_as_far_as_it_is(stored, tmp_path):
    """It says that it is unfinished."""
    run = shutil.copytree(stored / "first", tmp_path / "run")
    (run / "summary.json").unlink()
    assert main(["view", str(run), "--export", str(tmp_path / "run.html")]) == 0
    assert data_of(tmp_path / "run.html")["overview"]["finished"] is False
