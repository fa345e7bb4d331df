"""`coral list`: the runs below a folder at a glance."""

import json

import pytest

from coral.cli import main


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs, one of which lacks its summary; and a folder that is none."""
    monkeypatch.chdir(tmp_path)
    for name, words in (("cot", ["--protocol", "cot"]), ("deep/pair", [])):
        assert main(["eval", "sally_anne", "--limit", "2", "--output", f"runs/{name}", *words]) == 0
    (tmp_path / "runs" / "deep" / "pair" / "summary.json").unlink()
    (tmp_path / "runs" / "notes").mkdir()
    return tmp_path / "runs"


def test_runs_are_listed_with_headline_and_state(runs, capsys):
    """A finished run shows its headline, another how many conversations have ended; nothing else is there."""
    capsys.readouterr()
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    finished = next(line for line in lines if line.startswith("cot"))
    assert "accuracy" in finished
    unfinished = next(line for line in lines if line.startswith("deep/pair"))
    assert "2/2" in unfinished
    assert all(len(line) <= 80 for line in lines)


def test_long_names_stand_on_lines_of_their_own(runs, capsys):
    """A name is not cut into pieces of ten letters: copied from the list, it is the folder's."""
    name = "sally_anne-coral-a_model_of_some_length-0123abc"
    (runs / "cot").rename(runs / name)
    capsys.readouterr()
    assert main(["list", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    place = next(place for place, line in enumerate(lines) if line.startswith(name))
    assert lines[place + 1].startswith("  accuracy ")
    assert all(len(line) <= 80 for line in lines)


def test_a_damaged_run_hides_no_other(runs, capsys):
    """It is listed with what is wrong."""
    (runs / "cot" / "summary.json").write_text("{")
    (runs / "torn").mkdir()
    (runs / "torn" / "run.json").symlink_to("nowhere")
    capsys.readouterr()
    assert main(["list", str(runs)]) == 0
    out = capsys.readouterr().out
    assert "damaged" in out
    assert "torn" in out


def test_a_study_and_a_loop_have_one_line_each(runs, capsys):
    """What lies inside is told as how much of it has ended: they are no runs of 0 conversations."""
    (runs / "study").mkdir()
    (runs / "study" / "run.json").write_text("{}")
    (runs / "study" / "arms").mkdir()
    (runs / "cot").rename(runs / "study" / "arms" / "one")
    (runs / "loop" / "models" / "start").mkdir(parents=True)
    (runs / "deep" / "pair").rename(runs / "loop" / "models" / "start" / "pair")
    (runs / "loop" / "loop").mkdir()
    (runs / "loop" / "loop" / "run.json").write_text('{"model": "m", "common": {}, "evaluate": {}}')
    capsys.readouterr()
    assert main(["list", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert any(line.startswith("study") and "1/1" in line for line in lines)
    assert any(line.startswith("loop") and "no report yet" in line and "0/1" in line for line in lines)


def test_a_run_called_loop_makes_no_loop_of_its_folder(runs, capsys):
    """`runs/loop` may be a run like any other."""
    (runs / "cot").rename(runs / "loop")
    capsys.readouterr()
    assert main(["list", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("loop") and "accuracy" in line for line in lines)
    assert any(line.startswith("deep/pair") for line in lines)


def test_a_run_of_another_version_is_not_called_damaged(runs, capsys):
    """Its summary has another form; it says what makes it anew."""
    told = json.loads((runs / "cot" / "run.json").read_text())
    (runs / "cot" / "run.json").write_text(json.dumps({**told, "schema": 1}))
    (runs / "cot" / "summary.json").write_text("{}")
    capsys.readouterr()
    assert main(["list", str(runs)]) == 0
    out = capsys.readouterr().out
    assert "summary of another version" in out
    assert "damaged" not in out


def test_no_runs_and_no_folder(tmp_path, capsys):
    """Said in words."""
    assert main(["list", str(tmp_path)]) == 0
    assert "no run below" in capsys.readouterr().out
    assert main(["list", str(tmp_path / "none")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_help_of_a_command_by_its_name(capsys):
    """`coral help list` is `coral list --help`."""
    with pytest.raises(SystemExit) as ended:
        main(["help", "list"])
    assert ended.value.code == 0
    assert "coral list [DIR]" in capsys.readouterr().out
