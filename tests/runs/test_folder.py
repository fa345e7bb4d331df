"""The run folder."""

import subprocess
import sys

import msgspec
import pytest

from coral.errors import RunFolderError
from coral.runs.folder import RunFolder
from coral.types import SCHEMA, Conversation, Problem, Speaker, StopReason

IDENTITY = {"task": {"name": "t"}, "seed": 0}


def conversation(identity, stop=StopReason.AGREED):
    return Conversation(
        schema=SCHEMA, id=identity, problem=Problem(id=identity, task="t", question="q", target="a"),
        responder=Speaker(name="agent", model="m"), opener=None, opening="o", turns=(), stop=stop,
        seed=0, started_at=0.0, seconds=0.0,
    )  # fmt: skip


def filled(path, *conversations):
    folder = RunFolder(path)
    with folder.claim(IDENTITY, {}):
        for item in conversations:
            folder.append(item)
    return folder


def test_conversations_come_back_equal(tmp_path):
    """What is written is what is read."""
    stored = [conversation("a#0"), conversation("b#0", StopReason.MAX_TURNS)]
    assert list(filled(tmp_path, *stored).conversations()) == stored


def test_another_identity_is_refused_with_the_difference(tmp_path):
    """A run never mixes conversations of different options."""
    filled(tmp_path, conversation("a#0"))
    with (
        pytest.raises(RunFolderError, match="seed") as caught,
        RunFolder(tmp_path).claim({**IDENTITY, "seed": 1}, {}),
    ):
        pass
    assert "another --output" in caught.value.remedy


def test_only_what_differs_is_told_under_its_full_name(tmp_path):
    """Two models may have options of the same names; what neither run has changed is noise."""
    there = {"agent": {"model": "a", "top_p": 1.0}, "partner": {"model": "a"}, "seed": 0}
    wanted = {"agent": {"model": "a"}, "partner": {"model": "b"}, "seed": 0, "select": "diverse"}
    folder = RunFolder(tmp_path)
    with folder.claim(there, {}):
        folder.append(conversation("a#0"))
    with pytest.raises(RunFolderError) as caught, RunFolder(tmp_path).claim(wanted, {}):
        pass
    assert str(caught.value).splitlines()[1:] == [
        "  agent.top_p: 1.0 there, not given now",
        '  partner.model: "a" there, "b" now',
        '  select: not given there, "diverse" now',
    ]


@pytest.mark.parametrize(
    "journal", [b"", b'{"id":"a#0","step":"1","refusal":{"type":"Rejected","message":"no"}}\n']
)
def test_a_run_that_holds_nothing_may_become_another(tmp_path, journal):
    """A run that was refused at once left its folder: the option that helps may be given with it."""
    filled(tmp_path)
    if journal:
        (tmp_path / "journal").mkdir()
        (tmp_path / "journal" / "00000.jsonl").write_bytes(journal)
    with RunFolder(tmp_path).claim({**IDENTITY, "seed": 1}, {}):
        assert RunFolder(tmp_path).identity()["seed"] == 1


def test_a_run_that_holds_a_reply_stays_what_it_is(tmp_path):
    """It was paid for, and belongs to the options that it was made with."""
    filled(tmp_path)
    entry = {"id": "a#0", "step": "1", "generation": {"candidates": [], "usage": {}, "latency_s": 0.0}}
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "00000.jsonl").write_bytes(msgspec.json.encode(entry) + b"\n")
    with pytest.raises(RunFolderError), RunFolder(tmp_path).claim({**IDENTITY, "seed": 1}, {}):
        pass


def test_options_that_decide_nothing_may_change(tmp_path):
    """Addresses and connections are recorded anew in each sitting."""
    filled(tmp_path)
    with RunFolder(tmp_path).claim(IDENTITY, {"max_connections": 7}):
        pass
    assert "7" in (tmp_path / "config.yaml").read_text()


HOLD = """
import sys
from coral.runs.folder import RunFolder
with RunFolder(sys.argv[1]).claim({"task": {"name": "t"}, "seed": 0}, {}):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_and_told_who_works_there(tmp_path):
    """Two processes in one folder would hold the same conversations twice."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(RunFolderError, match=str(other.pid)), RunFolder(tmp_path).claim(IDENTITY, {}):
            pass
        other.stdin.close()
    with RunFolder(tmp_path).claim(IDENTITY, {}):  # and let in again afterwards
        pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    """An unusable --output is the user's to mend."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(RunFolderError, match="cannot write"),
        RunFolder(tmp_path / "file" / "run").claim(IDENTITY, {}),
    ):
        pass


@pytest.mark.parametrize(
    "damage", [b"\n", b"garbage\n", b'{"id":1}\n', b'{"id":"a#0","stop":"??"}\n', b"\xff\xfe\n"]
)
def test_a_damaged_middle_line_names_file_and_line_and_changes_nothing(tmp_path, damage):
    """Bad input is never skipped: the run says where, and touches nothing."""
    folder = filled(tmp_path, conversation("a#0"))
    path = tmp_path / "conversations" / "00000.jsonl"
    path.write_bytes(path.read_bytes() + damage + path.read_bytes())
    before = path.read_bytes()
    with pytest.raises(RunFolderError, match=r"00000\.jsonl, line 2"):
        list(folder.conversations())
    with pytest.raises(RunFolderError, match="line 2"):
        folder.endings()
    assert path.read_bytes() == before


def test_an_unknown_field_is_refused(tmp_path):
    """A file of another version is not half understood."""
    folder = filled(tmp_path, conversation("a#0"))
    path = tmp_path / "conversations" / "00000.jsonl"
    path.write_bytes(path.read_bytes().replace(b'{"schema"', b'{"new_field":1,"schema"'))
    with pytest.raises(RunFolderError, match="new_field"):
        list(folder.conversations())


def test_of_a_failed_conversation_that_was_run_again_only_the_last_counts(tmp_path):
    """Both lines stay in the folder; readers see one conversation."""
    folder = filled(tmp_path, conversation("a#0", StopReason.FAILED), conversation("b#0"))
    assert folder.endings() == ({"b#0"}, {"a#0"})
    filled(tmp_path, conversation("a#0", StopReason.FAILED))
    filled(tmp_path, conversation("a#0"))
    assert [(c.id, c.stop.value) for c in folder.conversations()] == [("b#0", "agreed"), ("a#0", "agreed")]
    assert folder.endings() == ({"a#0", "b#0"}, set())


def test_a_json_file_is_replaced_whole(tmp_path):
    """A kill while `summary.json` is written leaves the old one."""
    folder = filled(tmp_path)
    folder.write("summary.json", {"a": 1})
    folder.write("summary.json", {"a": 2})
    assert msgspec.json.decode((tmp_path / "summary.json").read_bytes()) == {"a": 2}
    assert not list(tmp_path.glob("*.partial")) + list(tmp_path.glob(".*.partial"))


def test_a_folder_without_a_run_is_named(tmp_path):
    """`coral show` on the wrong folder says so."""
    with pytest.raises(RunFolderError, match="is no run folder"):
        list(RunFolder(tmp_path).conversations())
