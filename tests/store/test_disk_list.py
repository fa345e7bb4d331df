"""The problems of a run, on disk."""

import tempfile

import pytest

from coral.errors import DataError
from coral.store import disk_list
from coral.store.disk_list import store_problems
from coral.types import Problem


@pytest.fixture
def opened(monkeypatch):
    """Every temporary file that was opened."""
    files, make = [], tempfile.TemporaryFile

    def recorded(**options):
        files.append(make(**options))
        return files[-1]

    monkeypatch.setattr(disk_list.tempfile, "TemporaryFile", recorded)
    return files


def problems(count):
    for number in range(count):
        yield Problem(id=f"p{number}", task="t", question="?", target="1")


def broken(count, fault):
    yield from problems(count)
    raise fault


FAILURES = {
    "no problem": (lambda: problems(0), None, DataError),
    "no problem, and a limit": (lambda: problems(0), 3, DataError),
    "a bad record": (lambda: broken(5, DataError("line 6 is bad")), None, DataError),
    "a bad record behind those wanted": (lambda: broken(5, DataError("line 6 is bad")), 2, DataError),
    "Ctrl-C while the data are read": (lambda: broken(5, KeyboardInterrupt()), 2, KeyboardInterrupt),
}


@pytest.mark.parametrize("name", FAILURES)
def test_no_file_stays_open_when_it_fails(opened, name):
    """Whatever ends it."""
    made, limit, fault = FAILURES[name]
    with pytest.raises(fault):
        store_problems(made(), limit=limit, seed=0)
    assert opened
    assert all(file.closed for file in opened)


@pytest.mark.parametrize("fault", [DataError("no space"), MemoryError(), KeyboardInterrupt()])
def test_no_file_stays_open_when_the_sample_cannot_be_drawn(opened, monkeypatch, fault):
    """The whole is on disk by then."""

    def refuse(seed, problem_id):
        raise fault

    monkeypatch.setattr(disk_list, "_rank", refuse)
    with pytest.raises(type(fault)):
        store_problems(problems(5), limit=2, seed=0)
    assert [file.closed for file in opened] == [True]


@pytest.mark.parametrize(("limit", "kept"), [(None, 5), (5, 5), (9, 5), (2, 2)])
def test_one_file_is_open_until_the_list_is_closed(opened, limit, kept):
    """That of the problems that were asked for."""
    listed = store_problems(problems(5), limit=limit, seed=0)
    assert len(list(listed)) == kept
    assert sum(not file.closed for file in opened) == 1
    listed.close()
    assert all(file.closed for file in opened)
