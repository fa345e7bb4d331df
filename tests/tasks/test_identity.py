"""Ids: safe in file names and run folders, unique, and the same however a file is cut or shuffled."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coral.errors import DataError
from coral.tasks.files import Row
from coral.tasks.identity import content_id, distinct, published_id
from coral.types import Problem

ROW = Row(fields={}, file="some.csv", number=9)


def problem(name: str, question: str = "?") -> Problem:
    return Problem(id=name, task="t", question=question, target="x")


@given(st.text())
def test_published_ids_are_safe(name: str) -> None:
    """No id holds '#', '/' or whitespace; a blank name is an error of its record."""
    if name.strip():
        assert re.fullmatch(r"[\w.-]+", published_id(name, ROW))
    else:
        with pytest.raises(DataError, match=r"some\.csv, line 9: .* cannot serve as an id"):
            published_id(name, ROW)


@given(st.lists(st.text(), unique_by=str.strip, min_size=2, max_size=2))
def test_two_names_are_two_ids(names: list[str]) -> None:
    """An id depends on nothing but the name, and tells names apart that differ in any character."""
    a, b = (
        (published_id(name, ROW) for name in names if name.strip()) if all(map(str.strip, names)) else (0, 1)
    )
    assert a != b


APART = [
    ("甲-1", "乙-1"),
    ("C++", "C#"),
    ("a b", "a-b"),
    ("a/b", "a-b"),
    ("1.", "1"),
    ("-1", "1"),
    ("é", "e\u0301"),
    ("x" * 100 + "1", "x" * 100 + "2"),
    ("+", "-"),
    ("??", "!!"),
    ("½", "1-2"),
]


@pytest.mark.parametrize(("one", "other"), APART)
def test_names_that_look_alike_stay_apart(one: str, other: str) -> None:
    """What an id may not hold is not just left out."""
    found = distinct((ROW, problem(published_id(name, ROW))) for name in (one, other))
    assert len({item.id for item in found}) == 2


def test_safe_names_are_kept() -> None:
    """What is safe already is the id as it is, in every script."""
    names = (3983, "rec06pnAkLOr2t2mp", "甲-1", "задача_7", "test.1")
    assert [published_id(name, ROW) for name in names] == list(map(str, names))
    assert published_id("a/b c#1", ROW) == "a-b-c-1-79a4d235"


def test_content_ids_tell_fields_apart() -> None:
    """The border between two texts counts, and the id is of fixed length."""
    assert content_id("ab", "c") != content_id("a", "bc")
    assert re.fullmatch(r"[0-9a-f]{16}", content_id("ab", "c"))


def test_a_repeated_content_id_is_numbered() -> None:
    """The same unnamed problem twice stays two problems with two ids."""
    name = content_id("What is 1+1?")
    found = distinct((ROW, problem(name)) for _ in range(3))
    assert [item.id for item in found] == [name, f"{name}-2", f"{name}-3"]


def test_a_repeated_published_id_is_an_error() -> None:
    """Two records under one name of the authors cannot both be right."""
    with pytest.raises(DataError, match=r"some\.csv, line 9: the id '7' is there for the second time"):
        list(distinct([(ROW, problem("7")), (ROW, problem("8")), (ROW, problem("7"))]))
