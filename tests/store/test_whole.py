"""A file appears under its name when it is whole, or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coral.store.whole import whole_file, write_whole


class Torn(Exception):
    """Whatever goes wrong while a file is written."""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("before", [None, b"old"])
def test_what_goes_wrong_leaves_what_was_there(tmp_path, before):
    """An exception in the middle leaves the old file, or none, and nothing beside it."""
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)

    def write():
        with whole_file(path) as file:
            file.write(b"half")
            raise Torn

    with pytest.raises(Torn):
        write()
    assert names(tmp_path) == ([] if before is None else ["file"])
    assert before is None or path.read_bytes() == before


def test_a_kill_leaves_nothing_under_the_name(tmp_path):
    """`kill -9` in the middle: no reader ever meets half a file."""
    path = tmp_path / "file"
    program = (
        "import os, signal, sys; from pathlib import Path; from coral.store.whole import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half' * 100_000); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert done.returncode == -9
    assert not path.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    """The disk may be full only when the last block is written, as the file is closed."""
    path = tmp_path / "file"
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *rest: opened(_full(self), "wb"))
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "text")
    assert not path.exists()


def _full(path):
    path.symlink_to("/dev/full")
    return path


def test_it_replaces_or_refuses(tmp_path):
    """One call replaces; the other never does, also what came there while it wrote."""
    path = tmp_path / "file"
    write_whole(path, "ü")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"

    def refused():
        with whole_file(path, replace=False) as file:
            file.write(b"other")

    with pytest.raises(FileExistsError):
        refused()
    path.unlink()

    def late():
        with whole_file(path, replace=False) as file:
            file.write(b"other")
            path.write_bytes(b"came meanwhile")

    with pytest.raises(FileExistsError):
        late()
    assert path.read_bytes() == b"came meanwhile"
    assert names(tmp_path) == ["file"]


def test_file_systems_without_hard_links(tmp_path, monkeypatch):
    """Where links are not to be had, the file is renamed."""

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with whole_file(tmp_path / "file", replace=False) as file:
        file.write(b"all")
    assert names(tmp_path) == ["file"]


def test_it_has_the_rights_of_a_new_file(tmp_path):
    """A temporary file's own rights would keep others from reading it."""
    write_whole(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_long_names(tmp_path):
    """The longest name that a file may have is one."""
    write_whole(tmp_path / ("n" * 255), "x")
    assert names(tmp_path) == ["n" * 255]
