"""A disk that is full while a checkpoint is written."""

import errno
import shutil

import pytest

from coral.errors import RunFolderError
from coral.training import train

SafetensorError = pytest.importorskip("safetensors").SafetensorError

TORN = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 5703040 vs 5702928")


@pytest.mark.parametrize(
    ("error", "free", "told"),
    [
        (
            SafetensorError("I/O error: No space left on device (os error 28)"),
            10**9,
            True,
        ),  # its file is gone
        (OSError(errno.ENOSPC, "No space left on device"), 10**9, True),
        (TORN, 0, True),  # torch's own words name no cause
        (TORN, 10**12, False),  # another fault of the libraries
        (ZeroDivisionError(), 0, False),  # a full disk explains no other error
    ],
)
def test_a_full_disk_is_told_with_what_helps(tmp_path, monkeypatch, error, free, told):
    """Not as a traceback of the library that happened to write."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=free))
    with pytest.raises(RunFolderError if told else type(error)) as caught, train.telling_of_space(tmp_path):
        raise error
    assert not told or "resumes from the last whole checkpoint" in caught.value.remedy
