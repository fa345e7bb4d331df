"""What tests of programs and people share."""

import tempfile
import time

import psutil
import pytest


@pytest.fixture(autouse=True)
def _logs_beside_the_test(monkeypatch, tmp_path):
    """What programs write stays with the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def ended():
    """Whether a process is gone, or only waits to be reaped."""

    def look(pid):
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return look


@pytest.fixture
def eventually():
    """Waits until something is so."""

    def wait(look, within_s=60.0):
        deadline = time.monotonic() + within_s
        while not look():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.02)

    return wait
