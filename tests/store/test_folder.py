"""The run folder."""

import errno
import fcntl
import itertools
import os
import shutil
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import msgspec
import pytest

from coral.errors import Notice, RunFolderError
from coral.store.folder import RunFolder
from coral.store.lines import read_file, read_lines
from coral.types import RESPONDER, SCHEMA, Conversation, Problem, Speaker, StopReason

IDENTITY = {"task": {"name": "t"}, "seed": 0}


def conversation(identity, stop=StopReason.AGREED):
    return Conversation(
        schema=SCHEMA, id=identity, problem=Problem(id=identity, task="t", question="q", target="a"),
        speakers={RESPONDER: Speaker(name="agent", model="m")}, opening="o", turns=(), stop=stop,
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


@pytest.mark.parametrize(
    ("there", "wanted", "told"),
    [
        ({"seed": 0}, {"seed": 1}, ["seed: 0 there, 1 now"]),
        ({"agent": {"top_p": 1.0}}, {"agent": {}}, ["agent.top_p: 1.0 there, not set now"]),
        ({}, {"select": "diverse"}, ['select: not set there, "diverse" now']),
        ({"partner": {"model": "a", "seed": 0}}, {}, ["only there: partner"]),
        ({"a": {"b": {}}}, {"a": {"c": {}, "d": {}}}, ["only there: a.b", "only now: a.c, a.d"]),
        ({"partner": {"model": "a"}}, {"partner": None}, ['partner: {"model":"a"} there, null now']),
        ({"prompts": "0123456789abcdef"}, {"prompts": "fedcba9876543210"}, ["prompts: not the same"]),
        (
            {"forked": "0123456789abcdef"}, {"forked": "fedcba9876543210"},
            ["forked: from another turn, or with other words in its place"],
        ),
        ({"prompts": "0123456789abcdef"}, {}, ['prompts: "0123456789abcdef" there, not set now']),
    ],
)  # fmt: skip
def test_only_what_differs_is_told_under_its_full_name(tmp_path, there, wanted, told):
    """Two models may have options of the same names; what neither run has changed is noise."""
    same = {"task": {"name": "t"}, "extractor": {"mode": "rules"}}
    folder = RunFolder(tmp_path)
    with folder.claim({**same, **there}, {}):
        folder.append(conversation("a#0"))
    with pytest.raises(RunFolderError) as caught, RunFolder(tmp_path).claim({**same, **wanted}, {}):
        pass
    assert str(caught.value).splitlines()[1:] == [f"  {line}" for line in told]


KINDS = {
    "a run of conversations": {"task": {"name": "t"}, "protocol": "coral"},
    "a study": {"study": {"arms": {}}},
    "an audit": {"audit": {"runs": []}},
    "a training": {"training": {"kind": "dpo"}},
}


@pytest.mark.parametrize(("there", "wanted"), list(itertools.permutations(KINDS, 2)))
def test_a_folder_of_another_kind_is_refused_as_such(tmp_path, there, wanted):
    """No option makes a study of a run: that every one differs, or the schema, says nothing."""
    with RunFolder(tmp_path).claim({"schema": SCHEMA, **KINDS[there]}, {}, free_while_empty=False):
        pass
    with (
        pytest.raises(RunFolderError, match=f"holds {there}, and {wanted} is asked for$") as caught,
        RunFolder(tmp_path).claim(KINDS[wanted], {}),
    ):
        pass
    assert caught.value.remedy == f"give another --output for {wanted}"


@pytest.mark.parametrize("kind", KINDS)
def test_other_options_of_a_kind_are_refused_in_its_name(tmp_path, kind):
    """A study is no run."""
    with RunFolder(tmp_path).claim({**KINDS[kind], "seed": 0}, {}):
        pass
    with (
        pytest.raises(
            RunFolderError, match=f"belongs to {kind.removesuffix(' of conversations')} with"
        ) as caught,
        RunFolder(tmp_path).claim({**KINDS[kind], "seed": 1}, {}),
    ):
        pass
    assert caught.value.remedy.endswith(f"for a new {kind.split()[1]}")


@pytest.mark.parametrize(("there", "wanted"), [("eval", "sample"), ("sample", "eval")])
def test_samples_and_runs_are_told_apart_by_their_commands(tmp_path, there, wanted):
    """Not by the options that only one of the two has."""
    made = {"eval": KINDS["a run of conversations"]}
    made["sample"] = {**made["eval"], "candidates": 5, "agent": {"temperature": 0.8}}
    folder = RunFolder(tmp_path)
    with folder.claim(made[there], {}):
        folder.append(conversation("a#0"))
    told = f"holds a run of `coral {there}`, and this is `coral {wanted}`"
    with pytest.raises(RunFolderError, match=told), RunFolder(tmp_path).claim(made[wanted], {}):
        pass


@pytest.mark.parametrize(
    "journal", [b"", b'{"id":"a#0","step":"1","refusal":{"type":"Rejected","message":"no"}}\n']
)
def test_a_run_that_holds_nothing_may_become_another(tmp_path, journal):
    """A run that was refused at once left its folder: the option that helps may be given with it."""
    filled(tmp_path).plan(3)
    if journal:
        (tmp_path / "journal").mkdir()
        (tmp_path / "journal" / "00000.jsonl").write_bytes(journal)
    with RunFolder(tmp_path).claim({**IDENTITY, "seed": 1}, {}):
        assert RunFolder(tmp_path).record()["seed"] == 1


def test_what_is_no_run_of_conversations_never_becomes_another(tmp_path):
    """Trainings and loops claim folders, too: without conversations, with what they made elsewhere."""
    filled(tmp_path)
    with (
        pytest.raises(RunFolderError, match="belongs to a run with other options"),
        RunFolder(tmp_path).claim({**IDENTITY, "seed": 1}, {}),
    ):
        pass


def test_a_run_that_holds_a_reply_stays_what_it_is(tmp_path):
    """It was paid for, and belongs to the options that it was made with."""
    filled(tmp_path).plan(3)
    entry = {"id": "a#0", "step": "1", "generation": {"candidates": [], "usage": {}, "latency_s": 0.0}}
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "00000.jsonl").write_bytes(msgspec.json.encode(entry) + b"\n")
    with pytest.raises(RunFolderError), RunFolder(tmp_path).claim({**IDENTITY, "seed": 1}, {}):
        pass


def test_options_that_decide_nothing_may_change(tmp_path):
    """Addresses and connections are recorded anew in each session."""
    filled(tmp_path)
    with RunFolder(tmp_path).claim(IDENTITY, {"max_connections": 7}):
        pass
    assert "7" in (tmp_path / "config.yaml").read_text()


HOLD = """
import sys
from coral.store.folder import RunFolder
from coral.store.lines import read_file, read_lines
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
    """An unusable --output is the user's to fix."""
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
    with pytest.raises(RunFolderError, match="is not a run folder"):
        list(RunFolder(tmp_path).conversations())


# Locks ------------------------------------------------------------------------------------------------------


def test_two_runs_of_one_process_are_kept_apart(tmp_path):
    """A notebook that starts the same run twice is told so, and not sent to look for another process."""
    with (
        RunFolder(tmp_path).claim(IDENTITY, {}),
        pytest.raises(RunFolderError, match="this process works in"),
        RunFolder(tmp_path).claim(IDENTITY, {}),
    ):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO])
def test_a_file_system_without_locks_is_told_as_such(tmp_path, monkeypatch, number):
    """Nobody else works there: the remedy is another folder, or no lock."""

    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(RunFolderError, match="has no locks") as caught,
        RunFolder(tmp_path).claim(IDENTITY, {}),
    ):
        pass
    assert "another process" not in str(caught.value)
    assert "--lock none" in caught.value.remedy
    with RunFolder(tmp_path).claim(IDENTITY, {}, lock=False):
        assert RunFolder(tmp_path).has_begun


# Files that Coral did not write, or not there ---------------------------------------------------------------


STRAYS = [
    "notes.jsonl",
    "._00000.jsonl",
    "00000 (1).jsonl",
    "00000 (copy).jsonl",
    "0.jsonl",
    "-1.jsonl",
    "x.y.jsonl",
]


@pytest.mark.parametrize("name", STRAYS)
@pytest.mark.parametrize("place", ["conversations", "journal"])
def test_stray_files_are_named_and_left_alone(tmp_path, name, place):
    """A copy that a file manager made, or somebody's notes, are no part of the run, and end none."""
    folder = filled(tmp_path, conversation("a#0"))
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / name).write_text('{"id": "b#0", "stop": "agreed"}\nnot JSON\n')
    with pytest.warns(Notice, match="not read: "):
        assert list(read_lines(tmp_path / place)) == (
            [] if place == "journal" else list(read_file(tmp_path / place / "00000.jsonl"))
        )
    if place == "conversations":
        with pytest.warns(Notice):
            assert [c.id for c in folder.conversations()] == ["a#0"]
        with pytest.warns(Notice):
            filled(tmp_path, conversation("c#0"))
    assert (tmp_path / place / name).read_text().endswith("not JSON\n")


def test_a_folder_under_the_name_of_a_file_is_a_stray(tmp_path):
    """Whatever made it: it cannot be read, so it is named."""
    folder = filled(tmp_path, conversation("a#0"))
    (tmp_path / "conversations" / "00001.jsonl").mkdir()
    with pytest.warns(Notice, match=r"not read: 00001\.jsonl"):
        assert [c.id for c in folder.conversations()] == ["a#0"]


def twice_by_a_copy(path):
    shutil.copy(path / "conversations" / "00000.jsonl", path / "conversations" / "00001.jsonl")


def twice_by_a_line(path):
    file = path / "conversations" / "00000.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], *lines]))


@pytest.mark.parametrize("double", [twice_by_a_copy, twice_by_a_line])
def test_what_is_stored_twice_counts_once_and_is_told(tmp_path, double):
    """A copied file or a doubled line would count conversations twice, without a word."""
    folder = filled(tmp_path, conversation("a#0"), conversation("b#0"))
    double(tmp_path)
    with pytest.warns(Notice, match=r"stored more than once, such as a#0"):
        assert [c.id for c in folder.conversations()] == ["a#0", "b#0"]
    assert folder.endings() == ({"a#0", "b#0"}, set())


@pytest.mark.filterwarnings("error")
def test_a_failed_conversation_that_was_run_again_is_nothing_to_tell(tmp_path):
    """`--retry_failed` leaves both lines; that is how it works."""
    folder = filled(tmp_path, conversation("a#0", StopReason.FAILED), conversation("b#0"))
    filled(tmp_path, conversation("a#0"))
    assert [c.id for c in folder.conversations()] == ["b#0", "a#0"]


def test_conversations_without_their_run_are_refused(tmp_path):
    """Without run.json nobody knows what they are of: a new run there would mix them with its own."""
    filled(tmp_path, conversation("a#0"))
    (tmp_path / "run.json").unlink()
    with pytest.raises(RunFolderError, match=r"no run\.json"), RunFolder(tmp_path).claim(IDENTITY, {}):
        pass


def test_a_folder_in_the_place_of_a_file_is_an_error(tmp_path):
    """`summary.json` as a folder ends in a message, when it is dropped and when it is written."""
    folder = filled(tmp_path)
    (tmp_path / "summary.json").mkdir()
    for change in (lambda: folder.plan(3), lambda: folder.write("summary.json", {})):
        with pytest.raises(RunFolderError, match=r"cannot write .*summary\.json"):
            change()


def test_what_killed_processes_left_is_cleaned_up(tmp_path):
    """A kill between writing a file and naming it leaves a partial one, once and not for ever."""
    filled(tmp_path)
    (tmp_path / ".0123456789abcdef.partial").write_text("half")
    filled(tmp_path)
    assert not list(tmp_path.glob(".*.partial"))


# A folder that is gone --------------------------------------------------------------------------------------


def deleted(path):
    shutil.rmtree(path)


def moved(path):
    path.rename(path.with_name("elsewhere"))


def made_anew(path):
    shutil.rmtree(path)
    filled(path)


def without_its_file(path):
    (path / "conversations" / "00000.jsonl").unlink()


@pytest.mark.parametrize("vanish", [deleted, moved, made_anew, without_its_file])
def test_a_folder_that_vanishes_is_noticed(tmp_path, vanish):
    """What is written to a deleted file is lost without an error: somebody has to look."""
    path = tmp_path / "run"
    folder = RunFolder(path)
    with folder.claim(IDENTITY, {}):
        folder.check()
        folder.append(conversation("a#0"))
        folder.check()
        vanish(path)
        with pytest.raises(RunFolderError, match="deleted or moved"):
            folder.check()


# The index --------------------------------------------------------------------------------------------------


@pytest.fixture
def indexed(monkeypatch):
    """Makes even small files worth an index."""
    monkeypatch.setattr("coral.store.index.WORTH_BYTES", 0)


def many(path, count=50):
    return filled(path, *(conversation(f"p{number}#0") for number in range(count)))


@pytest.mark.usefixtures("indexed")
def test_a_conversation_is_found_by_its_id(tmp_path):
    """With and without an index, in each file of a run, and what is not there is not found."""
    folder = many(tmp_path)
    filled(tmp_path, conversation("late#0"))
    for _ in range(2):
        assert folder.conversation("p17#0").id == "p17#0"
        assert folder.conversation("late#0").id == "late#0"
        assert folder.conversation("p17#1") is None
    assert len(list((tmp_path / "conversations").glob("*.index"))) == 2


@pytest.mark.usefixtures("indexed")
def test_of_a_file_with_an_index_only_the_line_in_question_is_read(tmp_path):
    """That is what makes it quick: a damaged line elsewhere is not even met."""
    folder = many(tmp_path)
    assert folder.conversation("p17#0")
    file = tmp_path / "conversations" / "00000.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    lines[5] = b"x" * (len(lines[5]) - 1) + b"\n"
    file.write_bytes(b"".join(lines))
    assert folder.conversation("p17#0").id == "p17#0"
    with pytest.raises(RunFolderError, match="line 6 is damaged"):
        list(folder.conversations())


def without_a_line(file):
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:3] + lines[4:]))


def with_more_lines(file):
    line = file.read_bytes().splitlines(keepends=True)[0]
    file.write_bytes(file.read_bytes() + line.replace(b"p0#0", b"new#0"))


def with_a_torn_line(file):
    file.write_bytes(file.read_bytes() + b'{"id": "torn')


def shorter(file):
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:30]))


def with_half_an_index(file):
    index = file.with_suffix(".index")
    index.write_bytes(index.read_bytes()[:-5])


def with_a_foreign_index(file):
    file.with_suffix(".index").write_bytes(b"something else")


CHANGES = [
    without_a_line,
    with_more_lines,
    with_a_torn_line,
    shorter,
    with_half_an_index,
    with_a_foreign_index,
]


@pytest.mark.usefixtures("indexed")
@pytest.mark.parametrize("change", CHANGES)
def test_an_index_that_does_not_fit_its_file_is_made_anew(tmp_path, change):
    """Files may be changed by hand, as messages advise; an index never hides or invents a conversation."""
    folder = many(tmp_path)
    assert folder.conversation("p17#0")
    change(tmp_path / "conversations" / "00000.jsonl")
    stored = {c.id for c in folder.conversations()}
    for number in range(50):
        found = folder.conversation(f"p{number}#0")
        assert (found is not None) == (f"p{number}#0" in stored)
    assert (folder.conversation("new#0") is not None) == ("new#0" in stored)


@pytest.mark.usefixtures("indexed")
def test_of_several_lines_the_index_finds_the_one_that_counts(tmp_path):
    """The same one that streaming yields."""
    folder = filled(tmp_path, conversation("a#0", StopReason.FAILED), conversation("b#0"))
    filled(tmp_path, conversation("a#0", StopReason.MAX_TURNS))
    assert folder.conversation("a#0").stop is StopReason.MAX_TURNS


@pytest.mark.usefixtures("indexed")
def test_a_run_that_may_only_be_read_is_read(tmp_path, monkeypatch):
    """The index is a help, and no condition."""

    def refuse(*_):
        raise PermissionError(errno.EACCES, "no")

    folder = many(tmp_path)
    monkeypatch.setattr("coral.store.index.write_whole", refuse)
    assert folder.conversation("p17#0").id == "p17#0"


def test_small_files_get_no_index(tmp_path):
    """A second file is worth its place only beside a big one."""
    folder = many(tmp_path)
    assert folder.conversation("p17#0").id == "p17#0"
    assert [path.name for path in (tmp_path / "conversations").iterdir()] == ["00000.jsonl"]


def test_conversations_without_a_run_are_not_adopted(tmp_path):
    """A lost `run.json` is not written anew: the conversations may be of other options."""
    folder = filled(tmp_path, conversation("a#0"))
    (tmp_path / "run.json").unlink()

    def claim():
        with RunFolder(tmp_path).claim({"task": "b"}, {}):
            pass

    for use in (claim, folder.identity, lambda: list(folder.conversations())):
        with pytest.raises(RunFolderError, match=r"holds conversations, and no run\.json") as caught:
            use()
        assert "from a copy" in caught.value.remedy
    assert not (tmp_path / "run.json").exists()


def test_a_folder_in_the_place_of_the_summary_is_told(tmp_path):
    """It is met before anything is sent."""
    folder = RunFolder(tmp_path)
    with folder.claim(IDENTITY, {}):
        (tmp_path / "summary.json").mkdir()
        with pytest.raises(RunFolderError, match=r"summary\.json"):
            folder.plan(3)


def test_a_run_says_when_it_began(tmp_path):
    """Once, in UTC; the date decides nothing, so the folder can be claimed again."""
    folder = RunFolder(tmp_path)
    for _ in range(2):
        with folder.claim({"schema": 2, "task": "x"}, {}):
            began = folder.begun()
    assert began is not None
    assert began.utcoffset() == timedelta(0)
    assert abs(datetime.now(timezone.utc) - began) < timedelta(minutes=5)
    (tmp_path / "run.json").write_text('{"schema": 2, "task": "x", "begun": "2026-01-02T03:04:05+00:00"}')
    with folder.claim({"schema": 2, "task": "x"}, {}):
        assert folder.begun() == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert "begun" not in folder.record(), "what decides a run is not a date"
