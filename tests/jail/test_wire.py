"""What travels between tests and program: plain data, whole or not at all."""

import contextlib
import math
from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coral.jail.inside.wire import DEEPEST, NotPlain, dumps, loads

keys = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False)
plain = st.recursive(
    keys
    | st.complex_numbers(allow_nan=False)
    | st.integers(-(10**400), 10**400)
    | st.text(st.characters(codec=None)),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys, inner)
        | st.sets(keys)
        | st.frozensets(keys)
        | st.lists(st.integers(), min_size=8)
        | st.lists(st.floats(allow_nan=False), min_size=8)
    ),
    max_leaves=20,
)


def alike(a, b):
    """Equal, and of the same types to the last leaf: 1, 1.0 and True differ."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return all(alike(*pair) for pair in zip(a.items(), b.items(), strict=True))
    return a == b


@given(plain)
def test_plain_data_arrive_as_they_left(value):
    assert alike(loads(dumps(value)), value)


@given(
    st.binary()
    | plain.map(lambda value: dumps(value)[:-1])
    | st.text("ludemnsib:;.0123456789a,ID").map(str.encode)
)
def test_any_text_is_read_or_refused(data):
    """And nothing else is raised, whatever a program sends."""
    with contextlib.suppress(NotPlain):
        loads(data)


class Point(NamedTuple):
    x: int
    y: int


class Loud(str):
    __slots__ = ()

    def __str__(self):
        return "shouting"


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Counter("aab"), {"a": 2, "b": 1}),
        (Point(1, 2), (1, 2)),
        (Loud("quiet"), "quiet"),
        (bytearray(b"x"), b"x"),
        (range(3, 9, 2), range(3, 9, 2)),
        (int, int),
        ([math.inf, -0.0], [math.inf, -0.0]),
        ([2**20_000], [2**20_000]),
        ("\ud800", "\ud800"),
    ],
    ids=range(9),
)
def test_subclasses_arrive_as_what_they_derive_from(value, arrives):
    assert alike(loads(dumps(value)), arrives)


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def cyclic():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize("value", [nested(DEEPEST + 1), cyclic(), object(), print, {1: lambda: 0}])
def test_what_is_not_plain_is_refused(value):
    with pytest.raises(NotPlain):
        dumps(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"l999999999999:.",
        b"l1:" * 5000,
        b"I3:1,2",
        b"s5:abc",
        b"m1:l0:.n",
        b"yeval;",
        b"r1;2;0;",
        b"o1;",
        b"nn",
        b"l2:I9:1,2,3,4,5x",
    ],
)
def test_what_is_no_encoding_is_refused(data):
    with pytest.raises(NotPlain):
        loads(data)
