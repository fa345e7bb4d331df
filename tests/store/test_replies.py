"""The store of replies: for many processes, through kills, and never believed where it is damaged."""

import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from coral.errors import ConfigError, Notice
from coral.store.replies import SUFFIX, ReplyStore

KEY, OTHER = b"k" * 16, b"o" * 16


@pytest.fixture
def store(tmp_path):
    opened = ReplyStore(tmp_path / "cache")
    yield opened
    opened.close()


def file_of(folder):
    (found,) = folder.glob(f"*{SUFFIX}")
    return found


def test_what_was_kept_is_found_by_every_process(store, tmp_path):
    """Also by those that were there before it was kept; what is kept last under a key counts."""
    beside = ReplyStore(tmp_path / "cache")
    store.keep(KEY, b"first")
    store.keep(KEY, b"last")
    assert beside.find(KEY) == b"last"
    assert beside.find(OTHER) is None
    beside.close()


WRITER = """
import sys
from pathlib import Path
from coral.store.replies import ReplyStore

store = ReplyStore(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    store.keep(f"{sys.argv[2]}{number:015d}".encode(), b"v" * 500 + str(number).encode())
    print(number, flush=True)
"""


def writer(folder, letter, count):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), letter, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_write_at_once_and_nothing_is_lost(tmp_path):
    """Four of them, into an empty folder, begun at the same moment."""
    several = [writer(tmp_path / "cache", letter, 100) for letter in "abcd"]
    for one in several:
        assert one.stdout.readline() == "ready\n"
    for one in several:
        one.communicate("go\n")
        assert one.returncode == 0
    store = ReplyStore(tmp_path / "cache")
    assert all(store.find(f"{letter}{n:015d}".encode()) for letter in "abcd" for n in range(100))
    store.close()


def test_what_was_kept_outlives_a_kill(tmp_path):
    """Whatever `keep` returned from is there after kill -9."""
    one = writer(tmp_path / "cache", "a", 100_000)
    one.stdin.write("go\n")
    one.stdin.flush()
    said = [one.stdout.readline() for _ in range(200)][1:]
    os.kill(one.pid, signal.SIGKILL)
    one.communicate()
    store = ReplyStore(tmp_path / "cache")
    for line in said:
        assert store.find(f"a{int(line):015d}".encode()) == b"v" * 500 + line.strip().encode()
    store.close()


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE replies SET value = x'00' WHERE key = ?", "another value"),
        ("UPDATE replies SET value = substr(value, 1, 3) WHERE key = ?", "a cut value"),
        ("UPDATE replies SET value = 17 WHERE key = ?", "a number"),
        ("UPDATE replies SET digest = x'' WHERE key = ?", "no digest"),
        ("UPDATE replies SET value = (SELECT value FROM replies WHERE key != ?)", "another entry's value"),
    ],
)
def test_a_damaged_entry_is_named_and_missing(store, tmp_path, statement, why):
    """Its neighbours are as they were, and it can be kept anew."""
    store.keep(KEY, b"value")
    store.keep(OTHER, b"other")
    with sqlite3.connect(file_of(tmp_path / "cache")) as raw:
        raw.execute(statement, (KEY,))
    raw.close()
    with pytest.warns(Notice, match=f"{KEY.hex()} in .* is damaged: it is asked for again"):
        assert store.find(KEY) is None, why
    assert store.find(OTHER) == b"other"
    store.keep(KEY, b"again")
    assert store.find(KEY) == b"again"


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda raw: b"", "empty"),
        (lambda raw: b"no database" * 1000, "another file"),
        (lambda raw: b"\0" * len(raw), "zeros, as after a crash of the machine"),
        (lambda raw: raw[:3000], "cut in its first page"),
        (lambda raw: raw[:100] + b"\xff" * 4000 + raw[4100:], "its first page overwritten"),
    ],
)
@pytest.mark.filterwarnings("ignore::coral.errors.Notice")
def test_a_damaged_file_is_begun_anew(tmp_path, damage, why):
    """What it held is missing; nothing else fails, and what is kept from then on is found."""
    store = ReplyStore(tmp_path / "cache")
    store.keep(KEY, b"value")
    store.close()
    path = file_of(tmp_path / "cache")
    path.write_bytes(damage(path.read_bytes()))
    again = ReplyStore(tmp_path / "cache")
    assert again.find(KEY) is None, why
    again.keep(OTHER, b"other")
    assert again.find(OTHER) == b"other", why
    again.close()


def test_a_file_that_is_set_aside_is_named(tmp_path):
    """Nothing is deleted: perhaps it was another program's."""
    folder = tmp_path / "cache"
    ReplyStore(folder).close()
    file_of(folder).write_bytes(b"my notes" * 1000)
    with pytest.warns(Notice, match="set aside as .*damaged"):
        ReplyStore(folder).close()
    (aside,) = folder.glob("*.damaged-*")
    assert aside.read_bytes() == b"my notes" * 1000


@pytest.mark.filterwarnings("ignore::coral.errors.Notice")
def test_a_torn_page_costs_no_more_than_its_entries(tmp_path):
    """A run goes on, whatever a read or a write says; what cannot be read is asked for again."""
    folder = tmp_path / "cache"
    store = ReplyStore(folder)
    keys = [number.to_bytes(16, "big") for number in range(400)]
    for key in keys:
        store.keep(key, key * 40)
    store.close()
    raw = bytearray(file_of(folder).read_bytes())
    middle = len(raw) // 2 // 4096 * 4096
    raw[middle : middle + 8192] = os.urandom(8192)
    file_of(folder).write_bytes(raw)
    again = ReplyStore(folder)
    found = [again.find(key) for key in keys]
    assert all(value in (None, key * 40) for key, value in zip(keys, found, strict=True))
    for key in keys:
        again.keep(key, b"new")
    again.close()


def test_another_machines_file_is_read_and_never_written(tmp_path):
    """What a second machine kept is found; a damaged one of its files is as good as none."""
    folder = tmp_path / "cache"
    first = ReplyStore(folder)
    first.keep(KEY, b"there")
    first.close()
    theirs = file_of(folder).rename(folder / f"another-machine{SUFFIX}")
    (folder / f"broken{SUFFIX}").write_bytes(b"x" * 5000)
    before = theirs.read_bytes()
    here = ReplyStore(folder)
    assert here.find(KEY) == b"there"
    here.keep(KEY, b"here")
    assert here.find(KEY) == b"here"
    here.close()
    assert theirs.read_bytes() == before


@pytest.mark.parametrize("blocked", ["file", "below a file"])
def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path, blocked):
    """Said before anything is asked, with what to do."""
    (tmp_path / "file").write_text("mine")
    place = tmp_path / "file" if blocked == "file" else tmp_path / "file" / "cache"
    with pytest.raises(ConfigError, match=r"response cache .* cannot be used") as caught:
        ReplyStore(place)
    assert "--cache" in caught.value.remedy
