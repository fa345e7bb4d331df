"""Files of JSON lines that survive a kill."""

import os
from pathlib import Path

import pytest

from coral.errors import RunFolderError
from coral.store.lines import Appender, read_lines


def texts(folder):
    return [line.text for line in read_lines(folder)]


def test_lines_come_back_in_the_order_of_writing_over_sittings(tmp_path):
    """Each session writes a file of its own; readers take them in order."""
    for session in range(3):
        appender = Appender(tmp_path)
        appender.append(b"%d a" % session)
        appender.append(b"%d b" % session)
        appender.close()
    assert texts(tmp_path) == [b"0 a\n", b"0 b\n", b"1 a\n", b"1 b\n", b"2 a\n", b"2 b\n"]
    assert len(list(tmp_path.iterdir())) == 3


def test_nothing_is_created_before_the_first_line(tmp_path):
    """A session that ends no conversation leaves no file."""
    Appender(tmp_path / "new").close()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("torn", [b"", b"{", b'{"id": "x"', b'{"id": "x"}', b"\x00\x00"])
def test_a_torn_last_line_counts_as_never_written(tmp_path, torn):
    """Only a newline makes a line, even if what stands before the end happens to be valid."""
    (tmp_path / "00000.jsonl").write_bytes(b"whole\n" + torn)
    appender = Appender(tmp_path)
    appender.append(b"next")
    appender.close()
    assert texts(tmp_path) == [b"whole\n", b"next\n"]
    assert (tmp_path / "00000.jsonl").read_bytes() == b"whole\n" + torn


def test_a_line_is_with_the_operating_system_when_append_returns(tmp_path):
    """A kill right after `append` loses nothing: no buffer of ours is involved."""
    appender = Appender(tmp_path)
    appender.append(b"kept")
    assert texts(tmp_path) == [b"kept\n"]
    appender.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_an_error_with_a_remedy(tmp_path):
    """The write fails loudly, and says that what is there is kept."""
    appender = Appender(tmp_path)
    appender._descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(RunFolderError, match="No space left") as caught:
        appender.append(b"x")
    assert "run the same command again" in caught.value.remedy
    appender.close()


def test_writing_goes_on_in_a_new_file_after_a_failed_write(tmp_path):
    """A failed write may have torn a line; the next line must not be glued to it."""
    appender = Appender(tmp_path)
    appender.append(b"one")
    appender._damaged = True
    appender.append(b"two")
    appender.close()
    assert texts(tmp_path) == [b"one\n", b"two\n"]
    assert len(list(tmp_path.iterdir())) == 2
